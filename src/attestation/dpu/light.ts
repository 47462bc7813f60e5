import { type Failed, fail, ok, type Result } from '../../base/result.ts';
import { appraiseDpu, checkDeviceKeys } from '../../dpu/appraise-dpu.ts';
import { lookVerdict } from '../../dpu/findings.ts';
import type { DpuRecord } from '../../rules/dpu.ts';
import type { AttestationOutcome, Challenge } from '../attestor.ts';
import { admit } from './admit.ts';
import { conclude } from './judge.ts';
import type { LightRules } from './light-rules.ts';
import { checkOwnKey } from './own-key.ts';
import type { DpuAttestorParts } from './parts.ts';
import { type EvidenceKind, encodeDpuResponse } from './payload.ts';
import { collectFrom, type SecondCollection } from './second-collection.ts';
import { converse, type Session, type Subject } from './session.ts';
import type { Pairs } from './verify-shown.ts';

/** What a light attestation rests on: the agent's key, and what the server collected (L2). */
const LIGHT_KINDS: readonly EvidenceKind[] = ['spdm-redfish', 'x509pop'];

/**
 * Whether an attestation may be a light one (dpu-attestation §7.8): the zone demands the agent's own key
 * and it is known; the DPU is trusted, nobody asked for more, its BMC answers; and the last one in full
 * is not too many attestations ago and was judged by the same rules.
 */
export function mayBeLight(
  { light, ownKeyRoots }: Pick<DpuAttestorParts, 'light' | 'ownKeyRoots'>,
  dpu: DpuRecord,
  kinds: readonly EvidenceKind[],
): boolean {
  const { lastFull } = dpu;
  if (light === undefined || lastFull === undefined || !kinds.includes('x509pop')) return false;
  // A light one shows no TPM, and whoever demands one demands it each time (§7.2).
  if (kinds.includes('tpm2')) return false;
  const stands =
    dpu.state === 'trusted' &&
    !dpu.mustAttest &&
    dpu.attestDemand === undefined &&
    dpu.unreachableSinceSeconds === 0 &&
    dpu.joinSecretHash === '';
  const known = ownKeyRoots.length > 0 || dpu.ownKeySha256 !== '';
  const recent = lastFull.light + 1 < light.fullEvery && lastFull.rules === light.rulesId();
  return stands && known && recent;
}

/**
 * A light attestation: the agent proves its own key, the server collects from the BMC itself. Answers
 * undefined where one in full is due after all: the card started anew since. A key that is wrong is
 * refused and puts nobody out, as anybody could send it. Errors: those of the session, of the proof, of
 * the look and of the appraisal.
 */
export async function attestLightly(
  parts: DpuAttestorParts,
  { look: openLook }: LightRules,
  subject: Subject,
  challenge: Challenge,
): Promise<Result<AttestationOutcome | undefined>> {
  const session = await converse(parts, { ...subject, kinds: ['x509pop'] }, challenge);
  if (!session.ok) return session;
  const ownKey = checkOwnKey(parts, session.value);
  if (!ownKey.ok) return ownKey;
  const look = await openLook(subject.dpu);
  if (!look.ok) return refuse(parts, session.value, look);
  try {
    const second = await collectFrom(parts, look.value);
    if (!second.ok) return refuse(parts, session.value, second);
    const keys = checkDeviceKeys(subject.dpu, evidenceOf(second.value.pairs));
    if (!keys.ok) return refuse(parts, session.value, keys, second.value);
    return await judgeSecond(parts, session.value, second.value, () => look.value.posture());
  } finally {
    await look.value.close();
  }
}

/** What the server collected is of the pinned devices: what it says is theirs. */
async function judgeSecond(
  parts: DpuAttestorParts,
  session: Session,
  second: SecondCollection,
  readPosture: () => Promise<readonly string[]>,
): Promise<Result<AttestationOutcome | undefined>> {
  const { dpu, request } = session;
  const rules = { manifestFor: parts.manifestFor, atMs: parts.clock.nowMs() };
  const appraisal = appraiseDpu(dpu, second.pairs, rules);
  if (!appraisal.ok) return refuse(parts, session, appraisal, second);
  if (!isSameBoot(dpu, second.pairs)) return ok(undefined);
  const deviceId = second.pairs[0]?.[1].chain.deviceIdSha256 ?? '';
  const { csrKeyHash } = request;
  const entered = await parts.inventory.enterSession({ deviceId, serial: dpu.serial, csrKeyHash });
  if (!entered.ok) return entered;
  try {
    const posture = await readPosture();
    const found = { appraisal: appraisal.value, posture, ownKeySha256: undefined, tpm: undefined };
    const judged = await conclude(parts, basisOf(session, second), ok(found));
    if (!judged.ok) return judged;
    const now = parts.inventory.find(dpu.serial);
    // Quarantine, a demand, another manifest: whatever came meanwhile counts.
    if (!now.ok || !mayBeLight(parts, now.value, ['x509pop'])) return ok(undefined);
    const { attestedAtSeconds } = now.value;
    return admit(parts, dpu, judged.value, deviceId, ({ lastFull, ...draft }) =>
      lastFull === undefined
        ? fail('DPU_STATE', `DPU ${dpu.serial} has not attested in full`)
        : ok({
            ...draft,
            attestedAtSeconds,
            lastFull: { ...lastFull, light: lastFull.light + 1 },
          }),
    );
  } finally {
    entered.value();
  }
}

function basisOf(session: Session, second?: SecondCollection) {
  const { dpu, response } = session;
  const evidence = (second?.shown ?? []).map(
    (item) => ({ kind: 'spdm-redfish', ...item }) as const,
  );
  const bytes = encodeDpuResponse({ ...response, evidence });
  return { dpu, kinds: LIGHT_KINDS, binding: 'out-of-band', bytes } as const;
}

/** Ends with what the BMC of the inventory, or the card by it, said; it means what it means to the watch. */
async function refuse(
  parts: DpuAttestorParts,
  session: Session,
  why: Failed,
  second?: SecondCollection,
): Promise<Result<never>> {
  const concluded = await conclude(parts, basisOf(session, second), why, lookVerdict);
  return concluded.ok ? fail('INTERNAL', 'a refusal became none') : concluded;
}

function evidenceOf(pairs: Pairs) {
  return pairs.map(([, evidence]) => evidence);
}

/** Whether each component has the leaf that it had at the last attestation in full. */
function isSameBoot({ lastFull }: DpuRecord, pairs: Pairs): boolean {
  return pairs.every(([{ id }, { chain }]) =>
    lastFull?.leaves.some(({ target, leaf }) => target === id && leaf === chain.leafSha256),
  );
}
