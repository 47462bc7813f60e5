import type { Clock } from '../base/clock.ts';
import { toSignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { instanceOf } from '../connectors/instance.ts';
import { MessagePace } from '../connectors/message-pace.ts';
import type { ConnectorSession } from '../connectors/session.ts';
import type { SessionHub } from '../connectors/session-hub.ts';
import { receive } from '../connectors/session-inbox.ts';
import type {
  ConnectorMessage,
  ConnectorService,
  Hello,
} from '../gen/signet/connector/v1/connector.ts';
import type { Handlers } from '../rpc/service.ts';
import { connectorCaller } from './context.ts';
import { peerFacts } from './peer-facts.ts';
import { nextMessage } from './streams.ts';

/** How long the end of a session has to leave before its connection ends too, in milliseconds. */
const LAST_WORDS_MS = 5_000;

/**
 * `signet.connector.v1.Connector/Session`: one stream per connector, for as long as its SVID lives. The
 * caller is judged at the start, and at every change that may concern it.
 */
export function createConnectorSession(
  hub: SessionHub,
  clock: Clock,
): Handlers<ConnectorService>['session'] {
  return async (requests, stream, context) => {
    const caller = connectorCaller(context);
    if (!caller.ok) return caller;
    const admitted = hub.admit(caller.value.connector.id);
    if (!admitted.ok) return admitted;
    const { connection } = context;
    const facts = peerFacts(connection, false);
    const leaf = connection.peer.kind === 'svid' ? connection.peer.chain[0] : undefined;
    // The matrix lets nobody else here; said for the compiler.
    if (facts.kind !== 'svid' || leaf === undefined) {
      return fail('CALLER_NOT_ALLOWED', `${context.method} is for connectors`);
    }
    const reader = requests[Symbol.asyncIterator]();
    const hello = await readHello(reader, clock);
    if (!hello.ok) return hello;
    const { remoteAddress } = connection;
    const { connector: record } = caller.value;
    const { notBeforeMs } = leaf;
    const start = { record, facts, notBeforeMs, remoteAddress, stream, hello: hello.value };
    const release = connection.holdOpen();
    const session = hub.open(start, instanceOf(hello.value.instance));
    // Nobody waits for the reading who could take what it throws; the process must not end by it.
    readAll(hub, session, reader, clock).catch((thrown: unknown) =>
      session.end({ ok: false, error: toSignetError(thrown, 'reading a session') }),
    );
    try {
      const ended = await session.ended;
      if (!ended.ok && ended.error.code === 'CONNECTOR_SESSION_SILENT') {
        // Most likely nobody is there any more; whoever is gets to know why, and may have come back on it.
        clock.after(LAST_WORDS_MS, () => void (hub.isOpen(record.id) || connection.close()));
      }
      return ended;
    } finally {
      hub.leave(session);
      release();
    }
  };
}

async function readHello(
  reader: AsyncIterator<ConnectorMessage>,
  clock: Clock,
): Promise<Result<Hello>> {
  const first = await nextMessage(reader, clock);
  if (!first.ok) return first;
  const kind = first.value?.kind;
  if (kind?.$case === 'hello') return ok(kind.value);
  return fail('CONNECTOR_SESSION_PROTOCOL', 'the first message must be Hello');
}

/** Takes what the connector says until it half-closes or goes. One that talks too much is read slowly. */
async function readAll(
  hub: SessionHub,
  session: ConnectorSession,
  reader: AsyncIterator<ConnectorMessage>,
  clock: Clock,
): Promise<void> {
  const pace = new MessagePace(clock);
  for (let next = await reader.next(); !next.done; next = await reader.next()) {
    receive(hub.context, session, next.value);
    const waitMs = pace.take(next.value);
    if (waitMs > 0 && !session.isOver) await pause(clock, waitMs);
    if (session.isOver) return;
  }
  // One that says goodbye is answered by the end of its session, once that is written down.
  if (!session.isLeaving) session.end(ok(undefined));
}

function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });
}
