import type { Clock } from '../base/clock.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { type ByteReader, readSpdm } from './byte-reader.ts';
import { REQUEST, RESPONSE } from './codes.ts';
import { type ErrorAnswer, readErrorMessage } from './error-message.ts';
import { header } from './header.ts';
import type { SpdmPolicy } from './policy.ts';

/** Sends one message and answers with the one that came back: a socket, or a relay on the device. */
export type Exchange = (request: Uint8Array) => Promise<Result<Uint8Array>>;

/** How long a responder that is busy or not ready is waited for. */
export interface WaitRules {
  /** Most answers of that kind to one request. */
  readonly maxAttempts: number;
  /** Wait before a busy responder is asked again. */
  readonly busyDelayMs: number;
  /** Most that is waited in one exchange altogether. */
  readonly maxWaitMs: number;
}

/** Twenty times a quarter of a second for each request, half a minute in all. */
export const DEFAULT_WAIT_RULES: WaitRules = {
  maxAttempts: 20,
  busyDelayMs: 250,
  maxWaitMs: 30_000,
};

/** One conversation with a responder. */
export interface Talk {
  readonly exchange: Exchange;
  readonly policy: SpdmPolicy;
  readonly clock: Clock;
  readonly wait: WaitRules;
  /** What was waited so far. */
  waitedMs: number;
  /** Longest message that the responder takes. */
  maxRequestBytes: number;
}

/** A question, its answer, and what was read of it. */
export interface Asked<T> {
  readonly request: Uint8Array;
  readonly response: Uint8Array;
  readonly value: T;
}

/**
 * Asks one question and reads its answer to the last byte. A responder that is busy is asked again, one
 * that is not ready is asked for the answer by its token; neither is part of any transcript. Errors:
 * what `read` refuses, those of the exchange, SPDM_BUSY, SPDM_RESYNCH, SPDM_RESPONDER_ERROR,
 * SPDM_CAPABILITY for a request that is longer than the responder takes.
 */
export async function ask<T>(
  talk: Talk,
  what: string,
  request: Uint8Array,
  read: (reader: ByteReader) => T,
): Promise<Result<Asked<T>>> {
  const answered = await answerTo(talk, request);
  if (!answered.ok) return answered;
  const response = answered.value;
  const value = readSpdm(what, response, talk.policy.maxEvidenceBytes, read);
  return value.ok ? ok({ request, response, value: value.value }) : value;
}

async function answerTo(talk: Talk, request: Uint8Array): Promise<Result<Uint8Array>> {
  if (request.length > talk.maxRequestBytes) {
    return fail('SPDM_CAPABILITY', `responder: takes ${talk.maxRequestBytes} bytes at once`);
  }
  const [version = 0, code = 0] = request;
  let next = request;
  for (let attemptsLeft = talk.wait.maxAttempts; attemptsLeft > 0; attemptsLeft--) {
    const answered = await talk.exchange(next);
    if (!answered.ok) return answered;
    // Copied, so that what is read is what is sent on as evidence.
    const response = new Uint8Array(answered.value);
    if (response[1] !== RESPONSE.error) return ok(response);
    const error = readErrorMessage(response, version, code);
    if (!error.ok) return error;
    if (error.value.kind === 'refused') return error.value.failure;
    if (attemptsLeft === 1) break;
    const waited = await waitFor(talk, error.value);
    if (!waited.ok) return waited;
    if (error.value.kind === 'not-ready') {
      next = header(version, REQUEST.respondIfReady, code, error.value.token);
    }
  }
  return fail('SPDM_BUSY', `responder: not ready after ${talk.wait.maxAttempts} attempts`);
}

type WaitAnswer = Exclude<ErrorAnswer, { kind: 'refused' }>;

async function waitFor(talk: Talk, answer: WaitAnswer): Promise<Result<void>> {
  const delayMs =
    answer.kind === 'busy' ? talk.wait.busyDelayMs : Math.ceil(answer.waitMicroseconds / 1000);
  if (talk.waitedMs + delayMs > talk.wait.maxWaitMs) {
    return fail('SPDM_BUSY', `responder: wants ${delayMs} ms after ${talk.waitedMs} ms of waiting`);
  }
  talk.waitedMs += delayMs;
  await new Promise<void>((resolve) => talk.clock.after(delayMs, resolve));
  return ok(undefined);
}
