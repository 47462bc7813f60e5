import { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { Encoded } from '../rpc/service.ts';

/** Longest answer in bytes: what gRPC clients accept unless told otherwise. */
export const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/** Refuses a batch of more than `limit` items. */
export function checkBatch(count: number, limit: number, field: string): Result<void> {
  if (count <= limit) return ok(undefined);
  return fail('BATCH_TOO_LARGE', `${count} ${field} in one call; at most ${limit} are allowed`);
}

/**
 * Runs the valid items of a batch through one operation and puts the outcomes back where the items
 * stood, so that the answer has the order and length of the request.
 */
export async function runBatch<I, O>(
  items: readonly Result<I>[],
  run: (valid: readonly I[]) => Promise<Result<readonly O[]>>,
): Promise<readonly Result<O>[]> {
  const valid = items.flatMap((item) => (item.ok ? [item.value] : []));
  const outcomes: Result<readonly O[]> = valid.length === 0 ? ok([]) : await run(valid);
  let next = 0;
  return items.map((item) => {
    if (!item.ok) return item;
    if (!outcomes.ok) return outcomes;
    const outcome = outcomes.value[next++];
    if (outcome === undefined) return MISCOUNT;
    return ok(outcome);
  });
}

/** Encodes a list's answer; refuses one that clients could not receive. */
export function fitAnswer<T>(
  type: { encode(message: T): { finish(): Uint8Array } },
  message: T,
): Result<Encoded> {
  const bytes = type.encode(message).finish();
  if (bytes.length <= MAX_ANSWER_BYTES) return ok(new Encoded(Buffer.from(bytes)));
  return fail(
    'ANSWER_TOO_LARGE',
    `the answer has ${bytes.length} bytes, more than ${MAX_ANSWER_BYTES}: set page_size`,
  );
}

const MISCOUNT: Result<never> = {
  ok: false,
  error: new SignetError('INTERNAL', 'a batch answered with fewer items than it was given'),
};
