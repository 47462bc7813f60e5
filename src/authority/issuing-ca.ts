import { toHex } from '../base/bytes.ts';
import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { type Random, randomFraction } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { KeyType } from '../keys/key-manager.ts';
import { generateLocalKey } from '../keys/local-key.ts';
import { onlyLinted } from '../lint/linted-key.ts';
import type { IssuingCaState } from '../rules/issuing-ca.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { CaSubject } from '../x509/ca-template.ts';
import { permittedUriHost } from '../x509/extension-writer.ts';
import { subjectKeyId } from '../x509/key-id.ts';
import { drawSerial } from '../x509/serial.ts';
import type { AuthoritySource, JwtAuthority, X509Authority } from './authority.ts';
import { DEFAULT_CA_SUBJECT, type RecordCa, signIssuingCa } from './x509-certificate.ts';

/** What an issuing CA stands on. */
export interface IssuingCaOptions {
  readonly trustDomain: TrustDomain;
  /** The authorities above it; JWT authorities are passed through. */
  readonly roots: AuthoritySource;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** 86400 unless given; it ends with its root at the latest. */
  readonly ttlSeconds?: number;
  /** How far its notBefore lies in the past; 60 unless given. */
  readonly backdateSeconds?: number;
  /** `ec-p256` unless given. */
  readonly keyType?: KeyType;
  /** SPIRE's (`C=US, O=SPIFFE`) unless given. */
  readonly subject?: CaSubject;
  /** Whether URIs below it may name this trust domain only (X509-SVID §4.2); false unless given. */
  readonly nameConstraint?: boolean;
  /** Told of each certificate before it is signed; nobody unless given. */
  readonly recordCa?: RecordCa;
  /** Told of each before it signs: one that cannot be written down is tried again, and not used. */
  readonly note?: (authority: X509Authority) => Promise<Result<void>>;
  /** What all servers know of an issuing CA; nothing unless given. */
  readonly stateOf?: (authorityId: string) => IssuingCaState | undefined;
}

/**
 * `delegated`: a CA of this process below the active root. Its private key is in the memory of this
 * process and nowhere else; the root's key manager is asked once for each, at half of its life.
 */
export interface IssuingCa extends AuthoritySource {
  /** Makes the first one. Fails with what the root's key manager refuses with. */
  start(): Promise<Result<void>>;
  /** Makes another at once in place of this one, which was stolen. Nothing where another signs already. */
  replace(authorityId: string): Promise<Result<void>>;
  /** Looks again at what {@link IssuingCaOptions.stateOf} says: one that was tainted is replaced. */
  reconsider(): void;
  /** Why the last renewal failed; undefined where it did not. */
  readonly problem: SignetError | undefined;
  /** Ends renewing and waits for one under way. */
  close(): Promise<void>;
}

/** Its key is in no key manager; the name is for logs. */
const SLOT = 'issuing-CA';
/** Bounds how late a clock that was set, or a machine that was suspended, is noticed. */
const MAX_SLEEP_MS = 3_600_000;
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

/** An issuing CA, by which root it was signed, and when the next is due (Unix milliseconds). */
interface Issuing {
  readonly authority: X509Authority;
  readonly rootId: string;
  readonly renewAtMs: number;
}

/** Makes it; nothing happens before `start`. */
export function createIssuingCa(options: IssuingCaOptions): IssuingCa {
  return new RenewedIssuingCa(options);
}

class RenewedIssuingCa implements IssuingCa {
  readonly #options: IssuingCaOptions;
  readonly #metrics: ReturnType<typeof createIssuingMetrics>;
  readonly #listeners = new Set<() => void>();
  #issuing: Issuing | undefined;
  /** Made, and not noted yet: the next try goes on with it. */
  #made: Issuing | undefined;
  #problem: SignetError | undefined;
  #running: Promise<Result<void>> = Promise.resolve(ok(undefined));
  #cancelTimer: Cancel = () => {};
  #endWatch: () => void = () => {};
  #failures = 0;
  #closed = false;

  constructor(options: IssuingCaOptions) {
    this.#options = options;
    this.#metrics = createIssuingMetrics(options.metrics);
  }

  get problem(): SignetError | undefined {
    return this.#problem;
  }

  async start(): Promise<Result<void>> {
    const started = await this.#turn();
    if (!started.ok) {
      this.#cancelTimer();
      return started;
    }
    // Another root, or another JWT key: whoever listens here hears of both.
    this.#endWatch = this.#options.roots.onChange(() => {
      this.#tell();
      void this.#turn();
    });
    return ok(undefined);
  }

  replace(authorityId: string): Promise<Result<void>> {
    return this.#turn(authorityId);
  }

  reconsider(): void {
    if (this.#isDistrusted()) void this.#turn();
  }

  currentX509(): Result<X509Authority> {
    const authority = this.#issuing?.authority;
    if (authority === undefined) return fail('AUTHORITY_NOT_READY', 'no issuing CA yet');
    const why = this.#problem === undefined ? '' : `; renewing it failed: ${this.#problem.message}`;
    // Nobody would take what it signs. One that is tainted signs on until there is another.
    if (this.#options.stateOf?.(authority.authorityId) === 'revoked') {
      return fail('AUTHORITY_NOT_READY', `the issuing CA is revoked${why}`, {
        cause: this.#problem,
      });
    }
    if (this.#options.clock.nowMs() < authority.notAfterMs) return ok(authority);
    return fail('AUTHORITY_EXPIRED', `the issuing CA has expired${why}`, { cause: this.#problem });
  }

  currentJwt(): Result<JwtAuthority> {
    return this.#options.roots.currentJwt();
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#endWatch();
    this.#cancelTimer();
    await this.#running;
    this.#cancelTimer();
  }

  /** Turns follow one another. One that fails leaves the issuing CA as it is, which serves to its end. */
  #turn(stolen?: string): Promise<Result<void>> {
    this.#running = this.#running.then(async () => {
      if (this.#closed) return ok(undefined);
      const made = await this.#renewWhereDue(stolen);
      if (made.ok) this.#succeeded();
      else this.#failed(made.error);
      this.#arm(made.ok ? this.#sleepMs() : this.#retryMs());
      return made;
    });
    return this.#running;
  }

  async #renewWhereDue(stolen: string | undefined): Promise<Result<void>> {
    const root = this.#options.roots.currentX509();
    if (!root.ok) return root;
    const held = this.#issuing;
    const isDue =
      held === undefined ||
      held.rootId !== root.value.authorityId ||
      held.authority.authorityId === stolen ||
      this.#isDistrusted() ||
      this.#options.clock.nowMs() >= held.renewAtMs;
    if (!isDue) return ok(undefined);
    const made = await this.#make(root.value);
    if (!made.ok) return made;
    if (this.#closed) return ok(undefined);
    this.#issuing = made.value;
    this.#note(made.value);
    this.#tell();
    return ok(undefined);
  }

  /** A root's signature costs a call of its key manager: one is not wasted because a write failed. */
  async #make(root: X509Authority): Promise<Result<Issuing>> {
    const { note } = this.#options;
    const kept = this.#made?.rootId === root.authorityId ? this.#made : undefined;
    const made = kept === undefined ? await makeIssuing(root, this.#options) : ok(kept);
    if (!made.ok) return made;
    this.#made = made.value;
    const noted = await (note?.(made.value.authority) ?? ok(undefined));
    if (!noted.ok) return noted;
    this.#made = undefined;
    return made;
  }

  #isDistrusted(): boolean {
    const authorityId = this.#issuing?.authority.authorityId;
    const state = authorityId && this.#options.stateOf?.(authorityId);
    return state === 'tainted' || state === 'revoked';
  }

  #note({ authority, rootId }: Issuing): void {
    const { authorityId, notAfterMs } = authority;
    this.#metrics.end.set(notAfterMs / 1000);
    const facts = { authorityId, rootId, notAfterSeconds: notAfterMs / 1000 };
    this.#options.log.info(facts, 'issuing CA made');
  }

  #succeeded(): void {
    this.#failures = 0;
    this.#problem = undefined;
    this.#metrics.failing.set(0);
  }

  #failed(error: SignetError): void {
    this.#failures += 1;
    this.#problem = error;
    this.#metrics.failing.set(1);
    this.#metrics.failures.inc({ code: error.code });
    const endMs = this.#issuing?.authority.notAfterMs ?? 0;
    const leftSeconds = Math.max(0, Math.round((endMs - this.#options.clock.nowMs()) / 1000));
    const { code, message: reason, action } = error;
    this.#options.log.error(
      { code, reason, action, leftSeconds },
      'renewing the issuing CA failed',
    );
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  #sleepMs(): number {
    const dueMs = this.#issuing?.renewAtMs ?? Infinity;
    return Math.min(MAX_SLEEP_MS, Math.max(0, dueMs - this.#options.clock.nowMs()));
  }

  #retryMs(): number {
    const delayMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
    return delayMs * (0.5 + randomFraction(this.#options.random) / 2);
  }

  #arm(delayMs: number): void {
    this.#cancelTimer();
    if (this.#closed) return;
    this.#cancelTimer = this.#options.clock.after(delayMs, () => void this.#turn());
  }
}

async function makeIssuing(
  root: X509Authority,
  options: IssuingCaOptions,
): Promise<Result<Issuing>> {
  const { trustDomain, clock, random, ttlSeconds = 86_400, backdateSeconds = 60 } = options;
  const key = await generateLocalKey(SLOT, options.keyType ?? 'ec-p256');
  if (!key.ok) return key;
  const nowSeconds = Math.floor(clock.nowMs() / 1000);
  const rootEndSeconds = root.notAfterMs / 1000;
  const notAfterSeconds = Math.min(nowSeconds + ttlSeconds, rootEndSeconds);
  const signed = await signIssuingCa(
    root.key,
    {
      trustDomain,
      subject: options.subject ?? DEFAULT_CA_SUBJECT,
      serial: drawSerial(random),
      notBeforeSeconds: Math.max(nowSeconds - backdateSeconds, root.certificate.notBeforeMs / 1000),
      notAfterSeconds,
      record: options.recordCa,
    },
    {
      spki: key.value.publicKeySpki,
      issuer: root.certificate,
      nameConstraints: options.nameConstraint ? permittedUriHost(trustDomain.name) : undefined,
    },
  );
  if (!signed.ok) return signed;
  const certificate = signed.value;
  const authority: X509Authority = {
    authorityId: toHex(subjectKeyId(certificate.publicKey)),
    key: onlyLinted(key.value),
    certificate,
    chain: [certificate.der, ...root.chain],
    notAfterMs: certificate.notAfterMs,
  };
  // One that ends with its root would not live longer for being made again: the next root has it made.
  const isCut = notAfterSeconds === rootEndSeconds;
  const halfMs = (nowSeconds + (notAfterSeconds - nowSeconds) / 2) * 1000;
  return ok({ authority, rootId: root.authorityId, renewAtMs: isCut ? Infinity : halfMs });
}

function createIssuingMetrics(metrics: Metrics) {
  return {
    end: metrics.gauge('issuing_ca_end_seconds', 'Unix time at which the issuing CA expires', []),
    failing: metrics.gauge('issuing_ca_renewal_failing', '1 while renewing it fails', []),
    failures: metrics.counter('issuing_ca_failures_total', 'Renewals that failed', ['code']),
  };
}
