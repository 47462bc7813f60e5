import { BackOff } from '../../base/back-off.ts';
import type { Cancel } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import type { KubeMetrics } from '../../kube/metrics.ts';
import type { KubeChange } from '../../kube/object-cache.ts';
import { type KubeObject, keyOf, metaOf, textAt } from '../../kube/objects.ts';
import { type KubeResource, pathOf } from '../../kube/resource.ts';
import { findTrustBundles } from '../../kube/trust-bundles.ts';
import { type KubeWatch, watchKube } from '../../kube/watch.ts';
import type { Bundle } from '../../spiffe/bundle.ts';
import type { BundleForm } from './forms.ts';
import {
  PublishedObject,
  type PublishingParts,
  type Seen,
  type Wanted,
} from './published-object.ts';

/** Where the objects of a target are. */
export type TargetPlace =
  | { readonly kind: 'cluster' }
  | { readonly kind: 'namespace'; readonly namespace: string }
  | { readonly kind: 'selector'; readonly selector: string };

/** What a target stands on. */
export interface BundleTargetOptions extends PublishingParts {
  readonly api: KubeApi;
  readonly metrics?: KubeMetrics | undefined;
  readonly form: BundleForm;
  readonly place: TargetPlace;
  readonly bundle: () => Bundle | undefined;
  /** What could not be published, by the name of the target. */
  readonly onFailure: (target: string, error: SignetError) => void;
}

/** Who owns the fields that are written here, as `kubectl get --show-managed-fields` tells. */
const FIELD_MANAGER = 'signet-bundle-publisher';
const CONFIG_MAPS: KubeResource = { group: '', version: 'v1', plural: 'configmaps' };
const NAMESPACES: KubeResource = { group: '', version: 'v1', plural: 'namespaces' };
const BACK_OFF = { firstMs: 1_000, maxMs: 60_000 };
/** Longest wait for one write; a change is written to thousands of namespaces at a time. */
const WRITE_TIMEOUT_MS = 60_000;

/** What is kept of a rendered bundle. */
interface Rendered {
  readonly bundle: Bundle;
  readonly wanted: Wanted | undefined;
}

/** One bundle object of configuration: an object of the cluster, or one in each of some namespaces. */
export class BundleTarget {
  readonly #options: BundleTargetOptions;
  readonly #backOff: BackOff;
  readonly #stopped = new AbortController();
  /** By namespace; under the empty name the object of the cluster. */
  readonly #objects = new Map<string, PublishedObject>();
  /** Where they are, in the same way. */
  readonly #resources = new Map<string, KubeResource>();
  #watch: KubeWatch<Seen> | undefined;
  #namespaces: KubeWatch<string> | undefined;
  #rendered: Rendered | undefined;
  #finding: Promise<void> = Promise.resolve();
  #cancelTimer: Cancel = () => {};

  constructor(options: BundleTargetOptions) {
    this.#options = options;
    this.#backOff = new BackOff(BACK_OFF, options.random);
    this.#begin();
  }

  /** What it is called in metrics. */
  get name(): string {
    const { form, place } = this.#options;
    const within = place.kind === 'namespace' ? [place.namespace] : [];
    return [form.kind, ...within, form.name].join('/');
  }

  get objects(): Iterable<PublishedObject> {
    return this.#objects.values();
  }

  /** Names of the objects that have not held this bundle for so long. */
  missing(sequence: bigint, forMs: number): readonly string[] {
    if (!this.#isKnown) return [this.name];
    return [...this.#objects.values()]
      .filter((object) => !object.hasHeld(sequence, forMs))
      .map(({ title }) => title);
  }

  /**
   * Removes its objects from the cluster, but none that does not bear our marks. Fails with KUBE_*, where
   * it has to be tried again.
   * @param isGone Whether they are still to go.
   */
  async remove(isGone: () => boolean, signal: AbortSignal): Promise<Result<void>> {
    if (!this.#isKnown)
      return fail('KUBE_UNREACHABLE', `${this.name}: it is not known where it is`);
    // A write that was begun before would bring back what is removed.
    await Promise.all([...this.#objects.values()].map((object) => object.whenIdle()));
    for (const [namespace, resource] of this.#resources) {
      const removed = await this.#removeOne({ namespace, resource, isGone, signal });
      if (!removed.ok && removed.error.code !== 'KUBE_NOT_FOUND') return removed;
    }
    return ok(undefined);
  }

  /** The bundle has changed, or who publishes. */
  wake(): void {
    for (const object of this.#objects.values()) object.wake();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#cancelTimer();
    await this.#finding;
    await Promise.all([this.#watch?.stop(), this.#namespaces?.stop()]);
    await Promise.all([...this.#objects.values()].map((object) => object.stop()));
  }

  get #isKnown(): boolean {
    const { kind } = this.#options.place;
    return kind === 'selector' ? this.#namespaces?.synced === true : this.#objects.size > 0;
  }

  async #removeOne(from: {
    readonly namespace: string;
    readonly resource: KubeResource;
    readonly isGone: () => boolean;
    readonly signal: AbortSignal;
  }): Promise<Result<unknown>> {
    const { api, form, log } = this.#options;
    const { namespace, resource, isGone, signal } = from;
    const path = pathOf(resource, form.name);
    if (!path.ok) return path;
    const found = await api.request({ verb: 'get', path: path.value, signal });
    if (!found.ok) return found;
    if (!isGone() || !form.isRemovable(found.value)) return ok(undefined);
    const { uid, resourceVersion } = metaOf(found.value);
    // Another object of that name, or what somebody made of it since, is not what was looked at.
    const preconditions = { uid, resourceVersion };
    const body = { kind: 'DeleteOptions', apiVersion: 'v1', preconditions };
    const removed = await api.request({ verb: 'delete', path: path.value, body, signal });
    const facts = { object: [form.kind, namespace, form.name].filter(Boolean).join('/') };
    if (removed.ok) log.info(facts, 'a published bundle of another trust domain is removed');
    return removed;
  }

  #begin(): void {
    const { place } = this.#options;
    switch (place.kind) {
      case 'cluster':
        this.#finding = this.#find();
        return;
      case 'namespace': {
        const { namespace } = place;
        this.#publish({ ...CONFIG_MAPS, namespace }, namespace);
        this.#watchObjects({ ...CONFIG_MAPS, namespace });
        return;
      }
      case 'selector':
        this.#watchNamespaces(place.selector);
        this.#watchObjects(CONFIG_MAPS);
    }
  }

  /** Finds out by which version the cluster serves ClusterTrustBundles; what fails is tried again. */
  async #find(): Promise<void> {
    const { api, log, clock, onFailure } = this.#options;
    const { signal } = this.#stopped;
    const found = await findTrustBundles(api, signal);
    if (signal.aborted) return;
    if (found.ok) {
      this.#backOff.reset();
      this.#publish(found.value, undefined);
      this.#watchObjects(found.value);
      return;
    }
    onFailure(this.name, found.error);
    const { code, message: reason, action } = found.error;
    log.warn({ object: this.name, code, reason, action }, 'bundle is not published');
    this.#cancelTimer = clock.after(this.#backOff.next(), () => {
      this.#finding = this.#find();
    });
  }

  /** The cluster knows the version no more: it was upgraded, or configured anew. */
  #findAgain(): void {
    const object = this.#objects.get('');
    if (object === undefined) return;
    this.#objects.delete('');
    this.#resources.delete('');
    this.#finding = Promise.all([object.stop(), this.#watch?.stop()]).then(() => this.#find());
  }

  #publish(resource: KubeResource, namespace: string | undefined): void {
    const { form, place } = this.#options;
    const object = new PublishedObject({
      ...this.#options,
      namespace,
      wanted: () => this.#wanted(),
      apply: (body, signal) => this.#apply(resource, body, signal),
      onFailure: (error) => {
        this.#options.onFailure(this.name, error);
        const isGone = place.kind === 'cluster' && error.code === 'KUBE_NOT_FOUND';
        // Not from within the write that it has to wait for.
        if (isGone) setImmediate(() => this.#findAgain());
      },
    });
    this.#objects.set(namespace ?? '', object);
    this.#resources.set(namespace ?? '', resource);
    // A watch may have told of it before its namespace was known.
    const seen = this.#watch?.get(keyOf({ namespace: namespace ?? '', name: form.name }));
    if (seen === undefined) object.wake();
    else object.seen(seen);
  }

  async #apply(
    resource: KubeResource,
    { metadata, ...content }: KubeObject,
    signal: AbortSignal,
  ): Promise<Result<KubeObject>> {
    const { api, form } = this.#options;
    const path = pathOf(resource, form.name);
    if (!path.ok) return path;
    const { group, version } = resource;
    return api.request({
      verb: 'patch',
      patch: 'apply',
      path: path.value,
      // Fields of another writer, such as a SPIRE server before us, become ours.
      query: { fieldManager: FIELD_MANAGER, force: 'true' },
      body: {
        apiVersion: group === '' ? version : `${group}/${version}`,
        kind: form.kind,
        metadata,
        ...content,
      },
      timeoutMs: WRITE_TIMEOUT_MS,
      signal,
    });
  }

  /** Rendered once for all objects. */
  #wanted(): Wanted | undefined {
    const { form } = this.#options;
    const bundle = this.#options.bundle();
    if (bundle === undefined) return undefined;
    if (this.#rendered?.bundle === bundle) return this.#rendered.wanted;
    const object = form.render(bundle);
    if (!object.ok) this.#refused(object.error);
    const wanted = object.ok
      ? { sequence: bundle.sequence, object: object.value, shown: form.shown(object.value) }
      : undefined;
    this.#rendered = { bundle, wanted };
    return wanted;
  }

  /** What others hold stays: pods that lost all trust would refuse everybody. */
  #refused(error: SignetError): void {
    const { log, onFailure } = this.#options;
    onFailure(this.name, error);
    const { code, message: reason, action } = error;
    const facts = { object: this.name, code, reason, action };
    log.warn(facts, 'bundle is not published; what was published stays');
  }

  #watchNamespaces(labelSelector: string): void {
    const { api, clock, random, log, metrics } = this.#options;
    const watch = watchKube<string>({
      ...{ api, clock, random, log, metrics, labelSelector },
      resource: NAMESPACES,
      // In one that is being deleted nothing can be made.
      project: (object) =>
        textAt(object, 'metadata', 'deletionTimestamp') === undefined
          ? metaOf(object).name
          : undefined,
    });
    this.#namespaces = watch;
    watch.onChange((change) => {
      if (change.kind === 'put' && !this.#objects.has(change.key)) {
        this.#publish({ ...CONFIG_MAPS, namespace: change.key }, change.key);
      }
      if (change.kind !== 'delete') return;
      // The namespace has gone, or was taken out: what stands there is left to others.
      void this.#objects.get(change.key)?.stop();
      this.#objects.delete(change.key);
      this.#resources.delete(change.key);
    });
  }

  #watchObjects(resource: KubeResource): void {
    const { api, clock, random, log, metrics, form } = this.#options;
    this.#watch = watchKube<Seen>({
      ...{ api, clock, random, log, metrics, resource },
      // By name: a role can be bound to it.
      fieldSelector: `metadata.name=${form.name}`,
      project: (object) => ({
        shown: form.shown(object),
        resourceVersion: metaOf(object).resourceVersion,
      }),
    });
    this.#watch.onChange((change: KubeChange<Seen>) => {
      if (change.kind === 'synced') return;
      const namespace = change.key.includes('/') ? change.key.split('/')[0] : '';
      const object = this.#objects.get(namespace ?? '');
      object?.seen(change.kind === 'put' ? change.value : undefined);
    });
  }
}
