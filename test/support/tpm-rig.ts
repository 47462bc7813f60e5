import { createHash } from 'node:crypto';
import { bindingNonce } from '../../src/attestation/binding-nonce.ts';
import {
  decodeTpmChallenge,
  encodeTpmPayload,
  encodeTpmResponse,
  TPM_TARGET,
} from '../../src/attestation/tpm/payload.ts';
import { createTpmAttestor, type TpmParts } from '../../src/attestation/tpm/server.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { ok } from '../../src/base/result.ts';
import { parseTpmPublic, tpmKeyObject, tpmName } from '../../src/tpm/public-area.ts';
import { AGENT_TEST_DOMAIN } from './agent-ca.ts';
import { type AttestorRig, testRequest } from './attestor-suite.ts';
import { assertValue } from './refused.ts';
import { openCredential, type PretendedQuote, pretendAk, pretendEk, pretendQuote } from './tpm.ts';

/** What a pretended TPM does otherwise, and what the server knows of it. */
export interface PretendedTpm {
  readonly quote?: Partial<PretendedQuote>;
  readonly server?: Partial<TpmParts>;
  readonly eventLog?: Uint8Array;
}

/** A pretended TPM: the hash that its endorsement key is known by, and what it answers. */
export function pretendTpm(pretended: Omit<PretendedTpm, 'server'> = {}) {
  const [ek, ak] = [pretendEk(), pretendAk()];
  const ekArea = assertValue(parseTpmPublic(ek.publicArea));
  const spki = assertValue(tpmKeyObject(ekArea)).export({ type: 'spki', format: 'der' });
  const known = createHash('sha256').update(spki).digest('hex');
  const name = tpmName(assertValue(parseTpmPublic(ak.publicArea)));
  const payload = { ekCertificate: undefined, ekPublic: ek.publicArea, akPublic: ak.publicArea };
  return {
    known,
    payload: encodeTpmPayload(payload),
    /** For the key of a request. */
    respond(bytes: Uint8Array, csrSpki: Uint8Array): Buffer {
      const challenge = assertValue(decodeTpmChallenge(bytes));
      const { nonce: serverNonce, session, pcrs } = challenge;
      const trustDomain = AGENT_TEST_DOMAIN.name;
      const bound = { serverNonce, csrSpki, trustDomain, session, target: TPM_TARGET };
      const values = pretended.quote?.values ?? pcrs.map((pcr) => Buffer.alloc(32, pcr));
      const { quote: lies } = pretended;
      const quote = { nonce: bindingNonce(bound), indices: pcrs, values, ...lies };
      const secret = openCredential(ek, name, challenge) ?? Buffer.alloc(32);
      const proof = { secret, ...pretendQuote(ak, quote), values };
      return encodeTpmResponse({ ...proof, eventLog: pretended.eventLog });
    },
  };
}

/** Both halves of `tpm`, with a pretended TPM whose endorsement key is known by its hash. */
export function pretendTpmRig(pretended: PretendedTpm = {}): AttestorRig {
  const { known, payload, respond } = pretendTpm(pretended);
  const request = testRequest();
  return {
    request,
    server: createTpmAttestor({
      trust: { roots: [], intermediates: [], knownKeys: new Set([known]) },
      revocation: async () => ({ crls: [], maxStaleMs: 0 }),
      pcrs: [0, 7],
      eventLog: 'ignored',
      unsafeClock: 'accepted',
      registry: { trustDomain: AGENT_TEST_DOMAIN, agent: () => undefined },
      clock: systemClock,
      random: systemRandom,
      ...pretended.server,
    }),
    begin: async () => ({
      payload,
      respond: async (bytes) => ok(respond(bytes, request.csrSpki)),
      close: async () => {},
    }),
  };
}
