import { fail, ok, type Result } from '../base/result.ts';
import type { CliIo, Input } from '../cli/spec.ts';
import { type Cluster, readObject } from './clusters.ts';
import type { ContentReader } from './content.ts';
import type { BundleCopy } from './model.ts';
import { CONFIG_MAPS, copiesOf } from './sources/config-maps.ts';
import { relationshipCopy } from './sources/federation.ts';
import { endpointCopy, fileCopy, serverCopy } from './sources/outside.ts';
import { podCopy } from './sources/pods.ts';
import { secretCopy } from './sources/secrets.ts';
import { trustBundleCopy, trustBundleResource } from './sources/trust-bundles.ts';

/** What a reference to a source says. */
export interface SourceRef {
  readonly kind: 'cm' | 'ctb' | 'secret' | 'pod' | 'server' | 'file' | 'endpoint' | 'federation';
  /** Context that it names before an `@`; undefined for the one of the flags. */
  readonly context: string | undefined;
  readonly namespace: string | undefined;
  readonly name: string;
  readonly key: string | undefined;
}

const WORDS: Readonly<Record<string, SourceRef['kind']>> = {
  cm: 'cm',
  configmap: 'cm',
  configmaps: 'cm',
  ctb: 'ctb',
  clustertrustbundle: 'ctb',
  clustertrustbundles: 'ctb',
  secret: 'secret',
  secrets: 'secret',
  pod: 'pod',
  pods: 'pod',
  po: 'pod',
  federation: 'federation',
  clusterfederatedtrustdomain: 'federation',
};

/** What a source may be written as, for help pages. */
export const SOURCE_HELP =
  'A source is cm/NAMESPACE/NAME, ctb/NAME, secret/NAMESPACE/NAME, pod/NAMESPACE/NAME (the namespace may\n' +
  'be left out; a key may follow a colon), federation/NAME (what the endpoint of that\n' +
  'ClusterFederatedTrustDomain says now), https://… (an endpoint verified as the web is), server (the admin\n' +
  'socket), file/PATH or a path with a slash or dot, or - for standard input. CONTEXT@ before it names\n' +
  'another cluster.';

/** Reads a reference such as `cm/shop/trust:bundle.crt` or `prod@ctb/roots`. Fails with CLI_USAGE. */
export function parseSource(text: string): Result<SourceRef> {
  const none = { context: undefined, namespace: undefined, key: undefined };
  if (text === 'server') return ok({ ...none, kind: 'server', name: 'server' });
  if (/^https:\/\//.test(text)) return ok({ ...none, kind: 'endpoint', name: text });
  const [, context, rest = ''] = /^(?:([^@]{1,253})@)?(.*)$/s.exec(text) ?? [];
  const slash = rest.indexOf('/');
  const kind = slash === -1 ? undefined : WORDS[rest.slice(0, slash)];
  if (kind !== undefined) return parseObject(kind, context, rest.slice(slash + 1), text);
  const path = text.startsWith('file/') ? text.slice('file/'.length) : text;
  if (path === '-' || /[/.]/.test(path)) return ok({ ...none, kind: 'file', name: path });
  return fail(
    'CLI_USAGE',
    `"${text.slice(0, 80)}" is no source; ${SOURCE_HELP.replace(/\n/g, ' ')}`,
  );
}

function parseObject(
  kind: SourceRef['kind'],
  context: string | undefined,
  rest: string,
  text: string,
): Result<SourceRef> {
  // ClusterTrustBundles of signers have colons in their names and no keys.
  const [, path = '', key] =
    kind === 'ctb' ? ['', rest] : (/^([^:]*)(?::(.+))?$/s.exec(rest) ?? []);
  const parts = path.split('/');
  const [first = '', second] = parts;
  const most = kind === 'ctb' || kind === 'federation' ? 1 : 2;
  // Also keeps a name from being a flag of the kubectl that reads in pods.
  const isName = parts.every((part) => /^[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}$/.test(part));
  if (parts.length > most || !isName) {
    return fail('CLI_USAGE', `"${text.slice(0, 80)}" is no source of the form ${kind}/…/NAME`);
  }
  return ok(
    second === undefined
      ? { kind, context, namespace: undefined, name: first, key }
      : { kind, context, namespace: first, name: second, key },
  );
}

/** What reading a source needs. */
export interface SourceParts {
  readonly clusters: readonly Cluster[];
  readonly input: Input;
  readonly io: CliIo;
  readonly read: ContentReader;
}

/** Reads the copy that a reference names. */
export async function readSource(text: string, parts: SourceParts): Promise<Result<BundleCopy>> {
  const ref = parseSource(text);
  if (!ref.ok) return ref;
  const { input, io, read } = parts;
  switch (ref.value.kind) {
    case 'server':
      return serverCopy(input, io);
    case 'file':
      return fileCopy(ref.value.name, io, read);
    case 'endpoint': {
      const url = URL.parse(ref.value.name);
      return url === null
        ? fail('CLI_USAGE', `"${ref.value.name.slice(0, 80)}" is no address`)
        : endpointCopy(url, io, read);
    }
    default: {
      const cluster = clusterOf(ref.value, parts.clusters);
      return cluster.ok ? readFromCluster(ref.value, cluster.value, parts) : cluster;
    }
  }
}

/** The cluster that a reference is about. Fails with CLI_USAGE, TRUST_AMBIGUOUS. */
export function clusterOf(
  { context }: Pick<SourceRef, 'context'>,
  clusters: readonly Cluster[],
): Result<Cluster> {
  const fit = clusters.filter((one) => context === undefined || one.context === context);
  const [only] = fit;
  if (only === undefined) {
    return fail('CLI_USAGE', `name the context ${context} by --context too`);
  }
  if (fit.length > 1) return fail('TRUST_AMBIGUOUS', 'several contexts: write CONTEXT@ before it');
  return ok(only);
}

async function readFromCluster(
  { kind, namespace: given, name, key }: SourceRef,
  cluster: Cluster,
  { io, read }: SourceParts,
): Promise<Result<BundleCopy>> {
  const namespace = given ?? cluster.home;
  if (kind === 'secret') return secretCopy(cluster, namespace, name, key, read);
  if (kind === 'pod') return podCopy(cluster, { namespace, name, path: key }, io, read);
  if (kind === 'federation') return relationshipCopy(cluster, name, io, read);
  if (kind === 'ctb') {
    const resource = await trustBundleResource(cluster);
    if (!resource.ok) return resource;
    const object = await readObject(cluster, resource.value, name);
    return object.ok ? readable(trustBundleCopy(object.value, cluster, read)) : object;
  }
  const object = await readObject(cluster, { ...CONFIG_MAPS, namespace }, name);
  if (!object.ok) return object;
  const copies = copiesOf(object.value, cluster, read);
  const fit = copies.filter(({ place }) => key === undefined || place.key === key);
  const [only] = fit;
  if (only === undefined) {
    return fail('TRUST_UNREADABLE', `configmap ${namespace}/${name} has no bundle under ${key}`);
  }
  if (fit.length === 1) return readable(only);
  const keys = fit.map(({ place }) => place.key).join(', ');
  return fail('TRUST_AMBIGUOUS', `configmap ${namespace}/${name} has several bundles: ${keys}`);
}

function readable(copy: BundleCopy): Result<BundleCopy> {
  return copy.problem === undefined ? ok(copy) : { ok: false, error: copy.problem };
}
