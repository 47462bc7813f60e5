import type { Propagation, Publication } from '../authority/barrier.ts';
import { ok, type Result } from '../base/result.ts';

/** All who must have a bundle before an authority in it signs: agents, and clusters that mount it. */
export class Receivers implements Propagation {
  readonly #parts: Propagation[] = [];
  readonly #listeners = new Set<() => void>();

  /** One more is waited for from now on. */
  add(part: Propagation): void {
    this.#parts.push(part);
    part.onProgress(() => {
      for (const listener of [...this.#listeners]) listener();
    });
  }

  async missing(publication: Publication): Promise<Result<readonly string[]>> {
    const missing: string[] = [];
    for (const part of this.#parts) {
      const answer = await part.missing(publication);
      if (!answer.ok) return answer;
      missing.push(...answer.value);
    }
    return ok(missing);
  }

  onProgress(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
