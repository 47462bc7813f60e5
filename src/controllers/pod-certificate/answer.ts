import type { ErrorCode, SignetError } from '../../base/errors.ts';
import { encodePem } from '../../der/pem.ts';
import type { IssuedX509 } from '../../issuance/issuer.ts';

/** How a request is answered, which is for good. */
export type PodCertificateOutcome = 'Issued' | 'Denied' | 'Failed';

/** The status of a request that is answered. */
export interface PodCertificateAnswer {
  readonly outcome: PodCertificateOutcome;
  readonly reason: string;
  readonly message: string;
  readonly status: object;
}

/** Longest message of a condition. */
const MAX_MESSAGE = 1024;

/** The API server wants refreshing to begin so far from both ends (validation of the status). */
const REFRESH_FENCE_SECONDS = 600;

/** A certificate: the chain, and its dates as the leaf has them. */
export function issuedAnswer(issued: IssuedX509, nowMs: number): PodCertificateAnswer {
  const { chain, notBeforeSeconds: notBefore, expiresAtSeconds: notAfter } = issued;
  const reason = 'Issued';
  const message = `${issued.spiffeId.uri}, serial ${issued.serialDecimal}`;
  return {
    outcome: 'Issued',
    reason,
    message,
    status: {
      conditions: [conditionOf('Issued', reason, message, nowMs)],
      certificateChain: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
      notBefore: timeOf(notBefore),
      beginRefreshAt: timeOf(refreshAt(notBefore, notAfter)),
      notAfter: timeOf(notAfter),
    },
  };
}

/** Half of the life, inside the fences of the API server. */
export function refreshAt(notBeforeSeconds: number, notAfterSeconds: number): number {
  const half = Math.floor((notBeforeSeconds + notAfterSeconds) / 2);
  const latest = notAfterSeconds - REFRESH_FENCE_SECONDS;
  return Math.min(Math.max(half, notBeforeSeconds + REFRESH_FENCE_SECONDS), latest);
}

/** A refusal: its reason, and for who reads it what to do. No other field may stand beside it. */
export function refusedAnswer(
  outcome: 'Denied' | 'Failed',
  error: SignetError,
  nowMs: number,
): PodCertificateAnswer {
  const reason = reasonOf(error.code);
  const message = `${error.message} (${error.code}). ${error.action}`.slice(0, MAX_MESSAGE);
  const status = { conditions: [conditionOf(outcome, reason, message, nowMs)] };
  return { outcome, reason, message, status };
}

/** Reasons that Kubernetes knows by name, and ours. */
function reasonOf(code: ErrorCode): string {
  if (isKeyRefusal(code)) return 'UnsupportedKeyType';
  if (code === 'POD_CERTIFICATE_ANNOTATION') return 'InvalidUnverifiedUserAnnotations';
  return code
    .split('_')
    .map((word) => word.slice(0, 1) + word.slice(1).toLowerCase())
    .join('');
}

/** Whether a code says that the key is none that anything is issued for. */
export function isKeyRefusal(code: ErrorCode): boolean {
  return code.startsWith('KEY_') || code.startsWith('PUBLIC_KEY_');
}

function conditionOf(type: string, reason: string, message: string, nowMs: number): object {
  const lastTransitionTime = timeOf(Math.floor(nowMs / 1000));
  return { type, status: 'True', reason, message, lastTransitionTime };
}

/** RFC 3339, to the second. */
export function timeOf(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}
