import type { SignetError } from '../base/errors.ts';
import { inParallel } from '../base/in-parallel.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { MAX_DIAGNOSED } from '../connectors/diagnostics.ts';
import { liveSerialsOf, unlisted } from '../connectors/revoke.ts';
import {
  type CommandConnectorsRequest,
  type ConnectorOutcome,
  ConnectorsResponse,
  type DrainConnectorsRequest,
  type RevokeConnectorsRequest,
  type SelectConnectors,
} from '../gen/signet/connector/v1/admin.ts';
import type { Act } from '../ledger/record.ts';
import type { CallContext, Encoded } from '../rpc/service.ts';
import type { ConnectorRecord, ConnectorState } from '../rules/connector/record.ts';
import type { ConnectorChange } from '../store/connectors.ts';
import { checkBatch, fitAnswer } from './batch.ts';
import { type ReadCommand, readCommand } from './connector-commands.ts';
import { lineField } from './connector-fields.ts';
import { knownGroup } from './connector-groups.ts';
import { type ConnectorAdminContext, noteConnectorAct } from './connector-writes.ts';

/** Acts on connectors that run at the same time. */
const AT_ONCE = 16;

const DEFAULT_DRAIN_SECONDS = 300;

/** Longest that a connector may take to drain, in seconds: a day. */
export const MAX_DRAIN_SECONDS = 86_400;

/** States from which a connector does not come back by itself. */
const ENDED: readonly ConnectorState[] = ['stopped', 'expired', 'revoked'];

/** Whom of a group an act is meant for; the others are passed over. */
const MEANT = {
  live: (_, state) => !ENDED.includes(state),
  draining: ({ standing }, state) => standing === 'draining' && !ENDED.includes(state),
  revocable: (_, state) => state !== 'revoked',
  ended: (_, state) => ENDED.includes(state),
} as const satisfies Readonly<
  Record<string, (connector: ConnectorRecord, state: ConnectorState) => boolean>
>;

/** Has connectors take no new flows, and leave when they have none; known to all servers. */
export async function drainConnectors(
  admin: ConnectorAdminContext,
  request: DrainConnectorsRequest,
  context: CallContext,
): Promise<Result<Encoded>> {
  const reason = lineField('reason', request.reason);
  if (!reason.ok) return reason;
  const withinSeconds = request.withinSeconds || DEFAULT_DRAIN_SECONDS;
  if (withinSeconds > MAX_DRAIN_SECONDS) {
    return fail('FIELD_INVALID', `within_seconds: at most ${MAX_DRAIN_SECONDS}, a day`);
  }
  const deadlineMs = admin.api.clock.nowMs() + withinSeconds * 1000;
  const change = { kind: 'draining', deadlineMs, reason: reason.value } as const;
  const act = { name: 'drain', reason: reason.value, on: 'live' } as const;
  return onEach(admin, request.which, context, act, (connector) =>
    changeLive(admin, connector, change),
  );
}

/** Has connectors that drain take flows again. */
export async function resumeConnectors(
  admin: ConnectorAdminContext,
  request: SelectConnectors,
  context: CallContext,
): Promise<Result<Encoded>> {
  const act = { name: 'resume', reason: '', on: 'draining' } as const;
  return onEach(admin, request, context, act, (connector) =>
    changeLive(admin, connector, { kind: 'resumed' }),
  );
}

/** Takes connectors back for good. */
export async function revokeConnectors(
  admin: ConnectorAdminContext,
  request: RevokeConnectorsRequest,
  context: CallContext,
): Promise<Result<Encoded>> {
  const reason = lineField('reason', request.reason);
  if (!reason.ok) return reason;
  const act = { name: 'revoke', reason: reason.value, on: 'revocable' } as const;
  const { registry, clock } = admin.api;
  let missing = 0;
  const answer = await onEach(admin, request.which, context, act, async (connector) => {
    // Asked before: the session ends with the revocation.
    const told = admin.live.isOpen(connector.id);
    const revoked = await admin.revoke(connector, reason.value);
    missing += unlisted(registry, liveSerialsOf(connector, clock.nowMs() / 1000));
    return revoked.ok ? ok(told) : revoked;
  });
  if (missing > 0) {
    const why = 'the ledger of this server does not know who signed them';
    context.note(
      `${missing} SVIDs are in no CRL, as ${why}: servers refuse them, others take them until they end`,
    );
  }
  return answer;
}

/** Tells connectors that have a session here something that is not kept for those that have none. */
export async function commandConnectors(
  admin: ConnectorAdminContext,
  request: CommandConnectorsRequest,
  context: CallContext,
): Promise<Result<Encoded>> {
  const nowMs = admin.api.clock.nowMs();
  const selected = select(admin, request.which, 'live');
  if (!selected.ok) return selected;
  const group = selected.value.find((one) => one.connector !== undefined)?.connector?.group;
  const settings = group === undefined ? undefined : admin.api.registry.connectors.group(group);
  if (request.command?.kind?.$case === 'collectDiagnostics') {
    const fits = checkBatch(selected.value.length, MAX_DIAGNOSED, 'connectors to be diagnosed');
    if (!fits.ok) return fits;
  }
  const command = readCommand(request.command, settings, selected.value.length, nowMs);
  if (!command.ok) return command;
  const read: ReadCommand = command.value;
  const act = { name: 'command', reason: read.name, on: 'live' } as const;
  let turn = 0;
  return onEach(admin, request.which, context, act, async ({ id }) => {
    if (admin.live.tell(id, read.commandOf(turn++))) return ok(true);
    if (admin.live.isOpen(id)) {
      const message = `connector ${id} has not answered the commands that it has`;
      return fail('CONNECTOR_COMMANDS_UNANSWERED', message);
    }
    return fail('CONNECTOR_NOT_CONNECTED', `connector ${id} has no session with this server`);
  });
}

/** Forgets connectors that have ended. */
export async function deleteConnectors(
  admin: ConnectorAdminContext,
  request: SelectConnectors,
  context: CallContext,
): Promise<Result<Encoded>> {
  const act = { name: 'delete', reason: '', on: 'ended' } as const;
  return onEach(admin, request, context, act, async (connector) => {
    const { state } = admin.live.stateOf(connector);
    if (!ENDED.includes(state)) {
      return fail('CONNECTOR_NOT_ENDED', `connector ${connector.id} is ${state}`);
    }
    const { id, revision } = connector;
    const { connectors } = admin.api.registry;
    const deleted = await connectors.deleteConnectors([{ id, revision }]);
    if (!deleted.ok) return deleted;
    if (deleted.value[0] === true) return ok(false);
    if (connectors.connector(id) === undefined) return unknownConnector(id);
    return fail('CONNECTOR_NOT_ENDED', `connector ${id} has come back meanwhile`);
  });
}

/** No connector has this ID. */
export function unknownConnector(id: string): Result<never> {
  return fail('CONNECTOR_NOT_FOUND', `there is no connector ${JSON.stringify(id.slice(0, 80))}`);
}

async function changeLive(
  { api, live }: ConnectorAdminContext,
  connector: ConnectorRecord,
  change: ConnectorChange,
): Promise<Result<boolean>> {
  const { state } = live.stateOf(connector);
  if (ENDED.includes(state)) {
    return fail('CONNECTOR_ENDED', `connector ${connector.id} is ${state}`);
  }
  if (change.kind === 'resumed' && connector.standing !== 'draining') {
    return fail('CONNECTOR_NOT_DRAINING', `connector ${connector.id} is ${state}`);
  }
  const changed = await api.registry.connectors.changeConnector(connector.id, change);
  if (!changed.ok) return changed;
  if (changed.value === undefined) return unknownConnector(connector.id);
  return ok(live.isOpen(connector.id));
}

interface Selected {
  readonly id: string;
  readonly connector: ConnectorRecord | undefined;
}

interface ActOnConnectors {
  readonly name: Act;
  readonly reason: string;
  /** Which of a group it concerns. */
  readonly on: keyof typeof MEANT;
}

/** Does something to each connector that is asked for; one that is refused does not keep the others. */
async function onEach(
  admin: ConnectorAdminContext,
  which: SelectConnectors | undefined,
  context: CallContext,
  act: ActOnConnectors,
  work: (connector: ConnectorRecord) => Promise<Result<boolean>>,
): Promise<Result<Encoded>> {
  const selected = select(admin, which, act.on);
  if (!selected.ok) return selected;
  const outcomes = await inParallel(selected.value, AT_ONCE, async ({ id, connector }) => {
    const done = connector === undefined ? unknownConnector(id) : await work(connector);
    if (!done.ok) return refusedOutcome(id, done.error);
    const reason = act.reason === '' ? {} : { reason: act.reason };
    const spiffeId = connector?.spiffeId.uri;
    const of = spiffeId === undefined ? {} : { spiffeId };
    await noteConnectorAct(admin, context, { act: act.name, connector: id, ...of, ...reason });
    return { id, told: done.value, errorCode: '', error: '' };
  });
  return fitAnswer(ConnectorsResponse, { outcomes: [...outcomes] });
}

function select(
  admin: ConnectorAdminContext,
  which: SelectConnectors | undefined,
  on: keyof typeof MEANT,
): Result<readonly Selected[]> {
  const { ids, group } = which ?? { ids: [], group: '' };
  // Nothing named must not mean everybody.
  if (ids.length > 0 === (group !== '')) {
    return fail('FIELD_INVALID', 'which: either ids or group');
  }
  const { connectors } = admin.api.registry;
  if (group === '') {
    const fits = checkBatch(ids.length, admin.api.limits.maxBatchEntries, 'connectors');
    if (!fits.ok) return fits;
    return ok([...new Set(ids)].map((id) => ({ id, connector: connectors.connector(id) })));
  }
  const known = knownGroup(admin, group);
  if (!known.ok) return known;
  const meant = [...connectors.connectorsIn(group)]
    .filter((connector) => MEANT[on](connector, admin.live.stateOf(connector).state))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  return ok(meant.map((connector) => ({ id: connector.id, connector })));
}

function refusedOutcome(id: string, { code, message }: SignetError): ConnectorOutcome {
  return { id, told: false, errorCode: code, error: message };
}
