import type { Clock } from '../base/clock.ts';
import { fail, type Result } from '../base/result.ts';

/** Longest that a stream may stay open without a message that it has to begin or go on with. */
export const MESSAGE_WAIT_MS = 10_000;

/**
 * The next message of a stream, or undefined when the caller has ended it. A caller that sends
 * nothing for so long is refused, so that it cannot hold a call open for nothing.
 */
export async function nextMessage<T>(
  reader: AsyncIterator<T>,
  clock: Clock,
  waitMs: number = MESSAGE_WAIT_MS,
): Promise<Result<T | undefined>> {
  const { promise: late, resolve } = Promise.withResolvers<'late'>();
  const cancel = clock.after(waitMs, () => resolve('late'));
  const next = await Promise.race([reader.next(), late]);
  cancel();
  if (next === 'late') {
    return fail('STREAM_IDLE', `no message within ${waitMs / 1000} s`);
  }
  return { ok: true, value: next.done ? undefined : next.value };
}
