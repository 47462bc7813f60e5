import { z } from 'zod';
import { socketPathSetting } from '../../src/rpc/socket-setting.ts';
import {
  absolutePathSetting,
  configJsonSchema,
  hostSetting,
  parsedSetting,
} from '../../src/runtime/config.ts';
import { LOG_LEVELS } from '../../src/runtime/log.ts';
import { telemetrySchema } from '../../src/runtime/telemetry.ts';
import { durationSetting } from '../../src/runtime/units.ts';
import { parseTrustDomain, type TrustDomain } from '../../src/spiffe/trust-domain.ts';
import { type HttpProxy, parseHttpProxy } from '../../src/tls/http-proxy.ts';
import { WORKLOAD_KEY_TYPES } from '../config.ts';
import { enrolProblem, enrolSchema } from './enrol-settings.ts';
import { hooksSchema } from './hook-settings.ts';
import { outputsSchema } from './output-settings.ts';
import { zpaWatcherSchema } from './zpa/settings.ts';

/** Where the companion keeps key, certificate and segments unless told. */
export const DEFAULT_CONNECTOR_DATA_DIR = '/var/lib/signet/connector';

/** Where the companion's local socket is unless told. */
export const DEFAULT_LOCAL_SOCKET = '/run/signet/connector/local.sock';

const trustDomainSetting: z.ZodType<TrustDomain, string> = parsedSetting(parseTrustDomain);
const proxySetting: z.ZodType<HttpProxy, string> = parsedSetting(parseHttpProxy);

const bootstrapSchema = z
  .strictObject({
    bundlePath: absolutePathSetting
      .optional()
      .describe(
        'File with the trust bundle that the server is verified against, such as a mounted ConfigMap; read at each enrolment.',
      ),
    bundleFormat: z.enum(['pem', 'spiffe']).default('pem').describe('Form of that file.'),
    insecure: z
      .boolean()
      .default(false)
      .describe('Takes the first bundle from whoever answers: for trials only.'),
  })
  .prefault({});

const flowsSchema = z
  .strictObject({
    path: absolutePathSetting
      .optional()
      .describe('File whose text begins with the number of open flows.'),
    url: z
      .url({ protocol: /^http$/ })
      .optional()
      .describe('Page of the connector with that number, or with metrics; plain HTTP.'),
    metric: z
      .string()
      .regex(/^[a-zA-Z_:][a-zA-Z0-9_:]{0,199}$/, 'must be the name of a metric')
      .optional()
      .describe('Metric on that page whose samples are added up.'),
  })
  .refine(({ path, url }) => path === undefined || url === undefined, {
    message: 'give either path or url',
  })
  .prefault({});

const localSchema = z
  .strictObject({
    path: socketPathSetting
      .default(DEFAULT_LOCAL_SOCKET)
      .describe('Unix socket for the connector: segments, status, drain.'),
    mode: z
      .string()
      .regex(/^0?[0-7]{3}$/, 'must be an octal mode such as "0660"')
      .default('0660')
      .transform((text) => Number.parseInt(text, 8))
      .describe('Octal.'),
    group: z
      .int()
      .min(0)
      .max(4_294_967_294)
      .optional()
      .describe('Group, by number, that the socket is given to.'),
  })
  .prefault({});

const sessionSchema = z
  .strictObject({
    reconnectWithin: durationSetting({ min: '10ms', max: '5m' })
      .prefault('2s')
      .describe(
        'A lost session is opened again at a moment drawn from so long, or from what the server asks for where many come back; doubles each time.',
      ),
    reconnectAtMost: durationSetting({ min: '10ms', max: '1h' })
      .prefault('30s')
      .describe('Longest wait between two tries.'),
  })
  .prefault({});

const drainSchema = z
  .strictObject({
    timeout: durationSetting({ max: '1d' })
      .prefault('25s')
      .describe('How long flows may go on after SIGTERM, or where a drain names no deadline.'),
    quiet: durationSetting({ max: '1d' })
      .prefault('5s')
      .describe('How long a drain takes where the number of flows is not known.'),
  })
  .prefault({});

const segmentsSchema = z
  .strictObject({
    path: absolutePathSetting
      .optional()
      .describe('File that the segments are written to, JSON; none unless set.'),
  })
  .prefault({});

const workloadApiSchema = z
  .strictObject({
    socket: socketPathSetting
      .optional()
      .describe("Workload API of the node's agent: for x509-svid, and for the bundle."),
  })
  .prefault({});

/** Schema of `connector.yaml`. */
export const connectorConfigSchema = z
  .strictObject({
    trustDomain: trustDomainSetting.describe('Name of the trust domain, such as example.org.'),
    group: z
      .string()
      .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'must be a DNS label')
      .describe('Name of the connector group.'),
    dataDir: absolutePathSetting
      .default(DEFAULT_CONNECTOR_DATA_DIR)
      .describe('Key, certificate and segments; 0700, one companion at a time.'),
    server: z.strictObject({
      address: hostSetting.describe('Host name or IP address of the server.'),
      port: z.int().min(1).max(65_535).default(8081).describe('Port of the server.'),
    }),
    proxy: z
      .strictObject({
        url: proxySetting
          .optional()
          .describe('Proxy for HTTP CONNECT, such as http://proxy.example.org:3128.'),
        fromEnvironment: z
          .boolean()
          .default(true)
          .describe('Takes HTTPS_PROXY and NO_PROXY where url is not set.'),
      })
      .prefault({}),
    bootstrap: bootstrapSchema,
    workloadApi: workloadApiSchema,
    enrol: enrolSchema,
    keyType: z.enum(WORKLOAD_KEY_TYPES).default('ec-p256').describe('Kind of its keys.'),
    outputs: outputsSchema,
    segments: segmentsSchema,
    local: localSchema,
    flows: flowsSchema,
    hooks: hooksSchema,
    session: sessionSchema,
    drain: drainSchema,
    zpa: zpaWatcherSchema,
    log: z
      .strictObject({
        level: z.enum(LOG_LEVELS).default('info').describe('Least level that is written.'),
      })
      .prefault({}),
    telemetry: telemetrySchema,
  })
  .superRefine(({ enrol, bootstrap, workloadApi }, context) => {
    const ways = [bootstrap.bundlePath !== undefined, bootstrap.insecure].filter(Boolean).length;
    const trust =
      ways === 2 || (ways === 0 && workloadApi.socket === undefined)
        ? 'bootstrap: give bundlePath, workloadApi.socket or insecure: true'
        : undefined;
    for (const message of [trust, enrolProblem(enrol, workloadApi.socket)]) {
      if (message !== undefined) context.addIssue({ code: 'custom', path: [], message });
    }
  });

/** JSON Schema of `connector.yaml`, for editors. */
export function connectorConfigJsonSchema(): Record<string, unknown> {
  return configJsonSchema(connectorConfigSchema, 'Signet connector companion configuration');
}

/** What `connector.yaml` says, checked, with defaults filled in. */
export type ConnectorConfig = z.output<typeof connectorConfigSchema>;
