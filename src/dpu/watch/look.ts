import { fail, ok, type Result } from '../../base/result.ts';
import type { DpuComponent, DpuRecord } from '../../rules/dpu.ts';
import { appraiseDpu, checkDeviceKeys, componentOf, type DpuRules } from '../appraise-dpu.ts';
import { type CollectRules, collectVerified } from '../collect-verified.ts';
import type { OpenLook } from '../collector.ts';
import type { DpuInventory } from '../inventory.ts';

/** What the server's own looks at cards need. */
export interface LookParts extends CollectRules {
  readonly openLook: OpenLook;
  readonly manifestFor: DpuRules['manifestFor'];
  readonly inventory: Pick<DpuInventory, 'find'>;
}

/** What a look found, where nothing speaks against the card. */
export interface LookedAt {
  /** The DPU as it stood when the look was over. */
  readonly dpu: DpuRecord;
  /**
   * Against its last verdict: the same boot with the same values; another boot, for which there has been no
   * attestation; or nothing to compare with.
   */
  readonly compared: 'same' | 'rebooted' | 'new';
  readonly components: readonly DpuComponent[];
  /** What the BMC claims, as selector values; none unless asked for. */
  readonly posture: readonly string[];
}

/**
 * Looks at a card by the BMC that the inventory names (reference §7.3, L2): own nonces, the pinned device
 * keys, its manifests and baseline, and what it showed at its last attestation. Changes nothing. Fails as
 * looks, evidence and appraisals do, with DPU_KEY_UNKNOWN, and with DPU_RELAYED where one boot shows two
 * values: `lookVerdict` tells what that means.
 */
export async function lookAtDpu(
  parts: LookParts,
  serial: string,
  want: { readonly posture: boolean },
): Promise<Result<LookedAt>> {
  const found = parts.inventory.find(serial);
  if (!found.ok) return found;
  const look = await parts.openLook(found.value);
  if (!look.ok) return look;
  try {
    const collected = await collectVerified(look.value, parts);
    if (!collected.ok) return collected;
    const { pairs } = collected.value;
    const posture = want.posture ? await look.value.posture() : [];
    // Once more: it may have attested, or been released, while the BMC took its time.
    const now = parts.inventory.find(serial);
    if (!now.ok) return now;
    const dpu = now.value;
    const evidence = pairs.map(([, each]) => each);
    const keys = checkDeviceKeys(dpu, evidence);
    if (!keys.ok) return keys;
    const { atMs } = parts.rules();
    const appraisal = appraiseDpu(dpu, pairs, { manifestFor: parts.manifestFor, atMs });
    if (!appraisal.ok) return appraisal;
    const components = appraisal.value.components.map(componentOf);
    const compared = compare(dpu, components);
    return compared.ok ? ok({ dpu, compared: compared.value, components, posture }) : compared;
  } finally {
    await look.value.close();
  }
}

/** Another leaf is another boot; in one boot nothing that is measured changes. */
function compare(
  { serial, assessment }: DpuRecord,
  components: readonly DpuComponent[],
): Result<LookedAt['compared']> {
  let compared: LookedAt['compared'] = 'same';
  for (const component of components) {
    const { target, leaf, deviceId } = component;
    const before = assessment?.components.find((each) => each.target === target);
    if (before === undefined) {
      compared = 'new';
    } else if (before.leaf !== leaf || before.deviceId !== deviceId) {
      if (compared === 'same') compared = 'rebooted';
    } else if (valuesOf(before) !== valuesOf(component)) {
      const what = `its BMC shows other measurements of ${target} than it attested with in this boot`;
      return fail('DPU_RELAYED', `DPU ${serial}: ${what}`);
    }
  }
  return ok(compared);
}

function valuesOf({ values }: DpuComponent): string {
  return values
    .map(({ index, value }) => `${index}=${value}`)
    .sort()
    .join('\n');
}
