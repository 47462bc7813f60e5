import { createHash, sign } from 'node:crypto';
import {
  askingMessage,
  DPU_HOST_TYPE,
  decodeHostChallenge,
  encodeHostPayload,
  encodeHostResponse,
  showingMessage,
} from '../../../src/attestation/dpu_host/payload.ts';
import { toHex } from '../../../src/base/bytes.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import type { TrustDomain } from '../../../src/spiffe/trust-domain.ts';
import type { AttestationKey, AttestationSession, NodeAttestor } from '../node-attestor.ts';
import { createTpmAttestor } from '../tpm/agent.ts';
import { type AnchorKey, openAnchorKey } from './anchor-key.ts';
import { askDpu } from './ask-dpu.ts';
import { type HostFacts, readHostFacts } from './host-facts.ts';
import type { DpuHostAgentSettings } from './settings.ts';

/** Longer than the server waits for the answer to its challenge. */
const TIMEOUT_MS = 90_000;

/** What the agent's half needs. */
export interface DpuHostAgentParts {
  readonly settings: DpuHostAgentSettings;
  /** Where the key of the boot is kept. */
  readonly dataDir: string;
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
}

/**
 * Attests by the word of the DPU of this host: it vouches for the key of the CSR, in answer to the
 * server's nonce (dpu-attestation §7.7). Fails with AGENT_HOST_FACTS, VOUCHER_STATE_CORRUPT,
 * DPU_HOST_MESSAGE, VOUCHER_UNREACHABLE, VOUCHER_REFUSED and AGENT_TPM_*.
 */
export function createDpuHostAttestor(parts: DpuHostAgentParts): NodeAttestor {
  return {
    type: DPU_HOST_TYPE,
    maxChallenges: 1,
    timeoutMs: TIMEOUT_MS,
    async begin(key) {
      const facts = await readHostFacts(parts.settings);
      if (!facts.ok) return facts;
      const anchor = await openAnchorKey(parts.dataDir);
      if (!anchor.ok) return anchor;
      const begun = await beginTpm(parts, key);
      if (!begun.ok) return begun;
      const tpm = begun.value;
      const held = { key, anchor: anchor.value, facts: facts.value, tpm };
      return ok({
        payload: encodeHostPayload({ tpm: tpm?.payload }),
        respond: (challenge) => respond(parts, held, challenge),
        close: async () => tpm?.close(),
      });
    },
  };
}

/** The TPM of this machine, where configuration names it. */
async function beginTpm(
  { settings, trustDomain, clock }: DpuHostAgentParts,
  key: AttestationKey,
): Promise<Result<AttestationSession | undefined>> {
  if (settings.tpm === undefined) return ok(undefined);
  return createTpmAttestor({ settings: settings.tpm, trustDomain, clock }).begin(key);
}

interface Held {
  readonly key: AttestationKey;
  readonly anchor: AnchorKey;
  readonly facts: HostFacts;
  readonly tpm: AttestationSession | undefined;
}

async function respond(
  { settings, trustDomain, clock }: DpuHostAgentParts,
  { key: { spki, sign: signByRequest }, anchor: { privateKey, spki: anchor }, facts, tpm }: Held,
  challenge: Uint8Array,
): Promise<Result<Uint8Array>> {
  const asked = decodeHostChallenge(challenge);
  if (!asked.ok) return asked;
  const { nonce, tpm: question } = asked.value;
  // First the TPM: it may take seconds, and the voucher lives for one minute.
  const quoted = await quoteBy(tpm, question);
  if (!quoted.ok) return quoted;
  const key = toHex(createHash('sha256').update(spki).digest());
  const wanted = { key, nonce, anchor, ...facts };
  const proof = sign('sha256', askingMessage(trustDomain.name, wanted), privateKey);
  const answer = await askDpu(settings, { ...wanted, proof }, clock);
  if (!answer.ok) return answer;
  const { voucher, x5c } = answer.value;
  const signature = signByRequest(showingMessage(nonce, voucher));
  return ok(encodeHostResponse({ voucher, x5c, anchor, proof, signature, tpm: quoted.value }));
}

/** The TPM's answer; a server that does not look at TPMs asks none. */
async function quoteBy(
  tpm: AttestationSession | undefined,
  question: Uint8Array | undefined,
): Promise<Result<Uint8Array | undefined>> {
  if (question === undefined) return ok(undefined);
  if (tpm === undefined) return fail('AGENT_SERVER_ANSWER', 'a question for a TPM not offered');
  return tpm.respond(question);
}
