import type { OpenLook } from '../../dpu/collector.ts';

/** How attestations between two in full are done. */
export interface LightRules {
  /** Every so many-th is in full; 1 is each. */
  readonly fullEvery: number;
  /** The server's look at the BMC. */
  readonly look: OpenLook;
  /** What evidence is judged by now: another one wants an attestation in full. */
  readonly rulesId: () => string;
}
