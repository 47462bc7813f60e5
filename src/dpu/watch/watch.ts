import { setImmediate as breathe } from 'node:timers/promises';
import { BackOff } from '../../base/back-off.ts';
import type { Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import { randomFraction } from '../../base/random.ts';
import type { Result } from '../../base/result.ts';
import type { Registry } from '../../registry/registry.ts';
import type { DpuAssessment, DpuRecord } from '../../rules/dpu.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import { lookVerdict } from '../findings.ts';
import type { DpuInventory } from '../inventory.ts';
import { isStanding } from '../states.ts';
import { confirmDual, owesSecondLook } from './confirm.ts';
import { type LookedAt, type LookParts, lookAtDpu } from './look.ts';
import { reappraise } from './reappraise.ts';
import { Schedule } from './schedule.ts';

/** How often what is to be looked at is held against the inventory, in milliseconds. */
const RECONCILE_MS = 50;

/** Pauses before a BMC is looked at again that gave no proof; the grace runs meanwhile. */
const RETRY = { firstMs: 15_000, maxMs: 120_000 };

/** DPUs that are judged by what is kept before others get their turn. */
const BATCH = 100;

/** How cards are looked at without anybody asking. */
export interface WatchSettings {
  /** Pause between two looks at one card; undefined where none are taken. */
  readonly intervalMs: number | undefined;
  /** By how much more or less, as a share of the interval. */
  readonly jitter: number;
  /** Zones whose cards are looked at; undefined for all. */
  readonly zones: readonly number[] | undefined;
  /** Time over which many are asked to attest again, or looked at for one reason. */
  readonly spreadMs: number;
  /** Whether what an agent showed alone is to be confirmed by a look (reference §7.3, L3). */
  readonly secondLook: boolean;
}

/** What the watch stands on. */
export interface WatchParts extends LookParts {
  readonly inventory: Pick<
    DpuInventory,
    'find' | 'change' | 'assess' | 'unreachable' | 'answered' | 'demand'
  >;
  readonly registry: Pick<Registry, 'dpus' | 'agent' | 'changeAgent' | 'trustDomain'>;
  readonly settings: WatchSettings;
  /** Told which cards are watched, whenever they may be others. */
  readonly onWatched?: ((dpus: readonly DpuRecord[]) => void) | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What other manifests or CRLs are there. */
export interface RulesChange {
  /** Components whose manifest changed; undefined for all. */
  readonly targets: ReadonlySet<string> | undefined;
  readonly crls: boolean;
}

/**
 * Attestation that goes on (reference §7.8): the server looks at cards by itself, judges what is kept of them
 * by new manifests, and has agents attest again where that does not tell. One look at a time for each card,
 * at the gate of all others. States: open → closed.
 */
export class DpuWatch {
  readonly #parts: WatchParts;
  readonly #looks: Schedule;
  readonly #demands: Schedule;
  readonly #demandReasons = new Map<string, string>();
  readonly #retries = new Map<string, BackOff>();
  readonly #metrics: ReturnType<typeof createWatchMetrics>;
  readonly #unfollow: () => void;
  #cancelReconcile: (() => void) | undefined;
  #closed = false;

  constructor(parts: WatchParts) {
    this.#parts = parts;
    const { clock, metrics, registry } = parts;
    this.#looks = new Schedule(clock, (serial) => this.#look(serial).then(() => {}));
    this.#demands = new Schedule(clock, (serial) => this.#demand(serial));
    this.#metrics = createWatchMetrics(metrics);
    this.#unfollow = registry.dpus.onChange(() => this.#reconcileSoon());
  }

  /** Begins: what is kept is judged by the manifests as they are now, as they may have changed meanwhile. */
  start(): void {
    this.#reconcileSoon();
    void this.reconsider({ targets: undefined, crls: false });
  }

  /** Ends: nothing follows any more from looks that are under way. */
  close(): void {
    this.#closed = true;
    this.#unfollow();
    this.#cancelReconcile?.();
    this.#looks.close();
    this.#demands.close();
  }

  /**
   * Looks at a card now, after a look that may be under way; what follows from it has followed when this
   * answers. Fails as looks do.
   */
  lookNow(serial: string): Promise<Result<LookedAt>> {
    this.#looks.drop(serial);
    return this.#looks.alone(serial, () => this.#look(serial));
  }

  /** Looks at a card in so many milliseconds, unless a look is due sooner. */
  lookIn(serial: string, delayMs: number): void {
    const found = this.#parts.inventory.find(serial);
    if (found.ok && isLookedAt(found.value)) this.#looks.plan(serial, delayMs);
  }

  /** Other manifests or CRLs are in force: cards that no longer match go out, and others are asked. */
  async reconsider({ targets, crls }: RulesChange): Promise<void> {
    const all = this.#all().filter(isStanding);
    for (const [at, { serial }] of all.entries()) {
      if (at % BATCH === BATCH - 1) await breathe();
      if (this.#closed) return;
      const found = this.#parts.inventory.find(serial);
      if (found.ok && isStanding(found.value))
        await this.#reconsiderOne(found.value, targets, crls);
    }
  }

  async #reconsiderOne(
    dpu: DpuRecord,
    changed: ReadonlySet<string> | undefined,
    crls: boolean,
  ): Promise<void> {
    const { targets, manifestFor, rules, log } = this.#parts;
    const { serial } = dpu;
    const concerned = changed === undefined || targets.some(({ id }) => changed.has(id));
    const { atMs } = rules();
    const judged = concerned
      ? reappraise(dpu, targets, { manifestFor, atMs })
      : ({ kind: 'stands' } as const);
    if (judged.kind === 'contradicted') {
      await this.#putOut(dpu, judged.error);
    } else if (judged.kind === 'open') {
      log.info({ dpu: serial, reason: judged.why }, 'DPU has to attest by other manifests');
      this.#demandWithin(serial, 'other manifests');
    } else if (crls && isLookedAt(dpu)) {
      this.lookIn(serial, this.#within(this.#parts.settings.spreadMs));
    } else if (crls) {
      this.#demandWithin(serial, 'other revocation lists');
    }
  }

  /** Has the agents of DPUs attest in full, spread over time. */
  ask(serials: readonly string[], reason: string): void {
    for (const serial of serials) {
      this.#demandReasons.set(serial, reason);
      this.#demands.plan(serial, this.#within(this.#parts.settings.spreadMs));
    }
  }

  #demandWithin(serial: string, reason: string): void {
    const found = this.#parts.inventory.find(serial);
    // One that stands is told at its next stream; another would only begin it anew.
    if (!found.ok || found.value.attestDemand !== undefined) return;
    this.ask([serial], reason);
  }

  async #demand(serial: string): Promise<void> {
    const { inventory, log } = this.#parts;
    const reason = this.#demandReasons.get(serial) ?? '';
    this.#demandReasons.delete(serial);
    const demanded = await inventory.demand(serial, reason);
    if (demanded.ok) this.#metrics.demands.inc();
    else logFailure(log, serial, demanded.error, 'DPU not asked to attest again');
  }

  async #look(serial: string): Promise<Result<LookedAt>> {
    const found = this.#parts.inventory.find(serial);
    if (!found.ok) return found;
    const second = this.#owes(found.value);
    const looked = await lookAtDpu(this.#parts, serial, { posture: second });
    if (this.#closed) return looked;
    const delayMs = looked.ok
      ? await this.#agreed(looked.value)
      : await this.#failed(serial, looked.error);
    if (delayMs !== undefined) this.#looks.plan(serial, delayMs);
    return looked;
  }

  /** Nothing speaks against the card. Answers when to look again. */
  async #agreed(looked: LookedAt): Promise<number | undefined> {
    const { inventory, log } = this.#parts;
    const { dpu, compared } = looked;
    const { serial } = dpu;
    this.#metrics.looks.inc({ outcome: compared });
    this.#retries.delete(serial);
    const answered = await inventory.answered(serial);
    if (!answered.ok) logFailure(log, serial, answered.error, 'DPU not noted to answer');
    if (compared === 'rebooted' && isStanding(dpu) && dpu.attestDemand === undefined) {
      log.info({ dpu: serial }, 'DPU has started anew: it has to attest');
      this.#demandReasons.set(serial, 'the DPU has started anew');
      await this.#demand(serial);
    } else if (compared === 'same' && this.#owes(dpu)) {
      const confirmed = await confirmDual(this.#parts, looked);
      if (confirmed.ok) log.info({ dpu: serial }, 'DPU confirmed by the server itself');
      else {
        logFailure(log, serial, confirmed.error, 'DPU not confirmed');
        return this.#retryMs(serial);
      }
    }
    // Where another attestation came while the BMC took its time.
    const now = inventory.find(serial);
    return now.ok && this.#owes(now.value) ? this.#retryMs(serial) : this.#intervalMs(dpu);
  }

  /** Answers when to look again; undefined for a card that is out. */
  async #failed(serial: string, error: SignetError): Promise<number | undefined> {
    const { inventory, log } = this.#parts;
    const verdict = lookVerdict(error);
    this.#metrics.looks.inc({ outcome: verdict });
    const found = inventory.find(serial);
    if (!found.ok) return undefined;
    if (verdict === 'against') {
      await this.#putOut(found.value, error);
      return undefined;
    }
    logFailure(log, serial, error, 'no look at the DPU');
    if (verdict === 'silence') {
      const noted = await inventory.unreachable(serial, error.message);
      if (!noted.ok) logFailure(log, serial, noted.error, 'silence of a BMC not noted');
    }
    // Silence is looked into whoever began: else a grace would run to its end with nobody there.
    const silent = verdict === 'silence' || found.value.unreachableSinceSeconds !== 0;
    const goesOn = silent || this.#isWatched(found.value) || this.#owes(found.value);
    return goesOn ? this.#retryMs(serial) : undefined;
  }

  async #putOut(dpu: DpuRecord, { code, message: detail }: SignetError): Promise<void> {
    const { inventory, clock, log } = this.#parts;
    const before: Partial<DpuAssessment> = dpu.assessment ?? {};
    const assessed = await inventory.assess(dpu.serial, {
      binding: 'out-of-band',
      evidence: [],
      components: [],
      posture: {},
      evidenceId: '',
      ...before,
      atSeconds: Math.floor(clock.nowMs() / 1000),
      verdict: 'contraindicated',
      code,
      detail,
    });
    if (!assessed.ok) logFailure(log, dpu.serial, assessed.error, 'verdict on a DPU not kept');
  }

  #owes(dpu: DpuRecord): boolean {
    return this.#parts.settings.secondLook && owesSecondLook(dpu);
  }

  /** Pause until the next look that nobody asks for; undefined where there is none. */
  #intervalMs(dpu: DpuRecord): number | undefined {
    const { settings, random } = this.#parts;
    const { intervalMs, jitter } = settings;
    if (intervalMs === undefined || !this.#isWatched(dpu)) return undefined;
    return intervalMs * (1 + jitter * (2 * randomFraction(random) - 1));
  }

  #isWatched(dpu: DpuRecord): boolean {
    const { intervalMs, zones } = this.#parts.settings;
    if (intervalMs === undefined || !isLookedAt(dpu)) return false;
    return zones === undefined || (dpu.zone !== undefined && zones.includes(dpu.zone));
  }

  #retryMs(serial: string): number {
    const known = this.#retries.get(serial) ?? new BackOff(RETRY, this.#parts.random);
    this.#retries.set(serial, known);
    return known.next();
  }

  #within(spreadMs: number): number {
    return spreadMs * randomFraction(this.#parts.random);
  }

  /** Once for all changes that come together. */
  #reconcileSoon(): void {
    if (this.#closed || this.#cancelReconcile !== undefined) return;
    this.#cancelReconcile = this.#parts.clock.after(RECONCILE_MS, () => {
      this.#cancelReconcile = undefined;
      this.#reconcile();
    });
  }

  #reconcile(): void {
    const { intervalMs } = this.#parts.settings;
    const all = this.#all();
    this.#parts.onWatched?.(all.filter((dpu) => this.#isWatched(dpu)));
    for (const dpu of all) {
      const { serial } = dpu;
      // Whoever found it silent: else its grace would run to the end with nobody there.
      const silent = dpu.unreachableSinceSeconds !== 0;
      const wanted = this.#isWatched(dpu) || ((this.#owes(dpu) || silent) && isLookedAt(dpu));
      if (!wanted) continue;
      if (this.#owes(dpu) && !this.#retries.has(serial) && !this.#looks.runs(serial)) {
        this.#looks.plan(serial, 0);
      }
      // Somewhere in the first interval: cards that are imported together are not looked at together.
      if (this.#looks.has(serial)) continue;
      this.#looks.plan(serial, silent ? this.#retryMs(serial) : this.#within(intervalMs ?? 0));
    }
    for (const serial of this.#looks.names) {
      const found = this.#parts.inventory.find(serial);
      if (found.ok && isLookedAt(found.value)) continue;
      this.#looks.drop(serial);
      this.#retries.delete(serial);
    }
  }

  #all(): readonly DpuRecord[] {
    const all = this.#parts.registry.dpus.list({}, { pageSize: 0, pageToken: '' });
    return all.ok ? all.value.items : [];
  }
}

/** Whether there is something to look at, and by. */
function isLookedAt({ state, deviceIds, bmc }: DpuRecord): boolean {
  const known = deviceIds.length > 0 && bmc?.tlsPin !== undefined;
  return known && (state === 'commissioned' || state === 'trusted' || state === 'degraded');
}

function logFailure(
  log: Logger,
  dpu: string,
  { code, message: reason }: SignetError,
  what: string,
): void {
  log.warn({ dpu, code, reason }, what);
}

function createWatchMetrics(metrics: Metrics) {
  return {
    looks: metrics.counter(
      'dpu_looks_total',
      "The server's own looks at DPUs, by what was found.",
      ['outcome'],
    ),
    demands: metrics.counter('dpu_demands_total', 'Full attestations that agents were asked for.'),
  };
}
