import type { KeyObject } from 'node:crypto';
import {
  decodeX509PopChallenge,
  encodeX509PopPayload,
  encodeX509PopResponse,
  X509POP_TYPE,
} from '../../../src/attestation/x509pop/payload.ts';
import type { Random } from '../../../src/base/random.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import type { AgentConfig } from '../../config.ts';
import type { NodeAttestor } from '../node-attestor.ts';
import { keyKindOf, proveKey, readCertificates, readKey } from './key-files.ts';

type X509PopSettings = NonNullable<AgentConfig['attestation']['x509pop']>;

/**
 * Attests with a certificate and its key in files; they are read each time, so that they may be renewed.
 * Fails with AGENT_X509POP_FILES.
 */
export function createX509PopAttestor(settings: X509PopSettings, random: Random): NodeAttestor {
  return {
    type: X509POP_TYPE,
    maxChallenges: 1,
    timeoutMs: 30_000,
    async begin() {
      const certificates = await readCertificates(settings);
      if (!certificates.ok) return certificates;
      const key = await readKey(settings.privateKeyPath);
      if (!key.ok) return key;
      return ok({
        payload: encodeX509PopPayload(certificates.value),
        respond: async (challenge: Uint8Array) => respond(challenge, key.value, random),
        close: async () => {},
      });
    },
  };
}

function respond(bytes: Uint8Array, key: KeyObject, random: Random): Result<Uint8Array> {
  const challenge = decodeX509PopChallenge(bytes);
  if (!challenge.ok) return fail('AGENT_SERVER_ANSWER', challenge.error.message);
  if (challenge.value.kind !== keyKindOf(key)) {
    return fail('AGENT_SERVER_ANSWER', 'the challenge is for another kind of key');
  }
  return ok(encodeX509PopResponse(proveKey(key, challenge.value.nonce, random)));
}
