/** Counts what is open, in all and of each peer (a uid, an address), against two caps. */
export class PeerCount {
  readonly #max: number;
  readonly #maxPerPeer: number;
  readonly #open = new Map<string, number>();
  #total = 0;

  constructor(max: number, maxPerPeer: number) {
    this.#max = max;
    this.#maxPerPeer = maxPerPeer;
  }

  /** Counts one in; false, and not counted, when a cap is reached. */
  add(peer: string): boolean {
    const open = this.#open.get(peer) ?? 0;
    if (this.#total >= this.#max || open >= this.#maxPerPeer) return false;
    this.#open.set(peer, open + 1);
    this.#total++;
    return true;
  }

  /** Counts one out that was counted in. */
  remove(peer: string): void {
    const open = this.#open.get(peer) ?? 0;
    if (open > 1) this.#open.set(peer, open - 1);
    else this.#open.delete(peer);
    this.#total--;
  }
}
