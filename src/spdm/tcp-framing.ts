import { concatBytes } from '../base/bytes.ts';
import type { Deframed, Framing } from '../base/framing.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { littleEndian } from './byte-writer.ts';
import { hexByte } from './header.ts';

/** Bytes of the length, which counts what follows it. */
const LENGTH_BYTES = 2;

/** Version of the binding and type of the message. */
const BINDING_BYTES = 2;
const BINDING_VERSION = 1;
const TYPE_OUT_OF_SESSION = 0x05;

/** Longest SPDM message of a frame. */
const MAX_TCP_MESSAGE_BYTES = 0xffff - BINDING_BYTES;

/**
 * A frame of SPDM over TCP (DSP0287): length of what follows, version of the binding, type, message.
 * Errors: SPDM_TOO_LARGE.
 */
function frameTcp(message: Uint8Array): Result<Uint8Array> {
  if (message.length > MAX_TCP_MESSAGE_BYTES) {
    return fail('SPDM_TOO_LARGE', `SPDM over TCP: a message of ${message.length} bytes`);
  }
  return ok(
    concatBytes([
      littleEndian(message.length + BINDING_BYTES, LENGTH_BYTES),
      Uint8Array.of(BINDING_VERSION, TYPE_OUT_OF_SESSION),
      message,
    ]),
  );
}

/**
 * The first frame of what was received so far; nothing while it is not whole. Only messages outside
 * sessions are taken: the errors of the binding, role inquiries and secured messages are refused.
 * Errors: SPDM_FRAME.
 */
function deframeTcp(received: Uint8Array): Result<Deframed | undefined> {
  const head = LENGTH_BYTES + BINDING_BYTES;
  if (received.length < head) return ok(undefined);
  const [low = 0, high = 0, version = 0, type = 0] = received;
  const length = low + 256 * high;
  if (version !== BINDING_VERSION || type !== TYPE_OUT_OF_SESSION || length < BINDING_BYTES) {
    return fail(
      'SPDM_FRAME',
      `SPDM over TCP: version ${version}, type ${hexByte(type)}, length ${length}`,
    );
  }
  const end = LENGTH_BYTES + length;
  if (received.length < end) return ok(undefined);
  return ok({ message: received.slice(head, end), bytes: end });
}

/** SPDM over TCP (DSP0287). */
export const TCP_FRAMING: Framing = { frame: frameTcp, deframe: deframeTcp };
