import { hash } from 'node:crypto';
import { fail, ok, type Result } from '../../base/result.ts';
import { attempt, refuse } from '../../der/refuse.ts';
import { jsonToPlain, parseJsonObject } from '../../spiffe/json.ts';
import { type Corims, selectFromCorim } from './corim-selection.ts';
import { MANIFEST_LIMITS, manifestSchema, type WrittenManifest } from './manifest-schema.ts';
import type { ManifestTarget, ReferenceManifest, Release } from './reference-manifest.ts';

type WrittenTarget = WrittenManifest['targets'][number];
type WrittenRelease = WrittenTarget['releases'][number];

/** Deepest nesting that is read; a value in a measurement in a release in a target is at 9. */
export const MAX_MANIFEST_DEPTH = 12;

/**
 * Reads a manifest in Signet's own JSON form, strictly: a key twice, a key that is not known, two
 * releases of one order, an index that is both listed and of the baseline refuse the whole. Who
 * published it is not judged here, see `openManifest`. Errors: JSON_*, MANIFEST_MALFORMED,
 * MANIFEST_CORIM.
 *
 * @param corims CoRIMs that its releases may take values from, by the SHA-256 of their files.
 */
export function parseManifest(
  payload: Uint8Array,
  corims: Corims = new Map(),
): Result<ReferenceManifest> {
  const json = parseJsonObject(payload, {
    maxBytes: MANIFEST_LIMITS.maxBytes,
    maxDepth: MAX_MANIFEST_DEPTH,
  });
  if (!json.ok) return json;
  const checked = manifestSchema.safeParse(jsonToPlain(json.value));
  if (!checked.success) {
    const [issue] = checked.error.issues;
    const place = issue?.path.join('.') ?? '';
    return fail('MANIFEST_MALFORMED', `manifest: ${place}: ${issue?.message ?? 'malformed'}`);
  }
  const sha256 = hash('sha256', payload, 'hex');
  return attempt('manifest', () => toManifest(checked.data, sha256, corims));
}

function toManifest(written: WrittenManifest, sha256: string, corims: Corims): ReferenceManifest {
  const { id, sequence, issuedAt, expiresAt } = written;
  if (expiresAt !== undefined && expiresAt <= issuedAt) {
    refuse('MANIFEST_MALFORMED', 'manifest: expires before it was issued');
  }
  const targets = new Map<string, ManifestTarget>();
  for (const target of written.targets) {
    if (targets.has(target.id)) refuse('MANIFEST_MALFORMED', `manifest: ${target.id} twice`);
    targets.set(target.id, toTarget(target, corims));
  }
  return { id, sequence, issuedAtMs: issuedAt, expiresAtMs: expiresAt, targets, sha256 };
}

function toTarget(written: WrittenTarget, corims: Corims): ManifestTarget {
  const { id, deviceClass, format, fwids, baseline, rollbackCounters } = written;
  const releases = written.releases.map((each) => toRelease(each, written, corims));
  releases.sort((a, b) => a.order - b.order);
  checkOnce(
    releases.map(({ order }) => order),
    `${id}: order`,
  );
  checkOnce(
    releases.map((release) => release.id),
    `${id}: release`,
  );
  const minimumRelease = releases.find((release) => release.id === written.minimumRelease);
  if (minimumRelease === undefined) {
    refuse('MANIFEST_MALFORMED', `manifest: ${id}: its minimum release is not one of its releases`);
  }
  return {
    id,
    deviceClass,
    format,
    fwids,
    baseline,
    rollbackCounters,
    minimumRelease,
    releases,
  };
}

function toRelease(written: WrittenRelease, target: WrittenTarget, corims: Corims): Release {
  const { id, order, layers } = written;
  const what = `${target.id} ${id}`;
  const selected = written.corims.flatMap((each) => selectFromCorim(each, corims));
  const measurements = [...written.measurements, ...selected];
  const listed = measurements.map(({ index }) => index);
  if (listed.length === 0) refuse('MANIFEST_MALFORMED', `manifest: ${what}: no measurements`);
  checkOnce(listed, `${what}: index`);
  // An index that changes with each device cannot also be what all devices share.
  const own = [...target.baseline, ...target.rollbackCounters].find((each) =>
    listed.includes(each),
  );
  if (own !== undefined) {
    refuse('MANIFEST_MALFORMED', `manifest: ${what}: index ${own} is listed and of the device`);
  }
  checkOnce(
    layers.map(({ name }) => name),
    `${what}: layer`,
  );
  if (target.fwids === 'required' && layers.length === 0) {
    refuse('MANIFEST_MALFORMED', `manifest: ${what}: no layers, and firmware ids are required`);
  }
  checkOnce(
    written.versions.map(({ part }) => part),
    `${what}: version of`,
  );
  const versions = new Map(written.versions.map(({ part, version }) => [part, version]));
  return { id, order, versions, measurements, layers };
}

function checkOnce(values: readonly (string | number)[], what: string): void {
  const twice = values.find((value, at) => values.indexOf(value) !== at);
  if (twice !== undefined) refuse('MANIFEST_MALFORMED', `manifest: ${what} ${twice} twice`);
}

/**
 * Whether one manifest may take the place of another: the same id and a higher sequence, or the very
 * same payload again. Otherwise who kept an old one could bring back releases that were withdrawn. Errors:
 * MANIFEST_OLDER.
 */
export function checkSuccession(
  previous: Pick<ReferenceManifest, 'id' | 'sequence' | 'sha256'>,
  next: Pick<ReferenceManifest, 'id' | 'sequence' | 'sha256'>,
): Result<void> {
  const again = next.sequence === previous.sequence && next.sha256 === previous.sha256;
  if (next.id === previous.id && (again || next.sequence > previous.sequence)) return ok(undefined);
  const names = `${next.id} ${next.sequence} cannot follow ${previous.id} ${previous.sequence}`;
  return fail('MANIFEST_OLDER', `manifest: ${names}, which was in force`);
}
