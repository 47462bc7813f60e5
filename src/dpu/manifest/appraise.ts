import { fail, ok, type Result } from '../../base/result.ts';
import {
  deviceMode,
  MEASUREMENT_KIND,
  type MeasurementBlock,
  securityVersion,
} from '../../spdm/measurement-block.ts';
import { type DeviceRecord, measurementText } from './device-record.ts';
import { type Measured, matchesReference, matchRelease } from './match-release.ts';
import type { ManifestTarget, ReferenceManifest, Release } from './reference-manifest.ts';

/** Most values of a rollback counter that are remembered; real ones move a few times in a life. */
const MAX_COUNTER_VALUES = 256;

/** Operational mode state: normal, and none of manufacturing, validation, recovery, RMA, decommissioned. */
const NORMAL_OPERATION = 0x04;

/** What an operator opened for one device, each for a while and with a record of it. */
export interface Allowances {
  /** Commissioning, or a maintenance window: what is measured now becomes the baseline. */
  readonly newBaseline: boolean;
  /** A release older than the last one, though never below the minimum. */
  readonly olderRelease: boolean;
}

/** Evidence of one target, whose signature and chain were verified, and what it is judged by. */
export interface Appraisal extends Measured {
  readonly manifest: ReferenceManifest;
  readonly target: string;
  /** The class that the chain was verified as. */
  readonly deviceClass: string;
  readonly record: DeviceRecord;
  readonly allow: Allowances;
  /** Unix milliseconds. */
  readonly atMs: number;
}

/** Evidence that is accepted. */
export interface Verdict {
  readonly release: Release;
  /** What to keep for next time. */
  readonly record: DeviceRecord;
  /** Indices whose baseline was taken anew: an audit entry for the operator's window. */
  readonly rebaselined: readonly number[];
}

/**
 * Judges measurements against a manifest and what is known of the device: one allowed release must match
 * in everything that it lists; the device's own measurements must be as they were; nothing goes back.
 * Pure: what changes is in the verdict, and nothing changes where it is a refusal. Errors: MANIFEST_*,
 * MEASUREMENT_*, ROLLBACK_*.
 */
export function appraise(appraisal: Appraisal): Result<Verdict> {
  const { blocks, record, allow } = appraisal;
  const target = targetOf(appraisal);
  if (!target.ok) return target;
  const release = matchRelease(target.value, appraisal);
  if (!release.ok) return release;
  const mode = checkMode(target.value, release.value, blocks);
  if (!mode.ok) return mode;
  const order = checkOrder(target.value, release.value, appraisal);
  if (!order.ok) return order;
  const counters = moveCounters(target.value, blocks, record);
  if (!counters.ok) return counters;
  const securityVersions = raiseSecurityVersions(target.value, blocks, record);
  if (!securityVersions.ok) return securityVersions;
  const baseline = judgeBaseline(target.value, blocks, record, allow);
  if (!baseline.ok) return baseline;
  const { id } = release.value;
  return ok({
    release: release.value,
    record: {
      baseline: baseline.value.values,
      lastRelease: { id, order: release.value.order },
      counters: counters.value,
      securityVersions: securityVersions.value,
    },
    rebaselined: baseline.value.changed,
  });
}

/** The target's rules, where they are about this class and this table of measurements at all. */
function targetOf(appraisal: Appraisal): Result<ManifestTarget> {
  const { manifest, atMs, deviceClass, blocks } = appraisal;
  if (manifest.expiresAtMs !== undefined && atMs >= manifest.expiresAtMs) {
    return fail('MANIFEST_EXPIRED', `manifest ${manifest.id} ${manifest.sequence}: expired`);
  }
  const target = manifest.targets.get(appraisal.target);
  if (target === undefined) {
    return fail('MANIFEST_TARGET', `manifest ${manifest.id}: nothing on ${appraisal.target}`);
  }
  if (target.deviceClass !== deviceClass) {
    const classes = `${deviceClass} instead of ${target.deviceClass}`;
    return fail('MANIFEST_TARGET', `${target.id}: answered by a device of class ${classes}`);
  }
  const { format } = target;
  const table = blocks.find(({ index }) => index === format?.index);
  if (format !== undefined && (table === undefined || !matchesReference(table, format))) {
    const message = `${target.id}: measurement ${format.index} names another table of measurements`;
    return fail('MEASUREMENT_FORMAT', message);
  }
  return ok(target);
}

/**
 * A device that states its mode must be in normal operation, with no debugging on or done since it was made
 * (DSP0274 "Device mode field"); where the release lists the block, its values are the publisher's word.
 */
function checkMode(
  { id }: ManifestTarget,
  { measurements }: Release,
  blocks: readonly MeasurementBlock[],
): Result<void> {
  for (const block of blocks) {
    const isListed = measurements.some(({ index }) => index === block.index);
    if (block.kind !== MEASUREMENT_KIND.deviceMode || isListed) continue;
    const mode = deviceMode(block);
    if (!mode.ok) return mode;
    const { operationalModeState, deviceModeState } = mode.value;
    if (operationalModeState !== NORMAL_OPERATION || deviceModeState !== 0) {
      const state = `mode 0x${operationalModeState.toString(16)}/0x${deviceModeState.toString(16)}`;
      return fail('MEASUREMENT_MODE', `${id}: measurement ${block.index} says ${state}`);
    }
  }
  return ok(undefined);
}

/** Rollback rules of releases: never below the minimum; below the last one with a permit only. */
function checkOrder(
  target: ManifestTarget,
  { id, order }: Release,
  { record, allow }: Appraisal,
): Result<void> {
  const { minimumRelease, releases } = target;
  if (order < minimumRelease.order) {
    return fail('ROLLBACK_MINIMUM', `${target.id}: ${id} is older than ${minimumRelease.id}`);
  }
  const { lastRelease } = record;
  if (lastRelease === undefined) return ok(undefined);
  // A revision of the manifest may number releases anew; one that it dropped keeps its old number.
  const last = releases.find((release) => release.id === lastRelease.id) ?? lastRelease;
  if (order < last.order && !allow.olderRelease) {
    return fail('ROLLBACK_RELEASE', `${target.id}: went back from ${last.id} to ${id}`);
  }
  return ok(undefined);
}

/** Digests of counters cannot be ordered, but a counter never returns to a value that it left. */
function moveCounters(
  target: ManifestTarget,
  blocks: readonly MeasurementBlock[],
  record: DeviceRecord,
): Result<DeviceRecord['counters']> {
  const counters = new Map(record.counters);
  for (const index of target.rollbackCounters) {
    const seen = record.counters.get(index) ?? [];
    const block = blocks.find((each) => each.index === index);
    const now = block && measurementText(block);
    // From the first time on: who asks chooses what is asked, and one never seen could never go back.
    if (now === undefined) {
      return fail('ROLLBACK_COUNTER', `${target.id}: counter ${index} is not answered`);
    }
    if (now === seen.at(-1)) continue;
    if (seen.includes(now)) {
      return fail('ROLLBACK_COUNTER', `${target.id}: counter ${index} went back`);
    }
    counters.set(index, [...seen, now].slice(-MAX_COUNTER_VALUES));
  }
  return ok(counters);
}

/** SVN blocks, whatever their index: a number that was seen does not get smaller or go away. */
function raiseSecurityVersions(
  target: ManifestTarget,
  blocks: readonly MeasurementBlock[],
  record: DeviceRecord,
): Result<DeviceRecord['securityVersions']> {
  const versions = new Map<number, bigint>();
  for (const block of blocks) {
    if (block.kind !== MEASUREMENT_KIND.securityVersion) continue;
    const version = securityVersion(block);
    if (!version.ok) return version;
    versions.set(block.index, version.value);
  }
  for (const [index, before] of record.securityVersions) {
    const now = versions.get(index);
    if (now === undefined || now < before) {
      const what = now === undefined ? 'is not answered any more' : `fell from ${before} to ${now}`;
      return fail('ROLLBACK_SVN', `${target.id}: security version ${index} ${what}`);
    }
  }
  return ok(versions);
}

interface JudgedBaseline {
  readonly values: ReadonlyMap<number, string>;
  readonly changed: readonly number[];
}

/** The device's own measurements: as they were, unless an operator opened a window for new ones. */
function judgeBaseline(
  target: ManifestTarget,
  blocks: readonly MeasurementBlock[],
  { baseline }: DeviceRecord,
  { newBaseline }: Allowances,
): Result<JudgedBaseline> {
  const values = new Map<number, string>();
  for (const block of blocks) {
    if (target.baseline.includes(block.index)) values.set(block.index, measurementText(block));
  }
  const missing = target.baseline.filter((index) => !values.has(index));
  if (newBaseline && missing.length > 0) {
    // Left out by whoever asked, it would never be looked at again.
    const message = `${target.id}: measurement ${missing.join(', ')} of the baseline was not answered`;
    return fail('MEASUREMENT_MISSING', message);
  }
  const changed = target.baseline.filter((index) => values.get(index) !== baseline?.get(index));
  if (baseline === undefined && !newBaseline) {
    return fail('MEASUREMENT_NO_BASELINE', `${target.id}: the device was never commissioned`);
  }
  if (changed.length > 0 && !newBaseline) {
    const message = `${target.id}: measurement ${changed.join(', ')} is not as at commissioning`;
    return fail('MEASUREMENT_BASELINE', message);
  }
  return ok({ values, changed });
}
