import type { SignetError } from '../../src/base/errors.ts';
import type { Result } from '../../src/base/result.ts';
import type { Bundle as WireBundle } from '../../src/gen/spire/api/types/bundle.ts';
import type { Entry as WireEntry } from '../../src/gen/spire/api/types/entry.ts';
import { type BundleSource, taintedJwtKeyIds, taintedX509KeyIds } from '../../src/spiffe/bundle.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';
import { type AgentEntry, readEntry } from './entry.ts';
import { EntrySet } from './entry-set.ts';
import { JwtCache, type JwtCacheParts } from './jwt-cache.ts';
import { readTrustBundle, type TrustBundle } from './trust-bundle.ts';
import type { View } from './view.ts';
import { type ViewOwner, Views } from './views.ts';
import { X509Cache, type X509CacheParts } from './x509-cache.ts';

/** What the identities of a node need. */
export interface IdentitiesParts {
  readonly trustDomain: TrustDomain;
  readonly x509: Omit<X509CacheParts, 'onChange'>;
  readonly jwt: JwtCacheParts;
  /** Entries changed: how many came or are different, and how many are gone. */
  readonly onEntries?: (upserted: number, removed: number) => void;
  /** An entry or bundle of the server was left out. */
  readonly onBadAnswer: (error: SignetError) => void;
  /** The own bundle changed. */
  readonly onOwnBundle: (bundle: TrustBundle) => void;
  /** These X.509 authorities are tainted (key identifiers in hex). */
  readonly onTaint: (keyIds: ReadonlySet<string>) => void;
}

/** What synchronisation tells the identities. */
export interface SyncSink {
  /** Exactly these entries. */
  replaceEntries(entries: readonly WireEntry[]): void;
  changeEntries(upserts: readonly WireEntry[], deletedIds: readonly string[]): void;
  /** The own bundle, or a federated one. */
  setBundle(bundle: WireBundle): void;
  /** Drops the federated bundles that are not named here (bare names). */
  keepFederated(names: ReadonlySet<string>): void;
  /** Renews what these X.509 authorities signed (key identifiers in hex). */
  taint(keyIds: ReadonlySet<string>): void;
  /** Replaces the SVIDs with these serial numbers (decimal). */
  revoke(serials: ReadonlySet<string>): void;
  /** The CRL that responses carry from now on; an empty one takes it away. */
  setCrl(der: Uint8Array): void;
  /** Serves nothing while active. */
  quarantine(active: boolean): void;
  /** Entries and own bundle are complete for the first time, or again after an interruption. */
  synchronised(): void;
}

/** The identities that this node serves: entries, SVIDs, bundles, and views of them. */
export class Identities implements SyncSink {
  readonly x509: X509Cache;
  readonly jwt: JwtCache;
  readonly #parts: IdentitiesParts;
  readonly #entries = new EntrySet();
  readonly #views: Views;
  readonly #federated = new Map<string, TrustBundle>();
  readonly #whenReady: (() => void)[] = [];
  #own: TrustBundle | undefined;
  #crl: Uint8Array | undefined;
  #ready = false;
  #quarantined = false;

  constructor(parts: IdentitiesParts) {
    this.#parts = parts;
    this.x509 = new X509Cache({ ...parts.x509, onChange: (ids) => this.#views.svidsChanged(ids) });
    this.jwt = new JwtCache(parts.jwt);
    this.#views = new Views({
      match: (selectors) => (this.#quarantined ? [] : this.#entries.match(selectors)),
      svid: (id) => this.x509.get(id),
      isPending: (id) => this.x509.isPending(id),
      demand: (id) => this.x509.demand(id),
      bundles: (names) => this.#bundles(names),
      crl: () => this.#crl,
    });
  }

  /** Whether entries and own bundle have been complete once. */
  get ready(): boolean {
    return this.#ready;
  }

  /** Entries held. */
  get entryCount(): number {
    return this.#entries.size;
  }

  /** The own trust bundle. */
  get ownBundle(): TrustBundle | undefined {
    return this.#own;
  }

  /** Trust domains that entries federate with, as bare names. */
  get federation(): ReadonlySet<string> {
    const names = new Set<string>();
    for (const { federatesWith } of this.#entries.values()) {
      for (const { name } of federatesWith) names.add(name);
    }
    return names;
  }

  /** Ids of the entries held. */
  get entryIds(): Iterable<string> {
    return this.#entries.ids();
  }

  /** The entry with this id, to compare its revision with the server's. */
  entry(id: string): AgentEntry | undefined {
    return this.#entries.get(id);
  }

  /** Calls `action` once when {@link ready}; at once if it is. Answers what ends the wait. */
  whenReady(action: () => void): () => void {
    if (this.#ready) action();
    else this.#whenReady.push(action);
    return () => {
      const at = this.#whenReady.indexOf(action);
      if (at !== -1) this.#whenReady.splice(at, 1);
    };
  }

  /** What a process is served; follow it in the same turn. */
  view(owner: ViewOwner): View {
    return this.#views.get(owner);
  }

  /** Bundles that the holder of these identities validates tokens with. */
  bundleSource(view: View): BundleSource {
    const names = new Set(
      view.entries.flatMap((entry) => entry.federatesWith.map(({ name }) => name)),
    );
    return ({ name }) => {
      if (name === this.#parts.trustDomain.name) return this.#own?.bundle;
      return names.has(name) ? this.#federated.get(name)?.bundle : undefined;
    };
  }

  replaceEntries(entries: readonly WireEntry[]): void {
    this.#apply((read) => this.#entries.replaceAll(read), entries);
  }

  changeEntries(upserts: readonly WireEntry[], deletedIds: readonly string[]): void {
    this.#apply((read, badIds) => this.#entries.apply(read, [...deletedIds, ...badIds]), upserts);
  }

  setBundle(wire: WireBundle): void {
    const bundle = readTrustBundle(wire);
    if (!bundle.ok) {
      this.#parts.onBadAnswer(bundle.error);
      return;
    }
    this.installBundle(bundle.value);
  }

  /** Takes a bundle that was read already, such as the stored one at start. */
  installBundle(next: TrustBundle): void {
    const { name } = next.bundle.trustDomain;
    if (name === this.#parts.trustDomain.name) {
      this.#own = next;
      this.#parts.onOwnBundle(next);
      this.taint(taintedX509KeyIds(next.bundle));
      this.jwt.dropSignedBy(taintedJwtKeyIds(next.bundle));
    } else this.#federated.set(name, next);
    this.#views.allChanged();
  }

  keepFederated(names: ReadonlySet<string>): void {
    let changed = false;
    for (const name of [...this.#federated.keys()]) {
      if (!names.has(name)) changed = this.#federated.delete(name) || changed;
    }
    if (changed) this.#views.allChanged();
  }

  taint(keyIds: ReadonlySet<string>): void {
    if (keyIds.size === 0) return;
    this.#parts.onTaint(keyIds);
    this.x509.renewSignedBy(keyIds);
  }

  revoke(serials: ReadonlySet<string>): void {
    this.x509.replaceRevoked(serials);
  }

  setCrl(der: Uint8Array): void {
    this.#crl = der.length === 0 ? undefined : der;
    this.#views.allChanged();
  }

  quarantine(active: boolean): void {
    if (active === this.#quarantined) return;
    this.#quarantined = active;
    if (active) {
      this.x509.pause();
      this.jwt.clear();
    } else this.x509.resume();
    this.#views.allChanged();
  }

  synchronised(): void {
    this.x509.recheck();
    this.jwt.recheck();
    if (this.#ready) return;
    this.#ready = true;
    for (const action of this.#whenReady.splice(0)) action();
  }

  /** Ends timers and forgets keys. */
  close(): void {
    this.x509.close();
    this.jwt.clear();
  }

  #apply(
    change: (
      read: readonly AgentEntry[],
      badIds: readonly string[],
    ) => ReturnType<EntrySet['apply']>,
    wires: readonly WireEntry[],
  ): void {
    const read: AgentEntry[] = [];
    const badIds: string[] = [];
    for (const wire of wires) {
      const entry: Result<AgentEntry> = readEntry(wire, this.#parts.trustDomain);
      if (entry.ok) read.push(entry.value);
      else {
        // An update that cannot be read must not leave what it replaces in force.
        badIds.push(wire.id);
        this.#parts.onBadAnswer(entry.error);
      }
    }
    const changed = change(read, badIds);
    if (changed.upserted.length === 0 && changed.removedIds.length === 0) return;
    this.x509.apply(changed);
    this.jwt.dropEntries(new Set(changed.replaced.map(({ id }) => id)));
    this.#views.entriesChanged(changed);
    this.#parts.onEntries?.(changed.upserted.length, changed.removedIds.length);
  }

  #bundles(names: ReadonlySet<string>): readonly TrustBundle[] {
    if (this.#own === undefined) return [];
    // In order of name, so that equal contents are equal bytes.
    const federated = [...names].sort().flatMap((name) => this.#federated.get(name) ?? []);
    return [this.#own, ...federated];
  }
}
