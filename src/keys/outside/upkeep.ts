import type { Cancel, Clock } from '../../base/clock.ts';
import { type Random, randomFraction } from '../../base/random.ts';

/** Something done again and again. */
export interface Upkeep {
  readonly clock: Clock;
  readonly random: Random;
  readonly everyMs: number;
  readonly work: () => Promise<void>;
}

/**
 * Does work again and again, each time after the last is done; the pause varies by a tenth, so that
 * servers started together do not all come at once. Returns what ends it.
 */
export function startUpkeep({ clock, random, everyMs, work }: Upkeep): Cancel {
  let ended = false;
  let cancel: Cancel = () => {};
  const arm = (): void => {
    if (ended) return;
    const pauseMs = everyMs * (0.9 + randomFraction(random) / 5);
    cancel = clock.after(pauseMs, () => void work().finally(arm));
  };
  arm();
  return () => {
    ended = true;
    cancel();
  };
}
