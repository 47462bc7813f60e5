import type { Cancel } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { randomFraction } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { Bundle, BundleJwtAuthority } from '../spiffe/bundle.ts';
import type {
  ActivateOptions,
  AuthorityManager,
  AuthorityView,
  JwtAuthority,
  X509Authority,
} from './authority.ts';
import { type AuthorityMetrics, createAuthorityMetrics } from './authority-metrics.ts';
import type { AuthorityManagerOptions } from './authority-options.ts';
import { AuthorityRecord } from './authority-record.ts';
import { Barrier, describeMissing, type Verdict } from './barrier.ts';
import { nextPruneMs } from './bundle-change.ts';
import { AUTHORITY_KINDS, type AuthorityKind, type JournalEntry } from './journal.ts';
import { findFor } from './life.ts';
import { Rotation } from './rotation.ts';
import { activateAtMs, nextStep, otherSlot, type Step } from './schedule.ts';
import { Signers } from './signers.ts';
import { releaseKeys, releaseOrphans } from './spent-keys.ts';
import { isOutdated, refuseForeign } from './upstream/outdated.ts';
import { upstreamKeyIdOf } from './upstream/root-acts.ts';
import { TrustSteps } from './upstream/trust-steps.ts';

/**
 * Longest sleep. Timers are exact; this only bounds how late a wall clock that was set, or a machine
 * that was suspended, is noticed.
 */
const MAX_SLEEP_MS = 3_600_000;
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;
/** Losing the compare-and-swap means that another server made the step: look again, at once. */
const MAX_CONFLICTS = 5;
/** How long an activation by hand waits for agents before it is refused: within any client's patience. */
const ACTIVATE_PATIENCE_MS = 20_000;

/** Makes the manager; nothing happens before `start`. */
export function createAuthorityManager(options: AuthorityManagerOptions): AuthorityManager {
  return new Manager(options);
}

class Manager implements AuthorityManager {
  readonly #options: AuthorityManagerOptions;
  readonly #record: AuthorityRecord;
  readonly #rotation: Rotation;
  readonly #signers: Signers;
  readonly #barrier: Barrier;
  readonly #trust: TrustSteps;
  readonly #metrics: AuthorityMetrics;
  readonly #endProgress: () => void;
  #running: Promise<unknown> = Promise.resolve();
  #cancelTimer: Cancel = () => {};
  #failures = 0;
  #blocked = false;
  #closed = false;

  constructor(options: AuthorityManagerOptions) {
    this.#options = options;
    this.#metrics = createAuthorityMetrics(options.metrics);
    this.#record = new AuthorityRecord(options);
    this.#rotation = new Rotation(this.#record, options, this.#metrics);
    this.#signers = new Signers(options);
    this.#trust = new TrustSteps({ ...options, record: this.#record, upstream: options.upstream });
    const { propagationWaitSeconds = 3600, longestLeafSeconds = () => 0 } = options;
    this.#barrier = new Barrier({
      ...options,
      metrics: this.#metrics,
      waitMs: propagationWaitSeconds * 1000,
      longestLeafMs: (kind) => longestLeafSeconds(kind) * 1000,
    });
    const onProgress = (): void => {
      if (this.#blocked) void this.#run();
    };
    this.#endProgress = options.propagation?.onProgress(onProgress) ?? (() => {});
  }

  async start(): Promise<Result<void>> {
    const { upstream } = this.#options;
    upstream?.onTrust(() => void this.#run());
    const started = await this.#run();
    void upstream?.poll();
    // An upstream that is down keeps nobody from signing who still can.
    const serves = upstream !== undefined && this.currentX509().ok && this.currentJwt().ok;
    if (started.ok || serves)
      return this.#turn(() => releaseOrphans(this.#options, this.#record.entries));
    this.#cancelTimer();
    return started;
  }

  currentX509(): Result<X509Authority> {
    return this.#signers.currentX509();
  }

  currentJwt(): Result<JwtAuthority> {
    return this.#signers.currentJwt();
  }

  onChange(listener: () => void): () => void {
    return this.#signers.onChange(listener);
  }

  bundle(): Bundle | undefined {
    return this.#record.bundle;
  }

  list(kind: AuthorityKind): readonly AuthorityView[] {
    return this.#record.entries.filter((entry) => entry.kind === kind).map(viewOf);
  }

  async acceptJwtKey(key: BundleJwtAuthority): Promise<Result<Bundle>> {
    const accepted = await this.#turn(() => this.#retryConflicts(() => this.#trust.accept(key)));
    if (!accepted.ok) return accepted;
    const { bundle } = this.#record;
    return bundle === undefined ? fail('BUNDLE_NOT_READY', 'no bundle yet') : ok(bundle);
  }

  prepare(kind: AuthorityKind): Promise<Result<AuthorityView>> {
    return this.#act(async () => {
      const active = this.#activeOf(kind);
      if (active === undefined) return fail('AUTHORITY_NOT_READY', `no ${kind} authority yet`);
      const made = await this.#rotation.make(kind, otherSlot(active), 'prepared');
      return made.ok ? this.#rotation.publish(made.value) : made;
    });
  }

  async activate(
    kind: AuthorityKind,
    authorityId: string,
    { force }: ActivateOptions,
  ): Promise<Result<AuthorityView>> {
    const { clock } = this.#options;
    const giveUpMs = clock.monotonicMs() + ACTIVATE_PATIENCE_MS;
    for (;;) {
      let missing: readonly string[] = [];
      const activated = await this.#act(async () => {
        const entry = findFor('activate', kind, authorityId, this.#record.entries);
        if (!entry.ok) return entry;
        const passed = await this.#passBarrier(entry.value, undefined, force);
        if (!passed.ok) return passed;
        const { blocked } = passed.value;
        missing = blocked?.missing ?? [];
        if (passed.value.entry !== undefined) return ok(passed.value.entry);
        return fail('AUTHORITY_NOT_PROPAGATED', describeMissing(missing));
      });
      const leftMs = giveUpMs - clock.monotonicMs();
      if (activated.ok || missing.length === 0 || leftMs <= 0) return activated;
      await this.#progress(leftMs);
    }
  }

  taint(kind: AuthorityKind, authorityId: string): Promise<Result<AuthorityView>> {
    return this.#act(async () => {
      const entry = refuseForeign(findFor('taint', kind, authorityId, this.#record.entries));
      return entry.ok ? this.#rotation.taint(entry.value) : entry;
    });
  }

  revoke(kind: AuthorityKind, authorityId: string): Promise<Result<AuthorityView>> {
    return this.#act(async () => {
      const entry = refuseForeign(findFor('revoke', kind, authorityId, this.#record.entries));
      if (!entry.ok) return entry;
      const revoked = await this.#rotation.revoke(entry.value);
      if (!revoked.ok) return revoked;
      const released = await releaseKeys(this.#options, this.#record.entries);
      // The authority is revoked either way; the turn that follows tries again.
      if (!released.ok) this.#noteFailure(released.error);
      return revoked;
    });
  }

  async endUpstreamRoot(act: 'taint' | 'revoke', subjectKeyId: string): Promise<Result<string>> {
    const ended = await this.#turn(() =>
      this.#retryConflicts(() => this.#trust.endRoot(act, subjectKeyId)),
    );
    // Keys that are spent with it are given up, and what is due follows.
    if (ended.ok) void this.#run();
    return ended;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer();
    this.#endProgress();
    await this.#options.upstream?.close();
    await this.#running;
    this.#cancelTimer();
  }

  /** Turns follow one another: no two steps begin from the same journal. */
  #turn<T>(work: () => Promise<Result<T>>): Promise<Result<T>> {
    const turn = this.#running.then(() =>
      this.#closed ? fail('AUTHORITY_NOT_READY', 'the server is stopping') : work(),
    );
    this.#running = turn;
    return turn;
  }

  /** Takes every step that is due, then sleeps until the next. */
  #run(): Promise<Result<void>> {
    return this.#turn(async () => {
      this.#blocked = false;
      const done = await this.#takeDueSteps();
      const adopted = this.#adopt();
      const result = done.ok && !adopted.ok ? adopted : done;
      if (result.ok) {
        this.#failures = 0;
        this.#arm(Math.min(MAX_SLEEP_MS, result.value - this.#options.clock.nowMs()));
        return ok(undefined);
      }
      this.#noteFailure(result.error);
      this.#arm(this.#retryMs());
      return result;
    });
  }

  /** Does what an operator asked for; what follows from it, timers included, is another turn. */
  async #act(work: () => Promise<Result<JournalEntry>>): Promise<Result<AuthorityView>> {
    const done = await this.#turn(async () => {
      const worked = await this.#retryConflicts(async () => {
        const fresh = await this.#record.refresh();
        return fresh.ok ? work() : fresh;
      });
      const adopted = this.#adopt();
      return adopted.ok ? worked : adopted;
    });
    if (!done.ok) return done;
    void this.#run();
    return ok(viewOf(done.value));
  }

  /** Each kind for itself: what stops one does not stop the other. Answers when to look again. */
  async #takeDueSteps(): Promise<Result<number>> {
    let outcome: Result<number> = ok(Infinity);
    for (const kind of AUTHORITY_KINDS) {
      const done = await this.#retryConflicts(() => this.#advance(kind));
      if (outcome.ok) outcome = done.ok ? ok(Math.min(outcome.value, done.value)) : done;
    }
    if (!outcome.ok) return outcome;
    const followed = await this.#retryConflicts(() => this.#trust.follow());
    if (!followed.ok) return followed;
    // A root that is tainted now makes a replacement due.
    if (followed.value) return this.#takeDueSteps();
    const pruned = await this.#retryConflicts(() => this.#pruneWhenDue());
    if (!pruned.ok) return pruned;
    const released = await releaseKeys(this.#options, this.#record.entries);
    return released.ok ? ok(Math.min(outcome.value, pruned.value)) : released;
  }

  async #retryConflicts<T>(steps: () => Promise<Result<T>>): Promise<Result<T>> {
    for (let conflicts = 0; ; conflicts++) {
      const done = await steps();
      const lost = !done.ok && done.error.code === 'STORE_CONFLICT';
      if (!lost || conflicts === MAX_CONFLICTS) return done;
    }
  }

  async #advance(kind: AuthorityKind): Promise<Result<number>> {
    for (;;) {
      const fresh = await this.#record.refresh();
      if (!fresh.ok) return fresh;
      const outdated = isOutdated(this.#record, this.#options);
      const step = nextStep(kind, this.#record.entries, this.#options.clock.nowMs(), outdated);
      if (step.action === 'wait') return ok(step.untilMs);
      const done = await this.#take(kind, step);
      if (!done.ok) return done;
      if (done.value.blocked !== undefined) return ok(done.value.blocked.untilMs);
    }
  }

  async #take(
    kind: AuthorityKind,
    step: Exclude<Step, { action: 'wait' }>,
  ): Promise<Result<Taken>> {
    switch (step.action) {
      case 'make':
        return taken(await this.#rotation.make(kind, step.slot, step.state));
      case 'publish':
        return taken(await this.#rotation.publish(step.entry));
      case 'expire':
        return taken(await this.#rotation.expire(step.entry));
      case 'activate': {
        const { entry, replaced } = step;
        return this.#passBarrier(entry, replaced && activateAtMs(replaced), false);
      }
    }
  }

  /** Activates an authority where the propagation barrier lets it through. */
  async #passBarrier(
    entry: JournalEntry,
    dueMs: number | undefined,
    force: boolean,
  ): Promise<Result<Taken>> {
    const replaced = this.#activeOf(entry.kind);
    if (replaced === undefined) return taken(await this.#rotation.activate(entry));
    const judged = await this.#barrier.judge(entry, replaced, dueMs);
    if (!judged.ok && !force) return judged;
    const verdict = judged.ok ? judged.value : { kind: 'open' as const };
    if (verdict.kind === 'blocked' && !force) {
      this.#blocked = true;
      return ok({ entry: undefined, blocked: verdict });
    }
    const activated = await this.#rotation.activate(entry);
    if (!activated.ok) return activated;
    this.#barrier.passed(entry);
    if (verdict.kind !== 'open') {
      this.#barrier.overruled(entry, verdict.missing, force ? 'force' : 'deadline');
    }
    return taken(activated);
  }

  async #pruneWhenDue(): Promise<Result<number>> {
    const fresh = await this.#record.refresh();
    if (!fresh.ok) return fresh;
    const dueMs = nextPruneMs(this.#record.life.bundle) ?? Infinity;
    if (this.#options.clock.nowMs() < dueMs && !this.#record.gaveUp) return ok(dueMs);
    const pruned = await this.#rotation.prune();
    return pruned.ok ? ok(nextPruneMs(this.#record.life.bundle) ?? Infinity) : pruned;
  }

  #adopt(): Result<void> {
    for (const { kind, state, notAfterSeconds } of this.#record.entries) {
      if (state === 'active') this.#metrics.activeEnd.set({ kind }, notAfterSeconds);
    }
    return this.#signers.adopt(this.#record.entries);
  }

  #activeOf(kind: AuthorityKind): JournalEntry | undefined {
    return this.#record.entries.find((entry) => entry.kind === kind && entry.state === 'active');
  }

  /** Answers when agents got further, or after a while: silent ones are no longer waited for. */
  #progress(longestMs: number): Promise<void> {
    const { clock, propagation } = this.#options;
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        stop?.();
        resolve();
      };
      const cancel = clock.after(longestMs, done);
      const stop = propagation?.onProgress(done);
    });
  }

  #retryMs(): number {
    const delayMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
    return delayMs * (0.5 + randomFraction(this.#options.random) / 2);
  }

  #arm(delayMs: number): void {
    this.#cancelTimer();
    if (!this.#closed) this.#cancelTimer = this.#options.clock.after(delayMs, () => this.#run());
  }

  #noteFailure(error: SignetError): void {
    this.#failures += 1;
    this.#metrics.failures.inc({ code: error.code });
    this.#options.log.error({ code: error.code, err: error }, 'authority step failed');
  }
}

/** What came of a step: the authority as it is now, or why the barrier holds it back. */
type Taken =
  | { readonly entry: JournalEntry; readonly blocked?: undefined }
  | { readonly entry: undefined; readonly blocked: Verdict & { readonly kind: 'blocked' } };

function taken(step: Result<JournalEntry>): Result<Taken> {
  return step.ok ? ok({ entry: step.value }) : step;
}

function viewOf(entry: JournalEntry): AuthorityView {
  const { kind, authorityId, state, notAfterSeconds: expiresAtSeconds } = entry;
  return { kind, authorityId, state, expiresAtSeconds, upstreamKeyId: upstreamKeyIdOf(entry) };
}
