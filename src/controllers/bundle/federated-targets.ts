import type { Cancel, Clock } from '../../base/clock.ts';
import type { FederationView } from '../../registry/federation.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Bundle } from '../../spiffe/bundle.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { BundleForm } from './forms.ts';
import type { BundleTarget, TargetPlace } from './target.ts';

/** What publishing the bundles of other trust domains in one cluster stands on. */
export interface FederatedTargetsOptions {
  readonly federation: Pick<FederationView, 'bundle' | 'bundles' | 'onChange'>;
  /** What is published of a trust domain. */
  readonly forms: (of: TrustDomain) => readonly (readonly [BundleForm, TargetPlace])[];
  readonly target: (
    form: BundleForm,
    place: TargetPlace,
    bundle: () => Bundle | undefined,
  ) => BundleTarget;
  /** Kinds and names of the objects of the own trust domain. */
  readonly reserved: ReadonlySet<string>;
  /** Aborts when this server is no more the one that publishes; undefined where it is not. */
  readonly term: () => AbortSignal | undefined;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'warn'>;
}

/** Wait before what could not be removed is tried again, in milliseconds. */
const RETRY_MS = 5_000;

interface Published {
  readonly targets: readonly BundleTarget[];
  readonly names: readonly string[];
  /** Whether the bundle is held no more, and the objects are to go. */
  isLeaving: boolean;
}

/**
 * The objects of other trust domains in one cluster: they come with the bundle that is held here, and go
 * with it. Only those go whose bundle this process has seen and then seen deleted: a server that never had
 * it, with an empty database say, cannot tell, and leaves them.
 */
export class FederatedTargets {
  readonly #options: FederatedTargetsOptions;
  /** By the bare name of the trust domain. */
  readonly #published = new Map<string, Published>();
  readonly #endListening: () => void;
  readonly #stopped = new AbortController();
  #removing: Promise<void> | undefined;
  #isWoken = false;
  #cancelRetry: Cancel = () => {};

  constructor(options: FederatedTargetsOptions) {
    this.#options = options;
    this.#endListening = options.federation.onChange(() => this.wake());
    this.wake();
  }

  get targets(): readonly BundleTarget[] {
    return [...this.#published.values()].flatMap(({ targets }) => targets);
  }

  /** Bundles have come, gone or changed, or who publishes has. */
  wake(): void {
    if (this.#stopped.signal.aborted) return;
    const { federation } = this.#options;
    const held = [...federation.bundles()].map(({ bundle }) => bundle.trustDomain);
    for (const trustDomain of held.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (!this.#published.has(trustDomain.name)) this.#publish(trustDomain);
    }
    for (const [name, published] of this.#published) {
      published.isLeaving = federation.bundle(name) === undefined;
      for (const target of published.targets) target.wake();
    }
    this.#remove();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#endListening();
    this.#cancelRetry();
    await this.#removing;
    await Promise.all(this.targets.map((target) => target.stop()));
  }

  #publish(of: TrustDomain): void {
    const { forms, target, federation, reserved, log } = this.#options;
    const taken = new Set([...this.#published.values()].flatMap(({ names }) => names));
    const free = forms(of).filter(([form, place]) => {
      const isFree = !reserved.has(`${form.kind}/${form.name}`) && !taken.has(keyOf(form, place));
      const facts = { object: `${form.kind}/${form.name}`, federatedTrustDomain: of.name };
      if (!isFree) log.warn(facts, 'bundle is not published: its name is that of another object');
      return isFree;
    });
    this.#published.set(of.name, {
      targets: free.map(([form, place]) =>
        target(form, place, () => federation.bundle(of.name)?.bundle),
      ),
      names: free.map(([form, place]) => keyOf(form, place)),
      isLeaving: false,
    });
  }

  #remove(): void {
    this.#cancelRetry();
    this.#isWoken = true;
    this.#removing ??= this.#settle().finally(() => {
      this.#removing = undefined;
      if (this.#stopped.signal.aborted) return;
      const isLeft = [...this.#published.values()].some(({ isLeaving }) => isLeaving);
      if (this.#isWoken) this.#remove();
      else if (isLeft) {
        this.#cancelRetry = this.#options.clock.after(RETRY_MS, () => this.#remove());
      }
    });
  }

  async #settle(): Promise<void> {
    while (this.#isWoken) {
      this.#isWoken = false;
      await this.#removeAll();
    }
  }

  async #removeAll(): Promise<void> {
    for (const [name, published] of this.#published) {
      const term = this.#options.term();
      if (term === undefined || this.#stopped.signal.aborted) return;
      if (!published.isLeaving) continue;
      const signal = AbortSignal.any([term, this.#stopped.signal]);
      let isDone = true;
      for (const target of published.targets) {
        const removed = await target.remove(() => published.isLeaving, signal);
        isDone &&= removed.ok;
      }
      if (!isDone || !published.isLeaving || this.#stopped.signal.aborted) continue;
      this.#published.delete(name);
      await Promise.all(published.targets.map((target) => target.stop()));
    }
  }
}

function keyOf({ kind, name }: BundleForm, place: TargetPlace): string {
  const where = place.kind === 'cluster' ? '' : Object.values(place).join('/');
  return `${kind}/${where}/${name}`;
}
