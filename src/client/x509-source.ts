import type { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { Watch } from './stream-watch.ts';
import type { WorkloadClient } from './workload-client.ts';
import type { X509Context } from './x509-context.ts';

/**
 * The X.509-SVIDs and bundles of this process, always the latest. States: waiting (nothing yet) →
 * held (from the first response) → waiting again after the agent refused this process an identity,
 * when nothing given before may be used (WLAPI-16) → closed.
 */
export class X509Source {
  readonly #watch: Watch;
  readonly #listeners = new Set<(context: X509Context) => void>();
  #current: X509Context | undefined;
  #problem: SignetError | undefined;

  constructor(client: WorkloadClient) {
    this.#watch = client.watchX509Context({
      onUpdate: (context) => {
        this.#current = context;
        this.#problem = undefined;
        for (const listener of this.#listeners) listener(context);
      },
      onError: (error) => {
        this.#problem = error;
        if (error.statusName === 'PermissionDenied') this.#current = undefined;
      },
    });
  }

  /** What is held now. Fails with the reason why nothing is. */
  current(): Result<X509Context> {
    if (this.#current !== undefined) return ok(this.#current);
    const waiting = fail('WORKLOAD_UNAVAILABLE', 'the Workload API has not answered yet');
    return this.#problem === undefined ? waiting : { ok: false, error: this.#problem };
  }

  /** Why the stream last ended, or a response was discarded; undefined after a good one. */
  get problem(): SignetError | undefined {
    return this.#problem;
  }

  /** Calls `listener` with every later context. Returns what ends that. */
  subscribe(listener: (context: X509Context) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What is held, as soon as something is. */
  ready(): Promise<X509Context> {
    const current = this.#current;
    if (current !== undefined) return Promise.resolve(current);
    return new Promise((resolve) => {
      const end = this.subscribe((context) => {
        end();
        resolve(context);
      });
    });
  }

  /** Ends the stream. */
  close(): void {
    this.#listeners.clear();
    this.#watch.close();
  }
}
