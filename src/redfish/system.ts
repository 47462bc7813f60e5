import { fail, ok, type Result } from '../base/result.ts';
import type { Bmc, BmcCall } from './bmc-client.ts';
import { linkAt, membersOf } from './fields.ts';
import { lastSegment, type ResourcePath, resourcePath } from './resource-path.ts';

const SYSTEMS = resourcePath('/redfish/v1/Systems');
const FIRMWARE = resourcePath('/redfish/v1/UpdateService/FirmwareInventory');
const MAX_SYSTEMS = 16;
const MAX_FIRMWARE = 64;
/** What the system of a BlueField card is called. */
const BLUEFIELD = 'Bluefield';

/**
 * The system that a card is: the one called `Bluefield`, else the only one. Fails with
 * REDFISH_ANSWER_SHAPE where there is neither, and with what answers are refused with.
 */
export async function findSystem(bmc: Bmc, call?: BmcCall): Promise<Result<ResourcePath>> {
  const systems = await linksOf(bmc, SYSTEMS, MAX_SYSTEMS, call);
  if (!systems.ok) return systems;
  const named = systems.value.find((path) => lastSegment(path) === BLUEFIELD);
  const only = systems.value.length === 1 ? systems.value[0] : undefined;
  const system = named ?? only;
  if (system !== undefined) return ok(system);
  return fail('REDFISH_ANSWER_SHAPE', 'the BMC has no system Bluefield, and not exactly one other');
}

/** The resources of the firmware that a BMC knows of. */
export function firmwareLinks(bmc: Bmc, call?: BmcCall): Promise<Result<readonly ResourcePath[]>> {
  return linksOf(bmc, FIRMWARE, MAX_FIRMWARE, call);
}

/**
 * The links of a collection, at most so many. Fails with REDFISH_ANSWER_SHAPE and what answers are refused
 * with.
 */
export async function linksOf(
  bmc: Bmc,
  path: ResourcePath,
  most: number,
  call?: BmcCall,
): Promise<Result<readonly ResourcePath[]>> {
  const collection = await bmc.get(path, call);
  if (!collection.ok) return collection;
  const members = membersOf(collection.value, most);
  if (!members.ok) return members;
  const links: ResourcePath[] = [];
  for (const member of members.value) {
    const link = linkAt(bmc.origin, member);
    if (!link.ok) return link;
    if (link.value !== undefined) links.push(link.value);
  }
  return ok(links);
}
