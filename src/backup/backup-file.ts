import { createHash, hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { ReadableFiles } from '../ledger/reader.ts';
import { errnoCode } from '../runtime/atomic-file.ts';
import { COPY_BYTES, FOOTER_BYTES, HEADER, TRAILER } from './backup-writer.ts';
import {
  type BackupManifest,
  type BackupPart,
  decodeManifest,
  MAX_MANIFEST_BYTES,
} from './manifest.ts';

/** A part, and where in the file it starts. */
interface PlacedPart extends BackupPart {
  readonly offset: number;
}

/** A backup file that is read. Its manifest was checked; its parts are as they are read. */
export class BackupFile {
  readonly manifest: BackupManifest;
  /** Size of the file in bytes. */
  readonly bytes: number;
  readonly #file: FileHandle;
  readonly #parts: ReadonlyMap<string, PlacedPart>;

  private constructor(file: FileHandle, manifest: BackupManifest, bytes: number) {
    this.#file = file;
    this.manifest = manifest;
    this.bytes = bytes;
    let offset = HEADER.length;
    const parts = new Map<string, PlacedPart>();
    for (const part of manifest.parts) {
      parts.set(part.name, { ...part, offset });
      offset += part.bytes;
    }
    this.#parts = parts;
  }

  /**
   * Opens a backup and checks its ends: header, footer, manifest, and that the parts fill the file to
   * the byte. Fails with FILE_UNREADABLE, BACKUP_INVALID or BACKUP_NEWER.
   */
  static async open(path: string): Promise<Result<BackupFile>> {
    let file: FileHandle | undefined;
    try {
      // Not blocking, so that a FIFO cannot hold the command up.
      file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const stat = await file.stat();
      const manifest = stat.isFile()
        ? await readManifest(file, stat.size)
        : invalid(`${path} is no regular file`);
      if (manifest.ok) return ok(new BackupFile(file, manifest.value, stat.size));
      await file.close();
      return manifest;
    } catch (error) {
      await file?.close();
      return fail('FILE_UNREADABLE', `${path} cannot be read (${errnoCode(error)})`, {
        cause: error,
      });
    }
  }

  /** Whether there is such a part. */
  has(name: string): boolean {
    return this.#parts.has(name);
  }

  /**
   * Passes on a part piece by piece and compares it with its checksum at the end: whoever keeps the
   * pieces throws them away on a refusal. Fails with BACKUP_INVALID, or as `take` does.
   */
  async stream(
    name: string,
    take: (piece: Uint8Array) => Promise<Result<void>> | Result<void>,
  ): Promise<Result<void>> {
    const part = this.#parts.get(name);
    if (part === undefined) return invalid(`it holds no ${name}`);
    const sha256 = createHash('sha256');
    for (let done = 0; done < part.bytes; ) {
      const piece = await readAt(
        this.#file,
        part.offset + done,
        Math.min(COPY_BYTES, part.bytes - done),
      );
      if (!piece.ok) return piece;
      if (piece.value.length === 0) return invalid('it was cut off while it was read');
      sha256.update(piece.value);
      const taken = await take(piece.value);
      if (!taken.ok) return taken;
      done += piece.value.length;
    }
    if (sha256.digest('hex') === part.sha256) return ok(undefined);
    return invalid(`${name} does not match its checksum`);
  }

  /** All bytes of a part, checked; fails with BACKUP_INVALID, also where there are more than `maxBytes`. */
  async read(name: string, maxBytes: number): Promise<Result<Uint8Array>> {
    if ((this.#parts.get(name)?.bytes ?? 0) > maxBytes) return invalid(`${name} is too large`);
    const pieces: Uint8Array[] = [];
    const read = await this.stream(name, (piece) => {
      pieces.push(piece);
      return ok(undefined);
    });
    return read.ok ? ok(Buffer.concat(pieces)) : read;
  }

  /** The parts below a folder as files, for what reads ledgers; only parts that were checked count. */
  filesBelow(folder: string): ReadableFiles {
    const at = (name: string) => this.#parts.get(`${folder}${name}`);
    return {
      list: (inner) => {
        const prefix = `${folder}${inner}/`;
        const names = [...this.#parts.keys()]
          .filter((name) => name.startsWith(prefix))
          .map((name) => name.slice(prefix.length).split('/', 1).join());
        return Promise.resolve(ok([...new Set(names)].sort()));
      },
      size: (name) => Promise.resolve(ok(at(name)?.bytes)),
      read: async (name, offset, length) => {
        const part = at(name);
        const left = Math.max(0, (part?.bytes ?? 0) - offset);
        return readAt(this.#file, (part?.offset ?? 0) + offset, Math.min(length, left));
      },
    };
  }

  /** Closes the file. */
  close(): Promise<void> {
    return this.#file.close();
  }
}

async function readManifest(file: FileHandle, size: number): Promise<Result<BackupManifest>> {
  if (size < HEADER.length + FOOTER_BYTES) return invalid('it is too short');
  const header = await readAt(file, 0, HEADER.length);
  if (!header.ok) return header;
  if (!equalBytes(header.value, HEADER)) return invalid('it does not begin as a backup does');
  const footer = await readAt(file, size - FOOTER_BYTES, FOOTER_BYTES);
  if (!footer.ok) return footer;
  const ends = Buffer.from(footer.value);
  if (ends.length !== FOOTER_BYTES || !equalBytes(ends.subarray(40), TRAILER)) {
    return invalid('it does not end as a backup does: it was cut off');
  }
  const length = Number(ends.readBigUInt64BE(0));
  const start = size - FOOTER_BYTES - length;
  if (length > MAX_MANIFEST_BYTES || start < HEADER.length) {
    return invalid('its manifest has a length that cannot be');
  }
  const bytes = await readAt(file, start, length);
  if (!bytes.ok) return bytes;
  if (!equalBytes(hash('sha256', bytes.value, 'buffer'), ends.subarray(8, 40))) {
    return invalid('its manifest does not match its checksum');
  }
  const manifest = decodeManifest(bytes.value);
  if (!manifest.ok) return manifest;
  const total = manifest.value.parts.reduce((sum, part) => sum + part.bytes, HEADER.length);
  return total === start ? manifest : invalid('its parts do not fill it');
}

/** Bytes from an offset on; fewer only where the file ends. */
async function readAt(
  file: FileHandle,
  offset: number,
  length: number,
): Promise<Result<Uint8Array>> {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  try {
    while (filled < length) {
      const { bytesRead } = await file.read(buffer, filled, length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return ok(buffer.subarray(0, filled));
  } catch (error) {
    const why = `the backup cannot be read (${errnoCode(error)})`;
    return fail('FILE_UNREADABLE', why, { cause: error });
  }
}

function invalid(what: string): Result<never> {
  return fail('BACKUP_INVALID', what);
}
