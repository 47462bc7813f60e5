import { toHex } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { DpuLayer } from '../../rules/dpu.ts';
import { MEASUREMENT_KIND, type MeasurementBlock } from '../../spdm/measurement-block.ts';
import { measurementText } from './device-record.ts';
import { MANIFEST_LIMITS, MANIFEST_SCHEMA } from './manifest-schema.ts';
import { DIGEST_BYTES } from './reference-manifest.ts';

/** What one card showed of one component, verified. */
export interface MeasuredCard {
  /** For messages, such as the address of its BMC. */
  readonly place: string;
  readonly blocks: readonly MeasurementBlock[];
  /** Firmware ids as text, see `layerText`. */
  readonly layers: readonly DpuLayer[];
}

/** A component that cards of one firmware release showed. */
export interface DraftTarget {
  readonly id: string;
  readonly deviceClass: string;
  /** At least one. */
  readonly cards: readonly MeasuredCard[];
}

/** What a publisher says of a draft. */
export interface DraftOptions {
  readonly id: string;
  readonly sequence: number;
  readonly release: string;
  readonly order: number;
  /** Unix milliseconds. */
  readonly issuedAtMs: number;
  /** Indices that are of each device. */
  readonly baseline: readonly number[];
  readonly rollbackCounters: readonly number[];
}

/** A draft, as it is written, and what its publisher has to look at. */
export interface ManifestDraft {
  readonly manifest: Readonly<Record<string, unknown>>;
  readonly notes: readonly string[];
}

/** They are judged by rules of their own, whatever the release. */
const SELF_JUDGED: readonly number[] = [
  MEASUREMENT_KIND.deviceMode,
  MEASUREMENT_KIND.securityVersion,
];

/**
 * Writes down what cards of one firmware release measure, as a manifest that somebody then corrects and
 * signs. What differs between the cards becomes baseline: no release can list it. It says what these cards
 * run, not what they should run. Fails with CLI_USAGE where the cards run different firmware.
 */
export function draftManifest(
  targets: readonly DraftTarget[],
  options: DraftOptions,
): Result<ManifestDraft> {
  const notes: string[] = [];
  const written: unknown[] = [];
  for (const target of targets) {
    const drafted = draftTarget(target, options, notes);
    if (!drafted.ok) return drafted;
    written.push(drafted.value);
  }
  const manifest = {
    schema: MANIFEST_SCHEMA,
    id: options.id,
    sequence: options.sequence,
    issuedAt: `${new Date(options.issuedAtMs).toISOString().slice(0, 19)}Z`,
    targets: written,
  };
  return ok({ manifest, notes });
}

function draftTarget(
  { id, deviceClass, cards }: DraftTarget,
  options: DraftOptions,
  notes: string[],
): Result<unknown> {
  const [first, ...others] = cards;
  if (first === undefined) return fail('CLI_USAGE', `${id}: no card`);
  for (const other of others) {
    if (JSON.stringify(other.layers) === JSON.stringify(first.layers)) continue;
    const which = `${first.place} and ${other.place}`;
    return fail(
      'CLI_USAGE',
      `${id}: ${which} run different firmware; draft each release by itself`,
    );
  }
  const told = [...options.baseline, ...options.rollbackCounters];
  const blocks = first.blocks.filter(({ kind }) => !SELF_JUDGED.includes(kind));
  const loose = blocks.filter(({ index }) => !told.includes(index));
  const own = loose.filter((block) => others.some((card) => !hasSame(card, block)));
  const tooLong = loose.filter(({ raw, value }) => raw && value.length > MANIFEST_LIMITS.rawBytes);
  const listed = loose.filter((block) => !own.includes(block) && !tooLong.includes(block));
  note(notes, id, 'left out, too long to be listed', tooLong);
  note(notes, id, 'taken as baseline, for they differ between the cards', own);
  if (others.length === 0 && listed.length > 0) {
    note(
      notes,
      id,
      'of one card only: move what is its own to "baseline" (draft from two cards)',
      listed,
    );
  }
  const has = (index: number): boolean => blocks.some((block) => block.index === index);
  return ok({
    id,
    deviceClass,
    fwids: first.layers.length === 0 ? 'ignored' : 'required',
    baseline: [...options.baseline.filter(has), ...own.map(({ index }) => index)],
    rollbackCounters: options.rollbackCounters.filter(has),
    minimumRelease: options.release,
    releases: [
      {
        id: options.release,
        order: options.order,
        measurements: listed.map((block) => ({ index: block.index, values: [valueText(block)] })),
        layers: first.layers,
      },
    ],
  });
}

function note(
  notes: string[],
  id: string,
  what: string,
  blocks: readonly MeasurementBlock[],
): void {
  const indices = blocks.map(({ index }) => index).join(', ');
  if (blocks.length > 0) notes.push(`${id}: ${what}: ${indices}`);
}

function hasSame({ blocks }: MeasuredCard, block: MeasurementBlock): boolean {
  const other = blocks.find(({ index }) => index === block.index);
  return other !== undefined && measurementText(other) === measurementText(block);
}

/** A value as manifests have it: a digest says its hash by its length, see `MeasurementBlock`. */
export function valueText({ raw, value }: MeasurementBlock): string {
  const algorithm = Object.entries(DIGEST_BYTES).find(([, bytes]) => bytes === value.length)?.[0];
  return `${raw || algorithm === undefined ? 'raw' : algorithm}:${toHex(value)}`;
}
