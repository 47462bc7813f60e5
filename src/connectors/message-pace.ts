import type { Clock } from '../base/clock.ts';
import { ConnectorMessage, ConnectorService } from '../gen/signet/connector/v1/connector.ts';

/** Longest message of a connector, in bytes. */
export const MAX_MESSAGE_BYTES = 1024 * 1024;

/** Messages that a connector may send at once; later ones are read as {@link PER_SECOND} lets them. */
const BURST = 200;

/** Messages that are read of a connector in a second. */
const PER_SECOND = 50;

/** What a long message counts as one more for, in bytes: reading costs by them, whatever they say. */
const BYTES_EACH = 16 * 1024;

const sizes = new WeakMap<ConnectorMessage, number>();

/** The service as it is served: of each message of a session it is known how long it was. */
export const MEASURED_CONNECTOR_SERVICE: typeof ConnectorService = {
  ...ConnectorService,
  session: { ...ConnectorService.session, requestDeserialize: readMessage },
};

/** Bytes that a message had on the wire; 0 where it did not come over one. */
export function sizeOf(message: ConnectorMessage): number {
  return sizes.get(message) ?? 0;
}

/** One that is too long is not read at all; who takes it sees so by its size. */
function readMessage(bytes: Buffer): ConnectorMessage {
  const isTooLong = bytes.length > MAX_MESSAGE_BYTES;
  const message = ConnectorMessage.decode(isTooLong ? Buffer.alloc(0) : bytes);
  sizes.set(message, bytes.length);
  return message;
}

/** How fast the messages of one session are read. */
export class MessagePace {
  readonly #clock: Clock;
  #tokens: number = BURST;
  #atMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#atMs = clock.monotonicMs();
  }

  /** Counts a message; answers for how long nothing more is to be read, in milliseconds. */
  take(message: ConnectorMessage): number {
    const nowMs = this.#clock.monotonicMs();
    const back = ((nowMs - this.#atMs) / 1000) * PER_SECOND;
    this.#atMs = nowMs;
    const cost = 1 + sizeOf(message) / BYTES_EACH;
    this.#tokens = Math.min(BURST, this.#tokens + back) - cost;
    return this.#tokens < 0 ? (-this.#tokens / PER_SECOND) * 1000 : 0;
  }
}
