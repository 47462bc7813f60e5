import type { Result } from './result.ts';

/** A message that was found whole in a stream. */
export interface Deframed {
  readonly message: Uint8Array;
  /** Bytes that its frame took. */
  readonly bytes: number;
}

/** How messages stand in a byte stream. */
export interface Framing {
  /** Puts a message into a frame, or refuses it for its length. */
  readonly frame: (message: Uint8Array) => Result<Uint8Array>;
  /** The first frame of what was received so far; nothing while it is not whole. */
  readonly deframe: (received: Uint8Array) => Result<Deframed | undefined>;
  /** What is sent before a connection is closed in order. */
  readonly farewell?: Uint8Array;
}
