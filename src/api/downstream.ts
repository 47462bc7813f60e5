import type { AuthorityManager } from '../authority/authority.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type {
  PublishJWTAuthorityRequest,
  PublishJWTAuthorityResponse,
} from '../gen/spire/api/server/bundle/v1/bundle.ts';
import type {
  NewDownstreamX509CARequest,
  NewDownstreamX509CAResponse,
} from '../gen/spire/api/server/svid/v1/svid.ts';
import type { DownstreamCaIssuer } from '../issuance/downstream-ca.ts';
import { grantDownstreamCa } from '../policy/grants.ts';
import type { CallContext } from '../rpc/service.ts';
import { type ApiContext, audit, downstreamCaller } from './context.ts';
import { toWireBundle } from './convert/bundles.ts';
import type { CallLimits } from './rate-limits.ts';

/** What the calls of servers below this one stand on. */
export interface DownstreamContext extends ApiContext {
  readonly issueCa: DownstreamCaIssuer;
  readonly authority: Pick<AuthorityManager, 'acceptJwtKey'>;
}

/** A CA for a server below this one, and the roots that its leaves lead to. */
export async function newDownstreamCa(
  api: DownstreamContext,
  limits: CallLimits,
  request: NewDownstreamX509CARequest,
  context: CallContext,
): Promise<Result<NewDownstreamX509CAResponse>> {
  const caller = downstreamCaller(context);
  if (!caller.ok) return caller;
  const paced = limits.agentSignatures.take(caller.value.id.uri);
  if (!paced.ok) return paced;
  const grant = grantDownstreamCa(caller.value, request.preferredTtl, api.policy);
  if (!grant.ok) return grant;
  const { bundle } = api.registry;
  if (bundle === undefined) return fail('BUNDLE_NOT_READY', 'no bundle is published yet');
  const issued = await api.issueCa(grant.value, request.csr);
  if (!issued.ok) return issued;
  const { chain, serialDecimal: serial, notAfterSeconds: expiresAtSeconds } = issued.value;
  audit(api, context, { serial, expiresAtSeconds });
  return ok({
    caCertChain: chain.map((der) => Buffer.from(der)),
    x509Authorities: toWireBundle(bundle).x509Authorities.map(({ asn1 }) => asn1),
  });
}

/** The JWT key of a server below this one, in the bundle from now on. */
export async function publishJwtAuthority(
  api: DownstreamContext,
  limits: CallLimits,
  { jwtAuthority }: PublishJWTAuthorityRequest,
  context: CallContext,
): Promise<Result<PublishJWTAuthorityResponse>> {
  const caller = downstreamCaller(context);
  if (!caller.ok) return caller;
  const paced = limits.agentSignatures.take(caller.value.id.uri);
  if (!paced.ok) return paced;
  if (jwtAuthority === undefined) return fail('FIELD_MISSING', 'jwt_authority is required');
  const { keyId, publicKey, expiresAt } = jwtAuthority;
  const expiresAtSeconds = Number(expiresAt);
  const key = { keyId, publicKeySpki: publicKey, expiresAtSeconds, tainted: false };
  const accepted = await api.authority.acceptJwtKey(key);
  if (!accepted.ok) return accepted;
  audit(api, context, { keyId, expiresAtSeconds });
  return ok({ jwtAuthorities: toWireBundle(accepted.value).jwtAuthorities });
}
