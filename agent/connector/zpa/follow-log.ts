import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import type { Cancel, Clock } from '../../../src/base/clock.ts';
import { errnoCode } from '../../../src/runtime/atomic-file.ts';

/** Longest line that is looked at; the rest of a longer one is passed over. */
export const MAX_LINE_BYTES = 4096;

/** How much of the end of a file is read at the start: the last status is in it. */
export const TAIL_BYTES: number = 64 * 1024;

/** Most that is read in one round; a log that grows faster is left behind and taken up at its end. */
const MAX_ROUND_BYTES = 4 * 1024 * 1024;

const CHUNK_BYTES = 64 * 1024;
const ROUND_MS = 1000;
const LF = 0x0a;

const NO_LOG = 'neither a file nor a pipe';

/** Whom a follower tells. */
export interface LogListener {
  /** A whole line without its end, at most {@link MAX_LINE_BYTES} long. */
  onLine(line: string): void;
  /** After each round, whether or not there was anything: time has passed. */
  onRound(): void;
  /** Why the log cannot be read now; told once until it can. */
  onFault(reason: string): void;
}

/** Lines out of pieces, each bounded. */
class BoundedLines {
  #kept: Buffer[] = [];
  #length = 0;
  #skipping = false;

  take(piece: Buffer, onLine: (line: string) => void): void {
    let from = 0;
    for (let at = piece.indexOf(LF); at >= 0; at = piece.indexOf(LF, from)) {
      this.#keep(piece.subarray(from, at));
      if (!this.#skipping) onLine(Buffer.concat(this.#kept).toString('utf8').replace(/\r$/, ''));
      this.reset();
      from = at + 1;
    }
    this.#keep(piece.subarray(from));
  }

  /** Forgets what is not whole. */
  reset(): void {
    this.#kept = [];
    this.#length = 0;
    this.#skipping = false;
  }

  /** Passes over what comes up to the next line end: it is the rest of a line. */
  skipRest(): void {
    this.#skipping = true;
  }

  #keep(part: Buffer): void {
    if (this.#skipping || part.length === 0) return;
    this.#length += part.length;
    if (this.#length > MAX_LINE_BYTES) {
      this.#kept = [];
      this.#skipping = true;
      return;
    }
    this.#kept.push(Buffer.from(part));
  }
}

/** Follows a log: a file through rotation and truncation, or a pipe. One look each second. */
export class LogFollower {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #listener: LogListener;
  readonly #lines = new BoundedLines();
  readonly #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  #file: FileHandle | undefined;
  /** Undefined for a pipe, which has no places. */
  #offset: number | undefined;
  #inode = '';
  #isFirst = true;
  #faulty = false;
  #closed = false;
  #cancel: Cancel = () => {};
  #running: Promise<void> = Promise.resolve();

  constructor(path: string, clock: Clock, listener: LogListener) {
    this.#path = path;
    this.#clock = clock;
    this.#listener = listener;
  }

  /** Begins; answers after the first look. */
  start(): Promise<void> {
    return this.#again();
  }

  /** Looks once more, after a look under way. */
  #again(): Promise<void> {
    this.#running = this.#running.then(async () => {
      if (this.#closed) return;
      await this.#round();
      if (this.#closed) return;
      this.#listener.onRound();
      this.#cancel = this.#clock.after(ROUND_MS, () => void this.#again());
    });
    return this.#running;
  }

  /** Stops, after a look under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    await this.#running;
    this.#cancel();
    await this.#file?.close();
    this.#file = undefined;
  }

  async #round(): Promise<void> {
    const fault = await this.#look().catch((error: unknown) => errnoCode(error));
    if (fault !== undefined) {
      await this.#drop();
      if (!this.#faulty) this.#listener.onFault(`${this.#path}: ${fault}`);
    }
    this.#faulty = fault !== undefined;
  }

  /** Why it cannot be read now; undefined where it was. */
  async #look(): Promise<string | undefined> {
    if (!(await this.#openWhereNone())) return NO_LOG;
    await this.#read();
    if (!(await this.#isReplaced())) return undefined;
    // What was written before the log was rotated is read to its end; then the new one, from its start.
    await this.#read();
    await this.#drop();
    if (!(await this.#openWhereNone())) return NO_LOG;
    await this.#read();
    return undefined;
  }

  /** False where there is something else than a log, such as a device, which need never end. */
  async #openWhereNone(): Promise<boolean> {
    if (this.#file !== undefined) return true;
    // Without O_NONBLOCK opening a pipe would wait for somebody to write.
    const file = await open(this.#path, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = await file.stat();
    this.#file = file;
    this.#inode = identityOf(found);
    this.#lines.reset();
    this.#offset = found.isFile() ? 0 : undefined;
    if (found.isFile() && this.#isFirst && found.size > TAIL_BYTES) this.#skipTo(found.size);
    this.#isFirst = false;
    return found.isFile() || found.isFIFO();
  }

  /** Goes on near the end, at the next whole line. */
  #skipTo(size: number): void {
    this.#offset = size - TAIL_BYTES;
    this.#lines.reset();
    this.#lines.skipRest();
  }

  async #read(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    if (this.#offset !== undefined) {
      const { size } = await file.stat();
      // Truncated in place: what is there now is new.
      if (size < this.#offset) {
        this.#offset = 0;
        this.#lines.reset();
      }
      if (size - this.#offset > MAX_ROUND_BYTES) this.#skipTo(size);
    }
    for (let total = 0; total < MAX_ROUND_BYTES; ) {
      const bytes = await this.#readChunk(file);
      if (bytes === 0) return;
      total += bytes;
      this.#lines.take(this.#chunk.subarray(0, bytes), (line) => this.#listener.onLine(line));
    }
  }

  /** 0 where there is nothing more now. */
  async #readChunk(file: FileHandle): Promise<number> {
    try {
      const { bytesRead } = await file.read(this.#chunk, 0, CHUNK_BYTES, this.#offset ?? null);
      if (this.#offset !== undefined) this.#offset += bytesRead;
      return bytesRead;
    } catch (error) {
      // A pipe that is empty, with somebody who may write.
      if (errnoCode(error) === 'EAGAIN') return 0;
      throw error;
    }
  }

  async #isReplaced(): Promise<boolean> {
    try {
      return identityOf(await stat(this.#path)) !== this.#inode;
    } catch (error) {
      // Between the old log and the new one there may be none.
      if (errnoCode(error) === 'ENOENT') return false;
      throw error;
    }
  }

  async #drop(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }
}

/** Another file behind the same name has another one, also where it lies on another device. */
function identityOf({ dev, ino }: Stats): string {
  return `${dev}:${ino}`;
}
