import { Metadata } from '@grpc/grpc-js';
import { ERRORS, type ErrorCode, type SignetError } from '../../src/base/errors.ts';

/** Longest wait that a server may ask for, in milliseconds. */
const MAX_RETRY_AFTER_MS = 60_000;

/** Refusals of a session after which the connector enrols again. */
const ENROL_AGAIN: ReadonlySet<string> = new Set([
  'CONNECTOR_STOPPED',
  'CONNECTOR_UNKNOWN',
  'CONNECTOR_EXPIRED',
  'CONNECTOR_NOT_ACTIVE',
]);

/** The words of calls are the agent's, whose settings are others. */
const OWN_CODES: ReadonlyMap<string, ErrorCode> = new Map([
  ['AGENT_SERVER_UNAVAILABLE', 'COMPANION_SERVER_UNAVAILABLE'],
  ['AGENT_SERVER_REFUSED', 'COMPANION_SERVER_REFUSED'],
]);

/** What a call that failed means to a connector. */
export interface Refusal {
  /** The server's own, where it sent one. */
  readonly code: ErrorCode;
  readonly message: string;
  /** What operators do about that code. */
  readonly action: string;
  /** What a server that is busy asks to wait, in milliseconds; no more than is believed. */
  readonly retryAfterMs: number;
  /** Whether another enrolment may help. */
  readonly enrolAgain: boolean;
}

/** Reads what a failed call means. */
export function refusalOf(error: SignetError): Refusal {
  const { serverCode } = error.details;
  const code = isCode(serverCode) ? serverCode : (OWN_CODES.get(error.code) ?? error.code);
  return {
    code,
    message: error.message,
    action: ERRORS[code].action,
    retryAfterMs: retryAfterMs(error),
    enrolAgain: ENROL_AGAIN.has(code),
  };
}

function isCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERRORS, value);
}

function retryAfterMs({ cause }: SignetError): number {
  const metadata = cause instanceof Error && 'metadata' in cause ? cause.metadata : undefined;
  const [text] = metadata instanceof Metadata ? metadata.get('signet-retry-after-ms') : [];
  const ms = Number(text ?? 0);
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS) : 0;
}
