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
import { ok, type Result } from '../../../src/base/result.ts';
import type { TrustDomain } from '../../../src/spiffe/trust-domain.ts';
import type { AttestationKey, NodeAttestor } from '../node-attestor.ts';
import { type AnchorKey, openAnchorKey } from './anchor-key.ts';
import { askDpu } from './ask-dpu.ts';
import { type HostFacts, readHostFacts } from './host-facts.ts';
import type { DpuHostAgentSettings } from './settings.ts';

/** Longer than the server waits for the answer to its challenge. */
const TIMEOUT_MS = 60_000;

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
 * DPU_HOST_MESSAGE, VOUCHER_UNREACHABLE and VOUCHER_REFUSED.
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
      return ok({
        payload: encodeHostPayload(),
        respond: (challenge) => respond(parts, key, anchor.value, facts.value, challenge),
        close: async () => {},
      });
    },
  };
}

async function respond(
  { settings, trustDomain, clock }: DpuHostAgentParts,
  { spki, sign: signByRequest }: AttestationKey,
  { privateKey, spki: anchor }: AnchorKey,
  facts: HostFacts,
  challenge: Uint8Array,
): Promise<Result<Uint8Array>> {
  const nonce = decodeHostChallenge(challenge);
  if (!nonce.ok) return nonce;
  const key = toHex(createHash('sha256').update(spki).digest());
  const asked = { key, nonce: nonce.value, anchor, ...facts };
  const proof = sign('sha256', askingMessage(trustDomain.name, asked), privateKey);
  const answer = await askDpu(settings, { ...asked, proof }, clock);
  if (!answer.ok) return answer;
  const { voucher, x5c } = answer.value;
  const signature = signByRequest(showingMessage(nonce.value, voucher));
  return ok(encodeHostResponse({ voucher, x5c, anchor, proof, signature }));
}
