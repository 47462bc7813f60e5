import { fail, ok, type Result } from '../../base/result.ts';
import type { DpuHost, DpuHostTpm, DpuRecord } from '../../rules/dpu.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { AttestationRequest } from '../attestor.ts';
import type { DpuTpmRules } from '../dpu/tpm.ts';
import {
  type ProvenTpm,
  type QuestionTpmParts,
  questionTpm,
  type TpmQuestion,
} from '../tpm/server.ts';

/** How TPMs of hosts are judged, and where they are demanded. */
export interface HostTpmRules extends DpuTpmRules {
  /** By the zone of the DPU; undefined is one that the inventory does not know. */
  readonly isRequired: (zone: number | undefined) => boolean;
}

type Parts = Pick<QuestionTpmParts, 'clock' | 'random'> & {
  readonly registry: { readonly trustDomain: TrustDomain };
  readonly tpm: HostTpmRules | undefined;
};

/**
 * The question for the TPM that a host offers, over the nonce that its voucher has to be for; undefined
 * where it offers none or nothing is configured. Fails as `questionTpm` does.
 */
export async function questionHostTpm(
  { tpm, registry, clock, random }: Parts,
  request: AttestationRequest,
  offered: Uint8Array | undefined,
  nonce: Uint8Array,
): Promise<Result<TpmQuestion | undefined>> {
  if (tpm === undefined || offered === undefined) return ok(undefined);
  const parts: QuestionTpmParts = { ...tpm, eventLog: 'ignored', registry, clock, random };
  return questionTpm(parts, { ...request, payload: offered }, nonce);
}

/**
 * What the TPM of a host proves; undefined where it has none and needs none. What was offered has to
 * hold, also where nobody demands it. Fails with VOUCHER_TPM_MISSING, VOUCHER_TPM_KEY, DPU_HOST_MESSAGE,
 * and as the question's judge does.
 */
export function judgeHostTpm(
  rules: HostTpmRules | undefined,
  question: TpmQuestion | undefined,
  answer: Uint8Array | undefined,
  dpu: Pick<DpuRecord, 'serial' | 'zone' | 'hostTpm'>,
  host: Pick<DpuHost, 'uuid'>,
): Result<ProvenTpm | undefined> {
  if (question === undefined) {
    if (answer !== undefined) return fail('DPU_HOST_MESSAGE', 'a TPM that was not asked');
    if (rules?.isRequired(dpu.zone) !== true) return ok(undefined);
    return fail('VOUCHER_TPM_MISSING', `the host of DPU ${dpu.serial} shows no TPM`);
  }
  if (answer === undefined) {
    return fail('VOUCHER_TPM_MISSING', `the TPM of the host of DPU ${dpu.serial} did not answer`);
  }
  const proven = question.judge(answer);
  if (!proven.ok) return proven;
  const { sha256 } = proven.value.endorsement;
  const known = knownTpm(dpu, host);
  if (known === undefined || known.ekSha256 === sha256) return proven;
  return fail('VOUCHER_TPM_KEY', `the TPM of the host of DPU ${dpu.serial} has key ${sha256}`);
}

/** What is to be remembered of a TPM: the first of the host; undefined where nothing is new. */
export function newHostTpm(
  dpu: Pick<DpuRecord, 'hostTpm'>,
  { uuid }: Pick<DpuHost, 'uuid'>,
  proven: ProvenTpm | undefined,
  atSeconds: number,
): DpuHostTpm | undefined {
  if (proven === undefined || knownTpm(dpu, { uuid }) !== undefined) return undefined;
  const { sha256: ekSha256 } = proven.endorsement;
  return { ekSha256, hostUuid: uuid, sinceSeconds: atSeconds };
}

/** The TPM of another host, from before the card was moved by an operator, says nothing of this one. */
function knownTpm(
  { hostTpm }: Pick<DpuRecord, 'hostTpm'>,
  { uuid }: Pick<DpuHost, 'uuid'>,
): DpuHostTpm | undefined {
  return hostTpm?.hostUuid === uuid ? hostTpm : undefined;
}
