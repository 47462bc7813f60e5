import type { SpdmCurve, SpdmHash } from './algorithms.ts';
import type { SpdmVersion } from './version.ts';

/** What evidence may be like. Whatever is not named here is refused. */
export interface SpdmPolicy {
  /** Versions that may be spoken; the requester takes the highest that both sides have. */
  readonly versions: readonly SpdmVersion[];
  /**
   * Hashes that each kind of leaf key may sign with; a curve that is absent may not sign at all. A
   * transcript of version 1.1 does not say its hash, so each hash of the curve is tried in turn.
   */
  readonly hashes: Readonly<Partial<Record<SpdmCurve, readonly SpdmHash[]>>>;
  /** Hashes of measured values; they say what runs, not who signed. */
  readonly measurementHashes: readonly SpdmHash[];
  /** Certificate slot, 0 to 7. */
  readonly slot: number;
  /** Most bytes of one message and of a transcript. */
  readonly maxEvidenceBytes: number;
  /** Most bytes of a certificate chain with its header. */
  readonly maxChainBytes: number;
  /** Most certificates of a chain. */
  readonly maxCertificates: number;
}

/**
 * Versions 1.1 to 1.3; P-384 and P-521 with hashes that are no weaker than the curve, as DPUs and their
 * roots of trust sign; slot 0; 64 KiB of evidence, 16 KiB of chain, 8 certificates.
 */
export const DEFAULT_SPDM_POLICY: SpdmPolicy = {
  versions: ['1.1', '1.2', '1.3'],
  hashes: { 'ec-p384': ['sha384', 'sha512'], 'ec-p521': ['sha512'] },
  measurementHashes: ['sha256', 'sha384', 'sha512'],
  slot: 0,
  maxEvidenceBytes: 65_536,
  maxChainBytes: 16_384,
  maxCertificates: 8,
};
