import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import { BackOff, type BackOffOptions } from '../base/back-off.ts';
import type { Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import type { Result } from '../base/result.ts';
import { workloadError } from './remote-error.ts';

/** What happens on a watched stream. */
export interface WatchHandlers<T> {
  /** A response; it replaces all earlier ones. */
  readonly onUpdate: (value: T) => void;
  /**
   * The stream ended, or a response was discarded. After WORKLOAD_DENIED what was given before must
   * not be used any more (WLAPI-16). `final` means that the watch gave up.
   */
  readonly onError: (error: SignetError, final: boolean) => void;
}

/** What a watch needs besides the stream. */
export interface WatchOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly backOff: BackOffOptions;
}

/** A stream of the Workload API that is kept open. */
export interface Watch {
  /** Ends it; nothing is called afterwards. */
  close(): void;
}

/** Statuses after which a client does not try again (WEP-14, WEP-15). */
const FINAL_STATUSES: readonly string[] = ['InvalidArgument', 'Unimplemented'];

/**
 * Opens a stream and opens it again whenever it ends: at once after one that gave something
 * (WLAPI-6), with growing waits otherwise.
 */
export function watchStream<Response, T>(
  doing: string,
  open: () => ClientReadableStream<Response>,
  read: (response: Response) => Result<T>,
  handlers: WatchHandlers<T>,
  { clock, random, backOff }: WatchOptions,
): Watch {
  const waits = new BackOff(backOff, random);
  let closed = false;
  let stream: ClientReadableStream<Response> | undefined;
  let cancelWait = (): void => {};

  const onResponse = (response: Response): void => {
    if (closed) return;
    const value = read(response);
    if (value.ok) {
      waits.reset();
      handlers.onUpdate(value.value);
    } else {
      handlers.onError(value.error, false);
    }
  };
  const onEnd = (error: Pick<ServiceError, 'code' | 'details' | 'metadata'>): void => {
    if (closed) return;
    const refusal = workloadError(doing, error);
    const final = FINAL_STATUSES.includes(refusal.statusName);
    closed = final;
    handlers.onError(refusal, final);
    if (!closed) cancelWait = clock.after(waits.next(), connect);
  };
  const connect = (): void => {
    let ended = false;
    const opened = open();
    stream = opened;
    opened.on('data', onResponse);
    // grpc-js tells of every end, OK too, as a status; errors are told as well and would throw.
    opened.on('error', () => {});
    opened.on('status', (status) => {
      if (ended) return;
      ended = true;
      onEnd(status);
    });
  };
  connect();
  return {
    close: () => {
      closed = true;
      cancelWait();
      stream?.cancel();
    },
  };
}
