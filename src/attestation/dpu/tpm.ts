import { fail, ok, type Result } from '../../base/result.ts';
import type { TpmClockMark } from '../../rules/assurance.ts';
import type { DpuRecord } from '../../rules/dpu.ts';
import type { Selector } from '../../rules/selector.ts';
import type { SpiffeId } from '../../spiffe/spiffe-id.ts';
import type { AttestationRequest, Challenge } from '../attestor.ts';
import { selectorsOf } from '../one-round.ts';
import { advanceClock } from '../tpm/clock.ts';
import { TPM_TYPE } from '../tpm/payload.ts';
import {
  type ProvenTpm,
  type QuestionTpmParts,
  questionTpm,
  type TpmParts,
  tpmTexts,
} from '../tpm/server.ts';
import type { DpuAttestorParts } from './parts.ts';
import { decodeTpmAnswer, encodeTpmQuestion } from './tpm-question.ts';

/** How TPMs of cards are judged. */
export type DpuTpmRules = Pick<TpmParts, 'trust' | 'revocation' | 'pcrs' | 'unsafeClock'> & {
  /** What was kept of the TPM's clock at the agent's last attestation. */
  readonly lastClock: (agentId: SpiffeId) => TpmClockMark | undefined;
};

/**
 * Has the card's TPM prove itself to the server, for the key of the request (dpu-attestation §7.2 C). Its
 * event log is not asked for. Fails with DPU_SESSION, DPU_MESSAGE and as `questionTpm` does.
 */
export async function askTpm(
  {
    tpm,
    trustDomain,
    clock,
    random,
  }: Pick<DpuAttestorParts, 'tpm' | 'trustDomain' | 'clock' | 'random'>,
  session: string,
  request: AttestationRequest,
  challenge: Challenge,
): Promise<Result<ProvenTpm>> {
  if (tpm === undefined) return fail('INTERNAL', 'nothing is configured for TPMs of DPUs');
  const ask: Challenge = async (bytes) => {
    const answered = await challenge(bytes);
    if (!answered.ok) return answered;
    const answer = decodeTpmAnswer(answered.value);
    if (!answer.ok) return answer;
    if (answer.value.session === session) return ok(answer.value.answer);
    return fail('DPU_SESSION', 'an answer of a TPM for another session');
  };
  const payload = await ask(encodeTpmQuestion({ session }));
  if (!payload.ok) return payload;
  const parts: QuestionTpmParts = {
    ...tpm,
    eventLog: 'ignored',
    registry: { trustDomain },
    clock,
    random,
  };
  const question = await questionTpm(parts, { ...request, payload: payload.value });
  if (!question.ok) return question;
  const { bytes } = question.value;
  const answer = await ask(encodeTpmQuestion({ session, challenge: bytes }));
  return answer.ok ? question.value.judge(answer.value) : answer;
}

/** Whether it is the TPM that the first attestation in full pinned. Fails with DPU_TPM_KEY. */
export function checkTpmPin(
  { serial, ekSha256 }: Pick<DpuRecord, 'serial' | 'ekSha256'>,
  proven: ProvenTpm | undefined,
): Result<void> {
  const shown = proven?.endorsement.sha256 ?? '';
  if (shown === '' || ekSha256 === '' || shown === ekSha256) return ok(undefined);
  return fail('DPU_TPM_KEY', `DPU ${serial}: its TPM has key ${shown}`);
}

/** What a TPM adds to its agent. */
export interface TpmShare {
  readonly selectors: readonly Selector[];
  /** Undefined where none was ever shown. */
  readonly tpmClock: TpmClockMark | undefined;
}

/** Selectors and clock of the TPM; where none was asked for the clock stays. Fails with TPM_CLOCK. */
export function tpmShare(
  rules: DpuTpmRules | undefined,
  agentId: SpiffeId,
  proven: ProvenTpm | undefined,
): Result<TpmShare> {
  const last = rules?.lastClock(agentId);
  if (rules === undefined || proven === undefined) return ok({ selectors: [], tpmClock: last });
  const tpmClock = advanceClock(proven.state.clock, last, rules.unsafeClock);
  if (!tpmClock.ok) return tpmClock;
  const selectors = selectorsOf(TPM_TYPE, tpmTexts(proven, rules.pcrs));
  return selectors.ok ? ok({ selectors: selectors.value, tpmClock: tpmClock.value }) : selectors;
}
