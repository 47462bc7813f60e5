import type { Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import type { Result } from '../../base/result.ts';
import type { KubeApi } from '../../kube/kube-api.ts';
import type { KubeMetrics } from '../../kube/metrics.ts';
import type { ConnectorRegistry } from '../../registry/connectors.ts';
import type { Logger } from '../../runtime/log.ts';
import type { ClassFilter } from '../rule-kinds.ts';
import { Settling } from '../settling.ts';
import { ClusterObjects } from './cluster-objects.ts';
import { type GroupPlan, type GroupStanding, planGroups } from './group-plan.ts';
import { planSegments, type SegmentPlan, type SegmentStanding } from './segment-plan.ts';
import type { KubeConnectorSettings } from './settings.ts';

/** A cluster whose objects are acted on. */
export interface ConnectorCluster {
  readonly name: string;
  readonly api: KubeApi;
  readonly filter: ClassFilter;
  readonly settings: KubeConnectorSettings;
  /** Such as `cluster.local`; empty leaves the names that end in it out. */
  readonly clusterDomain: string;
}

/** What following the objects of all clusters needs. */
export interface ConnectorObjectsOptions {
  readonly clusters: readonly ConnectorCluster[];
  readonly connectors: ConnectorRegistry;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics?: KubeMetrics | undefined;
}

/** How the objects of a cluster stand. */
export interface ConnectorStandings {
  readonly groups: readonly GroupStanding[];
  readonly segments: readonly SegmentStanding[];
}

/** Most segments of one transaction. */
const BATCH = 500;

/**
 * Keeps the groups and segments that ConnectorGroups and ConnectorSegments of all clusters ask for, in one
 * place: two clusters may name one group. Every server does, by compare-and-swap: the first one writes, the
 * others find it written.
 */
export class ConnectorObjects {
  readonly #options: ConnectorObjectsOptions;
  readonly #clusters: readonly ClusterObjects[];
  readonly #settling: Settling;
  readonly #endListening: () => void;
  #groups: readonly GroupStanding[] = [];
  #segments: readonly SegmentStanding[] = [];
  /** Whether a group is to go when its connectors have: until then those are of interest. */
  #hasLeaving = false;

  constructor(options: ConnectorObjectsOptions) {
    this.#options = options;
    this.#settling = new Settling(options.clock, () => this.#look());
    const onChange = (): void => this.#settling.wake();
    this.#clusters = options.clusters.map(
      (cluster) => new ClusterObjects({ ...options, cluster, onChange }),
    );
    this.#endListening = options.connectors.onChange(({ groups, segments }) => {
      if (groups.size + segments.size > 0 || this.#hasLeaving) this.#settling.wake();
    });
  }

  /** How the objects of a cluster stand. */
  standings(cluster: string): ConnectorStandings {
    return {
      groups: this.#groups.filter(({ object }) => object.cluster === cluster),
      segments: this.#segments.filter(({ object }) => object.cluster === cluster),
    };
  }

  /** Calls back when objects may stand otherwise. Returns what ends it. */
  onChange(listener: () => void): () => void {
    return this.#settling.onChange(listener);
  }

  async stop(): Promise<void> {
    this.#endListening();
    await this.#settling.stop(this.#clusters);
  }

  async #look(): Promise<void> {
    const { connectors: view, clock } = this.#options;
    const nowSeconds = Math.floor(clock.nowMs() / 1000);
    const stated = this.#clusters.map((one) => one.groups());
    const groups = planGroups({ clusters: stated, view, nowSeconds });
    this.#groups = groups.standings;
    const first = await this.#writeGroups(groups, nowSeconds);
    // Whether a group takes a segment is judged by the group as it is now.
    const segments = planSegments({ clusters: this.#clusters.map((one) => one.segments()), view });
    this.#segments = segments.standings;
    const second = await this.#writeSegments(segments);
    if (!(first && second)) this.#settling.wakeLater();
  }

  async #writeGroups(
    { writes, deletes, leaving }: GroupPlan,
    nowSeconds: number,
  ): Promise<boolean> {
    this.#hasLeaving = leaving > 0;
    const { connectors } = this.#options;
    const written =
      writes.length === 0 || this.#done(await connectors.writeConnectorGroups(writes));
    const gone =
      deletes.length === 0 ||
      this.#done(await connectors.deleteConnectorGroups(deletes, nowSeconds));
    for (const { draft } of written ? writes : []) this.#tell('group', draft.name, draft.origin);
    for (const { name, origin = '' } of gone ? deletes : [])
      this.#tell('group', name, origin, true);
    return written && gone;
  }

  async #writeSegments({ writes, deletes }: SegmentPlan): Promise<boolean> {
    const { connectors } = this.#options;
    let isDone = true;
    for (let at = 0; at < writes.length && !this.#settling.isStopped; at += BATCH) {
      const batch = writes.slice(at, at + BATCH);
      const written = this.#done(await connectors.writeConnectorSegments(batch));
      for (const { draft } of written ? batch : []) this.#tell('segment', draft.id, draft.origin);
      isDone &&= written;
    }
    for (let at = 0; at < deletes.length && !this.#settling.isStopped; at += BATCH) {
      const batch = deletes.slice(at, at + BATCH);
      const gone = this.#done(await connectors.deleteConnectorSegments(batch));
      for (const { name, origin = '' } of gone ? batch : []) {
        this.#tell('segment', name, origin, true);
      }
      isDone &&= gone;
    }
    return isDone;
  }

  /** Whether all of it took place; what another server did first is found when it is looked at again. */
  #done(
    result: Result<readonly ({ readonly outcome: string } | 'deleted' | 'missing' | 'in-use')[]>,
  ): boolean {
    if (!result.ok) this.#fault(result.error);
    return (
      result.ok &&
      result.value.every((one) =>
        typeof one === 'string' ? one !== 'in-use' : one.outcome === 'written',
      )
    );
  }

  #fault({ code, message: reason, action }: SignetError): void {
    const what = 'groups and segments of objects are not written';
    this.#options.log.warn({ code, reason, action }, what);
  }

  #tell(kind: 'group' | 'segment', name: string, origin: string, gone = false): void {
    const what = gone ? `a ${kind} ended with its object` : `a ${kind} is as its object says`;
    this.#options.log.info({ [kind]: name, origin }, what);
  }
}
