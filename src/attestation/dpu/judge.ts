import type { SignetError } from '../../base/errors.ts';
import { ok, type Result } from '../../base/result.ts';
import { appraiseDpu, componentOf, type DpuAppraisal } from '../../dpu/appraise-dpu.ts';
import { isFinding, type lookVerdict } from '../../dpu/findings.ts';
import { isSilence } from '../../redfish/fleet-gate.ts';
import { postureClaims } from '../../redfish/posture.ts';
import type { AssuranceBinding } from '../../rules/assurance.ts';
import type { DpuAssessment, DpuRecord } from '../../rules/dpu.ts';
import type { ProvenTpm } from '../tpm/server.ts';
import { checkOwnKey } from './own-key.ts';
import type { DpuAttestorParts } from './parts.ts';
import type { EvidenceKind } from './payload.ts';
import { collectFrom } from './second-collection.ts';
import type { Session } from './session.ts';
import { checkTpmPin } from './tpm.ts';
import { type ShownByKind, sameDevices } from './verify-shown.ts';

/** What was found of a card that may run what it runs. */
export interface Found {
  readonly appraisal: DpuAppraisal;
  /** What the BMC claims, as selector values. */
  readonly posture: readonly string[];
  /** The key that the DPU is known by from now on; undefined where it is by none of its own. */
  readonly ownKeySha256: string | undefined;
  /** Undefined where none was asked for. */
  readonly tpm: ProvenTpm | undefined;
}

/** The same with the verdict that the inventory keeps. */
export interface Judged extends Found {
  readonly assessment: DpuAssessment;
}

/** What a verdict is about. */
export interface Basis {
  readonly dpu: DpuRecord;
  /** Kinds of evidence that it rests on. */
  readonly kinds: readonly EvidenceKind[];
  readonly binding: AssuranceBinding;
  /** What is kept of it. */
  readonly bytes: Uint8Array;
}

/**
 * The verdict on a card that is genuine, the one that is pinned, and at the other end. What is wrong is
 * told by the card itself, or by the BMC of the inventory where `verdictOf` says so: there is no grace, the
 * DPU is put out.
 */
export async function conclude(
  parts: DpuAttestorParts,
  { dpu, kinds, binding, bytes }: Basis,
  found: Result<Found>,
  verdictOf: typeof lookVerdict = shownVerdict,
): Promise<Result<Judged>> {
  const atMs = parts.clock.nowMs();
  const basis = {
    atSeconds: Math.floor(atMs / 1000),
    evidence: kinds,
    binding,
    evidenceId: await keepEvidence(parts, dpu.serial, bytes, atMs),
  };
  if (!found.ok) {
    const { code, message: detail } = found.error;
    const means = verdictOf(found.error);
    if (means === 'silence') await parts.inventory.unreachable(dpu.serial, detail);
    if (means === 'against') {
      const nothing = { components: [], posture: {} };
      const verdict = 'contraindicated';
      await parts.inventory.assess(dpu.serial, { ...basis, ...nothing, verdict, code, detail });
    }
    return found;
  }
  const { appraisal, posture } = found.value;
  const assessment: DpuAssessment = {
    ...basis,
    verdict: 'affirming',
    code: '',
    detail: 'attested',
    components: appraisal.components.map(componentOf),
    posture: postureClaims(posture),
  };
  return ok({ ...found.value, assessment });
}

/** What it means that an attestation of an agent's failed, whose card is genuine and the pinned one. */
function shownVerdict(error: SignetError): ReturnType<typeof lookVerdict> {
  if (isFinding(error.code)) return 'against';
  return isSilence(error) ? 'silence' : 'own';
}

/**
 * What the card says of itself; whether it says so by each way that was asked for; whether the agent is
 * the one that it was; and whether the BMC says the same to the server (L3).
 */
export async function examine(
  parts: DpuAttestorParts,
  session: Session,
  [pairs, ...others]: ShownByKind,
): Promise<Result<Found>> {
  for (const other of others) {
    const same = sameDevices(pairs, other);
    if (!same.ok) return same;
  }
  const ownKey = checkOwnKey(parts, session);
  if (!ownKey.ok) return ownKey;
  const tpm = checkTpmPin(session.dpu, session.tpm);
  if (!tpm.ok) return tpm;
  const rules = { manifestFor: parts.manifestFor, atMs: parts.clock.nowMs() };
  const appraisal = appraiseDpu(session.dpu, pairs, rules);
  if (!appraisal.ok) return appraisal;
  const found = { appraisal: appraisal.value, ownKeySha256: ownKey.value, tpm: session.tpm };
  if (parts.outOfBand === undefined) return ok({ ...found, posture: [] });
  const look = await parts.outOfBand(session.dpu);
  if (!look.ok) return look;
  try {
    const second = await collectFrom(parts, look.value);
    if (!second.ok) return second;
    const same = sameDevices(pairs, second.value.pairs);
    if (!same.ok) return same;
    return ok({ ...found, posture: await look.value.posture() });
  } finally {
    await look.value.close();
  }
}

/** Without the evidence a verdict stands all the same: a full disk is no reason to let one in or out. */
async function keepEvidence(
  { keep, log }: DpuAttestorParts,
  serial: string,
  bytes: Uint8Array,
  atMs: number,
): Promise<string> {
  const kept = await keep(serial, bytes, atMs);
  if (kept.ok) return kept.value;
  const { code, message } = kept.error;
  log.error({ code, reason: message, serial }, 'evidence of a DPU not kept');
  return '';
}
