import { spawn } from 'node:child_process';
import { fail, ok, type Result } from '../../base/result.ts';
import type { CliIo } from '../../cli/spec.ts';
import { booleanAt, type KubeObject, objectsAt, textAt } from '../../kube/objects.ts';
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
  const file = path === undefined ? await mountedBundle(cluster, namespace, name) : ok(path);
  if (!file.ok) return file;
  const text = await execCat(cluster, { namespace, name, path: file.value }, io);
  if (!text.ok) return text;
  const content = read(text.value);
  if (!content.ok) return content;
  const { context } = cluster;
  return ok(outsideCopy('pod', name, content.value, { context, namespace, key: file.value }));
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
  { kubectlArgs, timeoutMs }: Pick<Cluster, 'kubectlArgs' | 'timeoutMs'>,
  { namespace, name, path }: PodFile & { readonly path: string },
  { env }: Pick<CliIo, 'env'>,
): Promise<Result<string>> {
  const kubectl = env.SIGNET_KUBECTL ?? 'kubectl';
  const args = [...kubectlArgs, 'exec', '-n', namespace, name, '--', 'cat', '--', path];
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
      resolve(fail('TRUST_POD', `${path} in the pod has over ${MAX_FILE_BYTES} bytes`));
    } else if (code === 0) resolve(ok(Buffer.concat(out).toString('utf8')));
    else {
      const why = said.trim() || (signal === null ? `exit code ${code}` : 'no answer in time');
      resolve(fail('TRUST_POD', `reading ${path} in pod ${namespace}/${name}: ${why}`));
    }
  });
  return promise;
}
