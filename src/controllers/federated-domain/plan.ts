import type { SignetError } from '../../base/errors.ts';
import { fail, type Result } from '../../base/result.ts';
import type { FederationView } from '../../registry/federation.ts';
import { type FederatedBundle, type Federation, sameProfile } from '../../rules/federation.ts';
import type { StatedDomain } from '../../rules/kube/federated-domain.ts';
import type { FederationDelete, FederationWrite } from '../../store/federation.ts';
import { type DomainObject, domainTitle, originOf, ownerOf } from './domain-object.ts';

/** What one cluster says. */
export interface ClusterDomains {
  readonly name: string;
  /** Whether all of its objects are known. Until then nothing of it counts, and nothing of it goes. */
  readonly isSynced: boolean;
  readonly objects: readonly DomainObject[];
}

/** What a plan is made from. */
export interface PlanInput {
  readonly clusters: readonly ClusterDomains[];
  readonly federation: Pick<FederationView, 'relationship' | 'relationships' | 'bundle'>;
  /** The bundles that objects gave to begin with when they were looked at before, by origin. */
  readonly bundleTexts: ReadonlyMap<string, string>;
}

/** How an object stands. */
export interface DomainStanding {
  readonly cluster: string;
  readonly object: DomainObject;
  /** Why it is not in force; undefined where it is. */
  readonly problem: SignetError | undefined;
}

/** What has to be written for the relationships to be as the objects say. */
export interface FederationPlan {
  readonly writes: readonly FederationWrite[];
  readonly deletes: readonly FederationDelete[];
  readonly standings: readonly DomainStanding[];
}

interface Claim {
  readonly cluster: string;
  readonly object: DomainObject;
  readonly stated: StatedDomain;
}

/**
 * Which relationships the objects of all clusters ask for: of several that name one trust domain the oldest
 * has it. What an operator made stays as it is, and so does what belongs to a cluster that has not been read
 * whole, or is not known here. An object that cannot be read any more keeps what it had.
 */
export function planFederation(input: PlanInput): FederationPlan {
  const synced = input.clusters.filter(({ isSynced }) => isSynced);
  const standings: DomainStanding[] = [];
  const claims: Claim[] = [];
  for (const { name: cluster, objects } of synced) {
    for (const object of objects) {
      const { stated } = object;
      if (stated.ok) claims.push({ cluster, object, stated: stated.value });
      else standings.push({ cluster, object, problem: stated.error });
    }
  }
  const winners = new Map<string, Claim>();
  const writes: FederationWrite[] = [];
  for (const claim of claims.sort(byAge(input))) {
    const { cluster, object, stated } = claim;
    const { name } = stated.trustDomain;
    const problem = problemOf(claim, winners.get(name), input);
    standings.push({ cluster, object, problem });
    if (winners.has(name)) continue;
    winners.set(name, claim);
    if (problem === undefined) writes.push(...writeOf(claim, input));
  }
  return { writes, deletes: deletesOf(input, winners), standings };
}

/** Kubernetes tells the second of a creation: of two in one second, the one that has the relationship. */
function byAge({ federation }: PlanInput): (a: Claim, b: Claim) => number {
  const holds = ({ cluster, object, stated }: Claim): boolean =>
    federation.relationship(stated.trustDomain.name)?.origin === originOf(cluster, object.name);
  return (a, b) => {
    if (a.object.createdAtMs !== b.object.createdAtMs) {
      return a.object.createdAtMs - b.object.createdAtMs;
    }
    if (holds(a) !== holds(b)) return holds(a) ? -1 : 1;
    const [one, other] = [a, b].map(({ cluster, object }) => `${cluster}/${object.uid}`);
    return (one ?? '') < (other ?? '') ? -1 : 1;
  };
}

function problemOf(
  { cluster, object, stated }: Claim,
  winner: Claim | undefined,
  { clusters, federation }: PlanInput,
): SignetError | undefined {
  const { name } = stated.trustDomain;
  if (winner !== undefined) {
    const older = domainTitle(winner.cluster, winner.object.name);
    return fail('FEDERATION_CLAIMED', `${older} came before and names ${name}, too`).error;
  }
  const existing = federation.relationship(name);
  if (existing === undefined || existing.origin === originOf(cluster, object.name)) {
    return undefined;
  }
  const owner = ownerOf(existing.origin);
  if (owner === undefined) {
    return fail('FEDERATION_CLAIMED', `an operator made the relationship with ${name}`).error;
  }
  const isUnread = clusters.some((one) => one.name === owner.cluster && !one.isSynced);
  if (!isUnread) return undefined;
  const title = domainTitle(owner.cluster, owner.name);
  return fail('FEDERATION_CLAIMED', `${title} has ${name}; that cluster is not read yet`).error;
}

function writeOf({ cluster, object, stated }: Claim, input: PlanInput): readonly FederationWrite[] {
  const { trustDomain, bundleEndpointUrl, profile } = stated;
  const existing = input.federation.relationship(trustDomain.name);
  const held = input.federation.bundle(trustDomain.name);
  const origin = originOf(cluster, object.name);
  const bundle = bundleOf({ object, stated, held, before: input.bundleTexts.get(origin) });
  const draft = { trustDomain, bundleEndpointUrl, profile, origin };
  if (bundle === undefined && existing !== undefined && isSame(existing, draft)) return [];
  return [
    {
      federation: draft,
      mode: 'set',
      expectedRevision: existing?.revision ?? 0n,
      bundle,
      expectedBundle: held?.revision ?? 0n,
    },
  ];
}

function isSame(a: Federation, b: Omit<Federation, 'revision'>): boolean {
  return (
    a.origin === b.origin &&
    a.bundleEndpointUrl === b.bundleEndpointUrl &&
    sameProfile(a.profile, b.profile)
  );
}

/** The bundle to begin with: where none is held, or where the object was given another one. */
function bundleOf(from: {
  readonly object: DomainObject;
  readonly stated: StatedDomain;
  readonly held: FederatedBundle | undefined;
  readonly before: string | undefined;
}): StatedDomain['bundle'] {
  const { object, stated, held, before } = from;
  if (held === undefined) return stated.bundle;
  // What an operator set is his.
  if (ownerOf(held.origin) === undefined) return undefined;
  const isNew = before !== undefined && before !== object.bundleText;
  return isNew ? stated.bundle : undefined;
}

/** Relationships of objects that are gone, or name another trust domain now. */
function deletesOf(
  { clusters, federation }: PlanInput,
  winners: ReadonlyMap<string, Claim>,
): readonly FederationDelete[] {
  return [...federation.relationships()].flatMap(({ trustDomain: { name }, origin }) => {
    const owner = ownerOf(origin);
    const cluster = clusters.find((one) => one.name === owner?.cluster);
    if (owner === undefined || cluster?.isSynced !== true || winners.has(name)) return [];
    const object = cluster.objects.find((one) => one.name === owner.name);
    const isUnreadable = object !== undefined && !object.stated.ok;
    return isUnreadable ? [] : [{ trustDomain: name, origin }];
  });
}

/** The bundles that the objects in force give to begin with, by origin, for the next plan. */
export function bundleTextsOf(standings: readonly DomainStanding[]): ReadonlyMap<string, string> {
  return new Map(
    standings.map(({ cluster, object }) => [originOf(cluster, object.name), object.bundleText]),
  );
}

/** Whether all writes took place. */
export function allWritten(written: Result<readonly { readonly outcome: string }[]>): boolean {
  return written.ok && written.value.every(({ outcome }) => outcome === 'written');
}
