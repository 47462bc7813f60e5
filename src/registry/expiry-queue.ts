interface Due {
  readonly seconds: number;
  readonly id: string;
}

/** IDs by the time that they expire: a binary heap. What was changed meanwhile is the reader's to notice. */
export class ExpiryQueue {
  readonly #heap: Due[] = [];

  /** Unix seconds of the earliest expiry. */
  get nextSeconds(): number | undefined {
    return this.#heap[0]?.seconds;
  }

  /** Adds an ID with its expiry in Unix seconds. */
  add(id: string, seconds: number): void {
    const heap = this.#heap;
    const due = { seconds, id };
    let index = heap.length;
    while (index > 0) {
      const parentIndex = (index - 1) >>> 1;
      const parent = heap[parentIndex];
      if (parent === undefined || parent.seconds <= seconds) break;
      heap[index] = parent;
      index = parentIndex;
    }
    heap[index] = due;
  }

  /** Takes out the IDs whose time is over, earliest first. */
  takeDue(nowSeconds: number): readonly string[] {
    const ids: string[] = [];
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (first.seconds > nowSeconds) break;
      ids.push(first.id);
      this.#takeFirst();
    }
    return ids;
  }

  /** Empties the queue. */
  clear(): void {
    this.#heap.length = 0;
  }

  #takeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      const childIndex = this.#earlierChild(index);
      const child = heap[childIndex];
      if (child === undefined || child.seconds >= last.seconds) break;
      heap[index] = child;
      index = childIndex;
    }
    heap[index] = last;
  }

  #earlierChild(index: number): number {
    const left = this.#heap[2 * index + 1];
    const right = this.#heap[2 * index + 2];
    const rightFirst = left !== undefined && right !== undefined && right.seconds < left.seconds;
    return 2 * index + (rightFirst ? 2 : 1);
  }
}
