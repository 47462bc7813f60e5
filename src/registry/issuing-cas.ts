import { type IssuingCa, isDistrusted } from '../rules/issuing-ca.ts';

/** The issuing CAs of all servers, until their end. */
export class IssuingCas {
  readonly #byId = new Map<string, IssuingCa>();
  readonly #listeners = new Set<() => void>();
  #distrusted: ReadonlySet<string> = new Set();

  /** All of them, in no order. */
  all(): Iterable<IssuingCa> {
    return this.#byId.values();
  }

  /** The one with this key identifier (hex). */
  get(authorityId: string): IssuingCa | undefined {
    return this.#byId.get(authorityId);
  }

  /** Key identifiers of those whose SVIDs are to be renewed; the same set until it changes. */
  get distrusted(): ReadonlySet<string> {
    return this.#distrusted;
  }

  /** Takes one in as it stands now. */
  put(issuingCa: IssuingCa): void {
    this.#byId.set(issuingCa.authorityId, issuingCa);
    if (isDistrusted(issuingCa) && !this.#distrusted.has(issuingCa.authorityId)) {
      this.#distrusted = new Set([...this.#distrusted, issuingCa.authorityId]);
    }
  }

  /** Lets go of those that had ended by a moment (Unix seconds). Answers whether any went. */
  dropEnded(endedBySeconds: number): boolean {
    const ended = [...this.#byId.values()].filter(
      ({ certificate }) => certificate.notAfterMs <= endedBySeconds * 1000,
    );
    this.#forget(ended.map(({ authorityId }) => authorityId));
    return ended.length > 0;
  }

  /** Forgets everything: the whole state is read again. */
  clear(): void {
    this.#forget([...this.#byId.keys()]);
  }

  /** Calls `listener` after issuing CAs came, went or changed. Returns what ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells the listeners, once for all that came together. */
  notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #forget(authorityIds: readonly string[]): void {
    for (const authorityId of authorityIds) this.#byId.delete(authorityId);
    if (authorityIds.some((authorityId) => this.#distrusted.has(authorityId))) {
      this.#distrusted = this.#distrusted.difference(new Set(authorityIds));
    }
  }
}
