import { concatBytes } from '../base/bytes.ts';
import type { Deframed, Framing } from '../base/framing.ts';
import { fail, ok, type Result } from '../base/result.ts';

/** Bytes of command, transport and size. */
const HEAD_BYTES = 12;

const COMMAND = { normal: 0x0001, goOn: 0xfffd } as const;
const TRANSPORT_MCTP = 1;

/** Message type of SPDM in MCTP: the byte before each message. */
const MCTP_SPDM = 0x05;

/** Longest SPDM message of a frame: the limit of evidence. */
const MAX_MESSAGE_BYTES = 65_536;

function head(command: number, size: number): Uint8Array {
  const out = new DataView(new ArrayBuffer(HEAD_BYTES));
  out.setUint32(0, command);
  out.setUint32(4, TRANSPORT_MCTP);
  out.setUint32(8, size);
  return new Uint8Array(out.buffer);
}

/** A frame of DMTF's emulator with MCTP in it: three big-endian numbers, a type, the message. */
function frameEmulator(message: Uint8Array): Result<Uint8Array> {
  const payload = concatBytes([Uint8Array.of(MCTP_SPDM), message]);
  return ok(concatBytes([head(COMMAND.normal, payload.length), payload]));
}

/**
 * The first frame of what was received so far; nothing while it is not whole. Errors: SPDM_FRAME for
 * any command, transport or type but those of a message.
 */
function deframeEmulator(received: Uint8Array): Result<Deframed | undefined> {
  if (received.length < HEAD_BYTES) return ok(undefined);
  const view = new DataView(received.buffer, received.byteOffset, received.length);
  const [command, transport, size] = [view.getUint32(0), view.getUint32(4), view.getUint32(8)];
  const fits = size >= 1 && size <= MAX_MESSAGE_BYTES + 1;
  if (command !== COMMAND.normal || transport !== TRANSPORT_MCTP || !fits) {
    return fail('SPDM_FRAME', `emulator: command ${command}, transport ${transport}, size ${size}`);
  }
  const end = HEAD_BYTES + size;
  if (received.length < end) return ok(undefined);
  if (received[HEAD_BYTES] !== MCTP_SPDM) {
    return fail('SPDM_FRAME', `emulator: message of type ${received[HEAD_BYTES]}`);
  }
  return ok({ message: received.slice(HEAD_BYTES + 1, end), bytes: end });
}

/** The framing of DMTF's emulator, for tests against it. It serves on after the farewell. */
export const EMULATOR_FRAMING: Framing = {
  frame: frameEmulator,
  deframe: deframeEmulator,
  farewell: head(COMMAND.goOn, 0),
};
