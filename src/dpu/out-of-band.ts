import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { parsePem } from '../der/pem.ts';
import { BmcClient } from '../redfish/bmc-client.ts';
import { type CredentialPlaces, readBmcCredentials } from '../redfish/credentials.ts';
import { readSerialFromBmc } from '../redfish/inventory.ts';
import { parseBmcOrigin } from '../redfish/place.ts';
import { concludePosture, postureSelectors } from '../redfish/posture.ts';
import { readPosture } from '../redfish/posture-reader.ts';
import { collectSignedMeasurements } from '../redfish/signed-measurements.ts';
import type { TargetTurns } from '../redfish/target-turns.ts';
import type { DpuHostBmc, DpuRecord } from '../rules/dpu.ts';
import type { ShownEvidence } from './evidence.ts';

const CHAIN_LIMITS = { maxBytes: 64 * 1024, maxBlocks: 8 };

/** What looks at BMCs need. */
export interface OutOfBandParts {
  readonly account: CredentialPlaces;
  readonly clock: Clock;
  readonly random: Random;
  /** One for all of a process: a BMC collects once at a time for each component. */
  readonly turns: TargetTurns;
}

/** A look at the BMC of a DPU, by its place in the inventory; close it when done. */
export interface BmcLook {
  /** Evidence of one component with a nonce of the caller's; nothing of it is verified. */
  collect(target: string, nonce: Uint8Array, slot: number): Promise<Result<ShownEvidence>>;
  /** Serial number of the board that the BMC says it sits on. */
  serial(): Promise<Result<string>>;
  /** What the BMC claims of its card, as selector values: only what is good. */
  posture(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/**
 * A client of the BMC of a DPU, or of its host: address and TLS pin come from the inventory, the account
 * from the server's own files. Fails with DPU_BMC_UNKNOWN or REDFISH_SETTINGS.
 */
export async function bmcClientOf(
  { account, ...shared }: Omit<OutOfBandParts, 'turns'> & Partial<OutOfBandParts>,
  { serial, bmc }: { readonly serial: string; readonly bmc: DpuHostBmc | undefined },
): Promise<Result<BmcClient>> {
  if (bmc?.tlsPin === undefined) {
    return fail('DPU_BMC_UNKNOWN', `DPU ${serial}: no BMC with a TLS pin in the inventory`);
  }
  const host = bmc.host.includes(':') ? `[${bmc.host}]` : bmc.host;
  const origin = parseBmcOrigin(`${host}:${bmc.port}`);
  if (!origin.ok) return origin;
  const credentials = await readBmcCredentials(account);
  if (!credentials.ok) return credentials;
  const trust = { kind: 'spki', sha256: [bmc.tlsPin] } as const;
  const place = { origin: origin.value, trust };
  return ok(new BmcClient({ ...shared, place, credentials: credentials.value }));
}

/** Opens a look at the BMC of a DPU. Fails as {@link bmcClientOf} does. */
export async function openBmcLook(
  parts: OutOfBandParts,
  dpu: Pick<DpuRecord, 'serial' | 'bmc'>,
): Promise<Result<BmcLook>> {
  const opened = await bmcClientOf(parts, dpu);
  if (!opened.ok) return opened;
  const client = opened.value;
  return ok({
    collect: (target, nonce, slot) => collect(client, target, nonce, slot),
    serial: () => readSerialFromBmc(client),
    async posture() {
      const readings = await readPosture(client);
      return readings.ok ? postureSelectors(concludePosture(readings.value)) : [];
    },
    close: () => client.close(),
  });
}

async function collect(
  client: BmcClient,
  target: string,
  nonce: Uint8Array,
  slot: number,
): Promise<Result<ShownEvidence>> {
  const collected = await collectSignedMeasurements(client, target, { nonce, slot });
  if (!collected.ok) return collected;
  const { signedMeasurements: messages, certificateChainPem } = collected.value;
  const chain = parsePem(certificateChainPem, CHAIN_LIMITS);
  if (!chain.ok) return chain;
  return ok({ target, messages, certificates: chain.value.map(({ der }) => der) });
}
