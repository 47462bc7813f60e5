import type { Cancel, Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import type { KubeMetrics } from '../../kube/metrics.ts';
import type { KubeChange } from '../../kube/object-cache.ts';
import { type KubeObject, objectsAt, textAt } from '../../kube/objects.ts';
import { type KubeResource, NODES } from '../../kube/resource.ts';
import { type KubeWatch, watchKube } from '../../kube/watch.ts';
import type { Logger } from '../../runtime/log.ts';
import { type PodCertificateRequest, podCertificateRequestFrom } from './request.ts';

/** What requests are watched with. */
export interface RequestFeedOptions {
  readonly api: KubeApi;
  readonly signerName: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly metrics?: KubeMetrics | undefined;
  readonly onChange: (change: KubeChange<PodCertificateRequest>) => void;
}

/** Versions of the API that have the kind, in the order of preference. */
const VERSIONS = ['v1', 'v1beta1'] as const;
type Version = (typeof VERSIONS)[number];

/** Kubelets from here on prove keys by a CSR; v1 does not show how older ones did. */
const FIRST_MINOR_WITH_CSR = 36;

/** Between two looks at what the API server serves, while it does not serve what is watched. */
const LOOK_MS = 5_000;

/**
 * The requests of one signer that are not answered, in the version of the API in which all of them can
 * be read: v1beta1 while a kubelet is older than 1.36, else v1, as far as the server has them.
 */
export class RequestFeed {
  readonly #options: RequestFeedOptions;
  readonly #nodes: KubeWatch<string>;
  readonly #stopped = new AbortController();
  #watch: KubeWatch<PodCertificateRequest> | undefined;
  #version: Version | undefined;
  #served: readonly Version[] = [];
  #cancel: Cancel = () => {};
  #looking: Promise<void>;
  #closing: Promise<void> = Promise.resolve();

  constructor(options: RequestFeedOptions) {
    const { api, clock, random, log, metrics } = options;
    this.#options = options;
    const project = (node: KubeObject): string =>
      textAt(node, 'status', 'nodeInfo', 'kubeletVersion') ?? '';
    this.#nodes = watchKube({ api, resource: NODES, project, clock, random, log, metrics });
    this.#nodes.onChange((change) => {
      const isNews = change.kind !== 'put' || change.before !== change.value;
      if (isNews) this.#choose();
    });
    this.#looking = this.#look();
  }

  /** Where a request stands in the API; undefined before that is known. */
  get resource(): KubeResource | undefined {
    return this.#version === undefined ? undefined : resourceOf(this.#version);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#cancel();
    await Promise.all([this.#nodes.stop(), this.#watch?.stop(), this.#looking, this.#closing]);
  }

  /** Asks what the server serves, where that is not known or no longer true. */
  async #look(): Promise<void> {
    const isGone = this.#watch?.problem?.code === 'KUBE_NOT_FOUND';
    if (this.#watch === undefined || isGone) {
      this.#served = await this.#discover();
      this.#choose();
    }
    if (this.#stopped.signal.aborted) return;
    this.#cancel = this.#options.clock.after(LOOK_MS, () => {
      this.#looking = this.#look();
    });
  }

  async #discover(): Promise<readonly Version[]> {
    const { signal } = this.#stopped;
    const served: Version[] = [];
    for (const version of VERSIONS) {
      const path = `/apis/certificates.k8s.io/${version}`;
      const list = await this.#options.api.request({ verb: 'get', path, signal });
      // A server that does not answer is asked again; one that does not know the version says so.
      if (!list.ok) continue;
      const names = objectsAt(list.value, 'resources').map((kind) => textAt(kind, 'name'));
      if (names.includes('podcertificaterequests')) served.push(version);
    }
    return served;
  }

  #choose(): void {
    if (!this.#nodes.synced || this.#stopped.signal.aborted) return;
    const isOldAround = [...this.#nodes.entries()].some(([, version]) => isOld(version));
    const [usual] = this.#served;
    const wanted = isOldAround && this.#served.includes('v1beta1') ? 'v1beta1' : usual;
    if (wanted === undefined || wanted === this.#version) return;
    const { log } = this.#options;
    log.info({ version: wanted, oldKubelets: isOldAround }, 'pod certificates are signed');
    this.#begin(wanted);
  }

  #begin(version: Version): void {
    const { api, signerName, clock, random, log, metrics, onChange } = this.#options;
    const before = this.#watch;
    this.#version = version;
    this.#watch = watchKube({
      api,
      resource: resourceOf(version),
      fieldSelector: `spec.signerName=${signerName}`,
      project: (object) => podCertificateRequestFrom(object, signerName),
      clock,
      random,
      log,
      metrics,
    });
    this.#watch.onChange(onChange);
    this.#closing = Promise.all([this.#closing, before?.stop()]).then(() => {});
  }
}

function resourceOf(version: Version): KubeResource {
  return { group: 'certificates.k8s.io', version, plural: 'podcertificaterequests' };
}

/** Whether a kubelet proves keys in the way that v1 does not show; of one that says nothing we assume not. */
function isOld(kubeletVersion: string): boolean {
  const minor = /^v1\.([0-9]{1,3})\b/.exec(kubeletVersion)?.[1];
  return minor !== undefined && Number(minor) < FIRST_MINOR_WITH_CSR;
}
