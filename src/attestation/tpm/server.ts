import { toHex } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { DeviceRevocation } from '../../dice/device-revocation.ts';
import type { Registry } from '../../registry/registry.ts';
import { spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import { type Activation, startActivation } from '../../tpm/activation.ts';
import type { TpmClock } from '../../tpm/attest.ts';
import {
  type EndorsementTrust,
  type JudgedEndorsement,
  judgeEndorsement,
} from '../../tpm/endorsement.ts';
import { checkEventLog, secureBootOf, type TpmEventLog } from '../../tpm/event-log.ts';
import { isAttestationKey, parseTpmPublic, type TpmPublic } from '../../tpm/public-area.ts';
import { verifyQuote } from '../../tpm/verify.ts';
import type { AttestationRequest, AttestedNode, NodeAttestor } from '../attestor.ts';
import { BINDING_NONCE_BYTES, bindingNonce } from '../binding-nonce.ts';
import { inOneRound, provenNode } from '../one-round.ts';
import { advanceClock } from './clock.ts';
import {
  decodeTpmPayload,
  decodeTpmResponse,
  encodeTpmChallenge,
  MAX_TPM_LOG_RESPONSE_BYTES,
  MAX_TPM_MESSAGE_BYTES,
  TPM_TARGET,
  TPM_TYPE,
} from './payload.ts';

const LIMITS = {
  payloadBytes: MAX_TPM_MESSAGE_BYTES,
  responseBytes: MAX_TPM_MESSAGE_BYTES,
  challenges: 1,
  // A discrete TPM takes seconds for what it is asked.
  responseMs: 60_000,
  totalMs: 60_000,
} as const;

/** What the attestor needs. */
export interface TpmParts {
  readonly trust: Omit<EndorsementTrust, 'atMs' | 'revocation'>;
  /** CRLs as they are now. */
  readonly revocation: () => Promise<DeviceRevocation>;
  /** Registers that are quoted, ascending; at least one. */
  readonly pcrs: readonly number[];
  /** Whether the log of the boot has to come along and lead to the registers. */
  readonly eventLog: 'ignored' | 'required';
  /** Whether a TPM's clock is taken that it does not call safe. */
  readonly unsafeClock: 'accepted' | 'refused';
  readonly registry: Pick<Registry, 'trustDomain' | 'agent'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly random: Random;
}

/** Keys that were shown and judged. */
interface Shown {
  readonly endorsementKey: TpmPublic;
  readonly attestationKey: TpmPublic;
  readonly endorsement: JudgedEndorsement;
}

/**
 * Attestation by a TPM 2.0 (dpu-attestation §7.2 kind C): the endorsement key is known, the attestation key
 * is in the same TPM, and that TPM signed the registers for the key that the SVID will be for. A TPM whose
 * maker did not certify it, such as one in a card's firmware, gets no selectors of its registers and
 * no more trust than a key in a file.
 */
export function createTpmAttestor(parts: TpmParts): NodeAttestor {
  return {
    type: TPM_TYPE,
    limits: {
      ...LIMITS,
      ...(parts.eventLog === 'required' && { responseBytes: MAX_TPM_LOG_RESPONSE_BYTES }),
    },
    attest: inOneRound(async (request) => {
      const question = await questionTpm(parts, request);
      if (!question.ok) return question;
      const { bytes, judge: proves } = question.value;
      return ok({
        bytes,
        judge(answer) {
          const proven = proves(answer);
          return proven.ok ? nodeOf(proven.value, parts) : proven;
        },
      });
    }),
  };
}

/** What questioning a TPM needs. */
export type QuestionTpmParts = Omit<TpmParts, 'registry' | 'unsafeClock'> & {
  readonly registry: Pick<Registry, 'trustDomain'>;
};

/** A TPM that answered for the key of a request. */
export interface ProvenTpm {
  readonly endorsement: JudgedEndorsement;
  readonly state: QuotedState;
}

/** What a TPM is asked, and what its answer proves. */
export interface TpmQuestion {
  readonly bytes: Uint8Array;
  judge(answer: Uint8Array): Result<ProvenTpm>;
}

/**
 * Judges the keys of a payload and makes the question that proves the TPM behind them: to open a
 * credential, and to quote its registers for the key of the request. Errors: TPM_*, ATTESTATION_PAYLOAD.
 *
 * @param nonce Of this attestation alone; 32 octets.
 */
export async function questionTpm(
  parts: QuestionTpmParts,
  request: AttestationRequest,
  nonce = parts.random.bytes(BINDING_NONCE_BYTES),
): Promise<Result<TpmQuestion>> {
  const shown = judge(request.payload, parts, await parts.revocation());
  if (!shown.ok) return shown;
  const { endorsementKey, attestationKey, endorsement } = shown.value;
  const activation = startActivation(endorsementKey, attestationKey, parts.random);
  if (!activation.ok) return activation;
  const session = toHex(parts.random.bytes(16));
  const eventLog = parts.eventLog === 'required';
  const asked = { session, nonce, pcrs: parts.pcrs, eventLog };
  const expected = { activation: activation.value, attestationKey, asked, request, parts };
  return ok({
    bytes: encodeTpmChallenge({ ...asked, ...activation.value.credential }),
    judge(answer) {
      const state = verifyResponse(answer, expected);
      return state.ok ? ok({ endorsement, state: state.value }) : state;
    },
  });
}

function judge(
  payload: Uint8Array,
  { trust, clock }: Pick<TpmParts, 'trust' | 'clock'>,
  revocation: DeviceRevocation,
): Result<Shown> {
  const read = decodeTpmPayload(payload);
  if (!read.ok) return read;
  const endorsementKey = parseTpmPublic(read.value.ekPublic);
  if (!endorsementKey.ok) return endorsementKey;
  const attestationKey = parseTpmPublic(read.value.akPublic);
  if (!attestationKey.ok) return attestationKey;
  if (!isAttestationKey(attestationKey.value)) {
    return fail('TPM_KEY', 'the attestation key may sign what is not of its TPM, or may leave it');
  }
  const judged = judgeEndorsement(endorsementKey.value, read.value.ekCertificate, {
    ...trust,
    revocation,
    atMs: clock.nowMs(),
  });
  if (!judged.ok) return judged;
  return ok({
    endorsementKey: endorsementKey.value,
    attestationKey: attestationKey.value,
    endorsement: judged.value,
  });
}

/** What a response is judged by. */
interface Expected {
  readonly activation: Activation;
  readonly attestationKey: TpmPublic;
  readonly asked: { readonly session: string; readonly nonce: Uint8Array };
  readonly request: AttestationRequest;
  readonly parts: QuestionTpmParts;
}

/** What a TPM said of itself. */
export interface QuotedState {
  /** In the order of the registers that are quoted. */
  readonly values: readonly Uint8Array[];
  readonly clock: TpmClock;
  /** What its boot was, once the log leads to the registers; only where a log is required. */
  readonly log: TpmEventLog | undefined;
}

/** Registers and clock, once the secret came back and the quote holds for this key and session. */
function verifyResponse(
  bytes: Uint8Array,
  { activation, attestationKey, asked, request, parts }: Expected,
): Result<QuotedState> {
  const response = decodeTpmResponse(bytes);
  if (!response.ok) return response;
  const { values } = response.value;
  const activated = activation.check(response.value.secret);
  if (!activated.ok) return activated;
  const nonce = bindingNonce({
    serverNonce: asked.nonce,
    csrSpki: request.csrSpki,
    trustDomain: parts.registry.trustDomain.name,
    session: asked.session,
    target: TPM_TARGET,
  });
  const rules = { key: attestationKey, nonce, bank: 'sha256', indices: parts.pcrs } as const;
  const quote = verifyQuote(response.value, values, rules);
  if (!quote.ok) return quote;
  const { clock } = quote.value;
  if (parts.eventLog === 'ignored') return ok({ values, clock, log: undefined });
  if (response.value.eventLog === undefined) {
    return fail('TPM_EVENT_LOG', 'the agent did not send the event log');
  }
  const log = checkEventLog(response.value.eventLog, parts.pcrs, values);
  return log.ok ? ok({ values, clock, log: log.value }) : log;
}

/** Values of the selectors of a TPM; its registers count only where its maker certified it. */
export function tpmTexts(
  { endorsement: { sha256, trust }, state: { values, log } }: ProvenTpm,
  pcrs: readonly number[],
): readonly string[] {
  const certified = trust === 'manufacturer';
  return [
    `ek:sha256:${sha256}`,
    ...(certified ? values.map((value, at) => `pcr:sha256:${pcrs[at]}:${toHex(value)}`) : []),
    // Without register 7 in the quote nothing says that its events are true.
    ...(certified && log !== undefined && pcrs.includes(7) ? secureBootTexts(log) : []),
  ];
}

function secureBootTexts(log: TpmEventLog): readonly string[] {
  const state = secureBootOf(log);
  return state === undefined ? [] : [`secure-boot:${state}`];
}

function nodeOf(
  proven: ProvenTpm,
  { registry, pcrs, unsafeClock }: TpmParts,
): Result<AttestedNode> {
  const { sha256, trust } = proven.endorsement;
  const { clock } = proven.state;
  const agentId = spiffeIdFromPath(registry.trustDomain, `/spire/agent/${TPM_TYPE}/${sha256}`);
  if (!agentId.ok) return agentId;
  const last = registry.agent(agentId.value)?.assurance?.tpmClock;
  const tpmClock = advanceClock(clock, last, unsafeClock);
  if (!tpmClock.ok) return tpmClock;
  return provenNode(TPM_TYPE, {
    agentId: agentId.value,
    texts: tpmTexts(proven, pcrs),
    assurance: {
      binding: trust === 'manufacturer' ? 'tpm' : 'key',
      zone: undefined,
      release: undefined,
      tpmClock: tpmClock.value,
    },
  });
}
