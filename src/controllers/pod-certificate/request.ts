import {
  type KubeObject,
  metaOf,
  numberAt,
  objectsAt,
  textAt,
  textMapAt,
} from '../../kube/objects.ts';
import type { PodClaim } from '../pod-identity.ts';

/** How the kubelet proves its key: from 1.36 on by a CSR, before by a signature over the pod's UID. */
export type PodKeyProof =
  | { readonly kind: 'csr'; readonly der: Uint8Array }
  | { readonly kind: 'pod-uid'; readonly spki: Uint8Array; readonly signature: Uint8Array };

/** A PodCertificateRequest that is not answered. */
export interface PodCertificateRequest {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** What it says of its pod; nothing of it is believed. */
  readonly claim: PodClaim;
  readonly maxExpirationSeconds: number;
  /** Undefined where it has none, or several. */
  readonly proof: PodKeyProof | undefined;
  readonly annotations: ReadonlyMap<string, string>;
}

const TERMINAL: ReadonlySet<string> = new Set(['Issued', 'Denied', 'Failed']);

/** What the API server fills in where nothing is said. */
const DEFAULT_MAX_SECONDS = 86_400;

/** Reads a request of our signer; undefined where it is answered, which is for good, or another's. */
export function podCertificateRequestFrom(
  object: KubeObject,
  signerName: string,
): PodCertificateRequest | undefined {
  const conditions = objectsAt(object, 'status', 'conditions');
  if (conditions.some((condition) => TERMINAL.has(textAt(condition, 'type') ?? ''))) {
    return undefined;
  }
  // A field selector asked for these only.
  if (textAt(object, 'spec', 'signerName') !== signerName) return undefined;
  const said = (field: string): string => textAt(object, 'spec', field) ?? '';
  const { name, namespace, uid, resourceVersion } = metaOf(object);
  return {
    name,
    namespace,
    uid,
    resourceVersion,
    // What is left out is compared too, as the empty text that no pod has.
    claim: {
      namespace,
      name: said('podName'),
      uid: said('podUID'),
      nodeName: said('nodeName'),
      nodeUid: said('nodeUID'),
      serviceAccountName: said('serviceAccountName'),
      serviceAccountUid: said('serviceAccountUID'),
    },
    maxExpirationSeconds: numberAt(object, 'spec', 'maxExpirationSeconds') ?? DEFAULT_MAX_SECONDS,
    proof: proofOf(object),
    annotations: textMapAt(object, 'spec', 'unverifiedUserAnnotations'),
  };
}

function proofOf(object: KubeObject): PodKeyProof | undefined {
  const der = bytesAt(object, 'stubPKCS10Request');
  const spki = bytesAt(object, 'pkixPublicKey');
  const signature = bytesAt(object, 'proofOfPossession');
  if (der !== undefined) return (spki ?? signature) ? undefined : { kind: 'csr', der };
  if (spki === undefined || signature === undefined) return undefined;
  return { kind: 'pod-uid', spki, signature };
}

/** Bytes of the spec, which JSON has in base64 (the API server wrote it); undefined where there are none. */
function bytesAt(object: KubeObject, field: string): Uint8Array | undefined {
  const bytes = Buffer.from(textAt(object, 'spec', field) ?? '', 'base64');
  return bytes.length === 0 ? undefined : bytes;
}
