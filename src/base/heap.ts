/** Takes values in any order and gives the first of them back, each at the cost of a few comparisons. */
export class Heap<T> {
  readonly #values: T[] = [];
  readonly #isBefore: (a: T, b: T) => boolean;

  /** @param isBefore A total order. */
  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore;
  }

  push(value: T): void {
    const values = this.#values;
    let at = values.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = values[above];
      if (parent === undefined || !this.#isBefore(value, parent)) break;
      values[at] = parent;
      at = above;
    }
    values[at] = value;
  }

  /** The first of all that are in it, which it no longer is; undefined where there is none. */
  pop(): T | undefined {
    const values = this.#values;
    const first = values[0];
    const last = values.pop();
    if (last === undefined || values.length === 0) return first;
    let at = 0;
    for (;;) {
      const below = this.#firstBelow(at);
      const child = values[below];
      if (child === undefined || !this.#isBefore(child, last)) break;
      values[at] = child;
      at = below;
    }
    values[at] = last;
    return first;
  }

  #firstBelow(at: number): number {
    const [left, right] = [this.#values[2 * at + 1], this.#values[2 * at + 2]];
    const isRight = left !== undefined && right !== undefined && this.#isBefore(right, left);
    return 2 * at + (isRight ? 2 : 1);
  }
}
