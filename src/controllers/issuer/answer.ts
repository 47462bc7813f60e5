import type { SignetError } from '../../base/errors.ts';
import { encodePem } from '../../der/pem.ts';
import type { IssuedX509 } from '../../issuance/issuer.ts';
import { timeOf } from '../pod-certificate/answer.ts';
import { type Condition, clip, readyCondition } from './condition.ts';
import type { RequestKind } from './kinds.ts';
import type { SigningRequest } from './request.ts';

/** How a request is answered; all but Pending are for good. */
export type Outcome = 'Issued' | 'Pending' | 'Failed' | 'Denied';

/** An answer to a request. */
export interface Answer {
  readonly outcome: Outcome;
  readonly message: string;
  /** Of the object, for server-side apply. */
  readonly status: object;
}

/** A certificate, with the bundle that it is verified by. */
export function issuedAnswer(
  request: SigningRequest,
  issued: IssuedX509,
  bundlePem: string,
  nowMs: number,
): Answer {
  const message = `${issued.spiffeId.uri}, serial ${issued.serialDecimal}`;
  const chain = issued.chain.map((der) => encodePem('CERTIFICATE', der)).join('');
  const certificate = Buffer.from(chain).toString('base64');
  const outcome = 'Issued';
  if (request.kind === 'CertificateSigningRequest') {
    return { outcome, message, status: { certificate } };
  }
  const ready: Condition = { status: 'True', reason: 'Issued', message };
  return {
    ...{ outcome, message },
    status: {
      conditions: [readyCondition(ready, request.shown, nowMs)],
      certificate,
      ca: Buffer.from(bundlePem).toString('base64'),
    },
  };
}

/** What a request says while it waits. */
export function pendingCondition({ message, code, action }: SignetError): Condition {
  return { status: 'False', reason: 'Pending', message: `${message} (${code}). ${action}` };
}

/** A request that waits; CertificateSigningRequests have no word for that. */
export function pendingAnswer(request: SigningRequest, error: SignetError, nowMs: number): Answer {
  const pending = pendingCondition(error);
  const conditions = [readyCondition(pending, request.shown, nowMs)];
  return { outcome: 'Pending', message: pending.message, status: { conditions } };
}

/** A refusal, for good. */
export function failedAnswer(request: SigningRequest, error: SignetError, nowMs: number): Answer {
  const message = `${error.message} (${error.code}). ${error.action}`;
  return endedAnswer(request, 'Failed', message, nowMs);
}

/** The answer to a request that its approver has denied (cert-manager wants the issuer to say so). */
export function deniedAnswer(request: SigningRequest, nowMs: number): Answer {
  return endedAnswer(request, 'Denied', 'the request was denied by an approver', nowMs);
}

function endedAnswer(
  { kind, shown }: SigningRequest,
  outcome: 'Failed' | 'Denied',
  message: string,
  nowMs: number,
): Answer {
  const now = timeOf(Math.floor(nowMs / 1000));
  if (kind === 'CertificateSigningRequest') {
    const times = { lastUpdateTime: now, lastTransitionTime: now };
    const failed = { type: 'Failed', status: 'True', reason: 'SignetRefused' };
    const conditions = [{ ...failed, message: clip(message), ...times }];
    return { outcome, message, status: { conditions } };
  }
  const ready: Condition = { status: 'False', reason: outcome, message };
  const conditions = [readyCondition(ready, shown, nowMs)];
  return { outcome, message, status: { conditions, failureTime: now } };
}

/** How an event names a kind of request. */
export function objectOf(kind: RequestKind): {
  readonly apiVersion: string;
  readonly kind: string;
} {
  const group = kind === 'CertificateRequest' ? 'cert-manager.io' : 'certificates.k8s.io';
  return { apiVersion: `${group}/v1`, kind };
}
