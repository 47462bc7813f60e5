import { fail, ok, type Result } from '../../base/result.ts';
import type { Registry } from '../../registry/registry.ts';
import type { EntryDraft } from '../../rules/entry.ts';
import { serverUri } from '../../rules/reserved-ids.ts';
import { makeSelector, type Selector } from '../../rules/selector.ts';
import { parseSpiffeId, type SpiffeId, spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import type { JoinTokenRecord } from '../../store/store.ts';
import type { AttestationOutcome, AttestationRequest, NodeAttestor } from '../attestor.ts';
import { decodeJoinTokenPayload, JOIN_TOKEN_TYPE } from './payload.ts';
import { hashJoinToken } from './token-hash.ts';

/** A token that is too long is refused by name; the bound is that of messages of anonymous callers. */
const LIMITS = {
  payloadBytes: 256 * 1024,
  responseBytes: 0,
  challenges: 0,
  responseMs: 0,
  totalMs: 0,
} as const;

/**
 * The join token attestor: an operator's random text, good for one agent. Exactly one of several
 * concurrent users of a token gets through (F1). The same CSR key may ask again for 60 s, since the
 * reply may have been lost, and gets the same answer.
 */
export function createJoinTokenAttestor(
  registry: Pick<Registry, 'claimJoinToken' | 'trustDomain'>,
): NodeAttestor {
  return {
    type: JOIN_TOKEN_TYPE,
    limits: LIMITS,
    async attest(request) {
      const token = decodeJoinTokenPayload(request.payload);
      if (!token.ok) return token;
      return claim(registry, token.value, request);
    },
  };
}

/** SPIFFE ID of the agent that joins with a token, in SPIRE's form. */
export function joinTokenAgentId(
  registry: Pick<Registry, 'trustDomain'>,
  token: string,
): Result<SpiffeId> {
  return spiffeIdFromPath(registry.trustDomain, `/spire/agent/${JOIN_TOKEN_TYPE}/${token}`);
}

async function claim(
  registry: Pick<Registry, 'claimJoinToken' | 'trustDomain'>,
  token: string,
  request: AttestationRequest,
): Promise<Result<AttestationOutcome>> {
  const agentId = joinTokenAgentId(registry, token);
  if (!agentId.ok) return agentId;
  const tokenHash = hashJoinToken(token);
  const claimed = await registry.claimJoinToken(tokenHash, request.csrKeyHash);
  if (!claimed.ok) return claimed;
  switch (claimed.value.outcome) {
    case 'unknown':
    case 'consumed':
      return fail('JOIN_TOKEN_UNKNOWN', 'join token does not exist or has already been used');
    case 'expired':
      return fail('JOIN_TOKEN_EXPIRED', 'join token has expired');
    case 'retry':
      if (claimed.value.answer !== undefined) {
        return ok({ kind: 'answered', answer: claimed.value.answer });
      }
      // Claimed, but the process ended before the attestation was written: it is done now.
      return attested(registry, agentId.value, claimed.value.token);
    case 'claimed':
      return attested(registry, agentId.value, claimed.value.token);
  }
}

function attested(
  registry: Pick<Registry, 'trustDomain'>,
  agentId: SpiffeId,
  { aliasId, tokenHash }: JoinTokenRecord,
): Result<AttestationOutcome> {
  const assurance = { binding: 'bearer', zone: undefined, release: undefined } as const;
  const node = { agentId, canReattest: false, assurance, joinTokenHash: tokenHash };
  if (aliasId === undefined) {
    return ok({ kind: 'attested', node: { ...node, selectors: [], aliasDraft: undefined } });
  }
  // The alias entry needs something to know the node by; a joined node has nothing but its ID.
  const selector = makeSelector('spiffe_id', agentId.uri);
  if (!selector.ok) return selector;
  const aliasDraft = aliasEntry(registry, aliasId, selector.value);
  if (!aliasDraft.ok) return aliasDraft;
  return ok({
    kind: 'attested',
    node: { ...node, selectors: [selector.value], aliasDraft: aliasDraft.value },
  });
}

/** An alias is an entry under the server whose selectors are among the node's. */
function aliasEntry(
  registry: Pick<Registry, 'trustDomain'>,
  spiffeId: SpiffeId,
  selector: Selector,
): Result<EntryDraft> {
  const parentId = parseSpiffeId(serverUri(registry.trustDomain));
  if (!parentId.ok) return parentId;
  return ok({
    spiffeId,
    parentId: parentId.value,
    selectors: [selector],
    x509SvidTtlSeconds: 0,
    jwtSvidTtlSeconds: 0,
    federatesWith: [],
    admin: false,
    downstream: false,
    expiresAtSeconds: 0,
    dnsNames: [],
    storeSvid: false,
    hint: '',
    disableX509SvidPrefetch: false,
    jwtSvidIncludeJti: false,
  });
}
