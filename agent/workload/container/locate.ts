import { fail, ok, type Result } from '../../../src/base/result.ts';
import type { CgroupPaths, ReadCgroups } from './cgroup-file.ts';
import {
  CONTAINER_SIGN,
  type ContainerOwner,
  NEIGHBOUR_LAYOUTS,
  NODE_CONTAINER,
  ROOTED_LAYOUTS,
} from './layouts.ts';

/** The container that a process is in. */
export interface ContainerPlace {
  readonly owner: ContainerOwner;
  /** 64 hexadecimal digits. */
  readonly containerId: string;
  /** UID of its pod where the path has it, with dashes; static pods have 32 digits without. */
  readonly podUid: string | undefined;
}

/** Answers where a process is; undefined where it is in no container. */
export type LocateContainer = (pid: number) => Result<ContainerPlace | undefined>;

/**
 * Finds containers by the cgroups that the kernel states. What stands before the layouts in the
 * agent's own cgroup (the container that is its node) is passed over in others'. Fails with
 * AGENT_PROCESS_UNREADABLE or AGENT_CONTAINER_LAYOUT.
 */
export function createLocator(read: ReadCgroups): LocateContainer {
  // Read when first asked, and kept: an agent does not move.
  let nodes: Result<readonly string[]> | undefined;
  return (pid) => {
    if (nodes?.ok !== true) nodes = nodeContainers(read);
    if (!nodes.ok) return nodes;
    const paths = read(pid);
    return paths.ok ? locateContainer(paths.value, nodes.value) : paths;
  };
}

/** The containers that the agent's own node is in: paths that stand before those of its workloads. */
function nodeContainers(read: ReadCgroups): Result<readonly string[]> {
  const own = read('self');
  if (!own.ok) return own;
  const found = own.value.map((path) => NODE_CONTAINER.exec(path)?.[0]);
  return ok([...new Set(found.filter((path) => path !== undefined))]);
}

/**
 * The container that the cgroups of a process name, all of them the same one; undefined where they
 * name none. Fails with AGENT_CONTAINER_LAYOUT where they differ, where one looks like a container's
 * and fits no layout, and for a container inside another: what is inside was named by the outer one.
 *
 * @param nodes What may stand before the layouts: see {@link createLocator}.
 */
export function locateContainer(
  paths: CgroupPaths,
  nodes: readonly string[] = [],
): Result<ContainerPlace | undefined> {
  let found: ContainerPlace | undefined;
  for (const path of paths) {
    const place = placeOf(withoutNode(path, nodes));
    if (!place.ok) return place;
    if (place.value === undefined) continue;
    if (found !== undefined && !samePlace(found, place.value)) {
      return fail('AGENT_CONTAINER_LAYOUT', 'the cgroups of the process name several containers');
    }
    found = place.value;
  }
  return ok(found);
}

/** Whether two answers are about the same container of the same pod. */
export function samePlace(
  one: ContainerPlace | undefined,
  other: ContainerPlace | undefined,
): boolean {
  return (
    one?.containerId === other?.containerId &&
    one?.podUid === other?.podUid &&
    one?.owner === other?.owner
  );
}

function withoutNode(path: string, nodes: readonly string[]): string {
  const node = nodes.find((prefix) => path.startsWith(`${prefix}/`));
  return node === undefined ? path : path.slice(node.length);
}

function placeOf(path: string): Result<ContainerPlace | undefined> {
  const dots = /^(?:\/\.\.)+(?=\/|$)/.exec(path)?.[0] ?? '';
  const tail = path.slice(dots.length);
  if (/(?:^|\/)\.\.(?:\/|$)/.test(tail)) return unknownLayout();
  for (const { owner, pattern } of dots === '' ? ROOTED_LAYOUTS : NEIGHBOUR_LAYOUTS) {
    const match = pattern.exec(tail);
    if (match === null) continue;
    const { id, uid } = match.groups ?? {};
    if (id === undefined || CONTAINER_SIGN.test(tail.slice(match[0].length))) break;
    return ok({ owner, containerId: id, podUid: uid?.replaceAll('_', '-') });
  }
  return CONTAINER_SIGN.test(tail) ? unknownLayout() : ok(undefined);
}

function unknownLayout(): Result<never> {
  return fail(
    'AGENT_CONTAINER_LAYOUT',
    'the cgroup of the process is in no layout of a container that is known',
  );
}
