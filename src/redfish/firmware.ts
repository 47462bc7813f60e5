import { ok, type Result } from '../base/result.ts';
import type { Bmc, BmcCall } from './bmc-client.ts';
import { textAt } from './fields.ts';
import { lastSegment } from './resource-path.ts';
import { firmwareLinks } from './system.ts';

/** Firmware whose version is a sentence that there is none. */
const NONE = /^no valid /;

const GONE: readonly string[] = ['REDFISH_UNREACHABLE', 'REDFISH_TIMEOUT'];

/**
 * Versions by the name of the firmware, as the BMC says; what it cannot tell is left out. Fails where
 * the collection itself cannot be read.
 */
export async function readFirmware(
  bmc: Bmc,
  call?: BmcCall,
): Promise<Result<ReadonlyMap<string, string>>> {
  const links = await firmwareLinks(bmc, call);
  if (!links.ok) return links;
  const versions = new Map<string, string>();
  for (const link of links.value) {
    const item = await bmc.get(link, call);
    // One that is gone or faulty tells nothing; a BMC that is gone, or silent, ends the reading.
    if (!item.ok && GONE.includes(item.error.code)) return item;
    const version = item.ok ? textAt(item.value, 'Version') : undefined;
    if (version !== undefined && !NONE.test(version)) versions.set(lastSegment(link), version);
  }
  return ok(versions);
}
