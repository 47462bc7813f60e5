import { fail, ok, type Result } from '../base/result.ts';
import type {
  BatchNewX509SVIDRequest,
  BatchNewX509SVIDResponse,
  BatchNewX509SVIDResponse_Result,
  MintJWTSVIDRequest,
  MintJWTSVIDResponse,
  MintX509SVIDRequest,
  MintX509SVIDResponse,
  NewJWTSVIDRequest,
  NewJWTSVIDResponse,
  SVIDService,
} from '../gen/spire/api/server/svid/v1/svid.ts';
import {
  grantMintJwt,
  grantMintX509,
  grantWorkloadJwt,
  grantWorkloadX509,
} from '../policy/grants.ts';
import type { CallContext, Handlers } from '../rpc/service.ts';
import { parseSpiffeId, type SpiffeId } from '../spiffe/spiffe-id.ts';
import { parseCsr } from '../x509/csr.ts';
import { checkBatch, runBatch } from './batch.ts';
import { type ApiContext, agentCaller, audit, operatorCaller } from './context.ts';
import { fromWireId, inField } from './convert/ids.ts';
import { itemStatus, OK_STATUS } from './convert/status.ts';
import { toWireJwt, toWireX509 } from './convert/svids.ts';
import { type DownstreamContext, newDownstreamCa } from './downstream.ts';
import { withDeniedReason } from './permission-denied.ts';
import type { CallLimits } from './rate-limits.ts';

/** `spire.api.server.svid.v1.SVID`: SVIDs for agents' entries, and by operators' leave; CAs for servers below. */
export function createSvidService(
  api: DownstreamContext,
  limits: CallLimits,
): Handlers<SVIDService> {
  return {
    mintX509Svid: (request, context) => mintX509(api, request, context),
    mintJwtsvid: (request, context) => mintJwt(api, request, context),
    batchNewX509Svid: (request, context) => batchNewX509(api, limits, request, context),
    newJwtsvid: (request, context) => newJwt(api, limits, request, context),
    newDownstreamX509Ca: (request, context) => newDownstreamCa(api, limits, request, context),
  };
}

/** The SPIFFE ID of each SVID comes from the entry; of the request only the key is used (E10). */
async function batchNewX509(
  api: ApiContext,
  limits: CallLimits,
  request: BatchNewX509SVIDRequest,
  context: CallContext,
): Promise<Result<BatchNewX509SVIDResponse>> {
  const caller = agentCaller(context);
  if (!caller.ok) return caller;
  const { params } = request;
  const fits = checkBatch(params.length, api.limits.maxBatchCsrs, 'certificate requests');
  if (!fits.ok) return fits;
  const paced = limits.agentSignatures.take(caller.value.id.uri, params.length);
  if (!paced.ok) return paced;
  const items = params.map(({ entryId, csr }) => {
    const grant = grantWorkloadX509(caller.value, entryId, api.policy);
    return grant.ok ? ok({ grant: grant.value, csr }) : grant;
  });
  const outcomes = await runBatch(items, async (valid) =>
    ok(await api.issuer.issueX509Batch(valid)),
  );
  const results = outcomes.map((outcome, index): BatchNewX509SVIDResponse_Result => {
    const issued = outcome.ok ? outcome.value : outcome;
    if (!issued.ok) return { status: itemStatus(issued.error), svid: undefined };
    const item = items[index];
    const hint = item?.ok ? item.value.grant.hint : '';
    return { status: OK_STATUS, svid: toWireX509(issued.value, hint) };
  });
  return ok({ results });
}

async function newJwt(
  api: ApiContext,
  limits: CallLimits,
  request: NewJWTSVIDRequest,
  context: CallContext,
): Promise<Result<NewJWTSVIDResponse>> {
  const caller = agentCaller(context);
  if (!caller.ok) return caller;
  const paced = limits.agentSignatures.take(caller.value.id.uri);
  if (!paced.ok) return paced;
  const grant = grantWorkloadJwt(caller.value, request.entryId, request.audience, api.policy);
  if (!grant.ok) return { ok: false, error: withDeniedReason(grant.error) };
  const issued = await api.issuer.issueJwt(grant.value);
  if (!issued.ok) return { ok: false, error: withDeniedReason(issued.error) };
  return ok({ svid: toWireJwt(issued.value, grant.value.hint) });
}

async function mintX509(
  api: ApiContext,
  request: MintX509SVIDRequest,
  context: CallContext,
): Promise<Result<MintX509SVIDResponse>> {
  const caller = operatorCaller(context);
  if (!caller.ok) return caller;
  const asked = readMintRequest(request.csr);
  if (!asked.ok) return asked;
  const grant = grantMintX509(
    caller.value,
    { ...asked.value, ttlSeconds: request.ttl },
    api.policy,
  );
  if (!grant.ok) return grant;
  const issued = await api.issuer.mintX509(grant.value, request.csr);
  if (!issued.ok) return issued;
  audit(api, context, {
    spiffeId: issued.value.spiffeId.uri,
    serial: issued.value.serialDecimal,
    expiresAtSeconds: issued.value.expiresAtSeconds,
  });
  return ok({ svid: toWireX509(issued.value, '') });
}

/** What an operator's request names: one SPIFFE ID and any DNS names. Everything else is ignored. */
function readMintRequest(
  csr: Uint8Array,
): Result<{ readonly spiffeId: SpiffeId; readonly dnsNames: readonly string[] }> {
  if (csr.length === 0) return fail('FIELD_MISSING', 'csr is required');
  const parsed = parseCsr(csr);
  if (!parsed.ok) return parsed;
  const [uri, ...others] = parsed.value.requestedUris;
  if (uri === undefined || others.length > 0) {
    return fail('FIELD_INVALID', 'csr must have exactly one URI SAN, the SPIFFE ID to mint');
  }
  const spiffeId = parseSpiffeId(uri);
  if (!spiffeId.ok) return inField(spiffeId.error, 'csr');
  return ok({ spiffeId: spiffeId.value, dnsNames: parsed.value.requestedDnsNames });
}

async function mintJwt(
  api: ApiContext,
  request: MintJWTSVIDRequest,
  context: CallContext,
): Promise<Result<MintJWTSVIDResponse>> {
  const caller = operatorCaller(context);
  if (!caller.ok) return caller;
  const spiffeId = fromWireId(request.id, 'id');
  if (!spiffeId.ok) return spiffeId;
  const asked = { spiffeId: spiffeId.value, audience: request.audience, ttlSeconds: request.ttl };
  const grant = grantMintJwt(caller.value, asked, api.policy);
  if (!grant.ok) return grant;
  const issued = await api.issuer.issueJwt(grant.value);
  if (!issued.ok) return issued;
  const { expiresAtSeconds } = issued.value;
  audit(api, context, { spiffeId: spiffeId.value.uri, expiresAtSeconds });
  return ok({ svid: toWireJwt(issued.value, '') });
}
