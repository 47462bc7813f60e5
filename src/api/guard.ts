import type { SignetError } from '../base/errors.ts';
import { ok, type Result } from '../base/result.ts';
import { authorizeCall } from '../policy/caller.ts';
import type { AgentCaller, Caller, ConnectorCaller } from '../policy/grant.ts';
import type { CallContext, CallGuard } from '../rpc/service.ts';
import { addressKey } from '../tls/address-key.ts';
import { type ApiContext, rememberCaller } from './context.ts';
import { peerFacts } from './peer-facts.ts';
import { withDeniedReason } from './permission-denied.ts';
import type { CallLimits } from './rate-limits.ts';

const ATTEST = '/spire.api.server.agent.v1.Agent/AttestAgent';

/**
 * The guard of every service of the server, on both listeners: who calls, may they, and not too
 * often. What it lets through has its caller remembered for the handler.
 */
export function createGuard(api: ApiContext, limits: CallLimits): CallGuard {
  return (context) => {
    const caller = judge(api, limits, context);
    if (!caller.ok) return { ok: false, error: withDeniedReason(caller.error) };
    rememberCaller(context, caller.value);
    const { kind } = caller.value;
    // Nearly every call ends here, without a promise.
    if (kind !== 'agent' && kind !== 'connector') return ok(undefined);
    const serial = caller.value.firstUseOfSerial;
    return serial === undefined ? ok(undefined) : promote(api, caller.value, serial);
  };
}

function judge(api: ApiContext, limits: CallLimits, context: CallContext): Result<Caller> {
  const facts = peerFacts(context.connection, api.policy.adminGid !== undefined);
  const { remoteAddress } = context.connection;
  // Whoever attests is unknown yet, whatever certificate they also show.
  const unknown =
    facts.kind === 'anonymous' || (facts.kind === 'svid' && context.method === ATTEST);
  if (unknown) {
    const limit = context.method === ATTEST ? limits.attestation : limits.anonymousCalls;
    const paced = limit.take(addressKey(remoteAddress));
    if (!paced.ok) return paced;
  }
  const caller = authorizeCall(context.method, facts, api.policy);
  if (!caller.ok) {
    // Refused callers fill the log no faster than unknown ones may call.
    if (unknown || limits.anonymousCalls.take(addressKey(remoteAddress)).ok) {
      logRefusal(api, context, caller.error);
    }
    return caller;
  }
  if (caller.value.kind !== 'agent') return caller;
  const paced = limits.agentCalls.take(caller.value.id.uri);
  return paced.ok ? caller : paced;
}

/** The renewed SVID is in use: the one before it ends here. Fails open, since both are the caller's. */
async function promote(
  api: ApiContext,
  caller: AgentCaller | ConnectorCaller,
  serial: string,
): Promise<Result<void>> {
  const promoted = { kind: 'promoted', serial } as const;
  const changed =
    caller.kind === 'agent'
      ? await api.registry.changeAgent(caller.id, promoted)
      : await api.connectors?.changeConnector(caller.connector.id, promoted);
  if (changed?.ok === false) {
    api.log.warn(
      { spiffeId: caller.id.uri, code: changed.error.code },
      `the first use of a renewed SVID (${caller.kind}) could not be written down`,
    );
  }
  return ok(undefined);
}

function logRefusal(api: ApiContext, context: CallContext, error: SignetError): void {
  api.log.warn(
    {
      method: context.method,
      remoteAddress: context.connection.remoteAddress,
      code: error.code,
      reason: error.message,
    },
    'call refused',
  );
}
