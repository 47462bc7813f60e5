import { createHash } from 'node:crypto';
import { z } from 'zod';
import { utf8 } from '../../base/bytes.ts';
import type { Result } from '../../base/result.ts';
import { encodeBase64 } from '../../spiffe/base64.ts';
import { base64Field, withLength } from '../strict-message.ts';
import { decodeMessage, encodeMessage, sessionField, targetField, versionField } from './wire.ts';

/** What one attestation may have relayed, all components together. */
export const RELAY_LIMITS = {
  /** Enough to ask every index of two components one by one. */
  exchanges: 640,
  /** Questions and answers together. */
  bytes: 512 * 1024,
  timeMs: 120_000,
  requestBytes: 4096,
  answerBytes: 64 * 1024,
} as const;

const ANSWER_MESSAGE_BYTES = 96 * 1024;
const LABEL = utf8('signet dpu relay/v1\0');

const atField = z
  .int()
  .min(0)
  .max(RELAY_LIMITS.exchanges - 1);

/** Schema of {@link RelayRequest} on the wire. */
export const relaySchema = z.strictObject({
  v: versionField,
  step: z.literal('relay'),
  session: sessionField,
  serverNonce: base64Field(32, 32),
  target: targetField,
  at: atField,
  request: base64Field(RELAY_LIMITS.requestBytes),
});

const answerSchema = z.strictObject({
  v: versionField,
  session: sessionField,
  at: atField,
  answer: base64Field(RELAY_LIMITS.answerBytes),
});

/**
 * One SPDM message for a component, from the server's requester. Session and nonce are in each, so that
 * the agent can tell what the measurements have to be made for.
 */
export type RelayRequest = Omit<z.output<typeof relaySchema>, 'v' | 'step'>;

/** What the component answered. */
export type RelayAnswer = Omit<z.output<typeof answerSchema>, 'v'>;

/** A message to relay. */
export function encodeRelayRequest({ serverNonce, request, ...rest }: RelayRequest): Buffer {
  return encodeMessage({
    v: 1,
    step: 'relay',
    ...rest,
    serverNonce: encodeBase64(serverNonce),
    request: encodeBase64(request),
  });
}

/** The answer to a message that was relayed. */
export function encodeRelayAnswer({ answer, ...rest }: RelayAnswer): Buffer {
  return encodeMessage({ v: 1, ...rest, answer: encodeBase64(answer) });
}

/** Reads an answer; fails with DPU_MESSAGE. */
export function decodeRelayAnswer(bytes: Uint8Array): Result<RelayAnswer> {
  return decodeMessage('relayed answer', answerSchema, bytes, ANSWER_MESSAGE_BYTES);
}

/** What was relayed, counted and hashed alike on both sides. */
export class RelayLog {
  readonly #hash = createHash('sha256').update(LABEL);
  #exchanges = 0;
  #bytes = 0;

  /** Exchanges so far. */
  get exchanges(): number {
    return this.#exchanges;
  }

  /** Bytes so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes in a question and its answer. */
  add(target: string, request: Uint8Array, answer: Uint8Array): void {
    this.#exchanges += 1;
    this.#bytes += request.length + answer.length;
    for (const part of [utf8(target), request, answer].flatMap(withLength)) this.#hash.update(part);
  }

  /** SHA-256 of all of it. */
  digest(): Uint8Array {
    return this.#hash.copy().digest();
  }
}
