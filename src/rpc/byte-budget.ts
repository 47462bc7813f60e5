/** Counts bytes that are held for peers (a uid, a SPIFFE ID, an address), against two caps. */
export class ByteBudget {
  readonly #max: number;
  readonly #maxPerPeer: number;
  readonly #held = new Map<string, number>();
  #total = 0;

  constructor(max: number, maxPerPeer: number) {
    this.#max = max;
    this.#maxPerPeer = maxPerPeer;
  }

  /** Counts bytes in; false, and not counted, where a cap would be passed. */
  take(peer: string, bytes: number): boolean {
    const held = (this.#held.get(peer) ?? 0) + bytes;
    if (this.#total + bytes > this.#max || held > this.#maxPerPeer) return false;
    this.#held.set(peer, held);
    this.#total += bytes;
    return true;
  }

  /** Counts bytes out that were counted in. */
  give(peer: string, bytes: number): void {
    const held = (this.#held.get(peer) ?? 0) - bytes;
    if (held > 0) this.#held.set(peer, held);
    else this.#held.delete(peer);
    this.#total -= bytes;
  }
}
