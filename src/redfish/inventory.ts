import { fail, ok, type Result } from '../base/result.ts';
import type { JsonObject } from '../spiffe/json.ts';
import type { Bmc, BmcCall } from './bmc-client.ts';
import { readServiceRoot } from './component-integrity.ts';
import { textAt } from './fields.ts';
import { readFirmware } from './firmware.ts';
import { inTime } from './pace.ts';
import { readBelow } from './posture-reader.ts';
import { resourcePath } from './resource-path.ts';
import { findSystem } from './system.ts';

/** What a BMC claims to stand on: enough for an inventory record, proof of nothing. */
export interface BmcInventory {
  /** Board serial number such as `MT…`, without padding. */
  readonly serial: string;
  readonly partNumber: string | undefined;
  /** Ordering part number. */
  readonly sku: string | undefined;
  readonly model: string | undefined;
  /** UUID of the card, lower case. */
  readonly uuid: string | undefined;
  /** Product serial identifier of the board, such as `MT_0000000884`. */
  readonly psid: string | undefined;
  /** First MAC of the card, `aa:bb:cc:dd:ee:ff`. */
  readonly baseMac: string | undefined;
  readonly bmcMac: string | undefined;
  /** UUID of the BMC's service, lower case. */
  readonly bmcUuid: string | undefined;
  /** Versions by the name of the firmware. */
  readonly firmware: ReadonlyMap<string, string>;
}

const BMC_INTERFACE = resourcePath('/redfish/v1/Managers/Bluefield_BMC/EthernetInterfaces/eth0');
/** The firmware inventory's entry whose version is the board's PSID. */
const BOARD = 'DPU_BOARD';
const SERIAL = /^[A-Za-z0-9._-]{1,64}$/;
const PSID = /^MT_?[A-Z0-9]{1,32}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/**
 * Reads what a BMC says of its card, within the time of one collection. The serial number is needed, the
 * rest is told where the firmware tells it: a card in NIC mode has no OEM resource. Fails with what
 * answers are refused with.
 */
export function readInventoryFromBmc(bmc: Bmc, call?: BmcCall): Promise<Result<BmcInventory>> {
  return inTime(bmc, call?.signal, (signal) => readInventory(bmc, { ...call, signal }));
}

/** The serial number of the board that a BMC says it sits on. Fails as {@link readInventoryFromBmc}. */
export function readSerialFromBmc(bmc: Bmc): Promise<Result<string>> {
  return inTime(bmc, undefined, async (signal) => {
    const path = await findSystem(bmc, { signal });
    if (!path.ok) return path;
    const system = await bmc.get(path.value, { signal });
    return system.ok ? serialOf(system.value) : system;
  });
}

function serialOf(system: JsonObject): Result<string> {
  const serial = textAt(system, 'SerialNumber') ?? '';
  if (SERIAL.test(serial)) return ok(serial);
  return fail('REDFISH_ANSWER_SHAPE', 'the system of the BMC has no serial number');
}

async function readInventory(bmc: Bmc, call: BmcCall): Promise<Result<BmcInventory>> {
  const root = await readServiceRoot(bmc, call);
  if (!root.ok) return root;
  const path = await findSystem(bmc, call);
  if (!path.ok) return path;
  const system = await bmc.get(path.value, call);
  if (!system.ok) return system;
  const serial = serialOf(system.value);
  if (!serial.ok) return serial;
  const oem = await readBelow(bmc, path.value, ['Oem', 'Nvidia'], call);
  const own = await bmc.get(BMC_INTERFACE, call);
  const firmware = await readFirmware(bmc, call);
  const versions = firmware.ok ? firmware.value : new Map<string, string>();
  return ok({
    serial: serial.value,
    partNumber: textAt(system.value, 'PartNumber'),
    sku: textAt(system.value, 'SKU'),
    model: textAt(system.value, 'Model'),
    uuid: uuidOf(textAt(system.value, 'UUID')),
    psid: formed(versions.get(BOARD), PSID),
    baseMac: oem.ok ? macOf(textAt(oem.value, 'BaseMAC')) : undefined,
    bmcMac: own.ok ? macOf(textAt(own.value, 'MACAddress')) : undefined,
    bmcUuid: root.value.uuid,
    firmware: versions,
  });
}

/** A MAC, `aa:bb:cc:dd:ee:ff`; undefined where the text is none. */
export function macOf(text: string | undefined): string | undefined {
  return formed(text, MAC);
}

/** A UUID in lower case; undefined where the text is none. */
export function uuidOf(text: string | undefined): string | undefined {
  return formed(text, UUID);
}

/** Lower case where the form is, else as it came; undefined where it has another form. */
function formed(text: string | undefined, form: RegExp): string | undefined {
  if (text === undefined) return undefined;
  return [text, text.toLowerCase()].find((each) => form.test(each));
}
