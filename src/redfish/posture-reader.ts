import { ok, type Result } from '../base/result.ts';
import type { JsonObject } from '../spiffe/json.ts';
import type { Bmc, BmcCall } from './bmc-client.ts';
import { linkAt } from './fields.ts';
import { readFirmware } from './firmware.ts';
import { inTime } from './pace.ts';
import type { PostureReadings } from './posture.ts';
import { childPath, type ResourcePath } from './resource-path.ts';
import { findSystem } from './system.ts';

/**
 * Reads what a BMC says of the state of its card, within the time of one collection. Only a BMC that does not tell its systems is a refusal
 * of the whole; every other resource is read, or refused, by itself.
 */
export function readPosture(bmc: Bmc, call?: BmcCall): Promise<Result<PostureReadings>> {
  return inTime(bmc, call?.signal, (signal) => readParts(bmc, { ...call, signal }));
}

async function readParts(bmc: Bmc, call: BmcCall): Promise<Result<PostureReadings>> {
  const path = await findSystem(bmc, call);
  if (!path.ok) return path;
  const below = (...names: readonly string[]) => readBelow(bmc, path.value, names, call);
  const oem = await below('Oem', 'Nvidia');
  return ok({
    oem,
    bios: await below('Bios'),
    secureBoot: await below('SecureBoot'),
    hostPrivileges: await readPrivileges(bmc, path.value, oem, call),
    firmware: await readFirmware(bmc, call),
  });
}

/** A resource at its place below a card's system. */
export async function readBelow(
  bmc: Bmc,
  system: ResourcePath,
  names: readonly string[],
  call?: BmcCall,
): Promise<Result<JsonObject>> {
  const path = childPath(system, ...names);
  return path.ok ? bmc.get(path.value, call) : path;
}

/** Where the OEM resource says, else where BlueField BMCs have it. */
async function readPrivileges(
  bmc: Bmc,
  system: ResourcePath,
  oem: Result<JsonObject>,
  call?: BmcCall,
): Promise<Result<JsonObject>> {
  if (!oem.ok) return oem;
  const link = linkAt(bmc.origin, oem.value, 'Connectx', 'ExternalHostPrivilege');
  if (!link.ok) return link;
  if (link.value !== undefined) return bmc.get(link.value, call);
  return readBelow(bmc, system, ['Oem', 'Nvidia', 'Connectx', 'ExternalHostPrivileges'], call);
}
