import { type BenchCluster, type BenchNode, until } from './cluster.ts';
import { SIGNER_DOMAIN } from './objects.ts';
import { podObject } from './pod-object.ts';

const PODS = '/api/v1/namespaces/shop/pods';
const WHERE = { namespace: 'shop', serviceAccountName: 'web' };
const CERTIFICATE = {
  signerName: `${SIGNER_DOMAIN}/spiffe`,
  keyType: 'ECDSAP256',
  credentialBundlePath: 'svid.pem',
};

/** A pod of the cluster. */
export interface BenchPod {
  readonly name: string;
  readonly uid: string;
}

let made = 0;

/** Pods that were made. */
export function podsMade(): number {
  return made;
}

/** Makes pods that no node has yet, each with a podCertificate volume; with `nodeOf` they are bound. */
export async function makePods(
  cluster: BenchCluster,
  count: number,
  nodeOf?: (index: number) => BenchNode,
): Promise<readonly BenchPod[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, index): Promise<BenchPod> => {
      const { metadata, spec } = podObject(made++, WHERE);
      const bound =
        nodeOf === undefined ? { schedulerName: 'bench' } : { nodeName: nodeOf(index).name };
      const id = { name: 'id', projected: { sources: [{ podCertificate: CERTIFICATE }] } };
      const volumes = [...spec.volumes, id];
      const body = { metadata, spec: { ...spec, ...bound, volumes } };
      const { metadata: known } = await cluster.call({ verb: 'create', path: PODS, body });
      return { name: metadata.name, uid: String((known as { uid: string }).uid) };
    }),
  );
}

/** Binds a pod to a node, as a scheduler does; answers when that was acknowledged, in Unix milliseconds. */
export async function bind(cluster: BenchCluster, pod: BenchPod, to: BenchNode): Promise<number> {
  const { name } = pod;
  const target = { apiVersion: 'v1', kind: 'Node', name: to.name };
  await cluster.call({
    verb: 'create',
    path: `${PODS}/${name}/binding`,
    body: { apiVersion: 'v1', kind: 'Binding', metadata: { name }, target },
  });
  return Date.now();
}

/** When agents had SVIDs for all of these pods, by their names, in Unix milliseconds. */
export async function minted(
  cluster: BenchCluster,
  pods: readonly BenchPod[],
): Promise<ReadonlyMap<string, number>> {
  const waiting = new Set(pods.map(({ name }) => name));
  const at = new Map<string, number>();
  await until(async () => {
    for (const node of cluster.nodes) {
      for (const { msg, spiffeId = '', timeMs } of node.newLines()) {
        const name = spiffeId.slice(spiffeId.lastIndexOf('/') + 1);
        if (msg === 'minted' && waiting.delete(name)) at.set(name, timeMs);
      }
    }
    return waiting.size === 0;
  });
  return at;
}
