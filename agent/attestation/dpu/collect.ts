import type { TargetEvidence } from '../../../src/attestation/dpu/payload.ts';
import type { Clock } from '../../../src/base/clock.ts';
import type { Random } from '../../../src/base/random.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { parsePem } from '../../../src/der/pem.ts';
import { BmcClient } from '../../../src/redfish/bmc-client.ts';
import { readBmcCredentials } from '../../../src/redfish/credentials.ts';
import { collectSignedMeasurements } from '../../../src/redfish/signed-measurements.ts';
import { DEFAULT_SPDM_POLICY } from '../../../src/spdm/policy.ts';
import { collectMeasurements } from '../../../src/spdm/requester.ts';
import { openEndpoint } from './endpoint.ts';
import type { DpuAgentSettings } from './settings.ts';

const CHAIN_LIMITS = { maxBytes: 64 * 1024, maxBlocks: 8 };

/** What collecting needs. */
export interface CollectParts {
  readonly settings: Pick<DpuAgentSettings, 'bmc' | 'direct'>;
  readonly clock: Clock;
  readonly random: Random;
}

/** A component whose evidence the server wants. */
export interface WantedTarget {
  readonly id: string;
  readonly slot: number;
  readonly nonce: Uint8Array;
}

/**
 * Evidence through the card's BMC, components side by side: a BMC serves one collection for each. Fails
 * with DPU_EVIDENCE_INCOMPLETE where no BMC is configured, and with REDFISH_* and PEM_*.
 */
export async function collectByBmc(
  { settings, clock, random }: CollectParts,
  targets: readonly WantedTarget[],
): Promise<Result<readonly TargetEvidence[]>> {
  if (settings.bmc === undefined) return fail('DPU_EVIDENCE_INCOMPLETE', 'no BMC is configured');
  const { address, tlsPin, ...places } = settings.bmc;
  const credentials = await readBmcCredentials(places);
  if (!credentials.ok) return credentials;
  const place = { origin: address, trust: tlsPin };
  const bmc = new BmcClient({ place, credentials: credentials.value, clock, random });
  try {
    return allOf(await Promise.all(targets.map((target) => byBmc(bmc, target))));
  } finally {
    await bmc.close();
  }
}

async function byBmc(
  bmc: BmcClient,
  { id, slot, nonce }: WantedTarget,
): Promise<Result<TargetEvidence>> {
  const collected = await collectSignedMeasurements(bmc, id, { nonce, slot });
  if (!collected.ok) return collected;
  const { signedMeasurements: messages, certificateChainPem } = collected.value;
  const chain = parsePem(certificateChainPem, CHAIN_LIMITS);
  if (!chain.ok) return chain;
  const certificates = chain.value.map(({ der }) => der);
  return ok({ kind: 'spdm-redfish', target: id, messages, certificates });
}

/**
 * Evidence by an SPDM requester of the agent's own, without a BMC in between. Fails with
 * AGENT_DPU_TARGET and SPDM_*.
 */
export async function collectDirectly(
  parts: Omit<CollectParts, 'random'>,
  targets: readonly WantedTarget[],
): Promise<Result<readonly TargetEvidence[]>> {
  return allOf(await Promise.all(targets.map((target) => directly(parts, target))));
}

async function directly(
  { settings, clock }: Omit<CollectParts, 'random'>,
  { id, slot, nonce }: WantedTarget,
): Promise<Result<TargetEvidence>> {
  const opened = await openEndpoint(settings.direct, id, clock);
  if (!opened.ok) return opened;
  const connection = opened.value;
  try {
    const policy = { ...DEFAULT_SPDM_POLICY, slot };
    const collected = await collectMeasurements((message) => connection.exchange(message), {
      nonce,
      policy,
      clock,
    });
    if (!collected.ok) return collected;
    const { messages, certificateChain: certificates } = collected.value;
    return ok({ kind: 'spdm-direct', target: id, messages, certificates });
  } finally {
    connection.close();
  }
}

function allOf(collected: readonly Result<TargetEvidence>[]): Result<readonly TargetEvidence[]> {
  const evidence: TargetEvidence[] = [];
  for (const item of collected) {
    if (!item.ok) return item;
    evidence.push(item.value);
  }
  return ok(evidence);
}
