import { toHex } from '../../base/bytes.ts';
import type { Cancel, Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import { type Random, randomFraction } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { LintedKey } from '../../lint/linted-key.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import type { BundleJwtAuthority } from '../../spiffe/bundle.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { Certificate } from '../../x509/types.ts';
import { makeCaRequest } from './ca-request.ts';
import { type CheckedAnswer, checkAnswer } from './check-answer.ts';
import type { RootStanding } from './root-acts.ts';
import type { UpstreamAuthority, UpstreamTrust } from './upstream.ts';

/** What a link stands on. */
export interface UpstreamLinkOptions {
  readonly trustDomain: TrustDomain;
  readonly authority: UpstreamAuthority;
  /** CAs that have to fit below ours: 1 where an issuing CA signs leaves, else 0. */
  readonly casBelow: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** What our CA is to be. */
export interface CaWish {
  /** Name DER; the upstream may give another. */
  readonly subjectDer: Uint8Array;
  readonly ttlSeconds: number;
  /** How roots stand with this server, whatever the upstream says. */
  readonly standing: (root: Certificate) => RootStanding;
}

const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

/**
 * The way to the upstream authority, of whatever kind: asks it for our CA and judges the answer, and
 * asks from time to time what is to be trusted. Failures are told by log and metric and tried again
 * with jitter; what was learned before stays.
 */
export class UpstreamLink {
  readonly #options: UpstreamLinkOptions;
  readonly #metrics: ReturnType<typeof createUpstreamMetrics>;
  readonly #listeners = new Set<() => void>();
  #trust: UpstreamTrust | undefined;
  #trustText = '';
  #problem: SignetError | undefined;
  #failures = 0;
  #cancelTimer: Cancel = () => {};
  #polling: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: UpstreamLinkOptions) {
    this.#options = options;
    this.#metrics = createUpstreamMetrics(options.metrics);
  }

  /** Kind of the upstream, as in the configuration. */
  get name(): string {
    return this.#options.authority.name;
  }

  /** Why it last failed; undefined after a success. */
  get problem(): SignetError | undefined {
    return this.#problem;
  }

  /** What the upstream last said is to be trusted; undefined where it said nothing yet. */
  get trust(): UpstreamTrust | undefined {
    return this.#trust;
  }

  /** Whether JWT keys of this server can be published upstream. */
  get takesJwtKeys(): boolean {
    return this.#options.authority.publishJwtKey !== undefined;
  }

  /** Calls `listener` when the upstream says that something else is to be trusted. Returns what ends it. */
  onTrust(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Has the key certified as a CA of the trust domain. Errors: UPSTREAM_* and those of the key. */
  async certify(key: LintedKey, wish: CaWish): Promise<Result<CheckedAnswer>> {
    const { trustDomain, authority, clock, casBelow } = this.#options;
    const csr = await makeCaRequest(key, trustDomain, wish.subjectDer);
    if (!csr.ok) return csr;
    const spki = key.publicKeySpki;
    const { ttlSeconds } = wish;
    const answer = await authority.certify({ csr: csr.value, spki, ttlSeconds });
    const nowMs = clock.nowMs();
    const checked = answer.ok
      ? checkAnswer(answer.value, { trustDomain, spki, nowMs, casBelow })
      : answer;
    const trusted = checked.ok ? this.#judgeRoots(checked.value, wish) : checked;
    this.#note('a CA was asked for', trusted);
    return trusted;
  }

  /** Publishes a JWT key of ours in the whole trust domain. */
  async publishJwtKey(key: BundleJwtAuthority): Promise<Result<void>> {
    const published = await this.#options.authority.publishJwtKey?.(key);
    if (published === undefined) return ok(undefined);
    this.#note('a JWT key was published', published);
    if (!published.ok) return published;
    if (this.#trust !== undefined) this.#learn({ ...this.#trust, jwt: published.value });
    return ok(undefined);
  }

  /** Asks now what is to be trusted, and from time to time from then on. */
  poll(): Promise<void> {
    this.#polling = this.#polling.then(() => this.#poll());
    return this.#polling;
  }

  /** Ends asking and waits for a question under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer();
    this.#listeners.clear();
    await this.#options.authority.close();
    await this.#polling;
  }

  async #poll(): Promise<void> {
    if (this.#closed) return;
    const { authority, clock, random } = this.#options;
    const answer = await authority.trusted();
    const trust =
      answer.ok && answer.value?.x509.length === 0
        ? fail('UPSTREAM_ANSWER_INVALID', 'the upstream says that nothing is to be trusted')
        : answer;
    this.#note('the roots were asked for', trust);
    if (trust.ok && trust.value !== undefined) this.#learn(trust.value);
    this.#cancelTimer();
    const waitMs = trust.ok
      ? authority.pollMs
      : Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(10, this.#failures - 1));
    const jitteredMs = waitMs * (0.5 + randomFraction(random) / 2);
    if (!this.#closed) this.#cancelTimer = clock.after(jitteredMs, () => void this.poll());
  }

  #learn(trust: UpstreamTrust): void {
    this.#trust = trust;
    const text = textOf(trust);
    if (text === this.#trustText) return;
    this.#trustText = text;
    for (const listener of this.#listeners) listener();
  }

  /**
   * What a tainted root leads to would have to be renewed at once, and again; what was revoked here does
   * not come back by an answer.
   */
  #judgeRoots(answer: CheckedAnswer, { standing }: CaWish): Result<CheckedAnswer> {
    const [first, ...others] = answer.roots;
    const stands = standing(first);
    if (stands !== 'trusted') {
      const message = `the upstream issued below a root that was ${stands} here`;
      return fail('UPSTREAM_ANSWER_INVALID', message);
    }
    const root = toHex(first.der);
    const tainted = this.#trust?.x509.some(
      (each) => each.tainted && toHex(each.certificate.der) === root,
    );
    if (tainted !== true) {
      const kept = others.filter((each) => standing(each) !== 'revoked');
      return ok({ ...answer, roots: [first, ...kept] });
    }
    return fail('UPSTREAM_ANSWER_INVALID', 'the upstream issued below a root that it has tainted');
  }

  #note(what: string, result: Result<unknown>): void {
    const { log } = this.#options;
    const upstream = this.name;
    if (this.#closed) return;
    if (result.ok) {
      if (this.#problem !== undefined) log.info({ upstream }, 'the upstream authority works again');
      this.#problem = undefined;
      this.#failures = 0;
      this.#metrics.failing.set({ upstream }, 0);
      return;
    }
    const { code, message: reason, action } = result.error;
    const told = this.#problem?.code === code && this.#problem.message === reason;
    this.#problem = result.error;
    this.#failures += 1;
    this.#metrics.failing.set({ upstream }, 1);
    this.#metrics.failures.inc({ upstream, code });
    log[told ? 'debug' : 'error']({ upstream, what, code, reason, action }, 'upstream authority');
  }
}

function textOf({ x509, jwt }: UpstreamTrust): string {
  return JSON.stringify([
    x509.map(({ certificate, tainted }) => [toHex(certificate.der), tainted]),
    jwt?.map((key) => [key.keyId, toHex(key.publicKeySpki), key.expiresAtSeconds, key.tainted]),
  ]);
}

function createUpstreamMetrics(metrics: Metrics) {
  return {
    failing: metrics.gauge('upstream_failing', '1 while the upstream authority fails', [
      'upstream',
    ]),
    failures: metrics.counter('upstream_failures_total', 'Calls to the upstream that failed', [
      'upstream',
      'code',
    ]),
  };
}
