import type { SignetError } from '../../base/errors.ts';
import type { Result } from '../../base/result.ts';
import type { DeviceLayer } from '../../dice/device-chain.ts';
import type { DpuComponent, DpuRecord } from '../../rules/dpu.ts';
import type { MeasurementBlock } from '../../spdm/measurement-block.ts';
import { allowancesOf, type DpuRules } from '../appraise-dpu.ts';
import { deviceRecordOf } from '../device-records.ts';
import type { DpuTarget } from '../evidence.ts';
import { isFinding } from '../findings.ts';
import { appraise, type Verdict } from '../manifest/appraise.ts';
import { parseLayerText, parseMeasurementText } from '../manifest/device-record.ts';

/** What the last evidence of a DPU is worth by other manifests than it was judged by. */
export type Reappraisal =
  | { readonly kind: 'stands' }
  /** What is kept does not tell: a full attestation has to. */
  | { readonly kind: 'open'; readonly why: string }
  /** Put out: there is no grace for what the card itself said. */
  | { readonly kind: 'contradicted'; readonly error: SignetError };

/**
 * Judges what is kept of a DPU's last evidence anew (reference §7.8). Chains are not kept, so revocation is
 * not seen here. Pure.
 */
export function reappraise(
  dpu: DpuRecord,
  targets: readonly DpuTarget[],
  rules: DpuRules,
): Reappraisal {
  let open: string | undefined;
  for (const target of targets) {
    const component = dpu.assessment?.components.find((each) => each.target === target.id);
    const kept = component && keptEvidence(component);
    const judged = kept && judge(dpu, target, kept, rules);
    if (judged === undefined) {
      open ??= `what ${target.id} measured is not kept`;
    } else if (!judged.ok) {
      if (isFinding(judged.error.code)) return { kind: 'contradicted', error: judged.error };
      open ??= judged.error.message;
    } else if (judged.value.release.id !== component?.release) {
      open ??= `${target.id} runs what is release ${judged.value.release.id} now`;
    } else if (judged.value.rebaselined.length > 0) {
      open ??= `${target.id} gets another baseline`;
    }
  }
  return open === undefined ? { kind: 'stands' } : { kind: 'open', why: open };
}

interface KeptEvidence {
  readonly blocks: readonly MeasurementBlock[];
  /** Undefined where they were not kept. */
  readonly layers: readonly DeviceLayer[] | undefined;
}

/** Undefined where a value is not one that this version wrote. */
function keptEvidence({ values, layers }: DpuComponent): KeptEvidence | undefined {
  const blocks = values.map(({ index, value }) => parseMeasurementText(index, value));
  const known = blocks.filter((block) => block !== undefined);
  if (known.length === 0 || known.length !== blocks.length) return undefined;
  const read = layers?.map(parseLayerText);
  const whole = read?.filter((layer) => layer !== undefined);
  return { blocks: known, layers: whole?.length === read?.length ? whole : undefined };
}

function judge(
  dpu: DpuRecord,
  { id, deviceClass }: DpuTarget,
  { blocks, layers }: KeptEvidence,
  { manifestFor, atMs }: DpuRules,
): Result<Verdict> | undefined {
  const manifest = manifestFor(id);
  const target = manifest?.targets.get(id);
  if (manifest === undefined || target === undefined) return undefined;
  const judged = appraise({
    // Without firmware ids the measurements still tell what is no release any more.
    manifest:
      layers === undefined
        ? { ...manifest, targets: new Map([[id, { ...target, fwids: 'ignored' }]]) }
        : manifest,
    target: id,
    deviceClass: deviceClass.name,
    blocks,
    layers: layers ?? [],
    record: deviceRecordOf(dpu, id),
    allow: allowancesOf(dpu, id, atMs),
    atMs,
  });
  const unseen = layers === undefined && target.fwids === 'required';
  return judged.ok && unseen ? undefined : judged;
}
