import { z } from 'zod';
import type { Result } from '../../base/result.ts';
import { encodeBase64 } from '../../spiffe/base64.ts';
import { base64Field } from '../strict-message.ts';
import { MAX_TPM_MESSAGE_BYTES } from '../tpm/payload.ts';
import { decodeMessage, encodeMessage, sessionField, versionField } from './wire.ts';

const MAX_CHALLENGE_BYTES = 5000;
const ANSWER_MESSAGE_BYTES = 48 * 1024;

/** Schema of {@link TpmQuestion} on the wire. */
export const tpmQuestionSchema = z.strictObject({
  v: versionField,
  step: z.literal('tpm'),
  session: sessionField,
  challenge: base64Field(MAX_CHALLENGE_BYTES).optional(),
});

const answerSchema = z.strictObject({
  v: versionField,
  session: sessionField,
  answer: base64Field(MAX_TPM_MESSAGE_BYTES),
});

/** A question for the TPM: without a challenge for its keys, then with the one for its quote. */
export type TpmQuestion = Omit<z.output<typeof tpmQuestionSchema>, 'v' | 'step'>;

/** What the TPM answered: an encoded `TpmPayload`, then a `TpmResponse`. */
export type TpmAnswer = Omit<z.output<typeof answerSchema>, 'v'>;

/** A question for the TPM. */
export function encodeTpmQuestion({ session, challenge }: TpmQuestion): Buffer {
  const asked = challenge && { challenge: encodeBase64(challenge) };
  return encodeMessage({ v: 1, step: 'tpm', session, ...asked });
}

/** The answer of the TPM. */
export function encodeTpmAnswer({ session, answer }: TpmAnswer): Buffer {
  return encodeMessage({ v: 1, session, answer: encodeBase64(answer) });
}

/** Reads an answer; fails with DPU_MESSAGE. */
export function decodeTpmAnswer(bytes: Uint8Array): Result<TpmAnswer> {
  return decodeMessage("the TPM's answer", answerSchema, bytes, ANSWER_MESSAGE_BYTES);
}
