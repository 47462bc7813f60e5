import type { Result } from '../base/result.ts';

/** A value that the store keeps by its name and does not look into. */
export interface KeptValue {
  readonly name: string;
  /** Counts the writes under this name; the first is 1. */
  readonly version: bigint;
  readonly value: Uint8Array;
}

/** A value to be written, or taken away, by compare-and-swap. */
export interface KeptValueWrite {
  readonly name: string;
  /** Version that was read; 0 when there was none. */
  readonly expectedVersion: bigint;
  /** Undefined takes it away; a later one begins at 1 again. */
  readonly value: Uint8Array | undefined;
}

/** Small things that have no table of their own; no change feed tells of them. */
export interface KeptValueStore {
  /** Every value, in the order of their names. */
  loadKeptValues(): Promise<Result<readonly KeptValue[]>>;
  /** Answers the new version, 0 where it is gone. Fails with STORE_CONFLICT when the version is not the one expected. */
  writeKeptValue(write: KeptValueWrite): Promise<Result<bigint>>;
}
