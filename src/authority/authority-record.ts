import { ok, type Result } from '../base/result.ts';
import type { KeyManager } from '../keys/key-manager.ts';
import type { Logger } from '../runtime/log.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { Store } from '../store/store.ts';
import { firstBundle } from './bundle-change.ts';
import { decodeJournal, encodeJournal, type JournalEntry } from './journal.ts';
import { KIND_RULES } from './kinds.ts';

/** What the record stands on. */
export interface AuthorityRecordOptions {
  readonly trustDomain: TrustDomain;
  readonly keys: KeyManager;
  readonly store: Pick<Store, 'loadJournal' | 'commitAuthorities'>;
  readonly log: Logger;
}

/** Journal and bundle as the store last answered them, and the one way to change both. */
export class AuthorityRecord {
  readonly #options: AuthorityRecordOptions;
  #version = 0n;
  #entries: readonly JournalEntry[] = [];
  #bundle: Bundle | undefined;
  #current = false;

  constructor(options: AuthorityRecordOptions) {
    this.#options = options;
  }

  /** Entries whose key is here and whose authority is in the bundle, and old ones. */
  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  /** Undefined until one was read or written. */
  get bundle(): Bundle | undefined {
    return this.#bundle;
  }

  /** The bundle, or an empty one to begin with. */
  bundleToChange(): Bundle {
    return this.#bundle ?? firstBundle(this.#options.trustDomain);
  }

  /** Reads the store where what is held may not be what it holds: at start and after a failure. */
  async refresh(): Promise<Result<void>> {
    if (this.#current) return ok(undefined);
    const loaded = await this.#options.store.loadJournal();
    if (!loaded.ok) return loaded;
    const entries = decodeJournal(loaded.value.journal);
    if (!entries.ok) return entries;
    this.#version = loaded.value.version;
    this.#bundle = loaded.value.bundle;
    this.#entries = entries.value.filter((entry) => this.#isUsable(entry));
    this.#current = true;
    return ok(undefined);
  }

  /**
   * Writes journal and, where it changed, bundle in one transaction. After any failure the store is
   * read again before the next step: the reply may be lost and the commit done.
   */
  async commit(
    entries: readonly JournalEntry[],
    bundle: Bundle | undefined,
  ): Promise<Result<void>> {
    const written = await this.#options.store.commitAuthorities({
      expectedVersion: this.#version,
      journal: encodeJournal(entries),
      bundle,
    });
    if (!written.ok) {
      this.#current = false;
      return written;
    }
    this.#version = written.value.version;
    this.#entries = entries;
    if (bundle !== undefined) this.#bundle = written.value.bundle ?? bundle;
    return ok(undefined);
  }

  /**
   * SPIRE's rule: an authority whose key is gone, or that verifiers cannot know, is given up and a
   * new one made. Its certificate stays in the bundle for the leaves that are out.
   */
  #isUsable(entry: JournalEntry): boolean {
    if (entry.state === 'old') return true;
    const { kind, slot, authorityId } = entry;
    const spki = this.#options.keys.get(slot)?.publicKeySpki;
    const hasKey =
      spki !== undefined && Buffer.from(entry.publicKey, 'base64').equals(Buffer.from(spki));
    const published =
      this.#bundle !== undefined && KIND_RULES[kind].isPublished(this.#bundle, entry);
    if (hasKey && published) return true;
    const why = hasKey ? 'it is not in the bundle' : 'its key is not in the key manager';
    this.#options.log.warn({ kind, authorityId, slot, why }, 'authority given up');
    return false;
  }
}
