import type { Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import type { Logger } from '../runtime/log.ts';

/** How often one reason is logged, in milliseconds. */
const TELL_MS = 30_000;

/** Longest reason, in characters: texts of others are in it. */
const MAX_REASON = 1024;

/** Logs why requests wait: one of each code in a while, however many there are. */
export function createWaitLog(
  clock: Pick<Clock, 'monotonicMs'>,
  log: Pick<Logger, 'warn'>,
  text: string,
): (error: SignetError) => void {
  const told = new Map<string, number>();
  return ({ code, message, action, cause }) => {
    const nowMs = clock.monotonicMs();
    if (nowMs - (told.get(code) ?? Number.NEGATIVE_INFINITY) < TELL_MS) return;
    told.set(code, nowMs);
    log.warn({ code, reason: message.slice(0, MAX_REASON), action, err: cause }, text);
  };
}
