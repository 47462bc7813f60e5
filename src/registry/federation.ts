import type { Result } from '../base/result.ts';
import type { FederatedBundle, Federation } from '../rules/federation.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import type {
  DeletedFederatedBundle,
  FederatedBundleDelete,
  FederatedBundleWrite,
  FederationDelete,
  FederationWrite,
  WrittenFederatedBundle,
  WrittenFederation,
} from '../store/federation.ts';
import type { Store } from '../store/store.ts';
import { ByName } from './by-name.ts';
import type { Page, PageQuery } from './registry.ts';

/** Relationships with other trust domains, and their bundles, in memory, for reading. */
export interface FederationView {
  /** The bundle of another trust domain (bare name). */
  bundle(name: string): FederatedBundle | undefined;
  /** All of them, in no order. */
  bundles(): Iterable<FederatedBundle>;
  readonly bundleCount: number;
  /** In the order of their names. Fails with PAGE_TOKEN. */
  listBundles(query: PageQuery): Result<Page<FederatedBundle>>;
  /** The relationship with another trust domain (bare name). */
  relationship(name: string): Federation | undefined;
  /** All of them, in no order. */
  relationships(): Iterable<Federation>;
  /** In the order of their names. Fails with PAGE_TOKEN. */
  list(query: PageQuery): Result<Page<Federation>>;
  /** Calls `listener` after relationships or bundles came, went or changed. Returns what ends it. */
  onChange(listener: () => void): () => void;
}

/** The same with the writes, each answered when the view shows it. */
export interface FederationRegistry extends FederationView {
  writeRelationships(
    writes: readonly FederationWrite[],
  ): Promise<Result<readonly WrittenFederation[]>>;
  deleteRelationships(deletes: readonly FederationDelete[]): Promise<Result<readonly boolean[]>>;
  writeBundles(
    writes: readonly FederatedBundleWrite[],
  ): Promise<Result<readonly WrittenFederatedBundle[]>>;
  deleteBundles(
    deletes: readonly FederatedBundleDelete[],
  ): Promise<Result<readonly DeletedFederatedBundle[]>>;
}

/** What the view knows of other trust domains. */
export class Federations implements FederationView {
  readonly #relationships = new ByName<Federation>();
  readonly #bundles = new ByName<FederatedBundle>();
  readonly #listeners = new Set<() => void>();

  bundle(name: string): FederatedBundle | undefined {
    return this.#bundles.values.get(name);
  }

  bundles(): Iterable<FederatedBundle> {
    return this.#bundles.values.values();
  }

  get bundleCount(): number {
    return this.#bundles.values.size;
  }

  listBundles(query: PageQuery): Result<Page<FederatedBundle>> {
    return this.#bundles.page(query, ({ bundle }) => bundle.trustDomain.name);
  }

  relationship(name: string): Federation | undefined {
    return this.#relationships.values.get(name);
  }

  relationships(): Iterable<Federation> {
    return this.#relationships.values.values();
  }

  list(query: PageQuery): Result<Page<Federation>> {
    return this.#relationships.page(query, ({ trustDomain }) => trustDomain.name);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes in a relationship as it stands now; undefined where it is gone. */
  putRelationship(name: string, relationship: Federation | undefined): void {
    this.#relationships.put(name, relationship);
  }

  /** Takes in a bundle as it stands now; undefined where it is gone. */
  putBundle(name: string, bundle: FederatedBundle | undefined): void {
    this.#bundles.put(name, bundle);
  }

  /** Everything anew. */
  load(relationships: readonly Federation[], bundles: readonly FederatedBundle[]): void {
    this.#relationships.clear();
    this.#bundles.clear();
    for (const one of relationships) this.putRelationship(one.trustDomain.name, one);
    for (const one of bundles) this.putBundle(one.bundle.trustDomain.name, one);
  }

  /** Tells the listeners, once for all that came together. */
  notify(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/**
 * The view with its writes.
 * @param write Waits for a write of the store and until the view shows it.
 */
export function federationRegistry(
  view: Federations,
  store: Store,
  write: <T>(writing: Promise<Result<T>>) => Promise<Result<T>>,
): FederationRegistry {
  return {
    bundle: (name) => view.bundle(name),
    bundles: () => view.bundles(),
    get bundleCount() {
      return view.bundleCount;
    },
    listBundles: (query) => view.listBundles(query),
    relationship: (name) => view.relationship(name),
    relationships: () => view.relationships(),
    list: (query) => view.list(query),
    onChange: (listener) => view.onChange(listener),
    writeRelationships: (writes) => write(store.writeFederations(writes)),
    deleteRelationships: (deletes) => write(store.deleteFederations(deletes)),
    writeBundles: (writes) => write(store.writeFederatedBundles(writes)),
    deleteBundles: (deletes) => write(store.deleteFederatedBundles(deletes)),
  };
}

/** The bundle of a trust domain, own or other, to validate its SVIDs with. */
export function bundleOf(
  registry: {
    readonly trustDomain: { readonly name: string };
    readonly bundle: Bundle | undefined;
    readonly federation: Pick<FederationView, 'bundle'>;
  },
  name: string,
): Bundle | undefined {
  if (name === registry.trustDomain.name) return registry.bundle;
  return registry.federation.bundle(name)?.bundle;
}
