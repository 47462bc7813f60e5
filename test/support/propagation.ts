import type { Propagation, Publication } from '../../src/authority/barrier.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';

/** Agents that have no bundle until they are told to. */
export class Fleet implements Propagation {
  agents: readonly string[] = [];
  readonly asked: Publication[] = [];
  refuses = false;
  readonly #listeners = new Set<() => void>();
  #waiting: (() => void)[] = [];

  async missing(publication: Publication): Promise<Result<readonly string[]>> {
    this.asked.push(publication);
    for (const resolve of this.#waiting.splice(0)) resolve();
    if (this.refuses) return fail('STORE_UNAVAILABLE', 'the database is away');
    return ok(this.agents);
  }

  onProgress(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** These are left; whoever waits is told. */
  leaves(...agents: readonly string[]): void {
    this.agents = agents;
    for (const listener of [...this.#listeners]) listener();
  }

  /** Answers when it was asked once more, and what came of that was done. */
  async nextAsked(): Promise<void> {
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    await settled();
  }
}

/** Nothing here takes longer than a few turns: keys are awaited by `MemoryAuthorityStore`. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}
