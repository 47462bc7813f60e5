import type { ServerInterceptingCall } from '@grpc/grpc-js';
import { SignetError, toSignetError } from '../base/errors.ts';
import { wireStatus } from './call.ts';

type WireInterceptingCall = ConstructorParameters<typeof ServerInterceptingCall>[0];

/** Compressed flag and length before each message of gRPC. */
const PREFIX_BYTES = 5;
/** What a message that comes in parts is given at first. */
const FIRST_BYTES = 1024;

/**
 * Has a call of grpc-js collect its messages with a {@link MessageReader}. Its own decoder keeps each
 * part as it came: a part of one byte holds on to the whole read that it came with, until the call ends.
 */
export function readMessagesCompactly(call: WireInterceptingCall, reader: MessageReader): void {
  let base: unknown = call;
  while (typeof base === 'object' && base !== null) {
    if ('decoder' in base) {
      Reflect.set(base, 'decoder', refusingReader(reader, call));
      return;
    }
    base = Reflect.get(base, 'nextCall');
  }
  throw new TypeError('grpc-js keeps its decoder elsewhere: adapt readMessagesCompactly');
}

/**
 * Ends the call with the reader's refusal, code and all. grpc-js ends it once more at the throw, with
 * less: of two ends the first is sent.
 */
function refusingReader(reader: MessageReader, call: WireInterceptingCall): Decoder {
  return {
    write: (data) => {
      try {
        return reader.write(data);
      } catch (thrown) {
        reader.release();
        call.sendStatus(wireStatus(toSignetError(thrown, 'reading a request')));
        throw thrown;
      }
    },
  };
}

/** What grpc-js asks for the messages in the bytes that came. */
interface Decoder {
  write(data: Buffer): Buffer[];
}

/**
 * Collects the messages of a call. Holds no more than twice what has arrived of the one under way, and
 * nothing of those before it.
 */
export class MessageReader {
  readonly #maxBytes: number;
  readonly #hold: (step: number) => boolean;
  #held = 0;
  /** Prefix and message; undefined between messages. */
  #bytes: Buffer | undefined;
  #filled = 0;

  /**
   * @param maxBytes Longest message, without its prefix.
   * @param hold Counts bytes in, or out where negative; false where there is no room for them.
   */
  constructor(maxBytes: number, hold: (step: number) => boolean = () => true) {
    this.#maxBytes = maxBytes;
    this.#hold = hold;
  }

  /** Counts out what the last message held: nobody waits for another. */
  release(): void {
    if (this.#held > 0) this.#hold(-this.#held);
    this.#held = 0;
  }

  /** The messages that are whole with these bytes, each with its prefix. Throws at one too long. */
  write(data: Buffer): Buffer[] {
    const whole: Buffer[] = [];
    for (let at = 0; at < data.length; ) {
      at += this.#take(data, at);
      const bytes = this.#bytes;
      if (bytes === undefined || this.#filled !== this.#wanted()) continue;
      whole.push(bytes.subarray(0, this.#filled));
      this.#bytes = undefined;
      this.#filled = 0;
    }
    return whole;
  }

  /** Copies what belongs to the prefix, or to the message; answers how much. */
  #take(data: Buffer, at: number): number {
    const wanted = this.#wanted();
    const length = Math.min(wanted - this.#filled, data.length - at);
    const bytes = this.#room(this.#filled + length, wanted);
    data.copy(bytes, this.#filled, at, at + length);
    this.#filled += length;
    if (this.#filled === PREFIX_BYTES) this.#check();
    return length;
  }

  /** Length of the prefix until it is there, then of prefix and message. */
  #wanted(): number {
    if (this.#bytes === undefined || this.#filled < PREFIX_BYTES) return PREFIX_BYTES;
    return PREFIX_BYTES + this.#bytes.readUInt32BE(1);
  }

  #check(): void {
    const length = this.#wanted() - PREFIX_BYTES;
    if (length <= this.#maxBytes) return;
    const message = `request message of ${length} bytes; at most ${this.#maxBytes} are taken`;
    throw new SignetError('MESSAGE_TOO_LONG', message);
  }

  /** A whole message counts until the next begins or {@link release}: somebody may still have to read it. */
  #account(size: number): void {
    if (!this.#hold(size - this.#held)) {
      const message = 'the unfinished requests of this caller, or of all, hold too many bytes';
      throw new SignetError('TOO_MANY_REQUEST_BYTES', message);
    }
    this.#held = size;
  }

  #room(filled: number, wanted: number): Buffer {
    const before = this.#bytes;
    if (before !== undefined && filled <= before.length) return before;
    // Whole messages in one piece get what they need, others twice what has come.
    const size = filled === wanted ? filled : Math.min(wanted, Math.max(FIRST_BYTES, 2 * filled));
    this.#account(size);
    const bytes = Buffer.allocUnsafe(size);
    before?.copy(bytes, 0, 0, this.#filled);
    this.#bytes = bytes;
    return bytes;
  }
}
