import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import type { Clock } from '../base/clock.ts';

type WireInterceptingCall = ConstructorParameters<typeof ServerInterceptingCall>[0];
type WireListener = Parameters<WireInterceptingCall['start']>[0];

/** Calls whose one request message has not arrived. */
export interface RequestWait {
  /** Watches calls of methods without a request stream; to be given to grpc-js's server. */
  readonly interceptor: ServerInterceptor;
}

/**
 * Watches for calls whose request message does not arrive, since grpc-js waits for it for ever. One
 * timer serves all calls, so that a call costs two operations on a set.
 *
 * @param onLate Told of a call that waited for `timeoutMs` or more, by the key of `getPeer`.
 */
export function createRequestWait(
  clock: Clock,
  timeoutMs: number,
  onLate: (peer: string) => void,
): RequestWait {
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
      const leftMs = call.startedMs + timeoutMs - nowMs;
      if (leftMs > 0) {
        arm(leftMs);
        return;
      }
      waiting.delete(call);
      onLate(call.getPeer());
    }
  };
  const begin = (call: WaitingCall): void => {
    waiting.add(call);
    if (!armed) arm(timeoutMs);
  };
  return {
    interceptor: (method, call) => {
      if (method.requestStream) return new ServerInterceptingCall(call);
      return new WaitingCall(call, clock.monotonicMs(), begin, (arrived) =>
        waiting.delete(arrived),
      );
    },
  };
}

/** A call that tells when its request has arrived whole, or it has ended. */
class WaitingCall extends ServerInterceptingCall {
  readonly startedMs: number;
  readonly #call: WireInterceptingCall;
  readonly #begin: (call: WaitingCall) => void;
  readonly #done: (call: WaitingCall) => void;

  constructor(
    call: WireInterceptingCall,
    startedMs: number,
    begin: (call: WaitingCall) => void,
    done: (call: WaitingCall) => void,
  ) {
    super(call);
    this.#call = call;
    this.startedMs = startedMs;
    this.#begin = begin;
    this.#done = done;
  }

  override start(listener: WireListener): void {
    this.#begin(this);
    this.#call.start({
      onReceiveMetadata: (metadata) => listener.onReceiveMetadata(metadata),
      onReceiveMessage: (message) => listener.onReceiveMessage(message),
      onReceiveHalfClose: () => {
        this.#done(this);
        listener.onReceiveHalfClose();
      },
      onCancel: () => {
        this.#done(this);
        listener.onCancel();
      },
    });
  }
}
