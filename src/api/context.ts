import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { PublishedCrl } from '../issuance/crl-publisher.ts';
import type { FindIssued, FindIssuerName } from '../issuance/find-issued.ts';
import type { Issuer } from '../issuance/issuer.ts';
import type { RecordAct, RecordedAct } from '../issuance/ledger-recorder.ts';
import type { PolicyContext } from '../policy/context.ts';
import type {
  AdminCaller,
  AgentCaller,
  Caller,
  ConnectorCaller,
  DownstreamCaller,
  LocalCaller,
} from '../policy/grant.ts';
import { operatorName } from '../policy/grants.ts';
import type { BundleAcks } from '../registry/bundle-acks.ts';
import type { ConnectorRegistry } from '../registry/connectors.ts';
import type { Registry } from '../registry/registry.ts';
import type { CallContext } from '../rpc/service.ts';
import type { Logger } from '../runtime/log.ts';

/** Sizes that services hold requests to; read at each call, so that a reload takes effect. */
export interface ApiLimits {
  /** Certificate requests in one BatchNewX509SVID. */
  readonly maxBatchCsrs: number;
  /** Entries or IDs in one batch of registration. */
  readonly maxBatchEntries: number;
}

/** The CRL as push streams read it. */
export interface PushedCrl {
  /** Undefined while there is none, or it is too long. */
  readonly current: PublishedCrl | undefined;
  onChange(listener: () => void): () => void;
}

/** What the services stand on. */
export interface ApiContext {
  readonly registry: Registry;
  readonly issuer: Issuer;
  readonly policy: PolicyContext;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly limits: ApiLimits;
  /** Which agent has which bundle: what a new authority waits for. */
  readonly bundleAcks: Pick<BundleAcks, 'acked' | 'connected'>;
  /** Writes acts of operators into the ledger, where there is one. */
  readonly recordAct?: RecordAct | undefined;
  /** Finds what was issued in the ledger, where there is one. */
  readonly findIssued?: FindIssued | undefined;
  /** The CRL that agents are given; undefined where configuration keeps it from them. */
  readonly crl?: PushedCrl | undefined;
  /** Finds the names of the authorities that signed it. */
  readonly findIssuerName?: FindIssuerName | undefined;
  /** Connectors and what they are about; undefined where they are not served. */
  readonly connectors?: ConnectorRegistry | undefined;
}

/** A caller that the guard let through. */
class Judged {
  readonly caller: Caller;

  constructor(caller: Caller) {
    this.caller = caller;
  }
}

/** Keeps who calls, once the guard has judged it. */
export function rememberCaller(context: CallContext, caller: Caller): void {
  context.judged = new Judged(caller);
}

function callerOf(context: CallContext): Caller | undefined {
  return context.judged instanceof Judged ? context.judged.caller : undefined;
}

/** The agent that calls. The matrix lets only agents here; without a judgement nobody is one. */
export function agentCaller(context: CallContext): Result<AgentCaller> {
  const caller = callerOf(context);
  if (caller?.kind === 'agent') return ok(caller);
  return fail('CALLER_NOT_ALLOWED', `${context.method} is for agents`);
}

/** The server below this one that calls. The matrix lets only those here. */
export function downstreamCaller(context: CallContext): Result<DownstreamCaller> {
  const caller = callerOf(context);
  if (caller?.kind === 'downstream') return ok(caller);
  return fail('CALLER_NOT_ALLOWED', `${context.method} is for servers below this one`);
}

/** The connector that calls. The matrix lets only those here. */
export function connectorCaller(context: CallContext): Result<ConnectorCaller> {
  const caller = callerOf(context);
  if (caller?.kind === 'connector') return ok(caller);
  return fail('CALLER_NOT_ALLOWED', `${context.method} is for connectors`);
}

/** The operator that calls. The matrix lets only operators here. */
export function operatorCaller(context: CallContext): Result<LocalCaller | AdminCaller> {
  const caller = callerOf(context);
  if (caller?.kind === 'local' || caller?.kind === 'admin') return ok(caller);
  return fail('CALLER_NOT_ALLOWED', `${context.method} is for operators`);
}

/** Writes down who did what; one line for each write, at info. */
export function audit(
  api: Pick<ApiContext, 'log'>,
  context: CallContext,
  facts: Readonly<Record<string, unknown>>,
): void {
  api.log.info({ audit: context.method, ...callerFacts(context), ...facts }, 'audit');
}

/**
 * Writes an act that was done into the ledger. It stands whether or not that succeeds: a full disk
 * must not keep a node from being banned.
 */
export async function noteAct(
  api: Pick<ApiContext, 'log' | 'recordAct'>,
  context: CallContext,
  act: Omit<RecordedAct, 'requestedBy'>,
): Promise<void> {
  const caller = operatorCaller(context);
  if (!caller.ok || api.recordAct === undefined) return;
  const recorded = await api.recordAct({ ...act, requestedBy: operatorName(caller.value) });
  if (recorded.ok) return;
  const { code, message: reason } = recorded.error;
  api.log.error({ ...act, code, reason }, 'an act is not in the ledger');
}

function callerFacts(context: CallContext): Readonly<Record<string, unknown>> {
  const caller = callerOf(context);
  switch (caller?.kind) {
    case 'local':
      return { callerUid: caller.uid, callerPid: caller.pid };
    case 'admin':
    case 'agent':
    case 'downstream':
    case 'connector':
      return { callerId: caller.id.uri, remoteAddress: context.connection.remoteAddress };
    default:
      return { remoteAddress: context.connection.remoteAddress };
  }
}
