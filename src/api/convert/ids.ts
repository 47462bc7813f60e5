import { fail, type Result } from '../../base/result.ts';
import type { SPIFFEID } from '../../gen/spire/api/types/spiffeid.ts';
import { type SpiffeId, spiffeIdFromPath } from '../../spiffe/spiffe-id.ts';
import { parseTrustDomain } from '../../spiffe/trust-domain.ts';

/** A SPIFFE ID in its wire form. */
export function toWireId(id: SpiffeId): SPIFFEID {
  return { trustDomain: id.trustDomain.name, path: id.path };
}

/** A SPIFFE ID from its wire form; FIELD_MISSING names the field when it is absent. */
export function fromWireId(message: SPIFFEID | undefined, field: string): Result<SpiffeId> {
  if (message === undefined) return fail('FIELD_MISSING', `${field} is required`);
  const trustDomain = parseTrustDomain(message.trustDomain);
  if (!trustDomain.ok) return inField(trustDomain.error, field);
  const id = spiffeIdFromPath(trustDomain.value, message.path);
  return id.ok ? id : inField(id.error, field);
}

/** The same refusal with the field's name in front of its message. */
export function inField(
  error: { readonly code: Parameters<typeof fail>[0]; readonly message: string },
  field: string,
): ReturnType<typeof fail> {
  return fail(error.code, `${field}: ${error.message}`);
}
