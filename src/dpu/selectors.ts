import { toHex } from '../base/bytes.ts';
import type { Result } from '../base/result.ts';
import { ok } from '../base/result.ts';
import type { AssuranceBinding } from '../rules/assurance.ts';
import type { DpuRecord } from '../rules/dpu.ts';
import { makeSelector, type Selector } from '../rules/selector.ts';
import type { AppraisedComponent } from './appraise-dpu.ts';
import { DIGEST_BYTES } from './manifest/reference-manifest.ts';

/** Type of the selectors of DPUs. */
export const DPU_SELECTOR_TYPE = 'dpu';

/** What the selectors of a DPU are taken from. */
export interface SelectorSources {
  readonly dpu: DpuRecord;
  readonly components: readonly AppraisedComponent[];
  /** Kinds of evidence that were shown. */
  readonly evidence: readonly string[];
  readonly binding: AssuranceBinding;
  /** What the server itself read from the BMC, as selector values. */
  readonly posture: readonly string[];
}

/**
 * Selectors of a DPU (dpu-attestation §7.6): from the inventory, from verified evidence and from the
 * manifest that matched, never from what an agent says of itself.
 */
export function dpuSelectors(sources: SelectorSources): Result<readonly Selector[]> {
  const { dpu, components, evidence, binding, posture } = sources;
  const values = [
    ...inventoryValues(dpu),
    ...evidence.map((kind) => `evidence:${kind}`),
    `binding:${binding}`,
    ...components.flatMap(componentValues),
    ...posture,
  ];
  const selectors: Selector[] = [];
  for (const value of new Set(values)) {
    const selector = makeSelector(DPU_SELECTOR_TYPE, value);
    if (!selector.ok) return selector;
    selectors.push(selector.value);
  }
  return ok(selectors);
}

function inventoryValues(dpu: DpuRecord): readonly string[] {
  const known: readonly (readonly [string, string])[] = [
    ['serial', dpu.serial],
    ['model', dpu.model],
    ['opn', dpu.opn],
    ['psid', dpu.psid],
    ['zone', dpu.zone === undefined ? '' : String(dpu.zone)],
    ['rack', dpu.rack],
    ['tenant', dpu.tenant],
    ['host:serial', dpu.host.serial],
    ['host:uuid', dpu.host.uuid],
  ];
  return known.filter(([, value]) => value !== '').map(([name, value]) => `${name}:${value}`);
}

function componentValues({ evidence, release }: AppraisedComponent): readonly string[] {
  const { target, chain, measurements } = evidence;
  const digests = measurements.blocks.filter(({ raw }) => !raw);
  return [
    `devid:sha256:${chain.deviceIdSha256}`,
    `ca:sha256:${chain.classCaSha256}`,
    `rot:${target}`,
    `rim:${release.id}`,
    ...[...release.versions].map(([part, version]) => `fw:${part}:${version}`),
    ...digests.flatMap(({ index, value }) => {
      const algorithm = algorithmOf(value);
      return algorithm === undefined
        ? []
        : [`meas:${target}:${index}:${algorithm}:${toHex(value)}`];
    }),
    ...chain.layers.flatMap(({ name, fwids }) =>
      fwids.map(({ algorithm, digest }) => `fwid:${target}:${name}:${algorithm}:${toHex(digest)}`),
    ),
  ];
}

function algorithmOf({ length }: Uint8Array): string | undefined {
  return Object.entries(DIGEST_BYTES).find(([, bytes]) => bytes === length)?.[0];
}
