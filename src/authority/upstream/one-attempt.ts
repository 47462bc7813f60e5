import type { Clock } from '../../base/clock.ts';
import { fail, type Result } from '../../base/result.ts';

/** Longest wait for one answer of an upstream, in milliseconds. */
export const ATTEMPT_MS = 30_000;

/**
 * One attempt at a call to an upstream, ended after {@link ATTEMPT_MS}: the link to the upstream tries
 * again, so nothing here does. Errors: those of the attempt, and UPSTREAM_UNREACHABLE where it is late.
 */
export async function oneAttempt<T>(
  clock: Clock,
  doing: string,
  attempt: (signal: AbortSignal) => Promise<Result<T>>,
): Promise<Result<T>> {
  const controller = new AbortController();
  const { promise: late, resolve } = Promise.withResolvers<Result<T>>();
  const cancel = clock.after(ATTEMPT_MS, () => {
    controller.abort();
    resolve(fail('UPSTREAM_UNREACHABLE', `${doing}: no answer within ${ATTEMPT_MS / 1000} s`));
  });
  try {
    return await Promise.race([attempt(controller.signal), late]);
  } finally {
    cancel();
  }
}

/** Lets time pass between two looks at something that is under way. */
export function pause(clock: Clock, milliseconds: number): Promise<void> {
  return new Promise((resolve) => clock.after(milliseconds, resolve));
}
