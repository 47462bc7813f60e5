import type { Result } from '../base/result.ts';
import type { DpuBmc, DpuDevicePin, DpuPairing, DpuRecord, DpuValue } from '../rules/dpu.ts';

/** What the BMC of a DPU, and its host's, showed by themselves: verified, but not compared with anything yet. */
export interface CollectedDpu {
  /** SHA-256 of the SubjectPublicKeyInfo of the device keys, hex. */
  readonly deviceIds: readonly string[];
  /** Which component showed which of them. */
  readonly devicePins?: readonly DpuDevicePin[];
  /** Values of this one card, that no reference manifest knows. */
  readonly baseline: readonly DpuValue[];
  /** Undefined where the host's side was not asked, or does not know the card. */
  readonly pairing: DpuPairing | undefined;
  /** The BMC with what was learnt of it, such as its TLS pin where none was known. */
  readonly bmc: DpuBmc | undefined;
}

/** Collects from a DPU out of band, by its place in the inventory. */
export interface DpuCollector {
  /** Fails as the BMC client and the verifier do. */
  collect(dpu: DpuRecord): Promise<Result<CollectedDpu>>;
}
