import { equalBytes } from '../../base/bytes.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { DeviceLayer } from '../../dice/device-chain.ts';
import type { Fwid } from '../../dice/firmware-id.ts';
import type { MeasurementBlock } from '../../spdm/measurement-block.ts';
import type { ManifestTarget, ReferenceMeasurement, Release } from './reference-manifest.ts';

/** What a device answered. */
export interface Measured {
  readonly blocks: readonly MeasurementBlock[];
  /** Run-time layers of the chain whose leaf signed the blocks. */
  readonly layers: readonly DeviceLayer[];
}

/** How far a release is from what was measured. */
interface Distance {
  readonly release: Release;
  readonly missing: readonly number[];
  readonly wrong: readonly number[];
  /** Names of layers whose firmware ids are not those of the release. */
  readonly layers: readonly string[];
}

/** Whether a measurement is one of the values: a digest by its bytes, a bit stream only as such. */
export function matchesReference(
  { raw, value }: MeasurementBlock,
  { values }: ReferenceMeasurement,
): boolean {
  return values.some(
    ({ algorithm, bytes }) => (algorithm === 'raw') === raw && equalBytes(bytes, value),
  );
}

/**
 * The newest release of which every listed measurement and, where they are required, every firmware id
 * is as measured; what a release does not list says nothing. Errors: MEASUREMENT_MISSING,
 * MEASUREMENT_MISMATCH, MEASUREMENT_FWID, each about the release that comes closest.
 */
export function matchRelease(target: ManifestTarget, measured: Measured): Result<Release> {
  const distances = target.releases.toReversed().map((each) => distanceOf(each, target, measured));
  const [nearest, ...others] = distances;
  const exact = distances.find((distance) => faults(distance) === 0);
  if (exact !== undefined) return ok(exact.release);
  const closest = others.reduce(
    (best, each) => (best !== undefined && faults(best) <= faults(each) ? best : each),
    nearest,
  );
  return refusal(target, closest);
}

function distanceOf(release: Release, target: ManifestTarget, measured: Measured): Distance {
  const missing: number[] = [];
  const wrong: number[] = [];
  for (const reference of release.measurements) {
    const block = measured.blocks.find(({ index }) => index === reference.index);
    if (block === undefined) missing.push(reference.index);
    else if (!matchesReference(block, reference)) wrong.push(reference.index);
  }
  const layers = target.fwids === 'required' ? wrongLayers(release, measured.layers) : [];
  return { release, missing, wrong, layers };
}

/** Layers of either side without their like on the other: a layer that nobody lists runs unknown code. */
function wrongLayers(release: Release, measured: readonly DeviceLayer[]): readonly string[] {
  const names = new Set([...release.layers, ...measured].map(({ name }) => name));
  return [...names].filter((name) => {
    const expected = release.layers.find((layer) => layer.name === name)?.fwids ?? [];
    const actual = measured.find((layer) => layer.name === name)?.fwids ?? [];
    return actual.length === 0 || !actual.every((fwid) => isAmong(fwid, expected));
  });
}

function isAmong({ algorithm, digest }: Fwid, expected: readonly Fwid[]): boolean {
  return expected.some((each) => each.algorithm === algorithm && equalBytes(each.digest, digest));
}

function faults({ missing, wrong, layers }: Distance): number {
  return missing.length + wrong.length + layers.length;
}

function refusal(target: ManifestTarget, closest: Distance | undefined): Result<never> {
  const { release, missing = [], wrong = [], layers = [] } = closest ?? {};
  const found: readonly (readonly [ErrorCode, string, readonly (string | number)[]])[] = [
    ['MEASUREMENT_MISSING', 'was not answered', missing],
    ['MEASUREMENT_MISMATCH', 'does not match', wrong],
    ['MEASUREMENT_FWID', 'runs other firmware', layers],
  ];
  const [first = ['MEASUREMENT_MISMATCH', 'does not match', []] as const] = found.filter(
    ([, , places]) => places.length > 0,
  );
  const [code, what, places] = first;
  const where = places.join(', ');
  const message = `${target.id}: no allowed release; next is ${release?.id}, where ${where} ${what}`;
  return fail(code, message);
}
