import { fail, ok, type Result } from '../base/result.ts';
import { SIGNATURE_BYTES } from './algorithms.ts';
import { ERROR_CODE } from './codes.ts';
import { MAX_MEASUREMENT_INDEX } from './measurement-block.ts';
import {
  ALL_MEASUREMENTS,
  COUNT_MEASUREMENTS,
  getMeasurementsRequest,
  type Measurements,
  readMeasurements,
  type SignatureRequest,
} from './measurements-message.ts';
import { messagesOf, type Negotiation } from './negotiate.ts';
import { requesterContext } from './requester-context.ts';
import { type Asked, ask, type Talk } from './talk.ts';

/** How measurements are asked for: all in one message, or one after the other. */
export type MeasurementMode = 'all' | 'each';

/** Errors of a responder whose whole answer does not fit into one message. */
const TOO_LONG_AT_ONCE: readonly unknown[] = [
  ERROR_CODE.responseTooLarge,
  ERROR_CODE.largeResponse,
];

/** What stays the same over all questions of one transcript. */
interface Questions {
  readonly talk: Talk;
  readonly negotiation: Negotiation;
  readonly signature: SignatureRequest;
}

type Answer = Result<Asked<Measurements>>;

function askFor(questions: Questions, operation: number, signed: boolean): Promise<Answer> {
  const { talk, negotiation } = questions;
  const { version, curve } = negotiation;
  const question = {
    operation,
    signature: signed ? questions.signature : undefined,
    context: requesterContext(version),
  };
  return ask(talk, 'MEASUREMENTS', getMeasurementsRequest(version, question), (reader) =>
    readMeasurements(reader, version, question, SIGNATURE_BYTES[curve]),
  );
}

/** One pass over indices: what answered, and whether one of them did not. */
interface Pass {
  readonly messages: readonly Uint8Array[];
  readonly indices: readonly number[];
  /** An index was refused: the responder has begun its transcript anew. */
  readonly hasGaps: boolean;
}

/**
 * Asks for the number and then by ascending index until that many have answered; the last is signed. A
 * refused index is passed over.
 */
async function pass(questions: Questions, candidates: readonly number[]): Promise<Result<Pass>> {
  const counted = await askFor(questions, COUNT_MEASUREMENTS, false);
  if (!counted.ok) return counted;
  const { total } = counted.value.value;
  const messages = [...messagesOf(counted.value)];
  const indices: number[] = [];
  let hasGaps = false;
  for (const index of candidates) {
    if (indices.length >= total) break;
    const answer = await askFor(questions, index, indices.length === total - 1);
    if (answer.ok) {
      messages.push(...messagesOf(answer.value));
      indices.push(index);
    } else if (answer.error.code === 'SPDM_RESPONDER_ERROR') hasGaps = true;
    else return answer;
  }
  if (total === 0 || indices.length !== total) {
    return fail('SPDM_TRANSCRIPT', `MEASUREMENTS: ${indices.length} of ${total} answered`);
  }
  return ok({ messages, indices, hasGaps });
}

/** One after the other; where indices have gaps, once more over those that there are. */
async function fetchEach(questions: Questions): Promise<Result<readonly Uint8Array[]>> {
  const every = Array.from({ length: MAX_MEASUREMENT_INDEX }, (_, at) => at + 1);
  const first = await pass(questions, every);
  if (!first.ok) return first;
  if (!first.value.hasGaps) return ok(first.value.messages);
  const second = await pass(questions, first.value.indices);
  if (!second.ok) return second;
  if (second.value.hasGaps) {
    return fail('SPDM_MEASUREMENTS_CHANGED', 'MEASUREMENTS: an index went away meanwhile');
  }
  return ok(second.value.messages);
}

/**
 * Signed measurements: all at once, or each by its index where that is told or the responder says that
 * all are too long. The signature is not checked. Errors: those of `ask` and `readMeasurements`,
 * SPDM_TRANSCRIPT, SPDM_MEASUREMENTS_CHANGED.
 */
export async function fetchMeasurements(
  questions: Questions,
  mode: MeasurementMode,
): Promise<Result<readonly Uint8Array[]>> {
  if (mode === 'each') return fetchEach(questions);
  const all = await askFor(questions, ALL_MEASUREMENTS, true);
  if (all.ok) return ok(messagesOf(all.value));
  const tooLong = TOO_LONG_AT_ONCE.includes(all.error.details.spdmError);
  return tooLong ? fetchEach(questions) : all;
}
