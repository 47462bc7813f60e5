import { spawn } from 'node:child_process';
import { fail, ok, type Result } from '../../base/result.ts';
import type { CliIo } from '../../cli/spec.ts';
import {
  booleanAt,
  isKubeObject,
  type KubeObject,
  objectAt,
  objectsAt,
  textAt,
} from '../../kube/objects.ts';
import { PODS } from '../../kube/resource.ts';
import { errnoCode } from '../../runtime/atomic-file.ts';
import { type Cluster, readObject } from '../clusters.ts';
import type { ContentReader } from '../content.ts';
import type { BundleCopy } from '../model.ts';
import { outsideCopy } from './outside.ts';

/** A pod, and what is read in it. */
export interface PodFile {
  readonly namespace: string;
  readonly name: string;
  /** File inside it; the first bundle that is mounted where undefined. */
  readonly path: string | undefined;
}

/** Longest file that is taken from a pod, in bytes. */
const MAX_FILE_BYTES = 1024 * 1024;
/** Names of files with bundles: SPIRE's helpers, ClusterTrustBundle projections, Istio. */
const BUNDLE_NAMES =
  /(^|\/)(bundle(\.0)?\.(pem|crt|json)|roots\.pem|root-cert\.pem|.*trust-bundle.*\.pem)$/;

/** A bundle as a container of a pod sees it, read by `kubectl exec … cat`. Fails with TRUST_POD, KUBE_*. */
export async function podCopy(
  cluster: Cluster,
  { namespace, name, path }: PodFile,
  io: CliIo,
  read: ContentReader,
): Promise<Result<BundleCopy>> {
  if (path?.startsWith('unix:') === true) {
    return socketCopy(cluster, { namespace, name, path }, io, read);
  }
  const file = path === undefined ? await mountedBundle(cluster, namespace, name) : ok(path);
  if (!file.ok) return file;
  const text = await execCat(cluster, { namespace, name, path: file.value }, io);
  if (!text.ok) return text;
  const content = read(text.value);
  if (!content.ok) return content;
  const { context } = cluster;
  return ok(outsideCopy('pod', name, content.value, { context, namespace, key: file.value }));
}

/**
 * A bundle as the Workload API gives it inside a pod, asked by a `signet` that the container has: it prints
 * bundles alone, no keys. `#trust-domain` behind the path chooses among several.
 */
async function socketCopy(
  cluster: Cluster,
  { namespace, name, path }: PodFile & { readonly path: string },
  io: CliIo,
  read: ContentReader,
): Promise<Result<BundleCopy>> {
  const [socket = '', wanted] = path.split('#', 2);
  const fetch = ['api', 'fetch', 'bundles', '-o', 'json', '--agent-socket', socket];
  const text = await execIn(cluster, { namespace, name }, ['signet', ...fetch], io);
  if (!text.ok) return text;
  const documents = bundlesIn(text.value);
  if (documents === undefined) {
    return fail('TRUST_UNREADABLE', `pod ${namespace}/${name}: signet printed no bundles`);
  }
  const fit = documents.filter(([domain]) => wanted === undefined || domain === wanted);
  const [only] = fit;
  const names = documents.map(([domain]) => domain).join(', ');
  if (only === undefined) return fail('TRUST_NOT_FOUND', `${socket} has bundles of ${names}`);
  if (fit.length > 1) {
    return fail('TRUST_AMBIGUOUS', `write #TRUST-DOMAIN behind the socket; it has ${names}`);
  }
  const content = read(only[1]);
  if (!content.ok) return content;
  const { context } = cluster;
  const copy = outsideCopy('pod', name, content.value, { context, namespace, key: path });
  return ok({ ...copy, trustDomain: only[0] });
}

/** Trust domains and their documents, as `signet api fetch bundles -o json` prints them. */
function bundlesIn(text: string): readonly (readonly [string, string])[] | undefined {
  try {
    const printed: unknown = JSON.parse(text);
    const bundles = isKubeObject(printed) ? objectAt(printed, 'bundles') : undefined;
    if (bundles === undefined) return undefined;
    return Object.entries(bundles).flatMap(([id, document]) =>
      typeof document === 'string' ? [[id.replace(/^spiffe:\/\//, ''), document] as const] : [],
    );
  } catch {
    return undefined;
  }
}

/** The file of a pod's volumes that holds a bundle, by what is projected and where it is mounted. */
async function mountedBundle(
  cluster: Cluster,
  namespace: string,
  name: string,
): Promise<Result<string>> {
  const pod = await readObject(cluster, { ...PODS, namespace }, name);
  if (!pod.ok) return pod;
  const [path] = mountedFiles(pod.value).filter((file) => BUNDLE_NAMES.test(file));
  if (path !== undefined) return ok(path);
  const what = `pod ${namespace}/${name} mounts no file that is known to hold a bundle`;
  return fail('TRUST_POD', `${what}; name it as pod/${namespace}/${name}:/path`);
}

/** Files that projected volumes name, as the first container that mounts them sees them. */
export function mountedFiles(pod: KubeObject): readonly string[] {
  const mounts = objectsAt(pod, 'spec', 'containers').flatMap((one) =>
    objectsAt(one, 'volumeMounts'),
  );
  return objectsAt(pod, 'spec', 'volumes').flatMap((volume) => {
    const mount = mounts.find((one) => textAt(one, 'name') === textAt(volume, 'name'));
    const folder = mount === undefined ? undefined : textAt(mount, 'mountPath');
    if (folder === undefined || booleanAt(volume, 'optional') === true) return [];
    const files = objectsAt(volume, 'projected', 'sources').flatMap((source) => [
      textAt(source, 'clusterTrustBundle', 'path'),
      ...objectsAt(source, 'configMap', 'items').map((item) => textAt(item, 'path')),
    ]);
    return files.flatMap((file) =>
      file === undefined ? [] : [`${folder.replace(/\/$/, '')}/${file}`],
    );
  });
}

/** What a file inside a pod holds. Fails with TRUST_POD. */
export function execCat(
  cluster: Pick<Cluster, 'kubectlArgs' | 'timeoutMs'>,
  { namespace, name, path }: PodFile & { readonly path: string },
  io: Pick<CliIo, 'env'>,
): Promise<Result<string>> {
  return execIn(cluster, { namespace, name }, ['cat', '--', path], io);
}

/** What a command inside a pod prints, by `kubectl exec`. Fails with TRUST_POD. */
function execIn(
  { kubectlArgs, timeoutMs }: Pick<Cluster, 'kubectlArgs' | 'timeoutMs'>,
  { namespace, name }: Pick<PodFile, 'namespace' | 'name'>,
  command: readonly string[],
  { env }: Pick<CliIo, 'env'>,
): Promise<Result<string>> {
  const kubectl = env.SIGNET_KUBECTL ?? 'kubectl';
  const what = `${command.join(' ')} in pod ${namespace}/${name}`;
  const args = [...kubectlArgs, 'exec', '-n', namespace, name, '--', ...command];
  // A node that hangs must not hold us for ever.
  const child = spawn(kubectl, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs });
  const { promise, resolve } = Promise.withResolvers<Result<string>>();
  const out: Buffer[] = [];
  let length = 0;
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out.push(chunk);
    length += chunk.length;
    if (length > MAX_FILE_BYTES) child.kill();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(0, 500);
  });
  child.on('error', (cause) =>
    resolve(fail('TRUST_POD', `cannot run ${kubectl} (${errnoCode(cause)})`, { cause })),
  );
  child.on('close', (code, signal) => {
    if (length > MAX_FILE_BYTES) {
      resolve(fail('TRUST_POD', `${what}: over ${MAX_FILE_BYTES} bytes`));
    } else if (code === 0) resolve(ok(Buffer.concat(out).toString('utf8')));
    else {
      const why = said.trim() || (signal === null ? `exit code ${code}` : 'no answer in time');
      resolve(fail('TRUST_POD', `${what}: ${why}`));
    }
  });
  return promise;
}
