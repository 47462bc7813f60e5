import { fail, ok, type Result } from '../base/result.ts';
import type { AgentMessage, AgentSyncService, Hello } from '../gen/signet/agent/v1/agent.ts';
import type { PeerFacts } from '../policy/caller.ts';
import type { AgentCaller } from '../policy/grant.ts';
import type { CallContext, Encoded, Handlers, ResponseStream } from '../rpc/service.ts';
import { noteAgentVersion } from './agent-service.ts';
import { judgeAgent } from './agent-standing.ts';
import { type ApiContext, agentCaller } from './context.ts';
import { peerFacts } from './peer-facts.ts';
import { type PushMessages, pushMessages } from './push-messages.ts';
import type { PushStreams } from './push-streams.ts';
import { nextMessage } from './streams.ts';

/**
 * `signet.agent.v1.AgentSync`: one stream per agent, for as long as its SVID lives. State goes out
 * when it changes; what a slow reader has not taken is merged, never queued; an idle stream costs
 * nothing. The caller is judged at the start and at every change of its agent.
 */
export function createAgentSyncService(
  api: ApiContext,
  streams: PushStreams,
): Handlers<AgentSyncService> {
  return {
    async sync(requests, stream, context) {
      const caller = agentCaller(context);
      if (!caller.ok) return caller;
      const reader = requests[Symbol.asyncIterator]();
      const hello = await readHello(api, reader);
      if (!hello.ok) return hello;
      const noted = await noteAgentVersion(api, caller.value.agent, hello.value.agentVersion);
      // A store that cannot write does not keep an agent from its state.
      if (!noted.ok && noted.error.code === 'FIELD_INVALID') return noted;
      const release = context.connection.holdOpen();
      try {
        return await serve(
          api,
          streams,
          { caller: caller.value, hello: hello.value, reader },
          {
            stream,
            context,
          },
        );
      } finally {
        release();
      }
    },
  };
}

interface Opened {
  readonly caller: AgentCaller;
  readonly hello: Hello;
  readonly reader: AsyncIterator<AgentMessage>;
}

async function readHello(
  api: ApiContext,
  reader: AsyncIterator<AgentMessage>,
): Promise<Result<Hello>> {
  const first = await nextMessage(reader, api.clock);
  if (!first.ok) return first;
  const kind = first.value?.kind;
  if (kind?.$case === 'hello') return ok(kind.value);
  return fail('SYNC_PROTOCOL', 'the first message must be Hello');
}

async function serve(
  api: ApiContext,
  streams: PushStreams,
  opened: Opened,
  wire: { readonly stream: ResponseStream<unknown>; readonly context: CallContext },
): Promise<Result<void>> {
  const { caller } = opened;
  const session = new PushSession(api, opened, wire);
  const leave = streams.enter(caller.id.uri, (error) => session.end(error));
  const disconnect = api.bundleAcks.connected(caller.id);
  void readAcks(api, streams, opened, session);
  try {
    return await session.run();
  } finally {
    leave();
    disconnect();
    session.close();
  }
}

/** Notes what the agent has applied, until it half-closes or goes. */
async function readAcks(
  api: Pick<ApiContext, 'bundleAcks'>,
  streams: PushStreams,
  { caller, reader }: Opened,
  session: PushSession,
): Promise<void> {
  for (let next = await reader.next(); !next.done; next = await reader.next()) {
    const { kind } = next.value;
    if (kind?.$case !== 'ack') {
      session.end(fail('SYNC_PROTOCOL', 'after Hello, an agent may only send Ack'));
      return;
    }
    streams.acked(caller.id.uri, kind.value);
    api.bundleAcks.acked(caller.id, kind.value.bundleSequence);
  }
  session.end(ok(undefined));
}

/** One open push stream. Runs until {@link end}: by the agent, its standing, or another stream. */
class PushSession {
  readonly #api: ApiContext;
  readonly #stream: ResponseStream<unknown>;
  readonly #signal: AbortSignal;
  readonly #facts: PeerFacts;
  readonly #messages: PushMessages;
  readonly #closers: (() => void)[] = [];
  #outcome: Result<void> | undefined;
  #awake = true;
  #wake: (() => void) | undefined;

  constructor(
    api: ApiContext,
    { caller, hello }: Opened,
    wire: { readonly stream: ResponseStream<unknown>; readonly context: CallContext },
  ) {
    this.#api = api;
    this.#stream = wire.stream;
    this.#signal = wire.context.signal;
    this.#facts = peerFacts(wire.context.connection, false);
    const wake = (): void => this.#rouse();
    this.#messages = pushMessages(api, caller.id, hello, wake);
    this.#closers.push(this.#messages.close, api.registry.onBundle(wake));
    this.#closers.push(api.registry.onIssuingCas(wake));
    this.#closers.push(api.registry.federation.onChange(wake));
    if (api.crl !== undefined) this.#closers.push(api.crl.onChange(wake));
    const onAbort = (): void => this.end(ok(undefined));
    this.#signal.addEventListener('abort', onAbort, { once: true });
    this.#closers.push(() => this.#signal.removeEventListener('abort', onAbort));
    this.#armExpiry();
  }

  /** Pushes until the stream is over; answers how it ends. */
  async run(): Promise<Result<void>> {
    while (this.#outcome === undefined) {
      if (!this.#awake) await this.#sleep();
      this.#awake = false;
      if (this.#outcome !== undefined) break;
      const judged = this.#judge();
      if (!judged.ok) return judged;
      for (const message of this.#messages.take()) {
        if (this.#outcome !== undefined) break;
        await this.#send(message);
      }
    }
    return this.#outcome;
  }

  /** Ends the stream with this outcome; only the first one counts. */
  end(outcome: Result<void>): void {
    this.#outcome ??= outcome;
    this.#rouse();
  }

  close(): void {
    for (const closer of this.#closers.splice(0)) closer();
  }

  /** Whether the SVID that opened the connection is still that of a live agent. */
  #judge(): Result<void> {
    return judgeAgent(this.#api, this.#facts);
  }

  #armExpiry(): void {
    if (this.#facts.kind !== 'svid') return;
    // One second past the last one of the certificate, so that the judgement finds it expired.
    const delayMs = (this.#facts.notAfterSeconds + 1) * 1000 - this.#api.clock.nowMs();
    this.#closers.push(this.#api.clock.after(delayMs, () => this.#rouse()));
  }

  async #send(message: Encoded): Promise<void> {
    if (!this.#stream.write(message)) await this.#stream.drained();
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #rouse(): void {
    this.#awake = true;
    this.#wake?.();
    this.#wake = undefined;
  }
}
