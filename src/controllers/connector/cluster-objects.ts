import type { KubeObject } from '../../kube/objects.ts';
import type { KubeResource } from '../../kube/resource.ts';
import { type KubeWatch, watchKube } from '../../kube/watch.ts';
import { SERVICES } from '../service-names.ts';
import {
  CONNECTOR_GROUPS,
  CONNECTOR_SEGMENTS,
  type GroupObject,
  groupObjectFrom,
  type SegmentObject,
  segmentObjectFrom,
} from './connector-object.ts';
import type { ConnectorCluster, ConnectorObjectsOptions } from './connector-objects.ts';
import type { ClusterGroups } from './group-plan.ts';
import type { ClusterSegments } from './segment-plan.ts';
import { type ServiceAddresses, serviceAddressesFrom } from './service-hosts.ts';
import { mayMakeGroup } from './settings.ts';

/** What following the objects of one cluster needs. */
interface ClusterObjectsOptions extends Omit<ConnectorObjectsOptions, 'clusters' | 'connectors'> {
  readonly cluster: ConnectorCluster;
  /** Called when what the cluster says may be something else. */
  readonly onChange: () => void;
}

/** ConnectorGroups and ConnectorSegments of one cluster; its services once one of these names any. */
export class ClusterObjects {
  readonly #options: ClusterObjectsOptions;
  readonly #groups: KubeWatch<GroupObject>;
  readonly #segments: KubeWatch<SegmentObject>;
  #services: KubeWatch<ServiceAddresses> | undefined;

  constructor(options: ClusterObjectsOptions) {
    this.#options = options;
    const { name: cluster, filter } = options.cluster;
    const reading = { cluster, filter };
    this.#groups = this.#watch(CONNECTOR_GROUPS, (object) => groupObjectFrom(object, reading));
    this.#segments = this.#watch(CONNECTOR_SEGMENTS, (object) =>
      segmentObjectFrom(object, reading),
    );
  }

  groups(): ClusterGroups {
    const { name, settings } = this.#options.cluster;
    return {
      name,
      isSynced: this.#groups.synced,
      objects: valuesOf(this.#groups),
      mayMake: (object) => mayMakeGroup(settings, object),
    };
  }

  segments(): ClusterSegments {
    const { name, clusterDomain } = this.#options.cluster;
    const objects = valuesOf(this.#segments);
    if (objects.some(({ stated }) => stated.ok && stated.value.services.length > 0)) {
      this.#services ??= this.#watch(SERVICES, serviceAddressesFrom);
    }
    return {
      name,
      isSynced: this.#segments.synced && this.#services?.synced !== false,
      objects,
      service: (key) => this.#services?.get(key),
      clusterDomain,
    };
  }

  async stop(): Promise<void> {
    const watches = [this.#groups, this.#segments, this.#services];
    await Promise.all(watches.map((watch) => watch?.stop()));
  }

  #watch<T>(resource: KubeResource, project: (object: KubeObject) => T | undefined): KubeWatch<T> {
    const { clock, random, metrics, log, cluster, onChange } = this.#options;
    const watch = watchKube<T>({
      ...{ api: cluster.api, clock, random, metrics, resource, project },
      log: log.child({ cluster: cluster.name }),
    });
    watch.onChange(onChange);
    return watch;
  }
}

function valuesOf<T>(watch: KubeWatch<T>): readonly T[] {
  return [...watch.entries()].map(([, value]) => value);
}
