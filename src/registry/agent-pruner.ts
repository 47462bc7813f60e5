import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { type Random, randomFraction } from '../base/random.ts';
import type { Store } from '../store/store.ts';

/** Time between prunes as in SPIRE, an hour more or less a quarter of one: servers take turns. */
const INTERVAL_MS = { least: 2_700_000, spread: 1_800_000 };

/** Most agents of one prune (SPIRE's): a change each goes out to every server and agent. */
const MOST_AT_ONCE = 1000;

/** What a pruner needs. */
export interface AgentPrunerParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  /** How long ago an agent's SVID must have expired, in seconds; 0 keeps every agent. */
  readonly expiredForSeconds: number;
  /** Whether agents go too that cannot attest again by themselves. */
  readonly nonReattestable: boolean;
  readonly onPruned: (count: number) => void;
  readonly onFault: (error: SignetError) => void;
}

/** Forgets agents whose SVID expired long ago, now and then, until the answer is called. */
export function startAgentPruner(parts: AgentPrunerParts): Cancel {
  const { clock, random, expiredForSeconds } = parts;
  if (expiredForSeconds === 0) return () => {};
  let cancel: Cancel;
  const arm = (): void => {
    const delayMs = INTERVAL_MS.least + INTERVAL_MS.spread * randomFraction(random);
    cancel = clock.after(delayMs, () => {
      void prune(parts);
      arm();
    });
  };
  arm();
  return () => cancel();
}

/** The store decides by the rows as they stand: an agent that attests meanwhile stays. */
async function prune(parts: AgentPrunerParts): Promise<void> {
  const pruned = await parts.store.pruneAgents({
    expiredBySeconds: Math.floor(parts.clock.nowMs() / 1000) - parts.expiredForSeconds,
    nonReattestable: parts.nonReattestable,
    limit: MOST_AT_ONCE,
  });
  if (!pruned.ok) parts.onFault(pruned.error);
  else if (pruned.value > 0) parts.onPruned(pruned.value);
}
