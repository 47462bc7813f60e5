import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { CredentialPlaces } from '../redfish/credentials.ts';
import { findHostCard, type HostCard } from '../redfish/host-card.ts';
import type { DpuHost, DpuPairing, DpuRecord } from '../rules/dpu.ts';
import { bmcClientOf } from './out-of-band.ts';

/** What asking the BMC of a host needs. */
export interface PairingParts {
  readonly account: CredentialPlaces;
  readonly clock: Clock;
  readonly random: Random;
}

/** Finds the host that a DPU sits in; undefined where nobody is to be asked. */
export type FindPairing = (
  dpu: Pick<DpuRecord, 'serial' | 'host' | 'hostBmc'>,
) => Promise<Result<DpuPairing | undefined>>;

/**
 * Asks the BMC of the host which card sits there, out of band (dpu-attestation §7.7, step 1): by its place
 * and TLS pin in the inventory, never by what an agent says. Fails with DPU_BMC_UNKNOWN,
 * DPU_HOST_CARD_ABSENT, REDFISH_SETTINGS, or as requests do.
 */
export function createPairingReader(parts: PairingParts): FindPairing {
  return async ({ serial, host, hostBmc }) => {
    if (hostBmc === undefined) return ok(undefined);
    const opened = await bmcClientOf(parts, { serial, bmc: hostBmc });
    if (!opened.ok) return opened;
    const client = opened.value;
    try {
      const card = await findHostCard(client, serial);
      if (!card.ok) return card;
      if (card.value !== undefined) return ok(pairingOf(card.value, host, parts.clock.nowMs()));
      // Adapters of a host that is off are often not listed: no word that the card is elsewhere.
      return fail('DPU_HOST_CARD_ABSENT', `the BMC of its host does not list DPU ${serial}`);
    } finally {
      await client.close();
    }
  };
}

/** The MAC that the inventory knows where the card has it, else the first: BMCs list functions in any order. */
function pairingOf(
  { hostSerial = '', hostUuid = '', macs }: HostCard,
  known: DpuHost,
  atMs: number,
) {
  const pf0Mac = macs.includes(known.pf0Mac) ? known.pf0Mac : (macs[0] ?? '');
  const checkedAtSeconds = Math.floor(atMs / 1000);
  return { serial: hostSerial, uuid: hostUuid, pf0Mac, source: 'host-bmc', checkedAtSeconds };
}
