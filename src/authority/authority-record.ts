import { ok, type Result } from '../base/result.ts';
import type { KeyManager } from '../keys/key-manager.ts';
import type { Logger } from '../runtime/log.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import type { Store } from '../store/store.ts';
import { firstBundle } from './bundle-change.ts';
import { type AuthorityKind, encodeJournal, type JournalEntry, readJournal } from './journal.ts';
import { KIND_RULES } from './kinds.ts';
import type { Life } from './life.ts';

/** What the record stands on. */
export interface AuthorityRecordOptions {
  readonly trustDomain: TrustDomain;
  readonly keys: KeyManager;
  /** Holds the keys of JWT authorities; `keys` unless given. */
  readonly jwtKeys?: KeyManager | undefined;
  readonly store: Pick<Store, 'loadJournal' | 'commitAuthorities'>;
  readonly log: Logger;
}

/** Journal and bundle as the store last answered them, and the one way to change both. */
export class AuthorityRecord {
  readonly #options: AuthorityRecordOptions;
  #version = 0n;
  #entries: readonly JournalEntry[] = [];
  /** Published, never used, and the key is gone: they leave with the next bundle. */
  #stranded: readonly JournalEntry[] = [];
  #distrusted: readonly string[] = [];
  #bundle: Bundle | undefined;
  #current = false;
  #gaveUp = false;

  constructor(options: AuthorityRecordOptions) {
    this.#options = options;
  }

  /** Entries that can go on; see {@link AuthorityRecord.refresh}. */
  get entries(): readonly JournalEntry[] {
    return this.#entries;
  }

  /** Roots of upstreams that were revoked here: SHA-256 of their keys, base64. */
  get distrusted(): readonly string[] {
    return this.#distrusted;
  }

  /** Undefined until one was read or written. */
  get bundle(): Bundle | undefined {
    return this.#bundle;
  }

  /** Whether authorities were given up that the store does not know of yet. */
  get gaveUp(): boolean {
    return this.#gaveUp;
  }

  /** What a step begins from; the bundle is an empty one to begin with. */
  get life(): Life {
    const bundle = this.#stranded.reduce(
      (rest, entry) => KIND_RULES[entry.kind].withdraw(rest, entry),
      this.#bundle ?? firstBundle(this.#options.trustDomain),
    );
    return { entries: this.#entries, bundle };
  }

  /**
   * Reads the store where what is held may not be what it holds: at start and after a failure. SPIRE's
   * rule holds for what it says: an authority whose key is gone, or that verifiers cannot know, is
   * given up and a new one made. One that has signed is old from then on; one that has not is dropped.
   */
  async refresh(): Promise<Result<void>> {
    if (this.#current) return ok(undefined);
    // Another server may have made a key since: it must not pass for one that is gone.
    const keys = await (this.#options.jwtKeys?.refresh() ?? ok(undefined));
    if (!keys.ok) return keys;
    const loaded = await this.#options.store.loadJournal();
    if (!loaded.ok) return loaded;
    const journal = readJournal(loaded.value.journal);
    if (!journal.ok) return journal;
    const { entries, distrusted } = journal.value;
    this.#distrusted = distrusted;
    this.#version = loaded.value.version;
    this.#bundle = loaded.value.bundle;
    const known: JournalEntry[] = [];
    const stranded: JournalEntry[] = [];
    for (const entry of entries) {
      const lost = this.#lossOf(entry);
      if (lost === undefined) known.push(entry);
      else this.#giveUp(entry, lost, { known, stranded });
    }
    this.#entries = known;
    this.#stranded = stranded;
    this.#gaveUp = known.length !== entries.length || known.some(isNew(entries));
    this.#current = true;
    return ok(undefined);
  }

  /**
   * Writes journal and, where it changed, bundle in one transaction. After any failure the store is
   * read again before the next step: the reply may be lost and the commit done.
   *
   * @param distrusted Roots of upstreams that stay revoked; those that are known unless given.
   */
  async commit(
    entries: readonly JournalEntry[],
    bundle: Bundle | undefined,
    distrusted: readonly string[] = this.#distrusted,
  ): Promise<Result<void>> {
    const written = await this.#options.store.commitAuthorities({
      expectedVersion: this.#version,
      journal: encodeJournal(entries, distrusted),
      bundle,
    });
    if (!written.ok) {
      this.#current = false;
      return written;
    }
    this.#version = written.value.version;
    this.#entries = entries;
    this.#distrusted = distrusted;
    if (bundle !== undefined) {
      this.#bundle = written.value.bundle ?? bundle;
      this.#stranded = [];
      this.#gaveUp = false;
    }
    return ok(undefined);
  }

  /** Whether the bundle holds the authority. */
  #isPublished(entry: JournalEntry): boolean {
    return this.#bundle !== undefined && KIND_RULES[entry.kind].isPublished(this.#bundle, entry);
  }

  /** Why an authority cannot go on; undefined where it can. */
  #lossOf(entry: JournalEntry): string | undefined {
    if (!['prepared', 'published', 'active'].includes(entry.state)) return undefined;
    if (!holdsKey(keysOf(this.#options, entry.kind), entry))
      return 'its key is not in the key manager';
    if (entry.state === 'prepared' || this.#isPublished(entry)) return undefined;
    return 'it is not in the bundle';
  }

  #giveUp(
    entry: JournalEntry,
    why: string,
    lists: { readonly known: JournalEntry[]; readonly stranded: JournalEntry[] },
  ): void {
    const { kind, slot, authorityId } = entry;
    this.#options.log.warn({ kind, authorityId, slot, why }, 'authority given up');
    if (!this.#isPublished(entry)) return;
    if (entry.state === 'active') lists.known.push({ ...entry, state: 'old' });
    else lists.stranded.push(entry);
  }
}

/** Whether the slot of an entry holds its very key, and not that of a successor. */
export function holdsKey(keys: Pick<KeyManager, 'get'>, entry: JournalEntry): boolean {
  const spki = keys.get(entry.slot)?.publicKeySpki;
  return spki !== undefined && Buffer.from(entry.publicKey, 'base64').equals(Buffer.from(spki));
}

function isNew(entries: readonly JournalEntry[]): (entry: JournalEntry) => boolean {
  return (entry) => !entries.includes(entry);
}

/** The key manager that holds the keys of a kind. */
export function keysOf(
  { keys, jwtKeys }: Pick<AuthorityRecordOptions, 'keys' | 'jwtKeys'>,
  kind: AuthorityKind,
): KeyManager {
  return kind === 'jwt' ? (jwtKeys ?? keys) : keys;
}
