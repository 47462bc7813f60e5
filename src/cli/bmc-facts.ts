import type { DpuFacts } from '../gen/signet/dpu/v1/dpu.ts';
import type { BmcInventory } from '../redfish/inventory.ts';

/** Where a BMC was read that tells of its card. */
export interface ReadBmc {
  /** `https://host` or `https://host:port`. */
  readonly origin: string;
  /** SHA-256 of the SubjectPublicKeyInfo of its TLS certificate, hex. */
  readonly tlsPin: string;
}

/**
 * What a BMC states of its card, for an import. A claim of the BMC: the device key is pinned by
 * commissioning, never from here. What the BMC does not tell stays as it is in the inventory.
 */
export function factsOfBmc(read: BmcInventory, { origin, tlsPin }: ReadBmc): DpuFacts {
  const { hostname, port } = new URL(origin);
  const facts: Partial<DpuFacts> = {
    model: modelOf(read),
    opn: read.sku ?? read.partNumber,
    psid: read.psid,
    bmcHost: hostname.replace(/^\[|\]$/g, ''),
    bmcPort: port === '' ? 443 : Number(port),
    bmcTlsPin: tlsPin,
    bmcUuid: read.bmcUuid,
    bmcMac: read.bmcMac,
  };
  return { serial: read.serial, ...onlyStated(facts) };
}

/** Leaves out what is not stated, as an import takes what is there for a statement. */
export function onlyStated(facts: Partial<DpuFacts>): Partial<DpuFacts> {
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}

/** `bluefield-3` and the like, where the BMC names its model so. */
function modelOf({ model }: BmcInventory): string | undefined {
  const generation = /bluefield[ -]?([2-9])\b/i.exec(model ?? '')?.[1];
  return generation === undefined ? undefined : `bluefield-${generation}`;
}
