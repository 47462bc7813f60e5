import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import type { Result } from '../../base/result.ts';
import type { DpuRules } from '../../dpu/appraise-dpu.ts';
import type { OpenLook } from '../../dpu/collector.ts';
import type { DpuTarget, EvidenceRules } from '../../dpu/evidence.ts';
import type { DpuInventory } from '../../dpu/inventory.ts';
import type { Logger } from '../../runtime/log.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { Certificate } from '../../x509/types.ts';
import type { LightRules } from './light-rules.ts';
import type { EvidencePlan } from './plan.ts';
import type { DpuTpmRules } from './tpm.ts';

/** What the attestor stands on. */
export interface DpuAttestorParts
  extends EvidencePlan,
    Pick<EvidenceRules, 'spdm' | 'revocation' | 'signatures'> {
  readonly trustDomain: TrustDomain;
  readonly inventory: Pick<
    DpuInventory,
    'find' | 'attested' | 'assess' | 'unreachable' | 'enterSession'
  >;
  /** Every one of them has to be shown; the first is the one that the agent is named after. */
  readonly targets: readonly [DpuTarget, ...DpuTarget[]];
  readonly manifestFor: DpuRules['manifestFor'];
  /** Roots that certificates of images end at; where there is none, the agent's key is pinned itself. */
  readonly ownKeyRoots: readonly Certificate[];
  /** Where set, evidence is also collected from the BMC itself, and both must agree (L3). */
  readonly outOfBand: OpenLook | undefined;
  /** How TPMs of cards are judged, where `tpm2` may be demanded. */
  readonly tpm: DpuTpmRules | undefined;
  /** Where set, not every attestation has to be in full. */
  readonly light: LightRules | undefined;
  /** Keeps the response that a verdict rests on; answers its name. */
  readonly keep: (serial: string, evidence: Uint8Array, atMs: number) => Promise<Result<string>>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** What evidence is verified by, as it stands now. */
export function evidenceRules({
  spdm,
  revocation,
  signatures,
  clock,
}: Pick<DpuAttestorParts, 'spdm' | 'revocation' | 'signatures' | 'clock'>): EvidenceRules {
  return {
    spdm,
    atMs: clock.nowMs(),
    ...(revocation && { revocation }),
    ...(signatures && { signatures }),
  };
}
