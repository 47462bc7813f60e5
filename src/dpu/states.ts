import { fail, ok, type Result } from '../base/result.ts';
import type { DpuDraft, DpuRecord, DpuState } from '../rules/dpu.ts';

/**
 * What moves a DPU. By operators: `commission` (device key and baseline are pinned), `quarantine`,
 * `release`, `retire`. By appraisals: `attested` (in full, all well), `warned` (in full, with something to look
 * at), `contradicted` (a value does not match: no grace). By its BMC: `unreachable` (silent, grace
 * begins), `lost` (silent past the grace).
 */
export type DpuEvent =
  | 'commission'
  | 'attested'
  | 'warned'
  | 'contradicted'
  | 'unreachable'
  | 'lost'
  | 'quarantine'
  | 'release'
  | 'retire';

/** From where an event leads where; what is not here is refused (reference §7.8). */
export const TRANSITIONS: Readonly<
  Record<DpuState, Readonly<Partial<Record<DpuEvent, DpuState>>>>
> = {
  enrolling: {
    commission: 'commissioned',
    attested: 'trusted',
    warned: 'degraded',
    contradicted: 'quarantined',
    unreachable: 'enrolling',
    quarantine: 'quarantined',
    retire: 'retired',
  },
  commissioned: {
    commission: 'commissioned',
    attested: 'trusted',
    warned: 'degraded',
    contradicted: 'quarantined',
    unreachable: 'commissioned',
    quarantine: 'quarantined',
    retire: 'retired',
  },
  trusted: {
    commission: 'commissioned',
    attested: 'trusted',
    warned: 'degraded',
    contradicted: 'quarantined',
    unreachable: 'degraded',
    lost: 'quarantined',
    quarantine: 'quarantined',
    retire: 'retired',
  },
  degraded: {
    commission: 'commissioned',
    attested: 'trusted',
    warned: 'degraded',
    contradicted: 'quarantined',
    unreachable: 'degraded',
    lost: 'quarantined',
    quarantine: 'quarantined',
    retire: 'retired',
  },
  // Only an operator leads out, and only to where a full attestation is due.
  quarantined: { release: 'commissioned', retire: 'retired' },
  // What was pinned is not believed any more: it is commissioned like a new one.
  retired: { release: 'enrolling' },
};

/** Where an event leads; undefined where it leads nowhere. */
export function nextState(state: DpuState, event: DpuEvent): DpuState | undefined {
  return TRANSITIONS[state][event];
}

/** Whether things are issued on the node of a DPU. */
export function isStanding({
  state,
  mustAttest,
}: Pick<DpuRecord, 'state' | 'mustAttest'>): boolean {
  return (state === 'trusted' || state === 'degraded') && !mustAttest;
}

/** Why and when something happened to a DPU. */
export interface DpuCause {
  readonly reason: string;
  /** Unix seconds. */
  readonly atSeconds: number;
}

/** A DPU after an event. Fails with DPU_STATE, or with DPU_KEY_MISSING for one that attested unpinned. */
export function applyEvent(dpu: DpuRecord, event: DpuEvent, cause: DpuCause): Result<DpuDraft> {
  const { revision: _revision, ...draft } = dpu;
  const to = nextState(dpu.state, event);
  if (to === undefined) {
    return fail(
      'DPU_STATE',
      `DPU ${dpu.serial} is ${dpu.state}: "${event}" leads nowhere from there`,
    );
  }
  const attests = event === 'attested' || event === 'warned';
  if (attests && dpu.deviceIds.length === 0) {
    return fail('DPU_KEY_MISSING', `DPU ${dpu.serial} has no device key pinned`);
  }
  const moved = { ...draft, updatedAtSeconds: cause.atSeconds, ...effectOf(dpu, event, cause) };
  const state = event === 'release' && dpu.deviceIds.length === 0 ? 'enrolling' : to;
  const same = state === dpu.state && event !== 'commission';
  return ok({
    ...moved,
    state,
    reason: cause.reason,
    stateSinceSeconds: same ? dpu.stateSinceSeconds : cause.atSeconds,
  });
}

/** What an event changes beside the state. */
function effectOf(dpu: DpuRecord, event: DpuEvent, { atSeconds }: DpuCause): Partial<DpuDraft> {
  switch (event) {
    case 'commission': {
      // Other pins than those that it attested by: what stands on those has to be shown again.
      const stands = dpu.state === 'trusted' || dpu.state === 'degraded';
      // An operator looked at the node: the first keys of host and agent from here on count.
      return {
        commissionedAtSeconds: atSeconds,
        mustAttest: dpu.mustAttest || stands,
        devicePins: undefined,
        hostKey: undefined,
        hostTpm: undefined,
        ownKeySha256: '',
        ekSha256: '',
        lastFull: undefined,
      };
    }
    case 'attested':
    case 'warned':
      return { mustAttest: false, attestedAtSeconds: atSeconds, unreachableSinceSeconds: 0 };
    case 'unreachable':
      return { unreachableSinceSeconds: dpu.unreachableSinceSeconds || atSeconds };
    case 'contradicted':
    case 'lost':
    case 'quarantine':
    case 'retire':
      return { mustAttest: true };
    case 'release':
      return dpu.state === 'retired'
        ? {
            deviceIds: [],
            devicePins: undefined,
            baseline: [],
            accepted: [],
            counters: [],
            securityVersions: [],
            pairing: undefined,
            ownKeySha256: '',
            ekSha256: '',
            lastFull: undefined,
            hostKey: undefined,
            hostTpm: undefined,
          }
        : { unreachableSinceSeconds: 0 };
  }
}
