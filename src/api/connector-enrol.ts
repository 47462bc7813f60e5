import { fail, ok, type Result } from '../base/result.ts';
import { type EnrolContext, enrolConnector } from '../connectors/enrol/enrol.ts';
import { toSvidMessage } from '../connectors/svid-message.ts';
import { toTrustBundle } from '../connectors/trust-bundles.ts';
import type {
  GetChallengeRequest,
  GetChallengeResponse,
  EnrolRequest as WireRequest,
  EnrolResponse as WireResponse,
} from '../gen/signet/connector/v1/connector.ts';
import type { RateLimiter } from '../rpc/rate-limiter.ts';
import type { CallContext } from '../rpc/service.ts';
import { addressKey } from '../tls/address-key.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import { type ApiContext, audit } from './context.ts';
import { readChallengeKey, readEnrolRequest } from './convert/enrolment.ts';
import { peerFacts } from './peer-facts.ts';

/** What the calls by which connectors enrol are answered with. */
export interface EnrolCalls {
  readonly api: Pick<ApiContext, 'registry' | 'clock' | 'log'>;
  readonly enrolment: EnrolContext;
  /** Enrolments of one address, and challenges. */
  readonly limiters: { readonly enrolments: RateLimiter; readonly challenges: RateLimiter };
  /** `host:port` of servers that take sessions; none is the one that answers. */
  readonly sessionEndpoints: readonly string[];
  readonly heartbeatSeconds: number;
}

/** Answers GetChallenge. */
export function getChallenge(
  { api, enrolment, limiters }: EnrolCalls,
  request: GetChallengeRequest,
  context: CallContext,
): Result<GetChallengeResponse> {
  const paced = pace(limiters.challenges, 'challenges', context);
  if (!paced.ok) return paced;
  const shown = readChallengeKey(request.publicKey);
  if (!shown.ok) return shown;
  const key = parsePublicKey(shown.value);
  if (!key.ok) return key;
  const { bytes, expiresAtMs } = enrolment.challenges.give(key.value.spki);
  return ok({
    challenge: Buffer.from(bytes),
    expiresAtMs: BigInt(Math.floor(expiresAtMs)),
    serverTimeMs: BigInt(Math.floor(api.clock.nowMs())),
  });
}

/** Answers Enrol. */
export async function enrol(
  calls: EnrolCalls,
  request: WireRequest,
  context: CallContext,
): Promise<Result<WireResponse>> {
  const { api, enrolment, limiters } = calls;
  const { remoteAddress } = context.connection;
  const paced = pace(limiters.enrolments, 'enrolments', context);
  if (!paced.ok) return paced;
  const read = readEnrolRequest(request);
  if (!read.ok) return read;
  const { bundle } = api.registry;
  if (bundle === undefined) return fail('BUNDLE_NOT_READY', 'no bundle is published yet');
  const trust = toTrustBundle(bundle);
  if (!trust.ok) return trust;
  const caller = {
    remoteAddress,
    peer: peerFacts(context.connection, false),
    signal: context.signal,
  };
  const done = await enrolConnector(enrolment, read.value, caller);
  if (!done.ok) return done;
  const { connector, issued, again, recoveryCount, clockOffsetMs, facts } = done.value;
  audit(api, context, {
    ...facts,
    connector: connector.id,
    spiffeId: connector.spiffeId.uri,
    group: connector.group,
    proof: connector.proof,
    agentId: connector.agentId?.uri,
    serial: issued.serialDecimal,
    again,
  });
  return ok({
    connectorId: connector.id,
    spiffeId: connector.spiffeId.uri,
    svid: toSvidMessage(issued),
    bundles: [trust.value],
    sessionEndpoints: [...calls.sessionEndpoints],
    serverTimeMs: BigInt(Math.floor(api.clock.nowMs())),
    clockOffsetMs: BigInt(Math.round(clockOffsetMs)),
    heartbeatSeconds: calls.heartbeatSeconds,
    recoveryCount,
  });
}

/** By address whoever calls: an SVID, which many may share, is asked for nothing else here. */
function pace(limiter: RateLimiter, what: string, { connection }: CallContext): Result<void> {
  if (limiter.take(addressKey(connection.remoteAddress))) return ok(undefined);
  const setting = 'connectors.enrolmentsPerSecond';
  return fail('RATE_LIMITED', `too many ${what} of this address; ${setting} sets how many`);
}
