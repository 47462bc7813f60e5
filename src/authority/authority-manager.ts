import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { type Random, randomFraction } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { KeyManager, KeyType } from '../keys/key-manager.ts';
import { onlyLinted } from '../lint/linted-key.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { Store } from '../store/store.ts';
import type { CaSubject } from '../x509/ca-template.ts';
import type { AuthorityManager, JwtAuthority, X509Authority } from './authority.ts';
import { AuthorityRecord } from './authority-record.ts';
import { nextPruneMs, pruneBundle, refreshHintSeconds } from './bundle-change.ts';
import { AUTHORITY_KINDS, type AuthorityKind, type JournalEntry } from './journal.ts';
import { entryCertificate, KIND_RULES } from './kinds.ts';
import { nextStep, pruneAtMs, type Step } from './schedule.ts';
import { DEFAULT_CA_SUBJECT, type RecordCa } from './x509-certificate.ts';

/** What the authorities' life stands on. */
export interface AuthorityManagerOptions {
  readonly trustDomain: TrustDomain;
  readonly keys: KeyManager;
  readonly store: Pick<Store, 'loadJournal' | 'commitAuthorities'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Life of X.509 and JWT authorities alike; 86400 unless given. */
  readonly ttlSeconds?: number;
  /** How far a CA certificate's notBefore lies in the past; 60 unless given. */
  readonly backdateSeconds?: number;
  /** `ec-p256` unless given. */
  readonly x509KeyType?: KeyType;
  /** `ec-p256` unless given. */
  readonly jwtKeyType?: KeyType;
  /** SPIRE's (`C=US, O=SPIFFE`) unless given. */
  readonly subject?: CaSubject;
  /** Told of each CA certificate before it is signed; nobody unless given. */
  readonly recordCa?: RecordCa;
}

/**
 * Longest sleep. Timers are exact; this only bounds how late a wall clock that was set, or a machine
 * that was suspended, is noticed.
 */
const MAX_SLEEP_MS = 3_600_000;
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;
/** Losing the compare-and-swap means that another server made the step: look again, at once. */
const MAX_CONFLICTS = 5;

/** Makes the manager; nothing happens before `start`. */
export function createAuthorityManager(options: AuthorityManagerOptions): AuthorityManager {
  return new Manager(options);
}

class Manager implements AuthorityManager {
  readonly #options: AuthorityManagerOptions;
  readonly #record: AuthorityRecord;
  readonly #metrics: ReturnType<typeof createAuthorityMetrics>;
  readonly #listeners = new Set<() => void>();
  #x509: X509Authority | undefined;
  #jwt: JwtAuthority | undefined;
  #running: Promise<Result<void>> = Promise.resolve(ok(undefined));
  #cancelTimer: Cancel = () => {};
  #failures = 0;
  #closed = false;

  constructor(options: AuthorityManagerOptions) {
    this.#options = options;
    this.#record = new AuthorityRecord(options);
    this.#metrics = createAuthorityMetrics(options.metrics);
  }

  async start(): Promise<Result<void>> {
    const started = await this.#run();
    if (!started.ok) this.#cancelTimer();
    return started;
  }

  currentX509(): Result<X509Authority> {
    return this.#alive(this.#x509, (this.#x509?.notAfterMs ?? 0) / 1000, 'X.509');
  }

  currentJwt(): Result<JwtAuthority> {
    return this.#alive(this.#jwt, this.#jwt?.expiresAtSeconds ?? 0, 'JWT');
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  bundle(): Bundle | undefined {
    return this.#record.bundle;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer();
    await this.#running;
    this.#cancelTimer();
  }

  #alive<T>(authority: T | undefined, endSeconds: number, name: string): Result<T> {
    if (authority === undefined) return fail('AUTHORITY_NOT_READY', `no ${name} authority yet`);
    if (this.#options.clock.nowMs() < endSeconds * 1000) return ok(authority);
    return fail('AUTHORITY_EXPIRED', `the ${name} authority has expired`);
  }

  /** Takes every step that is due, then sleeps until the next. Runs follow one another. */
  #run(): Promise<Result<void>> {
    this.#running = this.#running.then(async () => {
      if (this.#closed) return ok(undefined);
      const done = await this.#takeDueSteps();
      const adopted = this.#adopt();
      const result = done.ok ? adopted : done;
      if (result.ok) this.#failures = 0;
      else this.#noteFailure(result.error);
      this.#arm(result.ok ? this.#sleepMs() : this.#retryMs());
      return result;
    });
    return this.#running;
  }

  /** Each kind for itself: what stops one does not stop the other. Answers the first failure. */
  async #takeDueSteps(): Promise<Result<void>> {
    let outcome: Result<void> = ok(undefined);
    for (const kind of AUTHORITY_KINDS) {
      const done = await this.#retryConflicts(() => this.#advance(kind));
      if (outcome.ok) outcome = done;
    }
    if (!outcome.ok) return outcome;
    return this.#retryConflicts(() => this.#pruneWhenDue());
  }

  async #retryConflicts(steps: () => Promise<Result<void>>): Promise<Result<void>> {
    for (let conflicts = 0; ; conflicts++) {
      const done = await steps();
      const lost = !done.ok && done.error.code === 'STORE_CONFLICT';
      if (!lost || conflicts === MAX_CONFLICTS) return done;
    }
  }

  async #advance(kind: AuthorityKind): Promise<Result<void>> {
    for (;;) {
      const fresh = await this.#record.refresh();
      if (!fresh.ok) return fresh;
      const step = nextStep(kind, this.#record.entries, this.#options.clock.nowMs());
      if (step.action === 'wait') return ok(undefined);
      const taken =
        step.action === 'make' ? await this.#make(kind, step) : await this.#activate(step.entry);
      if (!taken.ok) return taken;
    }
  }

  async #pruneWhenDue(): Promise<Result<void>> {
    const fresh = await this.#record.refresh();
    if (!fresh.ok) return fresh;
    const bundle = this.#record.bundleToChange();
    const due = this.#options.clock.nowMs() >= (nextPruneMs(bundle) ?? Infinity);
    return due ? this.#commitBundle(this.#record.entries, bundle) : ok(undefined);
  }

  /**
   * Key first, then journal and bundle in one transaction. A crash in between leaves a key that no
   * entry names: the next try replaces it in its slot. After it, the authority is published.
   */
  async #make(kind: AuthorityKind, step: Step & { action: 'make' }): Promise<Result<void>> {
    const { trustDomain, keys, clock, random, subject } = this.#options;
    const { ttlSeconds = 86_400, backdateSeconds = 60 } = this.#options;
    const type = kind === 'x509' ? this.#options.x509KeyType : this.#options.jwtKeyType;
    const key = await keys.generate(step.slot, type ?? 'ec-p256');
    if (!key.ok) return key;
    const issuedAtSeconds = Math.floor(clock.nowMs() / 1000);
    const made = await KIND_RULES[kind].make({
      key: onlyLinted(key.value),
      trustDomain,
      subject: subject ?? DEFAULT_CA_SUBJECT,
      random,
      issuedAtSeconds,
      notBeforeSeconds: issuedAtSeconds - backdateSeconds,
      notAfterSeconds: issuedAtSeconds + ttlSeconds,
      record: this.#options.recordCa,
    });
    if (!made.ok) return made;
    const published = KIND_RULES[kind].publish(this.#record.bundleToChange(), made.value);
    if (!published.ok) return published;
    const entry: JournalEntry = { ...made.value, state: step.state };
    // A prepared one that is passed over here has expired, or its slot was just taken.
    const others = this.#record.entries.filter(
      (other) => other.kind !== kind || other.state !== 'prepared',
    );
    const done = await this.#commitBundle([...others, entry], published.value);
    if (done.ok) this.#note(entry);
    return done;
  }

  /** One write of the journal: before it the old one signs after a restart, after it the new. */
  async #activate(next: JournalEntry): Promise<Result<void>> {
    const active: JournalEntry = { ...next, state: 'active' };
    const entries = this.#record.entries.map((entry): JournalEntry => {
      if (entry === next) return active;
      const replaced = entry.kind === next.kind && entry.state === 'active';
      return replaced ? { ...entry, state: 'old' } : entry;
    });
    const done = await this.#record.commit(entries, undefined);
    if (done.ok) this.#note(active);
    return done;
  }

  #commitBundle(entries: readonly JournalEntry[], bundle: Bundle): Promise<Result<void>> {
    const nowMs = this.#options.clock.nowMs();
    const kept = entries.filter(
      (entry) => entry.state !== 'old' || nowMs < pruneAtMs(entry.notAfterSeconds * 1000),
    );
    const pruned = pruneBundle(bundle, nowMs);
    return this.#record.commit(kept, { ...pruned, refreshHintSeconds: refreshHintSeconds(kept) });
  }

  /** Makes what the journal calls active the one that signs, and tells who listens. */
  #adopt(): Result<void> {
    const active = (kind: AuthorityKind): JournalEntry | undefined =>
      this.#record.entries.find((entry) => entry.kind === kind && entry.state === 'active');
    const before = [this.#x509?.authorityId, this.#jwt?.keyId];
    const x509 = active('x509');
    if (x509 !== undefined && x509.authorityId !== this.#x509?.authorityId) {
      const adopted = this.#adoptX509(x509);
      if (!adopted.ok) return adopted;
    }
    const jwt = active('jwt');
    if (jwt !== undefined && jwt.authorityId !== this.#jwt?.keyId) this.#adoptJwt(jwt);
    const changed = before[0] !== this.#x509?.authorityId || before[1] !== this.#jwt?.keyId;
    if (changed) for (const listener of this.#listeners) listener();
    return ok(undefined);
  }

  #adoptX509(entry: JournalEntry): Result<void> {
    const key = this.#options.keys.get(entry.slot);
    const certificate = entryCertificate(entry);
    if (!certificate.ok) return certificate;
    if (key === undefined) return fail('AUTHORITY_NOT_READY', `slot ${entry.slot} has no key`);
    const { notAfterMs } = certificate.value;
    const { authorityId } = entry;
    this.#x509 = {
      authorityId,
      key: onlyLinted(key),
      certificate: certificate.value,
      chain: [],
      notAfterMs,
    };
    return ok(undefined);
  }

  #adoptJwt(entry: JournalEntry): void {
    const key = this.#options.keys.get(entry.slot);
    if (key === undefined) return;
    this.#jwt = {
      keyId: entry.authorityId,
      key: onlyLinted(key),
      expiresAtSeconds: entry.notAfterSeconds,
    };
  }

  #sleepMs(): number {
    const nowMs = this.#options.clock.nowMs();
    const dueMs = AUTHORITY_KINDS.map((kind) => {
      const step = nextStep(kind, this.#record.entries, nowMs);
      return step.action === 'wait' ? step.untilMs : nowMs;
    });
    const pruneMs = nextPruneMs(this.#record.bundleToChange()) ?? Infinity;
    return Math.min(MAX_SLEEP_MS, Math.min(...dueMs, pruneMs) - nowMs);
  }

  #retryMs(): number {
    const delayMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
    return delayMs * (0.5 + randomFraction(this.#options.random) / 2);
  }

  #arm(delayMs: number): void {
    this.#cancelTimer();
    if (!this.#closed) this.#cancelTimer = this.#options.clock.after(delayMs, () => this.#run());
  }

  #note(entry: JournalEntry): void {
    const { kind, authorityId, slot, state, notAfterSeconds } = entry;
    this.#metrics.steps.inc({ kind, state });
    if (state === 'active') this.#metrics.activeEnd.set({ kind }, notAfterSeconds);
    this.#options.log.info({ kind, authorityId, slot, notAfterSeconds }, `authority ${state}`);
  }

  #noteFailure(error: SignetError): void {
    this.#failures += 1;
    this.#metrics.failures.inc({ code: error.code });
    this.#options.log.error({ code: error.code, err: error }, 'authority step failed');
  }
}

function createAuthorityMetrics(metrics: Metrics) {
  return {
    steps: metrics.counter('authority_steps_total', 'Authorities that entered a state', [
      'kind',
      'state',
    ]),
    failures: metrics.counter('authority_failures_total', 'Steps of authorities that failed', [
      'code',
    ]),
    activeEnd: metrics.gauge(
      'authority_active_end_seconds',
      'Unix time at which the active authority expires',
      ['kind'],
    ),
  };
}
