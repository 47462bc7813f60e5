import { readFileSync, writeFileSync } from 'node:fs';
import { agentConfigJsonSchema } from '../../agent/config.ts';
import { connectorConfigJsonSchema } from '../../agent/connector/config.ts';
import { serverConfigJsonSchema } from '../../src/server/config.ts';

/** The schema of the values of the chart of server and agents. */
export const CHART_SCHEMA = 'charts/signet/values.schema.json';

/** The schema of the values of the chart of connectors. */
export const CONNECTOR_CHART_SCHEMA = 'charts/signet-connector/values.schema.json';

type Node = Readonly<Record<string, unknown>>;

/** What the chart sets itself, and what does not work in its pods: no values for these. */
const NOT_OF_SERVER = [
  ...['trustDomain', 'dataDir', 'adminSocket', 'telemetry', 'kubernetes'],
  ...['listen.address', 'listen.port', 'ca.subject', 'jwt.issuer', 'attestation.k8sPsat'],
  ...['oidc', 'federation.bundleEndpoint'],
  // Needs a library of the HSM's maker in the image.
  ...['keys.pkcs11'],
];
const NOT_OF_AGENT = [
  ...['trustDomain', 'dataDir', 'server', 'bootstrap', 'join', 'workloadSocket', 'telemetry'],
  ...['attestation.k8sPsat'],
  // Devices of the node, which a container gets only by a device plugin or as privileged.
  ...['attestation.tpm', 'attestation.tpmDevid', 'attestation.dpu.tpm'],
  // Sockets and programs of the node that are not in the image.
  ...['workloadAttestors.docker', 'workloadAttestors.podman', 'workloadAttestors.systemd'],
  ...['workloadAttestors.slurm.askController', 'workloadAttestors.slurm.squeuePath'],
  ...['workloadAttestors.slurm.confPath', 'workloadAttestors.k8s.nodeName'],
];

const NOT_OF_CONNECTOR = [
  ...['trustDomain', 'group', 'dataDir', 'server', 'bootstrap', 'enrol', 'segments', 'local'],
  ...['telemetry', 'drain.timeout', 'outputs.directory', 'outputs.keyMode', 'outputs.mode'],
];

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Helm reads regular expressions by Go's rules, which cannot look around; the server checks those. */
function forHelm(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(forHelm);
  if (!isNode(value)) return value;
  const kept = Object.entries(value).filter(([key, inner]) => {
    if (key === 'default' || key === 'format' || key === '$schema' || key === 'title') {
      return isNode(inner) && 'type' in inner;
    }
    return !(key === 'pattern' && /\(\?[=!<]/.test(String(inner)));
  });
  return Object.fromEntries(kept.map(([key, inner]) => [key, forHelm(inner)]));
}

function childOf(schema: Node, key: string): Node {
  const { properties } = schema;
  const child = isNode(properties) ? properties[key] : undefined;
  if (!isNode(child)) throw new TypeError(`the configuration has no ${key} any more`);
  return child;
}

/** The schema without one of its settings. */
function without(schema: Node, path: readonly string[]): Node {
  const [key = '', ...rest] = path;
  const child = childOf(schema, key);
  const { [key]: _, ...others } = schema.properties as Readonly<Record<string, unknown>>;
  if (rest.length > 0) return { ...schema, properties: { ...others, [key]: without(child, rest) } };
  const required = Array.isArray(schema.required) ? schema.required : [];
  return { ...schema, properties: others, required: required.filter((name) => name !== key) };
}

function reduced(schema: Node, paths: readonly string[]): unknown {
  return forHelm(paths.reduce((left, path) => without(left, path.split('.')), schema));
}

function readSchema(path: string): Node & { readonly $defs: Node } {
  return JSON.parse(readFileSync(path, 'utf8')) as Node & { readonly $defs: Node };
}

/** The file of the chart of connectors as it should be. */
export function renderConnectorChartSchema(): string {
  const own = readSchema(CONNECTOR_CHART_SCHEMA);
  const connectorConfig = reduced(connectorConfigJsonSchema(), NOT_OF_CONNECTOR);
  return `${JSON.stringify({ ...own, $defs: { ...own.$defs, connectorConfig } }, null, 2)}\n`;
}

/** The file as it should be: its own part as it stands, and that of the product's configuration. */
export function renderChartSchema(): string {
  const own = readSchema(CHART_SCHEMA);
  const server: Node = serverConfigJsonSchema();
  const at = (...path: readonly string[]): unknown => forHelm(path.reduce(childOf, server));
  const $defs = {
    ...own.$defs,
    serverConfig: reduced(server, NOT_OF_SERVER),
    agentConfig: reduced(agentConfigJsonSchema(), NOT_OF_AGENT),
    psatClusters: { ...(at('attestation', 'k8sPsat', 'clusters') as Node), minItems: 0 },
    ruleClusters: at('kubernetes', 'clusters'),
    oidc: at('oidc'),
    bundleEndpoint: at('federation', 'bundleEndpoint'),
  };
  return `${JSON.stringify({ ...own, $defs }, null, 2)}\n`;
}

if (import.meta.main) {
  writeFileSync(CHART_SCHEMA, renderChartSchema());
  writeFileSync(CONNECTOR_CHART_SCHEMA, renderConnectorChartSchema());
}
