import { toHex } from '../../base/bytes.ts';
import type { MeasurementBlock } from '../../spdm/measurement-block.ts';

/** What is known of one target of one device from its earlier attestations. */
export interface DeviceRecord {
  /** Measurements of the device's own by index, see {@link measurementText}; none before commissioning. */
  readonly baseline: ReadonlyMap<number, string> | undefined;
  /** The newest release that was accepted. */
  readonly lastRelease: { readonly id: string; readonly order: number } | undefined;
  /** Values that each rollback counter had, the present one last. */
  readonly counters: ReadonlyMap<number, readonly string[]>;
  /** Security version numbers (SVN) that were seen. */
  readonly securityVersions: ReadonlyMap<number, bigint>;
}

/** What is known of a device that was never attested: it can only be commissioned. */
export const NEW_DEVICE: DeviceRecord = {
  baseline: undefined,
  lastRelease: undefined,
  counters: new Map(),
  securityVersions: new Map(),
};

/** Kind and value of a measurement as text, for comparing and keeping: such as `digest:2:1f00…`. */
export function measurementText({ raw, kind, value }: MeasurementBlock): string {
  return `${raw ? 'raw' : 'digest'}:${kind}:${toHex(value)}`;
}
