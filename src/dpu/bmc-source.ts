import type { BmcInventory } from '../redfish/inventory.ts';
import type { StatedDpu } from './facts.ts';

/** Where a BMC was read that tells of its card. */
export interface ReadBmc {
  readonly host: string;
  readonly port: number;
  /** SHA-256 of the SubjectPublicKeyInfo of its TLS certificate, hex. */
  readonly tlsPin: string;
}

/**
 * What a BMC states of its card, for an import. A claim of the BMC: the device key is pinned by
 * commissioning, never from here.
 */
export function statedByBmc(read: BmcInventory, { host, port, tlsPin }: ReadBmc): StatedDpu {
  return {
    serial: read.serial,
    model: modelOf(read),
    opn: read.sku ?? read.partNumber,
    psid: read.psid,
    bmcHost: host,
    bmcPort: port,
    bmcTlsPin: tlsPin,
    bmcUuid: read.bmcUuid,
    bmcMac: read.bmcMac,
  };
}

/** `bluefield-3` and the like, where the BMC names its model so. */
function modelOf({ model }: BmcInventory): string | undefined {
  const generation = /bluefield[ -]?([2-9])\b/i.exec(model ?? '')?.[1];
  return generation === undefined ? undefined : `bluefield-${generation}`;
}
