import { fail, ok, type Result } from '../base/result.ts';
import type { DpuComponent, DpuDevicePin, DpuDraft, DpuRecord } from '../rules/dpu.ts';
import { deviceRecordOf, withDeviceRecord } from './device-records.ts';
import type { DpuTarget, VerifiedEvidence } from './evidence.ts';
import { type Allowances, appraise } from './manifest/appraise.ts';
import { layerText, measurementText } from './manifest/device-record.ts';
import type { ReferenceManifest, Release } from './manifest/reference-manifest.ts';

/** What the components of a DPU are appraised by. */
export interface DpuRules {
  /** The manifest that a component is judged by; undefined where none names it. */
  readonly manifestFor: (target: string) => ReferenceManifest | undefined;
  /** Unix milliseconds. */
  readonly atMs: number;
}

/** A component that may run what it runs. */
export interface AppraisedComponent {
  readonly evidence: VerifiedEvidence;
  readonly release: Release;
  /** Indices whose baseline was taken anew. */
  readonly rebaselined: readonly number[];
}

/** A DPU whose every component may run what it runs. */
export interface DpuAppraisal {
  /** In the order of the targets. */
  readonly components: readonly AppraisedComponent[];
  /** What the inventory is to remember. */
  readonly remembered: Pick<DpuDraft, 'accepted' | 'baseline' | 'counters' | 'securityVersions'>;
}

/**
 * Whether the device keys are those that are pinned to the DPU, a different one for each component, and each
 * of its own component where that is known. Fails with DPU_KEY_MISSING or DPU_KEY_UNKNOWN.
 */
export function checkDeviceKeys(
  dpu: Pick<DpuRecord, 'serial' | 'deviceIds' | 'devicePins'>,
  evidence: readonly VerifiedEvidence[],
): Result<void> {
  if (dpu.deviceIds.length === 0) {
    return fail('DPU_KEY_MISSING', `DPU ${dpu.serial} has no device key pinned`);
  }
  const seen = new Set<string>();
  for (const { target, chain } of evidence) {
    const { deviceIdSha256: deviceId } = chain;
    const misplaced = dpu.devicePins?.some(
      (pin) => (pin.target === target) !== (pin.deviceId === deviceId),
    );
    if (!dpu.deviceIds.includes(deviceId) || seen.has(deviceId) || misplaced === true) {
      return fail('DPU_KEY_UNKNOWN', `DPU ${dpu.serial}: ${target} answers with key ${deviceId}`);
    }
    seen.add(deviceId);
  }
  return ok(undefined);
}

/**
 * Appraises the verified evidence of a DPU against manifests and what the inventory remembers of it
 * (dpu-attestation §7.5). Errors: DPU_MANIFEST_ABSENT and those of `appraise`.
 */
export function appraiseDpu(
  dpu: DpuRecord,
  evidence: readonly (readonly [DpuTarget, VerifiedEvidence])[],
  { manifestFor, atMs }: DpuRules,
): Result<DpuAppraisal> {
  const components: AppraisedComponent[] = [];
  let remembered: DpuAppraisal['remembered'] = dpu;
  for (const [{ id, deviceClass }, item] of evidence) {
    const manifest = manifestFor(id);
    if (manifest === undefined) return fail('DPU_MANIFEST_ABSENT', `no manifest has ${id}`);
    const verdict = appraise({
      manifest,
      target: id,
      deviceClass: deviceClass.name,
      blocks: item.measurements.blocks,
      layers: item.chain.layers,
      record: deviceRecordOf(dpu, id),
      allow: allowancesOf(dpu, id, atMs),
      atMs,
    });
    if (!verdict.ok) return verdict;
    const { release, record, rebaselined } = verdict.value;
    components.push({ evidence: item, release, rebaselined });
    remembered = withDeviceRecord(remembered, id, record);
  }
  const { accepted, baseline, counters, securityVersions } = remembered;
  return ok({ components, remembered: { accepted, baseline, counters, securityVersions } });
}

/**
 * What an operator opened: a window for a new baseline, and commissioning, where the first full
 * attestation by the pinned keys brings the baseline if it was not collected then.
 */
export function allowancesOf(dpu: DpuRecord, target: string, atMs: number): Allowances {
  const inWindow = atMs < dpu.baselineWindowEndsSeconds * 1000;
  const isNew = dpu.state === 'commissioned' && !dpu.baseline.some((one) => one.target === target);
  return { newBaseline: inWindow || isNew, olderRelease: inWindow };
}

/** Which device key each component showed. */
export function devicePinsOf(evidence: readonly VerifiedEvidence[]): readonly DpuDevicePin[] {
  return evidence.map(({ target, chain }) => ({ target, deviceId: chain.deviceIdSha256 }));
}

/** A component as the inventory keeps it with the assessment. */
export function componentOf({ evidence, release }: AppraisedComponent): DpuComponent {
  const { target, chain, measurements } = evidence;
  return {
    target,
    deviceId: chain.deviceIdSha256,
    leaf: chain.leafSha256,
    release: release.id,
    values: measurements.blocks.map((block) => ({
      target,
      index: block.index,
      value: measurementText(block),
    })),
    layers: chain.layers.map(layerText),
  };
}
