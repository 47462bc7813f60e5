import type { Corim } from '../dpu/manifest/corim.ts';
import type { CorimEnvironment } from '../dpu/manifest/corim-references.ts';
import type { ManifestTarget, ReferenceManifest } from '../dpu/manifest/reference-manifest.ts';
import { formatBlock, formatTable, formatTime } from './text.ts';

/** A manifest for people: what it is, then each target with its releases. */
export function formatManifest(manifest: ReferenceManifest, nowMs: number): string {
  const { id, sequence, issuedAtMs, expiresAtMs, targets } = manifest;
  const head = formatBlock([
    ['Manifest', id],
    ['Revision', String(sequence)],
    ['Issued', formatTime(issuedAtMs / 1000, nowMs)],
    ['Expires', formatTime((expiresAtMs ?? 0) / 1000, nowMs)],
  ]);
  return [head, ...[...targets.values()].map(formatTarget)].join('\n');
}

function formatTarget(target: ManifestTarget): string {
  const { id, deviceClass, format, fwids, baseline, rollbackCounters, minimumRelease } = target;
  const head = formatBlock([
    ['Target', id],
    ['Device class', deviceClass],
    ['Format', format === undefined ? 'not judged' : `index ${format.index}`],
    ['Firmware ids', fwids],
    ['Baseline', listed(baseline)],
    ['Rollback counters', listed(rollbackCounters)],
    ['Minimum release', minimumRelease.id],
  ]);
  const rows = target.releases.map(({ id: release, order, measurements, layers }) => [
    release,
    String(order),
    listed(layers.map(({ name }) => name)),
    listed(measurements.map(({ index }) => index)),
  ]);
  return `${head}\n${formatTable(['RELEASE', 'ORDER', 'LAYERS', 'INDICES'], rows)}`;
}

function listed(values: readonly (string | number)[]): string {
  return values.length === 0 ? 'none' : values.join(', ');
}

/** A manifest for programs: what was read of it, without the values. */
export function manifestFacts(manifest: ReferenceManifest): unknown {
  const { id, sequence, issuedAtMs, expiresAtMs, targets } = manifest;
  return {
    id,
    sequence,
    issuedAt: new Date(issuedAtMs).toISOString(),
    ...(expiresAtMs === undefined ? {} : { expiresAt: new Date(expiresAtMs).toISOString() }),
    targets: [...targets.values()].map((target) => ({
      id: target.id,
      deviceClass: target.deviceClass,
      baseline: target.baseline,
      rollbackCounters: target.rollbackCounters,
      minimumRelease: target.minimumRelease.id,
      releases: target.releases.map(({ id: release, order, measurements }) => ({
        id: release,
        order,
        indices: measurements.map(({ index }) => index),
      })),
    })),
  };
}

const FIELDS = ['classId', 'vendor', 'model', 'layer', 'index'] as const;

function environmentText(environment: CorimEnvironment): string {
  return FIELDS.flatMap((field) => {
    const value = environment[field];
    return value === undefined ? [] : [`${field}=${value}`];
  }).join(' ');
}

/** A CoRIM for people: how a manifest names it, and its environments, to be copied into one. */
export function formatCorim({ id, sha256, signed, references }: Corim): string {
  const head = formatBlock([
    ['CoRIM', id],
    ['SHA-256', sha256],
    ['Signed', signed ? 'by the key given' : 'no'],
  ]);
  const rows = references.map(({ index, values, environment }) => [
    index === undefined ? '?' : String(index),
    listed(values.map(({ algorithm }) => algorithm)),
    environmentText(environment),
  ]);
  return `${head}\n${formatTable(['INDEX', 'VALUES', 'ENVIRONMENT'], rows)}`;
}
