import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import type { KubeApi } from '../kube/kube-api.ts';
import type { LeaderElection } from '../kube/leader.ts';
import { pathOf } from '../kube/resource.ts';
import type { RuleStanding } from '../rules/kube/derivation.ts';
import { type RuleOrigin, ruleName } from '../rules/kube/pod-rule.ts';
import { RULE_RESOURCES } from './rule-kinds.ts';

/** The rules whose status is written. */
export interface StatusSource {
  standings(): Iterable<RuleStanding>;
  onSettled(listener: () => void): () => void;
}

/** What a writer of status stands on. */
export interface StatusWriterOptions {
  readonly api: KubeApi;
  readonly rules: StatusSource;
  readonly leader: Pick<LeaderElection, 'term' | 'onChange'>;
  readonly clock: Clock;
  /** Hears the first refusal of each pass over the rules. */
  readonly onFault: (error: SignetError) => void;
}

/** How long changes are gathered before they are written, in milliseconds. */
const GATHER_MS = 1_000;

/** Wait after a write that was refused, in milliseconds. */
const RETRY_MS = 30_000;

/** Rules that are looked at before others get their turn. */
const SLICE = 100;

/** Longest message of a condition. */
const MAX_MESSAGE = 1024;

/** What was written of one rule. */
interface Written {
  readonly text: string;
  readonly ready: Ready['status'];
  /** Unix milliseconds since which it is so. */
  readonly sinceMs: number;
}

/**
 * Writes into the status of rules what they do: one server does, by a lease. What it wrote is
 * remembered, so that at rest nothing is written.
 */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  /** What was written last, by the UID of the rule. */
  readonly #written = new Map<string, Written>();
  readonly #closers: (() => void)[] = [];
  readonly #stopped = new AbortController();
  #cancel: (() => void) | undefined;
  #writing: Promise<void> | undefined;
  /** Whether something has changed since the pass that is under way began. */
  #isDue = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#closers.push(options.rules.onSettled(() => this.#arm(GATHER_MS)));
    this.#closers.push(options.leader.onChange(() => this.#arm(GATHER_MS)));
    this.#arm(GATHER_MS);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#cancel?.();
    for (const close of this.#closers.splice(0)) close();
    await this.#writing;
  }

  #arm(delayMs: number): void {
    if (this.#cancel !== undefined || this.#stopped.signal.aborted) return;
    this.#cancel = this.#options.clock.after(delayMs, () => {
      this.#cancel = undefined;
      // One pass at a time: what comes while it writes is gathered for the next.
      if (this.#writing !== undefined) {
        this.#isDue = true;
        return;
      }
      this.#writing = this.#writeAll().finally(() => {
        this.#writing = undefined;
        if (this.#isDue) this.#arm(GATHER_MS);
        this.#isDue = false;
      });
    });
  }

  async #writeAll(): Promise<void> {
    const { rules, leader, onFault } = this.#options;
    const seen = new Set<string>();
    let refused: SignetError | undefined;
    for (const standing of rules.standings()) {
      if (seen.size % SLICE === SLICE - 1) await setImmediate();
      const { term } = leader;
      if (this.#stopped.signal.aborted || term === undefined) return;
      seen.add(standing.known.origin.uid);
      const failure = await this.#write(standing, term);
      refused ??= failure;
      // One object that is refused keeps no other waiting; what else goes wrong is about all of them.
      if (failure !== undefined && failure.code !== 'KUBE_REFUSED') break;
    }
    if (refused !== undefined) {
      onFault(refused);
      this.#arm(RETRY_MS);
      return;
    }
    for (const uid of this.#written.keys()) if (!seen.has(uid)) this.#written.delete(uid);
  }

  async #write(standing: RuleStanding, term: AbortSignal): Promise<SignetError | undefined> {
    const { origin, kind } = standing.known;
    if (kind === 'other-class') return undefined;
    const status = statusOf(standing);
    const text = JSON.stringify(status);
    const before = this.#written.get(origin.uid);
    if (before?.text === text) return undefined;
    const [{ status: ready }] = status.conditions;
    const sinceMs = before?.ready === ready ? before.sinceMs : this.#options.clock.nowMs();
    const path = pathOfStatus(origin);
    if (!path.ok) return path.error;
    const answer = await this.#options.api.request({
      verb: 'patch',
      path: path.value,
      patch: 'merge',
      body: { metadata: { uid: origin.uid }, status: withTime(status, sinceMs) },
      signal: AbortSignal.any([this.#stopped.signal, term]),
    });
    // Gone meanwhile, or another object bears its name.
    const isGone = !answer.ok && ['KUBE_NOT_FOUND', 'KUBE_CONFLICT'].includes(answer.error.code);
    if (!answer.ok && !isGone) {
      return this.#stopped.signal.aborted || term.aborted ? undefined : answer.error;
    }
    this.#written.set(origin.uid, { text, ready, sinceMs });
    return undefined;
  }
}

function pathOfStatus({ kind, namespace, name }: RuleOrigin) {
  const within = namespace === '' ? {} : { namespace };
  return pathOf({ ...RULE_RESOURCES[kind], ...within }, name, 'status');
}

interface Ready {
  readonly type: 'Ready';
  readonly status: 'True' | 'False';
  readonly reason: 'InForce' | 'Invalid' | 'RenderFailures';
  readonly message: string;
}

interface Status {
  readonly [field: string]: unknown;
  readonly conditions: readonly [Ready];
}

/** What spire-controller-manager says of a rule, and a condition that says what went wrong. */
function statusOf(standing: RuleStanding): Status {
  const { known, stats } = standing;
  const conditions = [readyOf(standing)] as const;
  if (known.kind !== 'static') return { stats: { ...stats, entryFailures: 0 }, conditions };
  const rendered = known.parsed.ok;
  const set = stats.entriesToSet > 0;
  return { rendered, masked: stats.entriesMasked > 0, set, conditions };
}

function readyOf({ known, failure }: RuleStanding): Ready {
  if (known.kind !== 'other-class' && !known.parsed.ok) {
    const message = `${ruleName(known.origin)}: ${known.parsed.error.message}`;
    return notReady('Invalid', message);
  }
  if (failure !== undefined) return notReady('RenderFailures', failure);
  return { type: 'Ready', status: 'True', reason: 'InForce', message: '' };
}

function notReady(reason: Ready['reason'], message: string): Ready {
  return { type: 'Ready', status: 'False', reason, message: message.slice(0, MAX_MESSAGE) };
}

function withTime({ conditions: [ready], ...rest }: Status, sinceMs: number): object {
  const lastTransitionTime = `${new Date(sinceMs).toISOString().slice(0, 19)}Z`;
  return { ...rest, conditions: [{ ...ready, lastTransitionTime }] };
}
