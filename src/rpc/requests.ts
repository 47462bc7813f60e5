import type { Readable } from 'node:stream';

/**
 * The requests of a bidirectional call, for one reader. grpc-js would read sixteen messages ahead
 * (64 MiB at 4 MiB each); here one is read when one is asked for.
 *
 * @param wire grpc-js's stream of undecoded messages.
 * @param onEnd Registers what to do at the call's end.
 * @param decode Answers undefined for a message that ends the call; the callee has refused it.
 */
export function requestsOf<Raw, Req>(
  wire: Readable,
  onEnd: (action: () => void) => void,
  decode: (message: Raw) => Req | undefined,
): AsyncIterable<Req> {
  const readNext = wire._read.bind(wire, 0);
  wire._read = () => {};
  const arrived: Raw[] = [];
  let ended = false;
  let waiting: (() => void) | undefined;
  const wake = (): void => {
    waiting?.();
    waiting = undefined;
  };
  const end = (): void => {
    ended = true;
    wake();
  };
  wire.on('data', (message: Raw) => {
    arrived.push(message);
    wake();
  });
  wire.on('end', end);
  wire.on('error', end);
  onEnd(end);
  const next = async (): Promise<IteratorResult<Req>> => {
    if (arrived.length === 0 && !ended) {
      await new Promise<void>((resolve) => {
        waiting = resolve;
        readNext();
      });
    }
    const message = arrived.shift();
    const value = message === undefined ? undefined : decode(message);
    return value === undefined ? { done: true, value: undefined } : { done: false, value };
  };
  return { [Symbol.asyncIterator]: () => ({ next }) };
}
