import { isDeepStrictEqual } from 'node:util';
import type { SignetError } from '../../base/errors.ts';
import { fail } from '../../base/result.ts';
import type { ConnectorView } from '../../registry/connectors.ts';
import type { ConnectorGroup, ConnectorGroupDraft } from '../../rules/connector/group.ts';
import { connectorLives } from '../../rules/connector/life.ts';
import { connectorOriginOf, connectorOwnerOf } from '../../rules/connector/permission.ts';
import type { ConnectorDelete, ConnectorWrite } from '../../store/connectors.ts';
import { type GroupObject, titleOf } from './connector-object.ts';

/** What one cluster says. */
export interface ClusterGroups {
  readonly name: string;
  /** Whether all of its objects are known. Until then nothing of it counts, and nothing of it goes. */
  readonly isSynced: boolean;
  readonly objects: readonly GroupObject[];
  /** Whether configuration lets an object make a group of its name. */
  readonly mayMake: (object: GroupObject) => boolean;
}

/** What a plan is made from. */
export interface GroupPlanInput {
  readonly clusters: readonly ClusterGroups[];
  readonly view: Pick<ConnectorView, 'group' | 'groups' | 'connectorsIn'>;
  readonly nowSeconds: number;
}

/** How an object stands. */
export interface GroupStanding {
  readonly object: GroupObject;
  /** Why it is not in force; undefined where it is. */
  readonly problem: SignetError | undefined;
}

/** What has to be written for the groups to be as the objects say. */
export interface GroupPlan {
  readonly writes: readonly ConnectorWrite<ConnectorGroupDraft>[];
  readonly deletes: readonly ConnectorDelete[];
  /** Groups whose object is gone, those to be deleted included. */
  readonly leaving: number;
  readonly standings: readonly GroupStanding[];
}

/**
 * Which groups the objects of all clusters ask for. A group's name is the trust domain's: of several objects
 * of one name the one that has it keeps it, else the oldest gets it. What an operator made stays as it is, and
 * so does what belongs to a cluster that has not been read whole, or is not known here. An object that cannot
 * be read any more keeps what it had. A group whose object is gone, or may not make it any more, lets nobody
 * in from then on, and goes with its last connector.
 */
export function planGroups(input: GroupPlanInput): GroupPlan {
  const { clusters, view } = input;
  const standings: GroupStanding[] = [];
  const claims: GroupObject[] = [];
  const kept = new Set<string>();
  for (const { objects, mayMake } of clusters.filter(({ isSynced }) => isSynced)) {
    for (const object of objects) {
      if (!mayMake(object)) standings.push({ object, problem: notAllowed(object) });
      else if (object.stated.ok) claims.push(object);
      else standings.push({ object, problem: object.stated.error });
      if (mayMake(object) && !object.stated.ok) kept.add(connectorOriginOf(object));
    }
  }
  const winners = new Map<string, GroupObject>();
  const writes: ConnectorWrite<ConnectorGroupDraft>[] = [];
  for (const object of claims.sort(byHoldAndAge(view))) {
    const problem = problemOf(object, winners.get(object.name), input);
    standings.push({ object, problem });
    if (winners.has(object.name)) continue;
    winners.set(object.name, object);
    if (problem === undefined) writes.push(...writeOf(object, view));
  }
  const held = new Set([...winners.values()].map((object) => connectorOriginOf(object)));
  const over = overOf(input, (origin) => held.has(origin) || kept.has(origin));
  return {
    writes: [...writes, ...over.flatMap((group) => shut(group))],
    deletes: over
      .filter(({ name }) => !hasLive(input, name))
      .map(({ name, origin }) => ({ name, origin })),
    leaving: over.length,
    standings,
  };
}

function notAllowed(object: GroupObject): SignetError {
  const what = `namespace ${object.namespace} of cluster ${object.cluster} may not make group ${object.name}`;
  return fail('CONNECTOR_GROUP_NOT_ALLOWED', what).error;
}

function byHoldAndAge(view: GroupPlanInput['view']): (a: GroupObject, b: GroupObject) => number {
  const holds = (object: GroupObject): boolean =>
    view.group(object.name)?.origin === connectorOriginOf(object);
  return (a, b) => {
    if (holds(a) !== holds(b)) return holds(a) ? -1 : 1;
    if (a.createdAtMs !== b.createdAtMs) return a.createdAtMs - b.createdAtMs;
    return `${a.cluster}/${a.uid}` < `${b.cluster}/${b.uid}` ? -1 : 1;
  };
}

function problemOf(
  object: GroupObject,
  winner: GroupObject | undefined,
  { clusters, view }: GroupPlanInput,
): SignetError | undefined {
  const claimed = (who: string): SignetError =>
    fail('CONNECTOR_GROUP_CLAIMED', `group ${object.name} is that of ${who}`).error;
  if (winner !== undefined) return claimed(titleOf('ConnectorGroup', winner));
  const existing = view.group(object.name);
  if (existing === undefined || existing.origin === connectorOriginOf(object)) return undefined;
  const owner = connectorOwnerOf(existing.origin);
  if (owner === undefined) return claimed('an operator');
  const cluster = clusters.find(({ name }) => name === owner.cluster);
  // Its object may be there still: nobody has looked, or nobody looks any more.
  const isThere = cluster?.isSynced !== true;
  const until = isThere ? '' : ', which is gone, until its last connector is, too';
  return claimed(`${titleOf('ConnectorGroup', owner)}${until}`);
}

function writeOf(
  { stated }: GroupObject,
  view: GroupPlanInput['view'],
): readonly ConnectorWrite<ConnectorGroupDraft>[] {
  if (!stated.ok) return [];
  const existing = view.group(stated.value.name);
  if (existing !== undefined && isSameGroup(existing, stated.value)) return [];
  return [{ draft: stated.value, expectedRevision: existing?.revision ?? 0n }];
}

function isSameGroup({ revision: _, ...existing }: ConnectorGroup, draft: ConnectorGroupDraft) {
  return isDeepStrictEqual({ ...existing }, { ...draft });
}

/** Groups whose object is gone from a cluster that has been read whole. */
function overOf(
  { clusters, view }: GroupPlanInput,
  isKept: (origin: string) => boolean,
): readonly ConnectorGroup[] {
  return [...view.groups()].filter(({ origin }) => {
    const owner = connectorOwnerOf(origin);
    const isRead = clusters.some(({ name, isSynced }) => isSynced && name === owner?.cluster);
    return isRead && !isKept(origin);
  });
}

/** Has nobody enrol in a group any more; nothing where that is so already. */
function shut(group: ConnectorGroup): readonly ConnectorWrite<ConnectorGroupDraft>[] {
  if (group.proofs.length === 0) return [];
  const { revision, ...draft } = group;
  return [{ draft: { ...draft, proofs: [] }, expectedRevision: revision }];
}

/** Whether a group has connectors that have not ended: the store keeps it until then. */
function hasLive({ view, nowSeconds }: GroupPlanInput, name: string): boolean {
  for (const connector of view.connectorsIn(name)) {
    if (connectorLives(connector, nowSeconds)) return true;
  }
  return false;
}
