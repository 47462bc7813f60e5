import { fail, ok, type Result } from '../base/result.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../spiffe/json.ts';
import type { Bmc, BmcCall } from './bmc-client.ts';
import { linkAt, textAt } from './fields.ts';
import { macOf, uuidOf } from './inventory.ts';
import { inTime } from './pace.ts';
import { parseResourcePath, type ResourcePath, resourcePath } from './resource-path.ts';
import { linksOf } from './system.ts';

/** Where the BMC of a host says that a card sits: a claim of that BMC. */
export interface HostCard {
  /** Serial number and UUID of the host's system; undefined where it tells none. */
  readonly hostSerial: string | undefined;
  readonly hostUuid: string | undefined;
  /** MACs of the card's functions as the host sees them, in the order of its BMC. */
  readonly macs: readonly string[];
}

const SYSTEMS = resourcePath('/redfish/v1/Systems');
const CHASSIS = resourcePath('/redfish/v1/Chassis');
const MAX_SYSTEMS = 16;
const MAX_CHASSIS = 64;
const MAX_ADAPTERS = 64;
const MAX_FUNCTIONS = 64;
const MAX_DEVICES = 256;

/**
 * Looks for a card, by its serial number, in what the BMC of a host says is plugged in (reference
 * §7.7.1): among the network adapters of every chassis, else among the PCIe devices of its system, where
 * some vendors have it. Undefined where it is in neither. Fails as requests do: a part of the tree that
 * cannot be read may be the one with the card, so nothing is concluded. Ends within the time of one
 * collection.
 */
export function findHostCard(
  hostBmc: Bmc,
  serial: string,
  call?: BmcCall,
): Promise<Result<HostCard | undefined>> {
  return inTime(hostBmc, call?.signal, (signal) => search(hostBmc, serial, { ...call, signal }));
}

async function search(
  hostBmc: Bmc,
  serial: string,
  call: BmcCall,
): Promise<Result<HostCard | undefined>> {
  const system = await hostSystem(hostBmc, call);
  if (!system.ok) return system;
  const host = {
    hostSerial: textAt(system.value, 'SerialNumber'),
    hostUuid: uuidOf(textAt(system.value, 'UUID')),
  };
  const adapter = await findAdapter(hostBmc, serial, call);
  if (!adapter.ok) return adapter;
  if (adapter.value !== undefined) {
    const macs = await macsOf(hostBmc, adapter.value, call);
    return macs.ok ? ok({ ...host, macs: macs.value }) : macs;
  }
  const devices = pcieLinks(hostBmc.origin, system.value);
  if (!devices.ok) return devices;
  const device = await firstWithSerial(hostBmc, devices.value, serial, call);
  if (!device.ok) return device;
  return ok(device.value === undefined ? undefined : { ...host, macs: [] });
}

/** The one system that is the host: a baseboard of accelerators, or a card's own, is none. */
async function hostSystem(bmc: Bmc, call?: BmcCall): Promise<Result<JsonObject>> {
  const links = await linksOf(bmc, SYSTEMS, MAX_SYSTEMS, call);
  if (!links.ok) return links;
  const hosts: JsonObject[] = [];
  for (const link of links.value) {
    const system = await bmc.get(link, call);
    if (!system.ok) return system;
    const type = textAt(system.value, 'SystemType') ?? 'Physical';
    const name = textAt(system.value, 'Id') ?? '';
    if (type === 'Physical' && !/^(HGX_|Bluefield)/.test(name)) hosts.push(system.value);
  }
  const [host, ...others] = hosts;
  if (host !== undefined && others.length === 0) return ok(host);
  return fail(
    'REDFISH_ANSWER_SHAPE',
    `the BMC of a host has ${hosts.length} systems that are hosts`,
  );
}

async function findAdapter(
  bmc: Bmc,
  serial: string,
  call?: BmcCall,
): Promise<Result<JsonObject | undefined>> {
  const chassis = await linksOf(bmc, CHASSIS, MAX_CHASSIS, call);
  if (!chassis.ok) return chassis;
  for (const path of chassis.value) {
    const whole = await bmc.get(path, call);
    if (!whole.ok) return whole;
    const collection = linkAt(bmc.origin, whole.value, 'NetworkAdapters');
    if (!collection.ok) return collection;
    if (collection.value === undefined) continue;
    const adapters = await linksOf(bmc, collection.value, MAX_ADAPTERS, call);
    if (!adapters.ok) return adapters;
    const found = await firstWithSerial(bmc, adapters.value, serial, call);
    if (!found.ok || found.value !== undefined) return found;
  }
  return ok(undefined);
}

async function firstWithSerial(
  bmc: Bmc,
  links: readonly ResourcePath[],
  serial: string,
  call?: BmcCall,
): Promise<Result<JsonObject | undefined>> {
  for (const link of links) {
    const item = await bmc.get(link, call);
    if (!item.ok) return item;
    if (textAt(item.value, 'SerialNumber') === serial) return item;
  }
  return ok(undefined);
}

async function macsOf(
  bmc: Bmc,
  adapter: JsonObject,
  call?: BmcCall,
): Promise<Result<readonly string[]>> {
  const collection = linkAt(bmc.origin, adapter, 'NetworkDeviceFunctions');
  if (!collection.ok) return collection;
  if (collection.value === undefined) return ok([]);
  const links = await linksOf(bmc, collection.value, MAX_FUNCTIONS, call);
  if (!links.ok) return links;
  const macs: string[] = [];
  for (const link of links.value) {
    const item = await bmc.get(link, call);
    if (!item.ok) return item;
    const permanent = textAt(item.value, 'Ethernet', 'PermanentMACAddress');
    const mac = macOf(permanent ?? textAt(item.value, 'Ethernet', 'MACAddress'));
    if (mac !== undefined) macs.push(mac);
  }
  return ok(macs);
}

/** The list in the system itself; the same device may stand in it twice. */
function pcieLinks(origin: string, system: JsonObject): Result<readonly ResourcePath[]> {
  const devices = system.get('PCIeDevices');
  // Narrowing by Array.isArray does not reach readonly arrays.
  const list: readonly JsonValue[] = Array.isArray(devices) ? devices : [];
  if (list.length > MAX_DEVICES) {
    return fail('REDFISH_ANSWER_SHAPE', `a system with more than ${MAX_DEVICES} PCIe devices`);
  }
  const links = new Set<ResourcePath>();
  for (const device of list) {
    const text = isJsonObject(device) ? device.get('@odata.id') : undefined;
    const link = parseResourcePath(typeof text === 'string' ? text : '', origin);
    if (!link.ok) return link;
    links.add(link.value);
  }
  return ok([...links]);
}
