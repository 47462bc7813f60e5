import type { Fwid } from '../../dice/firmware-id.ts';

/** A value that a measurement may have: a digest, or a bit stream as it is. */
export interface ReferenceValue {
  readonly algorithm: Fwid['algorithm'] | 'raw';
  readonly bytes: Uint8Array;
}

/** What one measurement of a release must be: any one of the values. */
export interface ReferenceMeasurement {
  readonly index: number;
  /** At least one. */
  readonly values: readonly ReferenceValue[];
}

/** What one run-time layer of a release must have: each of its firmware ids is one of these. */
export interface ReferenceLayer {
  /** By depth, as `DeviceLayer` names it: such as `L5`. */
  readonly name: string;
  /** At least one. */
  readonly fwids: readonly Fwid[];
}

/** One firmware release that is allowed on a target. */
export interface Release {
  readonly id: string;
  /** Higher is newer; no two releases of a target have the same. */
  readonly order: number;
  /** Versions by part, such as `nic`; what a match says, never what a device says of itself. */
  readonly versions: ReadonlyMap<string, string>;
  /** At least one, no index twice. */
  readonly measurements: readonly ReferenceMeasurement[];
  readonly layers: readonly ReferenceLayer[];
}

/** One root of trust that is measured, and how it is judged. No index has a meaning of its own. */
export interface ManifestTarget {
  /** As the BMC names it, such as `Bluefield_DPU_IRoT`. */
  readonly id: string;
  /** The class of device that may answer for it. */
  readonly deviceClass: string;
  /** Which measurement says what the indices mean, and its values for which this target holds. */
  readonly format: ReferenceMeasurement | undefined;
  /** Whether every layer's firmware ids must be those of the release. */
  readonly fwids: 'required' | 'ignored';
  /** Indices that must be as they were when the device was commissioned. */
  readonly baseline: readonly number[];
  /** Indices that hold digests of rollback counters: a value that was left never comes back. */
  readonly rollbackCounters: readonly number[];
  /** The oldest release that is accepted; one of those below. */
  readonly minimumRelease: Release;
  /** At least one, from the oldest to the newest. */
  readonly releases: readonly Release[];
}

/** Reference values for the devices of one product, from a publisher that is trusted. */
export interface ReferenceManifest {
  readonly id: string;
  /** Grows with each revision: an older one never replaces a newer one. */
  readonly sequence: number;
  readonly issuedAtMs: number;
  /** From here on nothing is judged by it; undefined for never. */
  readonly expiresAtMs: number | undefined;
  readonly targets: ReadonlyMap<string, ManifestTarget>;
  /** Of the bytes that were signed, hex: what a revision is recognised by. */
  readonly sha256: string;
}

/** Digest lengths in bytes. */
export const DIGEST_BYTES: Readonly<Record<Fwid['algorithm'], number>> = {
  sha256: 32,
  sha384: 48,
  sha512: 64,
};
