import type { ErrorCode } from '../../base/errors.ts';
import { ok, type Result } from '../../base/result.ts';
import { appraiseDpu, componentOf, type DpuAppraisal } from '../../dpu/appraise-dpu.ts';
import { collectAll } from '../../dpu/collector.ts';
import {
  type DpuTarget,
  matchTargets,
  type VerifiedEvidence,
  verifyEvidence,
} from '../../dpu/evidence.ts';
import type { BmcLook } from '../../dpu/out-of-band.ts';
import { isSilence } from '../../redfish/fleet-gate.ts';
import type { AssuranceBinding } from '../../rules/assurance.ts';
import type { DpuAssessment } from '../../rules/dpu.ts';
import { checkOwnKey } from './own-key.ts';
import { type DpuAttestorParts, evidenceRules } from './parts.ts';
import { SERVER_NONCE_BYTES } from './payload.ts';
import type { Session } from './session.ts';
import { type Pairs, type ShownByKind, sameDevices } from './verify-shown.ts';

/** What was found of a card that may run what it runs. */
export interface Judged {
  /** The key that the DPU is known by from now on; undefined where it is by none of its own. */
  readonly ownKeySha256: string | undefined;
  readonly appraisal: DpuAppraisal;
  /** What the BMC claims, as selector values. */
  readonly posture: readonly string[];
  readonly assessment: DpuAssessment;
}

/** What speaks against the card; anything else, such as a BMC that does not answer, is no finding. */
const FINDINGS: readonly ErrorCode[] = [
  'MEASUREMENT_FORMAT',
  'MEASUREMENT_MISSING',
  'MEASUREMENT_MISMATCH',
  'MEASUREMENT_FWID',
  'MEASUREMENT_BASELINE',
  'ROLLBACK_MINIMUM',
  'ROLLBACK_RELEASE',
  'ROLLBACK_COUNTER',
  'ROLLBACK_SVN',
  'DPU_RELAYED',
  // Of all that could be found of a key this is the one that only who reached the card can bring about.
  'DPU_OWN_KEY',
];

/**
 * The card is genuine, the one that is pinned, and at the other end. What is wrong from here on is told
 * by the card itself, so there is no grace: the DPU is put out.
 */
export async function judge(
  parts: DpuAttestorParts,
  session: Session,
  shown: ShownByKind,
): Promise<Result<Judged>> {
  const { dpu, kinds } = session;
  const atMs = parts.clock.nowMs();
  const binding: AssuranceBinding = parts.outOfBand === undefined ? 'in-band' : 'dual';
  const found = await find(parts, session, shown);
  const basis = {
    atSeconds: Math.floor(atMs / 1000),
    evidence: kinds,
    binding,
    evidenceId: await keepEvidence(parts, session, atMs),
  };
  if (!found.ok) {
    const { code, message: detail } = found.error;
    if (isSilence(found.error)) await parts.inventory.unreachable(dpu.serial, detail);
    if (FINDINGS.includes(code)) {
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
    posture: Object.fromEntries(posture.map(nameAndValue)),
  };
  return ok({ ...found.value, assessment });
}

type Found = Omit<Judged, 'assessment'>;

/**
 * What the card says of itself; whether it says so by each way that was asked for; and whether its BMC
 * says the same to the server (L3).
 */
async function find(
  parts: DpuAttestorParts,
  session: Session,
  [pairs, ...others]: ShownByKind,
): Promise<Result<Found>> {
  const { dpu } = session;
  for (const other of others) {
    const same = sameDevices(pairs, other);
    if (!same.ok) return same;
  }
  const ownKey = checkOwnKey(parts, session);
  if (!ownKey.ok) return ownKey;
  const rules = { manifestFor: parts.manifestFor, atMs: parts.clock.nowMs() };
  const appraisal = appraiseDpu(dpu, pairs, rules);
  if (!appraisal.ok) return appraisal;
  const found = { appraisal: appraisal.value, ownKeySha256: ownKey.value };
  if (parts.outOfBand === undefined) return ok({ ...found, posture: [] });
  const look = await parts.outOfBand(dpu);
  if (!look.ok) return look;
  try {
    const collected = await collectBy(parts, look.value);
    if (!collected.ok) return collected;
    const same = sameDevices(pairs, collected.value);
    if (!same.ok) return same;
    return ok({ ...found, posture: await look.value.posture() });
  } finally {
    await look.value.close();
  }
}

/** The server asks the BMC of the inventory itself, with other nonces. */
async function collectBy(parts: DpuAttestorParts, look: BmcLook): Promise<Result<Pairs>> {
  const { slot } = parts.spdm;
  const wanted = parts.targets.map(({ id }) => ({
    target: id,
    nonce: parts.random.bytes(SERVER_NONCE_BYTES),
    slot,
  }));
  const collected = await collectAll(look, wanted);
  if (!collected.ok) return collected;
  const matched = matchTargets(collected.value, parts.targets);
  if (!matched.ok) return matched;
  const pairs: (readonly [DpuTarget, VerifiedEvidence])[] = [];
  for (const [at, [target, evidence]] of matched.value.entries()) {
    const nonce = wanted[at]?.nonce ?? new Uint8Array();
    const verified = verifyEvidence(evidence, target, nonce, evidenceRules(parts));
    if (!verified.ok) return verified;
    pairs.push([target, verified.value]);
  }
  return ok(pairs);
}

function nameAndValue(selector: string): readonly [string, string] {
  const colon = selector.indexOf(':');
  return [selector.slice(0, colon), selector.slice(colon + 1)];
}

/** Without the evidence a verdict stands all the same: a full disk is no reason to let one in or out. */
async function keepEvidence(
  { keep, log }: DpuAttestorParts,
  { dpu, bytes }: Session,
  atMs: number,
): Promise<string> {
  const kept = await keep(dpu.serial, bytes, atMs);
  if (kept.ok) return kept.value;
  const { code, message } = kept.error;
  log.error({ code, reason: message, serial: dpu.serial }, 'evidence of a DPU not kept');
  return '';
}
