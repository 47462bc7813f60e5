import { fail, ok, type Result } from '../base/result.ts';
import {
  type DeviceChain,
  type DeviceChainRules,
  verifyDeviceChain,
} from '../dice/device-chain.ts';
import type { DeviceClass } from '../dice/device-class.ts';
import type { MeasurementBlock } from '../spdm/measurement-block.ts';
import type { SpdmPolicy } from '../spdm/policy.ts';
import { type SignedMeasurements, verifySignedMeasurements } from '../spdm/verify-measurements.ts';
import { measurementText } from './manifest/device-record.ts';
import { checkOpaqueFirmwareId } from './opaque-firmware-id.ts';

/** Evidence of one component as somebody showed it: nothing of it is believed yet. */
export interface ShownEvidence {
  readonly target: string;
  /** SPDM messages: from 1.2 the negotiation, then the measurements, the signature last. */
  readonly messages: Uint8Array;
  /** DER, in any order. */
  readonly certificates: readonly Uint8Array[];
}

/** A root of trust of a DPU that has to be shown, and what may answer for it. */
export interface DpuTarget {
  /** As the BMC names it, such as `Bluefield_DPU_IRoT`. */
  readonly id: string;
  readonly deviceClass: DeviceClass;
}

/** What evidence is verified by. */
export interface EvidenceRules
  extends Pick<DeviceChainRules, 'revocation' | 'signatures' | 'atMs'> {
  readonly spdm: SpdmPolicy;
}

/** Evidence whose chain and signature hold, made for the nonce. */
export interface VerifiedEvidence {
  readonly target: string;
  readonly chain: DeviceChain;
  readonly measurements: SignedMeasurements;
}

/**
 * Verifies the evidence of one component: chain to the class's pins, then the measurements' form, nonce
 * and signature under the chain's leaf. Errors: DEVICE_*, PATH_*, SPDM_*.
 */
export function verifyEvidence(
  shown: ShownEvidence,
  { deviceClass }: DpuTarget,
  nonce: Uint8Array,
  { spdm, ...rules }: EvidenceRules,
): Result<VerifiedEvidence> {
  const chain = verifyDeviceChain(shown.certificates, { deviceClass, ...rules });
  if (!chain.ok) return chain;
  const { leafKey } = chain.value;
  const request = { messages: shown.messages, nonce, leafKey, policy: spdm };
  const measurements = verifySignedMeasurements(request);
  if (!measurements.ok) return measurements;
  const agreed = checkOpaqueFirmwareId(deviceClass, chain.value, measurements.value.opaque);
  if (!agreed.ok) return agreed;
  return ok({ target: shown.target, chain: chain.value, measurements: measurements.value });
}

/** One piece of evidence for each target and no more. Fails with DPU_EVIDENCE_INCOMPLETE. */
export function matchTargets<T extends { readonly target: string }>(
  evidence: readonly T[],
  targets: readonly DpuTarget[],
): Result<readonly (readonly [DpuTarget, T])[]> {
  const pairs: (readonly [DpuTarget, T])[] = [];
  for (const target of targets) {
    const item = evidence.find((each) => each.target === target.id);
    if (item === undefined) return fail('DPU_EVIDENCE_INCOMPLETE', `${target.id}: nothing shown`);
    pairs.push([target, item]);
  }
  if (evidence.length === targets.length) return ok(pairs);
  return fail('DPU_EVIDENCE_INCOMPLETE', 'evidence that was not asked for, or twice');
}

/**
 * Whether two collections are of one device in one boot with one firmware (dpu-attestation §7.3, L3).
 * Fails with DPU_RELAYED, which says what differs.
 */
export function sameDevice(shown: VerifiedEvidence, collected: VerifiedEvidence): Result<void> {
  const differs = (what: string): Result<never> =>
    fail('DPU_RELAYED', `${shown.target}: collected otherwise, it has another ${what}`);
  if (shown.chain.deviceIdSha256 !== collected.chain.deviceIdSha256) return differs('device key');
  if (shown.chain.leafSha256 !== collected.chain.leafSha256) return differs('boot');
  if (valuesOf(shown) !== valuesOf(collected)) return differs('measurement');
  return ok(undefined);
}

function valuesOf({ measurements }: VerifiedEvidence): string {
  const text = (block: MeasurementBlock): string => `${block.index}=${measurementText(block)}`;
  return measurements.blocks.map(text).sort().join('\n');
}
