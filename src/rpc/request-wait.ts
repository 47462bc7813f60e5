import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import type { Clock } from '../base/clock.ts';
import { SignetError } from '../base/errors.ts';
import { ByteBudget } from './byte-budget.ts';
import { wireStatus } from './call.ts';
import type { CallLimits } from './limits.ts';
import { MessageReader, readMessagesCompactly } from './message-reader.ts';
import { PeerCount } from './peer-count.ts';

type WireInterceptingCall = ConstructorParameters<typeof ServerInterceptingCall>[0];
type WireListener = Parameters<WireInterceptingCall['start']>[0];

/** What watching for requests needs. Keys are what `getPeer` answers. */
export interface RequestWaitOptions {
  readonly clock: Clock;
  readonly limits: CallLimits;
  /** What a call's peer counts as; undefined when its connection has ended. */
  readonly peerOf: (key: string) => string | undefined;
  /** Told of a call whose one message did not arrive in time. */
  readonly onLate: (key: string) => void;
  /** Told of the method of a call that was one too many. */
  readonly onRefused: (method: string) => void;
  /** Told of a request that was refused because too many bytes are held already. */
  readonly onTooManyBytes: () => void;
}

/** Calls whose requests have not all arrived. */
export interface RequestWait {
  /** To be given to grpc-js's server. */
  readonly interceptor: ServerInterceptor;
}

/**
 * Bounds what callers make grpc-js hold before any guard has judged them: how many calls may be without
 * their whole request at once, and for how long (but for methods with a request stream, whose handlers
 * see to that), since grpc-js waits for ever. One timer serves all calls.
 */
export function createRequestWait(options: RequestWaitOptions): RequestWait {
  const { clock, limits } = options;
  const open = new PeerCount(limits.maxOpenRequests, limits.maxOpenRequestsPerPeer);
  const bytes = new ByteBudget(limits.maxRequestBytes, limits.maxRequestBytesPerPeer);
  // In order of their beginning.
  const waiting = new Set<WaitingCall>();
  let armed = false;
  const arm = (delayMs: number): void => {
    armed = true;
    clock.after(delayMs, sweep);
  };
  const sweep = (): void => {
    armed = false;
    const nowMs = clock.monotonicMs();
    for (const call of waiting) {
      const leftMs = call.startedMs + limits.requestTimeoutMs - nowMs;
      if (leftMs > 0) {
        arm(leftMs);
        return;
      }
      waiting.delete(call);
      options.onLate(call.getPeer());
    }
  };
  const gate: Gate = {
    enter(call) {
      const peer = options.peerOf(call.getPeer()) ?? '';
      if (!open.add(peer)) {
        options.onRefused(call.method);
        return undefined;
      }
      if (!call.streamsRequests) {
        waiting.add(call);
        if (!armed) arm(limits.requestTimeoutMs);
      }
      return () => {
        open.remove(peer);
        waiting.delete(call);
      };
    },
  };
  return {
    interceptor: (method, call) => {
      // Asked once: a connection that has ended is nobody's, and its bytes are still to be counted out.
      let peer: string | undefined;
      const hold = (step: number): boolean => {
        peer ??= options.peerOf(call.getPeer()) ?? '';
        if (step <= 0) bytes.give(peer, -step);
        else if (!bytes.take(peer, step)) {
          options.onTooManyBytes();
          return false;
        }
        return true;
      };
      const reader = new MessageReader(limits.maxReceiveBytes, hold);
      readMessagesCompactly(call, reader);
      const facts = { method: method.path, streamsRequests: method.requestStream, reader };
      return new WaitingCall(call, { ...facts, startedMs: clock.monotonicMs() }, gate);
    },
  };
}

/** What counts calls in; answers how to count one out, or undefined where there are too many. */
interface Gate {
  enter(call: WaitingCall): (() => void) | undefined;
}

interface Facts {
  readonly method: string;
  readonly streamsRequests: boolean;
  readonly startedMs: number;
  readonly reader: MessageReader;
}

/** A call that is counted until its requests have arrived whole, or it has ended. */
class WaitingCall extends ServerInterceptingCall {
  readonly method: string;
  readonly streamsRequests: boolean;
  readonly startedMs: number;
  readonly #call: WireInterceptingCall;
  readonly #gate: Gate;
  readonly #reader: MessageReader;

  constructor(call: WireInterceptingCall, facts: Facts, gate: Gate) {
    super(call);
    this.#call = call;
    this.method = facts.method;
    this.streamsRequests = facts.streamsRequests;
    this.startedMs = facts.startedMs;
    this.#gate = gate;
    this.#reader = facts.reader;
  }

  override start(listener: WireListener): void {
    let leave = this.#gate.enter(this);
    if (leave === undefined) {
      const refusal = 'too many calls are waiting for their request';
      this.#call.sendStatus(wireStatus(new SignetError('TOO_MANY_OPEN_REQUESTS', refusal)));
      return;
    }
    const done = (): void => {
      leave?.();
      leave = undefined;
      this.#reader.release();
    };
    this.#call.start({
      onReceiveMetadata: (metadata) => listener.onReceiveMetadata(metadata),
      onReceiveMessage: (message) => listener.onReceiveMessage(message),
      onReceiveHalfClose: () => {
        done();
        listener.onReceiveHalfClose();
      },
      onCancel: () => {
        done();
        listener.onCancel();
      },
    });
  }
}
