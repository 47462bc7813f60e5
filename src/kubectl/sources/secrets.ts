import { fail, ok, type Result } from '../../base/result.ts';
import { type KubeObject, keyOf, metaOf, textMapAt } from '../../kube/objects.ts';
import type { KubeResource } from '../../kube/resource.ts';
import { type Cluster, eachObject, readObject } from '../clusters.ts';
import type { ContentReader } from '../content.ts';
import type { BundleCopy } from '../model.ts';
import { copyOf } from './object-copy.ts';

/** Secrets of the core group. */
export const SECRETS: KubeResource = { group: '', version: 'v1', plural: 'secrets' };

/** Keys that hold authorities: cert-manager's, Istio's. Private keys stand under others, never read. */
const BUNDLE_KEYS = ['ca.crt', 'ca-cert.pem', 'root-cert.pem', 'bundle.crt'];
/** Keys that hold the chain of a workload. */
const CHAIN_KEYS = ['tls.crt', 'cert-chain.pem', 'svid.pem', 'ca-cert.pem'];

/** Text of one key of a Secret. */
interface SecretText {
  readonly key: string;
  readonly text: string;
}

/** The copies of bundles in Secrets of TLS. Errors: KUBE_*. */
export async function secretCopies(
  cluster: Cluster,
  read: ContentReader,
): Promise<Result<readonly BundleCopy[]>> {
  const copies: BundleCopy[] = [];
  const listed = await eachTlsSecret(cluster, (object) => {
    const found = textOf(object, BUNDLE_KEYS);
    if (found === undefined) return;
    const { context } = cluster;
    copies.push(copyOf(object, { context, source: 'secret', ...found }, read));
  });
  return listed.ok ? ok(copies) : listed;
}

/** Hands on each Secret of type kubernetes.io/tls. Errors: KUBE_*. */
export function eachTlsSecret(
  cluster: Cluster,
  take: (object: KubeObject) => void,
): Promise<Result<void>> {
  const { namespace, selector: label } = cluster;
  const field = 'type=kubernetes.io/tls';
  return eachObject(cluster, { ...SECRETS, namespace }, { label, field }, take);
}

/** A bundle in a Secret: that of a key, or of the first that is known. */
export async function secretCopy(
  cluster: Cluster,
  namespace: string,
  name: string,
  key: string | undefined,
  read: ContentReader,
): Promise<Result<BundleCopy>> {
  const object = await readObject(cluster, { ...SECRETS, namespace }, name);
  if (!object.ok) return object;
  const found = textOf(object.value, key === undefined ? BUNDLE_KEYS : [key]);
  if (found === undefined) return missing(object.value, key, BUNDLE_KEYS);
  return ok(copyOf(object.value, { context: cluster.context, source: 'secret', ...found }, read));
}

/** The chain of a workload in a Secret, as PEM. Fails with TRUST_UNREADABLE. */
export function chainText(object: KubeObject, key: string | undefined): Result<SecretText> {
  const found = textOf(object, key === undefined ? CHAIN_KEYS : [key]);
  return found === undefined ? missing(object, key, CHAIN_KEYS) : ok(found);
}

function missing(
  object: KubeObject,
  key: string | undefined,
  known: readonly string[],
): Result<never> {
  const what = key ?? `none of ${known.join(', ')}`;
  return fail(
    'TRUST_UNREADABLE',
    `secret ${keyOf(metaOf(object))} has ${key === undefined ? '' : 'no '}${what}`,
  );
}

function textOf(object: KubeObject, keys: readonly string[]): SecretText | undefined {
  const data = textMapAt(object, 'data');
  for (const key of keys) {
    const base64 = data.get(key);
    if (base64 !== undefined) return { key, text: Buffer.from(base64, 'base64').toString('utf8') };
  }
  return undefined;
}
