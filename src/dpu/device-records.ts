import type { DpuDraft, DpuValue } from '../rules/dpu.ts';
import type { DeviceRecord } from './manifest/device-record.ts';

/** What the inventory remembers of a DPU's components. */
type Remembered = Pick<DpuDraft, 'accepted' | 'baseline' | 'counters' | 'securityVersions'>;

/** What is known of one component of a DPU, as appraisals take it. */
export function deviceRecordOf(dpu: Remembered, target: string): DeviceRecord {
  const baseline = valuesOf(dpu.baseline, target);
  const last = dpu.accepted.find((each) => each.target === target);
  const counters = new Map<number, string[]>();
  for (const { index, value } of valuesOf(dpu.counters, target)) {
    counters.set(index, [...(counters.get(index) ?? []), value]);
  }
  return {
    baseline: baseline.length === 0 ? undefined : new Map(baseline.map(indexAndValue)),
    lastRelease: last && { id: last.release, order: last.order },
    counters,
    securityVersions: new Map(
      valuesOf(dpu.securityVersions, target).map(({ index, value }) => [index, BigInt(value)]),
    ),
  };
}

/** A DPU that remembers what an appraisal of one of its components found. */
export function withDeviceRecord(
  dpu: Remembered,
  target: string,
  record: DeviceRecord,
): Remembered {
  const { baseline = new Map<number, string>(), lastRelease, counters, securityVersions } = record;
  const others = <T extends { readonly target: string }>(values: readonly T[]): readonly T[] =>
    values.filter((each) => each.target !== target);
  const valueAt = (index: number, value: string): DpuValue => ({ target, index, value });
  const release = lastRelease && {
    target,
    release: lastRelease.id,
    order: lastRelease.order,
  };
  return {
    accepted: [...others(dpu.accepted), ...(release ? [release] : [])],
    baseline: [
      ...others(dpu.baseline),
      ...[...baseline].map(([index, value]) => valueAt(index, value)),
    ],
    counters: [
      ...others(dpu.counters),
      ...[...counters].flatMap(([index, values]) => values.map((value) => valueAt(index, value))),
    ],
    securityVersions: [
      ...others(dpu.securityVersions),
      ...[...securityVersions].map(([index, version]) => valueAt(index, String(version))),
    ],
  };
}

function valuesOf(values: readonly DpuValue[], target: string): readonly DpuValue[] {
  return values.filter((each) => each.target === target);
}

function indexAndValue({ index, value }: DpuValue): readonly [number, string] {
  return [index, value];
}
