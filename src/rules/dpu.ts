import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { AssuranceBinding } from './assurance.ts';
import { deviceIdOfAgent } from './reserved-ids.ts';

/**
 * Where a DPU stands. `enrolling`: known, its device key or baseline not yet pinned. `commissioned`:
 * pinned by an operator, to attest in full. `trusted`: attested. `degraded`: attested, but something
 * that warns, such as a BMC that does not answer. `quarantined`: out, until an operator releases it and
 * it attests in full again. `retired`: out for good. Who moves it where: `src/dpu/states.ts`.
 */
export const DPU_STATES = [
  'enrolling',
  'commissioned',
  'trusted',
  'degraded',
  'quarantined',
  'retired',
] as const;

/** Name of a state. */
export type DpuState = (typeof DPU_STATES)[number];

/** How the server reaches the BMC of a DPU: from the inventory, never from the agent. */
export interface DpuBmc {
  /** Host name or address. */
  readonly host: string;
  readonly port: number;
  /** SHA-256 of the SubjectPublicKeyInfo of its TLS certificate, hex; undefined is not pinned yet. */
  readonly tlsPin: string | undefined;
  /** Its UUID, lower case; empty where it is not known. */
  readonly uuid: string;
  /** MAC address, lower case with colons; empty where it is not known. */
  readonly mac: string;
}

/** The host that a DPU sits in; empty where a value is not known. */
export interface DpuHost {
  readonly serial: string;
  /** Lower case. */
  readonly uuid: string;
  /** MAC address of PF0 as the host sees it, lower case with colons. */
  readonly pf0Mac: string;
}

/** The first key that asked for vouchers in a boot of the host: no other gets one in the same boot. */
export interface DpuHostKey {
  /** SHA-256 of its SubjectPublicKeyInfo, hex. */
  readonly anchor: string;
  /** Boot id of the host's kernel, as the host told it. */
  readonly boot: string;
  /** What the DPU saw of that boot by itself; empty where it sees nothing. */
  readonly witness: string;
  /** UUID of the host that it is the key of. */
  readonly hostUuid: string;
  /** Unix seconds of its first attestation. */
  readonly sinceSeconds: number;
}

/** The first TPM that a host showed: no other is taken for it. */
export interface DpuHostTpm {
  /** SHA-256 of the SubjectPublicKeyInfo of its endorsement key, hex. */
  readonly ekSha256: string;
  /** UUID of the host that it is in. */
  readonly hostUuid: string;
  /** Unix seconds of its first attestation. */
  readonly sinceSeconds: number;
}

/** How the server reaches the BMC of the host that a DPU sits in. */
export type DpuHostBmc = Pick<DpuBmc, 'host' | 'port' | 'tlsPin'>;

/** The host as its own BMC told it, out of band (reference §7.7.1). */
export interface DpuPairing extends DpuHost {
  /** Who told: such as `host-bmc`, `operator`, `import`. */
  readonly source: string;
  /** Unix seconds. */
  readonly checkedAtSeconds: number;
}

/** A measured value of one component, by which a later one is compared. */
export interface DpuValue {
  /** Component, such as `Bluefield_DPU_IRoT`. */
  readonly target: string;
  /** Index of the measurement. */
  readonly index: number;
  /** Lower-case hexadecimal. */
  readonly value: string;
}

/** The device key of a component. */
export interface DpuDevicePin {
  readonly target: string;
  /** SHA-256 of its SubjectPublicKeyInfo, hex. */
  readonly deviceId: string;
}

/** A firmware release that was accepted for a component. */
export interface DpuRelease {
  readonly target: string;
  /** Name in the reference manifest. */
  readonly release: string;
  /** Its place in the order of releases; a lower one later is a rollback. */
  readonly order: number;
}

/** What an appraisal said (EAR trust tiers): fine, fine with something to look at, not to be trusted. */
export const DPU_VERDICTS = ['affirming', 'warning', 'contraindicated'] as const;

/** Name of a verdict. */
export type DpuVerdict = (typeof DPU_VERDICTS)[number];

/** Firmware ids of one run-time layer of a component. */
export interface DpuLayer {
  /** By depth, such as `L5`. */
  readonly name: string;
  /** Such as `sha384:…`, hex. */
  readonly fwids: readonly string[];
}

/** One component in an appraisal. */
export interface DpuComponent {
  readonly target: string;
  /** SHA-256 of the device key's SubjectPublicKeyInfo, hex. */
  readonly deviceId: string;
  /** SHA-256 of the leaf certificate, hex: another one is another boot. */
  readonly leaf: string;
  /** The release of the reference manifest that matched; empty where none did. */
  readonly release: string;
  readonly values: readonly DpuValue[];
  /** Undefined in assessments of older versions. */
  readonly layers?: readonly DpuLayer[];
}

/** The last appraisal of a DPU: what the verdict was and what it rests on. */
export interface DpuAssessment {
  /** Unix seconds. */
  readonly atSeconds: number;
  readonly verdict: DpuVerdict;
  /** Kinds of evidence, such as `spdm-redfish`. */
  readonly evidence: readonly string[];
  /** How the evidence is tied to who showed it. */
  readonly binding: AssuranceBinding;
  readonly components: readonly DpuComponent[];
  /** Code of the error table that the verdict rests on; empty where all is well. */
  readonly code: string;
  /** In words, for operators. */
  readonly detail: string;
  /** What the BMC claims, such as `secure-boot` → `on`: advisory, not signed by a root of trust. */
  readonly posture: Readonly<Record<string, string>>;
  /** Name of the evidence on the server that appraised it; empty where none was kept. */
  readonly evidenceId: string;
}

/** The last attestation in full, which light ones rest on. */
export interface DpuFull {
  /** What evidence was judged by: SHA-256 of rules and manifests, hex. */
  readonly rules: string;
  /** SHA-256 of the leaf certificate of each component, hex: another one is another boot. */
  readonly leaves: readonly { readonly target: string; readonly leaf: string }[];
  /** Light attestations since. */
  readonly light: number;
}

/** Somebody wants a full attestation; the DPU stands until then. */
export interface DpuDemand {
  readonly reason: string;
  /** Unix seconds. */
  readonly sinceSeconds: number;
}

/** What an operator states about a DPU, and what the import knows. */
export interface DpuFacts {
  readonly model: string;
  /** Ordering part number. */
  readonly opn: string;
  readonly psid: string;
  readonly bmc: DpuBmc | undefined;
  readonly host: DpuHost;
  /** Undefined where the host's own BMC is not asked. */
  readonly hostBmc?: DpuHostBmc | undefined;
  /** Zone 0 is management, 1 the data plane, 2 external; undefined is none. */
  readonly zone: number | undefined;
  readonly rack: string;
  readonly tenant: string;
  /** Agents of the node beside its DPU's own: they stand and fall with it. */
  readonly agentIds: readonly SpiffeId[];
}

/** A DPU as the inventory has it. */
export interface DpuRecord extends DpuFacts {
  /** Board serial number, trimmed: what it is found by. */
  readonly serial: string;
  /** Grows with every change; the first is 1. */
  readonly revision: bigint;
  readonly state: DpuState;
  /** Why it is in this state. */
  readonly reason: string;
  /** Unix seconds. */
  readonly stateSinceSeconds: number;
  /**
   * It was put out and has not attested in full since: nothing is issued beneath it, whatever its
   * state is.
   */
  readonly mustAttest: boolean;
  /** SHA-256 of the SubjectPublicKeyInfo of its device keys, hex; empty until pinned. */
  readonly deviceIds: readonly string[];
  /** Which of them is of which component, since one showed it; absent until then, and in older records. */
  readonly devicePins?: readonly DpuDevicePin[] | undefined;
  /** Values that must not change, taken at commissioning. */
  readonly baseline: readonly DpuValue[];
  /** Until when another baseline is accepted, Unix seconds; 0 is not. */
  readonly baselineWindowEndsSeconds: number;
  readonly accepted: readonly DpuRelease[];
  /** Values that each rollback counter had, the present one last: one that it left must not come back. */
  readonly counters: readonly DpuValue[];
  /** Security version numbers that were seen, in decimal: none may get smaller. */
  readonly securityVersions: readonly DpuValue[];
  readonly pairing: DpuPairing | undefined;
  readonly assessment: DpuAssessment | undefined;
  /** Undefined until the host's agent attested through this DPU. */
  readonly hostKey?: DpuHostKey | undefined;
  /** Undefined until the host's agent showed its TPM. */
  readonly hostTpm?: DpuHostTpm | undefined;
  /** Its agent is to attest in full; ended by that. Absent where nobody asked. */
  readonly attestDemand?: DpuDemand | undefined;
  /** Since when its BMC has not answered, Unix seconds; 0 where it does. */
  readonly unreachableSinceSeconds: number;
  /** SHA-256 of the one-time secret of its image, hex; empty where none is awaited. */
  readonly joinSecretHash: string;
  /**
   * SHA-256 of the SubjectPublicKeyInfo of the key that its agent keeps, hex; empty until the first
   * attestation in full that showed one.
   */
  readonly ownKeySha256: string;
  /** The same of its TPM's endorsement key. */
  readonly ekSha256: string;
  /** Undefined where none was since it was commissioned. */
  readonly lastFull: DpuFull | undefined;
  /** Unix seconds. */
  readonly createdAtSeconds: number;
  /** Unix seconds. */
  readonly updatedAtSeconds: number;
  /** Unix seconds; 0 is never. */
  readonly commissionedAtSeconds: number;
  /** Unix seconds of the last full attestation; 0 is never. */
  readonly attestedAtSeconds: number;
}

/** What a DPU record is, without what the store counts. */
export type DpuDraft = Omit<DpuRecord, 'revision'>;

/** Whether a DPU is out: only an operator lets it back. */
export function isOut({ state }: Pick<DpuRecord, 'state'>): boolean {
  return state === 'quarantined' || state === 'retired';
}

/** Whether nothing may be issued on the node of a DPU. */
export function isStopped(dpu: Pick<DpuRecord, 'state' | 'mustAttest'>): boolean {
  return isOut(dpu) || dpu.mustAttest;
}

/**
 * Why nothing may be issued to an agent for the sake of its DPU; undefined where nothing speaks against it. One
 * that is named after a device key which no DPU has (any more), as after commissioning with another one,
 * stands on nothing.
 */
export function dpuObjection(
  agentId: SpiffeId,
  dpu: Pick<DpuRecord, 'serial' | 'state' | 'mustAttest' | 'reason'> | undefined,
): string | undefined {
  if (dpu === undefined) {
    return deviceIdOfAgent(agentId) === undefined ? undefined : 'no DPU has its device key';
  }
  if (!isStopped(dpu)) return undefined;
  const { serial, state, reason } = dpu;
  const what = isOut(dpu) ? state : 'to attest in full';
  return `DPU ${serial} is ${what}${reason === '' ? '' : `: ${reason}`}`;
}

/** Which DPUs a list holds; what is left out does not restrict. */
export interface DpuFilter {
  readonly states?: readonly DpuState[] | undefined;
  readonly zone?: number | undefined;
  readonly rack?: string | undefined;
  readonly tenant?: string | undefined;
}

/** A test for DPUs, made once for a whole list. */
export function dpuMatcher({ states, zone, rack, tenant }: DpuFilter): (dpu: DpuRecord) => boolean {
  return (dpu) =>
    (states === undefined || states.includes(dpu.state)) &&
    (zone === undefined || dpu.zone === zone) &&
    (rack === undefined || dpu.rack === rack) &&
    (tenant === undefined || dpu.tenant === tenant);
}
