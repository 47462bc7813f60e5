import { fail, ok, type Result } from '../../base/result.ts';
import { postureClaims } from '../../redfish/posture.ts';
import type { Registry } from '../../registry/registry.ts';
import type { DpuAssessment, DpuRecord } from '../../rules/dpu.ts';
import { dpuAgentPath } from '../../rules/reserved-ids.ts';
import { makeSelector, type Selector } from '../../rules/selector.ts';
import { spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import type { DpuInventory } from '../inventory.ts';
import { DPU_SELECTOR_TYPE } from '../selectors.ts';
import { isStanding } from '../states.ts';
import type { LookedAt } from './look.ts';

/** What raising an assurance needs. */
export interface ConfirmParts {
  readonly registry: Pick<Registry, 'agent' | 'changeAgent' | 'trustDomain'>;
  readonly inventory: Pick<DpuInventory, 'change' | 'find'>;
}

/** Whether a DPU attested in band, and still waits for the server's own look. */
export function owesSecondLook(dpu: DpuRecord): boolean {
  const { assessment } = dpu;
  return (
    isStanding(dpu) && assessment?.binding === 'in-band' && assessment.verdict !== 'contraindicated'
  );
}

/**
 * What the agent showed and what the server collected by itself agree, in one boot: the agent of the DPU is
 * bound as `dual` from now on, and has what the BMC claims among its selectors. First the agent, then the
 * DPU: after a crash in between the look is taken again. Fails with DPU_NOT_FOUND where there is no such
 * agent, or as the store does; nothing happens where another attestation came meanwhile.
 */
export async function confirmDual(
  { registry, inventory }: ConfirmParts,
  { dpu, components, posture }: LookedAt,
): Promise<Result<void>> {
  const { assessment, serial } = dpu;
  const [first] = components;
  if (assessment === undefined || first === undefined) {
    return fail('INTERNAL', `DPU ${serial} has nothing to confirm`);
  }
  const now = inventory.find(serial);
  if (!now.ok) return now;
  if (!isSame(now.value.assessment, assessment)) return ok(undefined);
  const agentId = spiffeIdFromPath(registry.trustDomain, dpuAgentPath(first.deviceId));
  if (!agentId.ok) return agentId;
  const agent = registry.agent(agentId.value);
  if (agent?.assurance === undefined) {
    return fail('DPU_NOT_FOUND', `DPU ${serial} has no agent ${agentId.value.uri}`);
  }
  const selectors = selectorsWith(agent.selectors, posture);
  if (!selectors.ok) return selectors;
  const changed = await registry.changeAgent(agentId.value, {
    kind: 'confirmed',
    serial: agent.serial,
    assurance: { ...agent.assurance, binding: 'dual' },
    selectors: selectors.value,
  });
  if (!changed.ok) return changed;
  if (changed.value?.serial !== agent.serial) return ok(undefined);
  const noted = await inventory.change(serial, ({ revision: _revision, ...draft }) =>
    ok(isSame(draft.assessment, assessment) ? withDual(draft, posture) : draft),
  );
  return noted.ok ? ok(undefined) : noted;
}

function selectorsWith(
  before: readonly Selector[],
  posture: readonly string[],
): Result<readonly Selector[]> {
  const known = before.filter(
    ({ type, value }) => type !== DPU_SELECTOR_TYPE || value !== 'binding:in-band',
  );
  const selectors = [...known];
  for (const value of ['binding:dual', ...posture]) {
    if (known.some((one) => one.type === DPU_SELECTOR_TYPE && one.value === value)) continue;
    const selector = makeSelector(DPU_SELECTOR_TYPE, value);
    if (!selector.ok) return selector;
    selectors.push(selector.value);
  }
  return ok(selectors);
}

function isSame(now: DpuAssessment | undefined, then: DpuAssessment): boolean {
  const leaves = ({ components }: DpuAssessment): string =>
    components.map(({ target, leaf }) => `${target}=${leaf}`).join();
  return (
    now?.binding === 'in-band' && now.atSeconds === then.atSeconds && leaves(now) === leaves(then)
  );
}

function withDual<T extends { readonly assessment: DpuAssessment | undefined }>(
  draft: T,
  posture: readonly string[],
): T {
  if (draft.assessment === undefined) return draft;
  const assessment = {
    ...draft.assessment,
    binding: 'dual',
    posture: postureClaims(posture),
  } as const;
  return { ...draft, assessment };
}
