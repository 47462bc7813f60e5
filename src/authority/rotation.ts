import { equalBytes } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { ok, type Result } from '../base/result.ts';
import type { KeyManager, KeyType } from '../keys/key-manager.ts';
import { onlyLinted } from '../lint/linted-key.ts';
import type { Logger } from '../runtime/log.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { CaSubject } from '../x509/ca-template.ts';
import type { AuthorityMetrics } from './authority-metrics.ts';
import { type AuthorityRecord, keysOf } from './authority-record.ts';
import { pruneBundle, refreshHintSeconds } from './bundle-change.ts';
import type { AuthorityKind, JournalEntry } from './journal.ts';
import { KIND_RULES } from './kinds.ts';
import {
  activated,
  added,
  expired,
  forgotten,
  type Life,
  published,
  revoked,
  tainted,
} from './life.ts';
import { rootStandings } from './upstream/root-acts.ts';
import { jwtKeyOf } from './upstream/trust.ts';
import type { UpstreamLink } from './upstream/upstream-link.ts';
import { DEFAULT_CA_SUBJECT, type RecordCa } from './x509-certificate.ts';

/** What the steps stand on; see `AuthorityManagerOptions`. */
export interface RotationOptions {
  readonly trustDomain: TrustDomain;
  readonly keys: KeyManager;
  readonly jwtKeys?: KeyManager | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly ttlSeconds?: number;
  readonly jwtTtlSeconds?: number;
  readonly backdateSeconds?: number;
  readonly x509KeyType?: KeyType;
  readonly jwtKeyType?: KeyType;
  readonly subject?: CaSubject;
  readonly recordCa?: RecordCa;
  readonly upstream?: UpstreamLink | undefined;
}

/**
 * The steps of an authority's life: each is one compare-and-swap of journal and bundle, and answers
 * with the authority as it is afterwards. A crash before it leaves the state before, one after it the
 * state after; there is nothing in between.
 */
export class Rotation {
  readonly #record: AuthorityRecord;
  readonly #options: RotationOptions;
  readonly #metrics: AuthorityMetrics;
  /** Keys that were made for authorities that could not be made, by slot: the next try takes them. */
  readonly #spare = new Map<string, Uint8Array>();

  constructor(record: AuthorityRecord, options: RotationOptions, metrics: AuthorityMetrics) {
    this.#record = record;
    this.#options = options;
    this.#metrics = metrics;
  }

  /**
   * Key first, then journal. A crash in between leaves a key that no entry names: the next start
   * gives it up, or the next try replaces it in its slot. `active` is for where nothing else can sign:
   * made, published and active in one step.
   */
  async make(
    kind: AuthorityKind,
    slot: string,
    state: 'prepared' | 'active',
  ): Promise<Result<JournalEntry>> {
    const { trustDomain, clock, random, subject, backdateSeconds = 60 } = this.#options;
    const { x509KeyType, jwtKeyType, ttlSeconds = 86_400 } = this.#options;
    const type = kind === 'x509' ? x509KeyType : jwtKeyType;
    const lifeSeconds = kind === 'x509' ? ttlSeconds : (this.#options.jwtTtlSeconds ?? ttlSeconds);
    const key = await this.#keyFor(kind, slot, type ?? 'ec-p256');
    if (!key.ok) return key;
    const issuedAtSeconds = Math.floor(clock.nowMs() / 1000);
    const made = await KIND_RULES[kind].make({
      key: onlyLinted(key.value),
      trustDomain,
      subject: subject ?? DEFAULT_CA_SUBJECT,
      random,
      issuedAtSeconds,
      notBeforeSeconds: issuedAtSeconds - backdateSeconds,
      notAfterSeconds: issuedAtSeconds + lifeSeconds,
      record: this.#options.recordCa,
      upstream: this.#options.upstream,
      standing: rootStandings(this.#record.bundle, this.#record.distrusted),
    });
    if (!made.ok) return made;
    this.#spare.delete(slot);
    const entry: JournalEntry = { ...made.value, state: 'prepared' };
    const next = added(this.#record.life, entry);
    if (state === 'prepared') return this.#commit(next, entry);
    const announced = await this.#announce(entry);
    if (!announced.ok) return announced;
    const shown = published(next, entry, 'active', clock.nowMs());
    return shown.ok ? this.#commit(shown.value, entry) : shown;
  }

  /** The bundle holds it from here on. */
  async publish(entry: JournalEntry): Promise<Result<JournalEntry>> {
    const announced = await this.#announce(entry);
    if (!announced.ok) return announced;
    const next = published(this.#record.life, entry, 'published', this.#options.clock.nowMs());
    return next.ok ? this.#commit(next.value, entry) : next;
  }

  /** Before it the old one signs after a restart, after it the new. */
  activate(entry: JournalEntry): Promise<Result<JournalEntry>> {
    return this.#commit(activated(this.#record.life, entry), entry);
  }

  /** Agents are told with the bundle. */
  taint(entry: JournalEntry): Promise<Result<JournalEntry>> {
    return this.#commit(tainted(this.#record.life, entry), entry);
  }

  /** Its key is given up afterwards; a crash in between leaves that to the next start. */
  revoke(entry: JournalEntry): Promise<Result<JournalEntry>> {
    return this.#commit(revoked(this.#record.life, entry), entry);
  }

  /** As with {@link revoke}, its key is given up afterwards. */
  expire(entry: JournalEntry): Promise<Result<JournalEntry>> {
    return this.#commit(expired(this.#record.life, entry), entry);
  }

  /** Drops what ended more than a day ago from journal and bundle. */
  async prune(): Promise<Result<void>> {
    return this.#write(this.#record.life, true);
  }

  async #commit(next: Life, before: JournalEntry): Promise<Result<JournalEntry>> {
    const written = await this.#write(next, next.bundle !== this.#record.bundle);
    if (!written.ok) return written;
    const { kind, authorityId } = before;
    const entry =
      this.#record.entries.find((each) => each.kind === kind && each.authorityId === authorityId) ??
      before;
    this.#note(entry);
    return ok(entry);
  }

  /** While an upstream is down no key is made for each try. */
  async #keyFor(kind: AuthorityKind, slot: string, type: KeyType) {
    const keys = keysOf(this.#options, kind);
    const held = keys.get(slot);
    const spare = this.#spare.get(slot);
    if (held?.type === type && spare !== undefined && equalBytes(spare, held.publicKeySpki)) {
      return ok(held);
    }
    const made = await keys.generate(slot, type);
    if (made.ok) this.#spare.set(slot, made.value.publicKeySpki);
    return made;
  }

  /** A JWT key is known above before it is known here: servers of the trust domain verify by it. */
  async #announce(entry: JournalEntry): Promise<Result<void>> {
    const { upstream } = this.#options;
    if (upstream === undefined || entry.kind !== 'jwt') return ok(undefined);
    return upstream.publishJwtKey(jwtKeyOf(entry));
  }

  #write(next: Life, withBundle: boolean): Promise<Result<void>> {
    const nowMs = this.#options.clock.nowMs();
    const kept = forgotten(next.entries, nowMs);
    if (!withBundle) return this.#record.commit(kept, undefined);
    const bundle = pruneBundle(next.bundle, nowMs);
    return this.#record.commit(kept, { ...bundle, refreshHintSeconds: refreshHintSeconds(kept) });
  }

  #note({ kind, authorityId, slot, state, notAfterSeconds }: JournalEntry): void {
    this.#metrics.steps.inc({ kind, state });
    this.#options.log.info({ kind, authorityId, slot, notAfterSeconds }, `authority ${state}`);
  }
}
