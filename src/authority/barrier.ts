import type { Clock } from '../base/clock.ts';
import { ok, type Result } from '../base/result.ts';
import type { Logger } from '../runtime/log.ts';
import type { AuthorityMetrics } from './authority-metrics.ts';
import type { AuthorityKind, JournalEntry } from './journal.ts';
import { endMs } from './schedule.ts';

/** A bundle with a new authority in it: what agents must have before that authority signs. */
export interface Publication {
  /** What the authority signs. */
  readonly kind?: AuthorityKind;
  /** Sequence of the first bundle with the authority. */
  readonly sequence: bigint;
  /** Unix milliseconds. */
  readonly publishedAtMs: number;
}

/** How far bundles have come among the agents; `registry/bundle-acks.ts` knows. */
export interface Propagation {
  /** IDs of the agents that are waited for; none where the authority may sign. */
  missing(publication: Publication): Promise<Result<readonly string[]>>;
  /** Calls `listener` when agents got further. Returns what ends it. */
  onProgress(listener: () => void): () => void;
}

/** Longest time between two looks at who is missing: agents leave by their silence, too. */
const RECHECK_MS = 10_000;

/** What the hard deadline of a barrier is made of. */
export interface DeadlineFacts {
  /** When the new authority was to sign, in Unix milliseconds; undefined where it is asked for by hand. */
  readonly dueMs: number | undefined;
  readonly publishedAtMs: number;
  /** Longest wait that the configuration allows. */
  readonly waitMs: number;
  /** The authority that signs meanwhile. */
  readonly replaced: JournalEntry;
  readonly longestLeafMs: number;
}

/**
 * When the authority signs although agents are missing: after the configured wait, and early enough
 * that a leaf of full length still fits into the life of the old authority.
 */
export function barrierDeadlineMs(facts: DeadlineFacts): number {
  const { dueMs, publishedAtMs, waitMs, replaced, longestLeafMs } = facts;
  const waitedMs = dueMs === undefined ? Infinity : Math.max(dueMs, publishedAtMs) + waitMs;
  return Math.min(waitedMs, endMs(replaced) - longestLeafMs);
}

/** What the barrier says of an authority that is to sign. */
export type Verdict =
  | { readonly kind: 'open' }
  /** It signs, though these agents do not have its bundle. */
  | { readonly kind: 'overruled'; readonly missing: readonly string[] }
  /** These agents are waited for; look again at `untilMs` or at the next progress. */
  | { readonly kind: 'blocked'; readonly missing: readonly string[]; readonly untilMs: number };

/** What the barrier stands on. */
export interface BarrierOptions {
  /** Nobody is waited for without it. */
  readonly propagation?: Propagation | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: AuthorityMetrics;
  readonly waitMs: number;
  readonly longestLeafMs: (kind: AuthorityKind) => number;
}

/**
 * Keeps a new authority from signing before the agents have the bundle that contains it (I5): what it
 * signed would be refused by the workloads of agents left behind.
 */
export class Barrier {
  readonly #options: BarrierOptions;
  /** Authorities whose wait was told to the log. */
  readonly #told = new Set<string>();

  constructor(options: BarrierOptions) {
    this.#options = options;
  }

  /** Judges whether an authority may take the place of another now. */
  async judge(
    entry: JournalEntry,
    replaced: JournalEntry,
    dueMs: number | undefined,
  ): Promise<Result<Verdict>> {
    const { propagation, clock, waitMs, longestLeafMs } = this.#options;
    if (propagation === undefined) return ok({ kind: 'open' });
    const publishedAtMs = (entry.publishedAtSeconds ?? entry.issuedAtSeconds) * 1000;
    const sequence = BigInt(entry.publishedSequence ?? 0);
    const missing = await propagation.missing({ kind: entry.kind, sequence, publishedAtMs });
    if (!missing.ok) return missing;
    const facts = { dueMs, publishedAtMs, waitMs, replaced };
    const endsMs = barrierDeadlineMs({ ...facts, longestLeafMs: longestLeafMs(entry.kind) });
    const nowMs = clock.nowMs();
    const agents = missing.value;
    if (agents.length === 0) return ok({ kind: 'open' });
    if (nowMs >= endsMs) return ok({ kind: 'overruled', missing: agents });
    this.#tell(entry, agents, endsMs);
    return ok({ kind: 'blocked', missing: agents, untilMs: Math.min(endsMs, nowMs + RECHECK_MS) });
  }

  /** The authority signs: nobody is waited for any more. */
  passed(entry: JournalEntry): void {
    this.#told.delete(entry.authorityId);
    this.#options.metrics.waiting.set({ kind: entry.kind }, 0);
  }

  /** Raises the alarm over an authority that signs before all agents know it. */
  overruled(entry: JournalEntry, missing: readonly string[], reason: 'deadline' | 'force'): void {
    const { kind, authorityId } = entry;
    this.#options.metrics.overruled.inc({ kind, reason });
    this.#options.log.error(
      { kind, authorityId, reason, agents: missing.length, some: missing.slice(0, 10) },
      'authority signs although agents do not have its bundle: their workloads may refuse peers',
    );
  }

  #tell(entry: JournalEntry, missing: readonly string[], deadlineMs: number): void {
    const { kind, authorityId } = entry;
    this.#options.metrics.waiting.set({ kind }, missing.length);
    if (this.#told.has(authorityId)) return;
    this.#told.add(authorityId);
    this.#options.log.warn(
      {
        kind,
        authorityId,
        agents: missing.length,
        some: missing.slice(0, 10),
        deadline: new Date(deadlineMs).toISOString(),
      },
      'authority waits for agents to have its bundle',
    );
  }
}

/** Agents as a refusal names them: the first few, and how many there are. */
export function describeMissing(agentIds: readonly string[]): string {
  const shown = agentIds.slice(0, 5).join(', ');
  const more = agentIds.length > 5 ? ` and ${agentIds.length - 5} more` : '';
  const count = agentIds.length === 1 ? '1 agent does' : `${agentIds.length} agents do`;
  return `${count} not have the bundle with it yet: ${shown}${more}`;
}
