import type { Clock } from '../../../src/base/clock.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import type { PeerProcess } from '../../../src/rpc/service.ts';
import type { WorkloadAttestor } from '../attestor.ts';
import { type ContainerPlace, type LocateContainer, samePlace } from '../container/locate.ts';
import type { LabelsOfNamespace } from './namespace-labels.ts';
import type { PodClaim, PodIndex } from './pod-index.ts';
import type { PodSources } from './pod-sources.ts';
import { podSelectors } from './selectors.ts';

/** What the attestor asks for. */
export interface K8sAttestorParts {
  readonly locate: LocateContainer;
  readonly index: PodIndex;
  readonly sources: Pick<PodSources, 'ageMs' | 'problem'>;
  readonly clock: Clock;
  /** Longest wait for a container that no pod's status names yet, in milliseconds. */
  readonly holdMs: number;
  /** Absent where labels of namespaces are no selectors. */
  readonly namespaceLabels?: LabelsOfNamespace | undefined;
}

/** For how long pods are believed that were read before the last source went away. */
export const STALE_LIMIT_MS = 5 * 60_000;

interface Known {
  readonly place: ContainerPlace | undefined;
  readonly claim: PodClaim | undefined;
}

/**
 * The `k8s` attestor, with SPIRE's selectors: see {@link podSelectors}. A process that is in no pod has
 * none. One in a pod has all of them or is refused: its container has to be in the status of the pod
 * whose UID the cgroup names, for which it is held a while (the status follows the start). Fails with
 * AGENT_CONTAINER_LAYOUT, AGENT_POD_UNKNOWN, AGENT_POD_SOURCE, AGENT_PROCESS_UNREADABLE or KUBE_*.
 */
export function createK8sAttestor(parts: K8sAttestorParts): WorkloadAttestor {
  const { locate, index } = parts;
  const known = new WeakMap<PeerProcess, Known>();
  return {
    name: 'k8s',
    async attest(process) {
      const place = locate(process.pid);
      if (!place.ok) return place;
      if (!mayBePod(place.value)) {
        known.set(process, { place: place.value, claim: undefined });
        return ok([]);
      }
      const claim = await findClaim(parts, place.value);
      if (!claim.ok) return claim;
      const { pod, container } = claim.value;
      const labels = await parts.namespaceLabels?.(pod.namespace);
      if (labels?.ok === false) return labels;
      known.set(process, { place: place.value, claim: claim.value });
      return ok([...podSelectors(pod, container), ...namespaceSelectors(labels?.value)]);
    },
    holds(process) {
      const before = known.get(process);
      const now = locate(process.pid);
      if (before === undefined || !now.ok || !samePlace(before.place, now.value)) return false;
      if (before.claim === undefined) return true;
      // The very pod: one that changed, or was deleted, is looked at anew.
      const claims = index.claims(before.claim.container.containerId);
      return claims.length === 1 && claims[0]?.pod === before.claim.pod;
    },
  };
}

function namespaceSelectors(labels: ReadonlyMap<string, string> = new Map()): readonly string[] {
  return Array.from(labels, ([key, value]) => `k8s:ns-label:${key}:${value}`);
}

function mayBePod(place: ContainerPlace | undefined): place is ContainerPlace {
  return place?.owner === 'pod' || place?.owner === 'unknown';
}

async function findClaim(
  { index, sources, clock, holdMs }: K8sAttestorParts,
  place: ContainerPlace,
): Promise<Result<PodClaim>> {
  await index.wait(place.containerId, holdMs, clock);
  const [claim, ...others] = index.claims(place.containerId);
  const { ageMs, problem } = sources;
  if (ageMs === undefined || ageMs > STALE_LIMIT_MS) {
    const why = problem?.message ?? 'nothing was read yet';
    return fail('AGENT_POD_SOURCE', `the pods of this node are not known: ${why}`);
  }
  const container = `container ${place.containerId.slice(0, 12)}`;
  if (claim === undefined) {
    return fail('AGENT_POD_UNKNOWN', `${container} is in the status of no pod of this node`);
  }
  if (others.length > 0) {
    return fail('AGENT_POD_UNKNOWN', `${container} is in the status of several pods`);
  }
  const { uid, staticUid } = claim.pod;
  // A pod of the same name that came later has another UID: it is not this one.
  if (place.podUid !== undefined && place.podUid !== uid && place.podUid !== staticUid) {
    return fail('AGENT_POD_UNKNOWN', `${container} is of pod ${place.podUid}, not of ${uid}`);
  }
  return ok(claim);
}
