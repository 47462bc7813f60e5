import { toHex } from '../../base/bytes.ts';
import type { DeviceLayer } from '../../dice/device-chain.ts';
import type { Fwid } from '../../dice/firmware-id.ts';
import type { DpuLayer } from '../../rules/dpu.ts';
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

/** Reads back what {@link measurementText} wrote; undefined where it is none. */
export function parseMeasurementText(index: number, text: string): MeasurementBlock | undefined {
  const [, form, kind, hex = ''] = /^(raw|digest):(\d{1,3}):((?:[0-9a-f]{2})*)$/.exec(text) ?? [];
  if (form === undefined) return undefined;
  return { index, raw: form === 'raw', kind: Number(kind), value: Buffer.from(hex, 'hex') };
}

/** Firmware ids of a layer as text, for keeping. */
export function layerText({ name, fwids }: DeviceLayer): DpuLayer {
  return { name, fwids: fwids.map(({ algorithm, digest }) => `${algorithm}:${toHex(digest)}`) };
}

/** Reads back what {@link layerText} wrote; undefined where it is none. */
export function parseLayerText({ name, fwids }: DpuLayer): DeviceLayer | undefined {
  const read: Fwid[] = [];
  for (const text of fwids) {
    const [, algorithm, hex = ''] = /^(sha256|sha384|sha512):((?:[0-9a-f]{2})+)$/.exec(text) ?? [];
    if (algorithm === undefined) return undefined;
    // One of the three: the expression says so.
    read.push({ algorithm: algorithm as Fwid['algorithm'], digest: Buffer.from(hex, 'hex') });
  }
  return { name, fwids: read };
}
