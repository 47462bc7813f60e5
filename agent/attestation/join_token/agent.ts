import {
  encodeJoinTokenPayload,
  JOIN_TOKEN_TYPE,
  MAX_JOIN_TOKEN_BYTES,
  parseJoinToken,
} from '../../../src/attestation/join_token/payload.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { readFileIfPresent } from '../../../src/runtime/atomic-file.ts';
import type { AgentConfig } from '../../config.ts';
import { type NodeAttestor, withoutChallenge } from '../node-attestor.ts';

/**
 * Attests with the join token that configuration gives, in place or in a file. The file is read each
 * time, so that an operator can put a new token there. Fails with AGENT_JOIN_TOKEN_MISSING or
 * JOIN_TOKEN_MALFORMED.
 */
export function createJoinTokenAttestor(join: AgentConfig['join']): NodeAttestor {
  return {
    type: JOIN_TOKEN_TYPE,
    maxChallenges: 0,
    timeoutMs: 30_000,
    async begin() {
      const text = await readToken(join);
      if (!text.ok) return text;
      const token = parseJoinToken(text.value);
      return token.ok ? ok(withoutChallenge(encodeJoinTokenPayload(token.value))) : token;
    },
  };
}

async function readToken(join: AgentConfig['join']): Promise<Result<string>> {
  if (join.token !== undefined) return ok(join.token.trim());
  if (join.tokenPath === undefined) {
    return fail('AGENT_JOIN_TOKEN_MISSING', 'this agent has to attest and has no join token');
  }
  const bytes = await readFileIfPresent(join.tokenPath, MAX_JOIN_TOKEN_BYTES + 16);
  if (!bytes.ok) return bytes;
  if (bytes.value === undefined) {
    return fail(
      'AGENT_JOIN_TOKEN_MISSING',
      `this agent has to attest, and there is no join token in ${join.tokenPath}`,
    );
  }
  return ok(Buffer.from(bytes.value).toString('latin1').trim());
}
