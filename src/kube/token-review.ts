import { fail, ok, type Result } from '../base/result.ts';
import type { KubeApi } from './kube-api.ts';
import { booleanAt, type KubeObject, textAt, textsAt } from './objects.ts';
import { pathOf } from './resource.ts';

/** Whose token it is, as the API server says. */
export interface ReviewedToken {
  readonly username: string;
  readonly uid: string;
  readonly groups: readonly string[];
  /** Those of the audiences asked for that the token is for. */
  readonly audiences: readonly string[];
  /** Where the user is a service account. */
  readonly serviceAccount: { readonly namespace: string; readonly name: string } | undefined;
  /** What the token is bound to, and its number; undefined where it is not. KEP-4193. */
  readonly podName: string | undefined;
  readonly podUid: string | undefined;
  readonly nodeName: string | undefined;
  readonly nodeUid: string | undefined;
  readonly credentialId: string | undefined;
}

/** Longest token that is passed on, in bytes; real ones have 1 to 2 KB. */
export const MAX_TOKEN_BYTES = 16 * 1024;

const EXTRA = 'authentication.kubernetes.io/';
const SERVICE_ACCOUNT = /^system:serviceaccount:([a-z0-9.-]{1,253}):([a-z0-9.-]{1,253})$/;

/**
 * Asks the API server whose token it is. Fails with KUBE_TOKEN where it is nobody's (never made, expired,
 * its pod or service account gone) or for none of the audiences, of which there must be one.
 */
export async function reviewToken(
  api: KubeApi,
  token: string,
  audiences: readonly string[],
  signal?: AbortSignal,
): Promise<Result<ReviewedToken>> {
  if (token === '' || Buffer.byteLength(token) > MAX_TOKEN_BYTES || /[^\x21-\x7e]/.test(token)) {
    return fail('KUBE_TOKEN', 'what was shown has not the form of a token');
  }
  // Without an audience of ours the API server would take tokens meant for itself.
  if (audiences.length === 0) return fail('KUBE_TOKEN', 'no audience is expected');
  const path = pathOf({ group: 'authentication.k8s.io', version: 'v1', plural: 'tokenreviews' });
  if (!path.ok) return path;
  const body = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token, audiences },
  };
  const review = await api.request({ verb: 'create', path: path.value, body, signal });
  return review.ok ? judge(review.value, audiences) : review;
}

function judge(review: KubeObject, expected: readonly string[]): Result<ReviewedToken> {
  if (booleanAt(review, 'status', 'authenticated') !== true) {
    // What the API server says about it may quote the token's contents: not passed on.
    return fail('KUBE_TOKEN', 'the API server does not accept the token');
  }
  // A server that knows nothing of audiences answers without them (TokenReview, status.audiences).
  const audiences = textsAt(review, 'status', 'audiences').filter((one) => expected.includes(one));
  if (audiences.length === 0) return fail('KUBE_TOKEN', 'the token is for another audience');
  const username = textAt(review, 'status', 'user', 'username') ?? '';
  const [, namespace, name] = SERVICE_ACCOUNT.exec(username) ?? [];
  const extra = (key: string): string | undefined => {
    const texts = textsAt(review, 'status', 'user', 'extra', EXTRA + key);
    return texts.length === 1 && texts[0] !== '' ? texts[0] : undefined;
  };
  return ok({
    username,
    uid: textAt(review, 'status', 'user', 'uid') ?? '',
    groups: textsAt(review, 'status', 'user', 'groups'),
    audiences,
    serviceAccount: namespace === undefined || name === undefined ? undefined : { namespace, name },
    podName: extra('pod-name'),
    podUid: extra('pod-uid'),
    nodeName: extra('node-name'),
    nodeUid: extra('node-uid'),
    credentialId: extra('credential-id'),
  });
}
