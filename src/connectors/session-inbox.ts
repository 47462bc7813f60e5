import { ERRORS, toSignetError } from '../base/errors.ts';
import { plainText } from '../base/plain-text.ts';
import { fail, ok, type Result } from '../base/result.ts';
import {
  type Ack,
  ConnectorHealth,
  type ConnectorMessage,
  type Goodbye,
  type Heartbeat,
  type Nack,
  ResourceType,
  type SegmentHealthUpdate,
} from '../gen/signet/connector/v1/connector.ts';
import { MAX_MESSAGE_BYTES, sizeOf } from './message-pace.ts';
import { clockOffsetOf, flowsOf } from './said-numbers.ts';
import { MAX_TARGETS, SegmentHealthTable } from './segment-health.ts';
import type { ConnectorSession } from './session.ts';
import type { SessionContext } from './session-context.ts';

/** Messages of unknown kinds after which a session ends. */
export const MAX_UNKNOWN_MESSAGES = 100;

/** Longest request for a renewal, in bytes. */
const MAX_CSR_BYTES = 16 * 1024;

/** Longest text that is kept of what a connector says, in characters. */
const MAX_TEXT = 1024;

const HEALTH = {
  [ConnectorHealth.CONNECTOR_HEALTH_UNSPECIFIED]: 'ok',
  [ConnectorHealth.CONNECTOR_HEALTH_OK]: 'ok',
  [ConnectorHealth.CONNECTOR_HEALTH_DEGRADED]: 'degraded',
  [ConnectorHealth.CONNECTOR_HEALTH_DRAINING]: 'draining',
} as const;

/** Takes one message of a connector. May end the session. */
export function receive(
  context: SessionContext,
  session: ConnectorSession,
  message: ConnectorMessage,
): void {
  const { kind } = message;
  // What was under way when it ended speaks for nobody: the connector may be in its next session.
  if (session.isOver) return;
  session.heardAtMs = context.clock.monotonicMs();
  session.lastHeardMs = context.clock.nowMs();
  if (sizeOf(message) > MAX_MESSAGE_BYTES) {
    violated(session, `a message of ${sizeOf(message)} bytes; at most ${MAX_MESSAGE_BYTES}`);
    return;
  }
  switch (kind?.$case) {
    case 'heartbeat':
      takeHeartbeat(context, session, kind.value);
      return;
    case 'ack':
      takeAck(context, session, kind.value);
      return;
    case 'nack':
      takeNack(context, session, kind.value);
      return;
    case 'segmentHealth':
      takeSegmentHealth(context, session, kind.value);
      return;
    case 'renewCsr':
      void renew(context, session, kind.value.csr);
      return;
    case 'event': {
      const { reason, message, warning } = kind.value;
      if (context.diagnostics.take(session.record.id, kind.value)) return;
      context.event(session.record, { reason: cut(reason), message: cut(message), warning });
      return;
    }
    case 'goodbye':
      void leave(context, session, kind.value);
      return;
    case 'hello':
      violated(session, 'Hello may come only once, as the first message');
      return;
    case undefined:
      takeUnknown(context, session);
      return;
  }
}

function takeHeartbeat(
  context: SessionContext,
  session: ConnectorSession,
  heartbeat: Heartbeat,
): void {
  context.counts.heartbeats++;
  const health = HEALTH[heartbeat.health] ?? 'degraded';
  const reason = cut(heartbeat.reason);
  const clockOffsetMs = clockOffsetOf(heartbeat.clockMs, context.clock.nowMs());
  const isNews = health !== session.health || reason !== session.reason;
  session.health = health;
  session.reason = reason;
  session.clockOffsetMs = clockOffsetMs;
  session.activeFlows = flowsOf(heartbeat.activeFlows);
  session.loadPercent = Math.min(heartbeat.loadPercent, 100);
  if (isNews) context.touched(session.record.id);
  session.judge();
}

function takeAck(context: SessionContext, session: ConnectorSession, ack: Ack): void {
  const { type, version, nonce } = ack;
  switch (type) {
    case ResourceType.RESOURCE_TYPE_SEGMENTS:
      if (!answersSegments(session, ack)) return;
      session.segmentsUnderWay = undefined;
      session.acceptedSegments = version;
      session.refusedSegments = '';
      break;
    case ResourceType.RESOURCE_TYPE_BUNDLE:
      if (!answers(session.bundleUnderWay, ack)) return;
      session.acceptedBundle = version;
      session.refusedBundle = '';
      break;
    case ResourceType.RESOURCE_TYPE_SVID:
      if (!answers(session.svidUnderWay, ack)) return;
      session.svidUnderWay = undefined;
      session.acceptedSvid = version;
      break;
    case ResourceType.RESOURCE_TYPE_COMMAND:
      answersCommand(session, nonce);
      return;
    default:
      return;
  }
  clearNack(session, type);
  context.touched(session.record.id);
  session.wake();
}

function takeNack(context: SessionContext, session: ConnectorSession, nack: Nack): void {
  const { type, version, nonce } = nack;
  switch (type) {
    case ResourceType.RESOURCE_TYPE_SEGMENTS:
      if (!answersSegments(session, nack)) return;
      session.segmentsUnderWay = undefined;
      session.refusedSegments = version;
      break;
    case ResourceType.RESOURCE_TYPE_BUNDLE:
      if (!answers(session.bundleUnderWay, nack)) return;
      session.refusedBundle = version;
      break;
    case ResourceType.RESOURCE_TYPE_SVID:
      if (!answers(session.svidUnderWay, nack)) return;
      session.svidUnderWay = undefined;
      break;
    case ResourceType.RESOURCE_TYPE_COMMAND:
      if (!answersCommand(session, nonce)) return;
      context.diagnostics.refused(session.record.id, nonce, cut(nack.error));
      break;
    default:
      return;
  }
  context.counts.nacks++;
  // A command has no version: what stands in its place is anybody's.
  const isCommand = type === ResourceType.RESOURCE_TYPE_COMMAND;
  const message = `${RESOURCE_NAMES[type]}${isCommand ? '' : ` ${version}`}: ${cut(nack.error)}`;
  // One that does not upgrade now serves as well as before.
  if (!isCommand) session.lastNack = message;
  context.event(session.record, { reason: 'Nack', message, warning: true });
  context.touched(session.record.id);
  session.wake();
}

const RESOURCE_NAMES = {
  [ResourceType.RESOURCE_TYPE_SEGMENTS]: 'segments',
  [ResourceType.RESOURCE_TYPE_BUNDLE]: 'bundle',
  [ResourceType.RESOURCE_TYPE_SVID]: 'svid',
  [ResourceType.RESOURCE_TYPE_COMMAND]: 'command',
} as const;

/** What was refused is past as soon as a later one of its kind is taken. */
function clearNack(session: ConnectorSession, type: keyof typeof RESOURCE_NAMES): void {
  if (session.lastNack.startsWith(`${RESOURCE_NAMES[type]} `)) session.lastNack = '';
}

interface Answer {
  readonly version: string;
  readonly nonce: Buffer;
}

/** Whether an answer is to what was sent last: an earlier one, told again, says nothing of that. */
function answers(sent: Answer | undefined, answer: Answer): boolean {
  return sent !== undefined && sent.version === answer.version && sent.nonce.equals(answer.nonce);
}

/** An answer before the last chunk has left is to nothing. */
function answersSegments({ segmentsUnderWay: under }: ConnectorSession, answer: Answer): boolean {
  return under?.written === under?.messages.chunks.length && answers(under?.messages, answer);
}

function answersCommand({ commandsUnderWay }: ConnectorSession, nonce: Buffer): boolean {
  const at = commandsUnderWay.findIndex((sent) => sent.equals(nonce));
  if (at === -1) return false;
  commandsUnderWay.splice(at, 1);
  return true;
}

function takeSegmentHealth(
  context: SessionContext,
  session: ConnectorSession,
  { segments }: SegmentHealthUpdate,
): void {
  if (segments.length > MAX_TARGETS) {
    violated(session, `${segments.length} targets in one message; at most ${MAX_TARGETS}`);
    return;
  }
  session.targets ??= new SegmentHealthTable(context.targets);
  const { served } = context.segments(session.record.group);
  session.targets.keep((id) => served.has(id));
  session.targets.apply(segments, (id) => served.has(id));
  context.touched(session.record.id);
}

async function renew(
  context: SessionContext,
  session: ConnectorSession,
  csr: Buffer,
): Promise<void> {
  if (csr.length > MAX_CSR_BYTES) {
    return violated(session, `a CSR of ${csr.length} bytes; at most ${MAX_CSR_BYTES}`);
  }
  const { id } = session.record;
  if (!context.renewals.begin(id)) {
    return refused(session, fail('CONNECTOR_RENEWAL_BUSY', 'a renewal is under way or just was'));
  }
  const renewed = await context.renew(session.record, csr).catch(toFailure);
  context.renewals.end(id);
  if (session.isOver) return;
  if (renewed.ok) {
    context.counts.renewals++;
    session.renewed(renewed.value);
  } else {
    context.counts.renewalsFailed++;
    refused(session, renewed);
  }
}

/** Nobody waits for a renewal who could take what it throws. */
function toFailure(thrown: unknown): Result<never> {
  return { ok: false, error: toSignetError(thrown, 'renewing a connector') };
}

function refused(session: ConnectorSession, result: Result<never>): void {
  if (result.ok) return;
  const { code, message } = result.error;
  session.notify(code, message, ERRORS[code].action);
}

async function leave(
  context: SessionContext,
  session: ConnectorSession,
  { drained, openFlows }: Goodbye,
): Promise<void> {
  if (session.isLeaving) return;
  session.isLeaving = true;
  await context.stopped(session.record.id, drained ? 'drained' : `left with ${openFlows} flows`);
  session.end(ok(undefined));
}

function takeUnknown(context: SessionContext, session: ConnectorSession): void {
  context.counts.unknownMessages++;
  session.unknownMessages++;
  if (session.unknownMessages > MAX_UNKNOWN_MESSAGES) {
    violated(session, `more than ${MAX_UNKNOWN_MESSAGES} messages of unknown kinds`);
    return;
  }
  refused(session, fail('CONNECTOR_MESSAGE_UNKNOWN', 'a message of a kind that is not known here'));
}

function violated(session: ConnectorSession, message: string): void {
  session.end(fail('CONNECTOR_SESSION_PROTOCOL', message));
}

/** As it is kept, shown and logged. */
function cut(text: string): string {
  return plainText(text, MAX_TEXT);
}
