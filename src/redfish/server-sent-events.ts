import { concatBytes } from '../base/bytes.ts';
import { LineSplitter } from '../base/line-splitter.ts';
import { fail, ok, type Result } from '../base/result.ts';

/** Longest line, in bytes: an event of Redfish is one line of JSON. */
export const MAX_EVENT_LINE_BYTES = 64 * 1024;

/** Longest event, of several lines, in bytes. */
export const MAX_EVENT_BYTES = 128 * 1024;

const LF = 0x0a;
const CR = 0x0d;

/**
 * Server-sent events (WHATWG HTML §9.2.6) out of a stream of bytes, as far as Redfish uses them: the data of
 * each event, lines joined. Types, ids and comments are let go. Lines end with LF or CR LF.
 */
export class EventReader {
  readonly #lines = new LineSplitter(MAX_EVENT_LINE_BYTES);
  #data: Uint8Array[] = [];
  #bytes = 0;

  /** Data of the events that are whole now. Fails with REDFISH_ANSWER_TOO_LARGE; not to be used after that. */
  read(piece: Uint8Array): Result<readonly Uint8Array[]> {
    const events: Uint8Array[] = [];
    const { lines, tooLong: isTooLong } = this.#lines.split(piece);
    for (const line of lines) {
      const done = this.#take(line.at(-1) === CR ? line.subarray(0, -1) : line);
      if (!done.ok) return done;
      if (done.value !== undefined) events.push(done.value);
    }
    return isTooLong ? tooLong() : ok(events);
  }

  /** The data of an event that an empty line ends; undefined where it goes on, or had none. */
  #take(line: Uint8Array): Result<Uint8Array | undefined> {
    if (line.length === 0) {
      const lines = this.#data;
      this.#data = [];
      this.#bytes = 0;
      if (lines.length === 0) return ok(undefined);
      return ok(concatBytes(lines.flatMap((each, at) => (at === 0 ? [each] : [NEW_LINE, each]))));
    }
    const data = dataOf(line);
    if (data === undefined) return ok(undefined);
    this.#bytes += data.length + 1;
    if (this.#bytes > MAX_EVENT_BYTES) return tooLong();
    this.#data.push(data);
    return ok(undefined);
  }
}

const NEW_LINE = Uint8Array.of(LF);
const FIELD = Buffer.from('data');

/** What follows `data:`, without one space. */
function dataOf(line: Uint8Array): Uint8Array | undefined {
  if (!FIELD.equals(line.subarray(0, FIELD.length))) return undefined;
  if (line.length === FIELD.length) return new Uint8Array();
  if (line[FIELD.length] !== 0x3a) return undefined;
  return line.subarray(line[FIELD.length + 1] === 0x20 ? FIELD.length + 2 : FIELD.length + 1);
}

function tooLong(): Result<never> {
  return fail('REDFISH_ANSWER_TOO_LARGE', 'an event of the BMC is longer than is read');
}
