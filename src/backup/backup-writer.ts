import { createHash, hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { fail, ok, type Result } from '../base/result.ts';
import { errnoCode, writeFailure } from '../runtime/atomic-file.ts';
import { type BackupManifest, type BackupPart, encodeManifest } from './manifest.ts';

/** First bytes of every backup file. */
export const HEADER: Uint8Array = Buffer.from('signet-backup 1\n');

/** Last bytes of every backup file; before them stand the manifest's length (8 bytes) and SHA-256. */
export const TRAILER: Uint8Array = Buffer.from('\nsignet-backup end\n');

/** Length of what follows the manifest, in bytes. */
export const FOOTER_BYTES: number = 8 + 32 + TRAILER.length;

/** Bytes that are copied at once. */
export const COPY_BYTES: number = 1024 * 1024;

/**
 * Writes a backup file: header, parts side by side, manifest, footer. What was only half written has
 * no footer, and is none.
 */
export class BackupWriter {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #parts: BackupPart[] = [];

  private constructor(file: FileHandle, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /** Begins a new file (0600); fails with DISK_FULL or FILE_UNWRITABLE. */
  static async begin(path: string): Promise<Result<BackupWriter>> {
    try {
      const file = await open(path, 'wx', 0o600);
      await file.writeFile(HEADER);
      return ok(new BackupWriter(file, path));
    } catch (error) {
      return writeFailure(path, error);
    }
  }

  /** Adds a part from memory. */
  async add(name: string, bytes: Uint8Array): Promise<Result<void>> {
    try {
      await this.#file.writeFile(bytes);
    } catch (error) {
      return writeFailure(this.#path, error);
    }
    this.#parts.push({ name, bytes: bytes.length, sha256: hash('sha256', bytes) });
    return ok(undefined);
  }

  /**
   * Adds a file as long as it is now: what is appended to it meanwhile is left out. Fails with
   * FILE_UNREADABLE where it is gone or becomes shorter.
   */
  async addFile(name: string, path: string): Promise<Result<void>> {
    let source: FileHandle | undefined;
    const sha256 = createHash('sha256');
    let left: number;
    let bytes: number;
    try {
      source = await open(path, 'r');
      bytes = (await source.stat()).size;
      left = bytes;
      const buffer = Buffer.allocUnsafe(COPY_BYTES);
      while (left > 0) {
        const { bytesRead } = await source.read(
          buffer,
          0,
          Math.min(left, COPY_BYTES),
          bytes - left,
        );
        if (bytesRead === 0) return fail('FILE_UNREADABLE', `${path} became shorter`);
        const chunk = buffer.subarray(0, bytesRead);
        sha256.update(chunk);
        const written = await this.#write(chunk);
        if (!written.ok) return written;
        left -= bytesRead;
      }
    } catch (error) {
      const why = `${path} cannot be read (${errnoCode(error)})`;
      return fail('FILE_UNREADABLE', why, { cause: error });
    } finally {
      await source?.close();
    }
    this.#parts.push({ name, bytes, sha256: sha256.digest('hex') });
    return ok(undefined);
  }

  /** Writes the manifest; answers it when the whole file is durable. */
  async finish(about: Omit<BackupManifest, 'parts'>): Promise<Result<BackupManifest>> {
    const manifest = { ...about, parts: this.#parts };
    const bytes = encodeManifest(manifest);
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(bytes.length));
    try {
      for (const each of [bytes, length, hash('sha256', bytes, 'buffer'), TRAILER]) {
        await this.#file.writeFile(each);
      }
      await this.#file.sync();
      return ok(manifest);
    } catch (error) {
      return writeFailure(this.#path, error);
    }
  }

  /** Closes the file, finished or not. */
  close(): Promise<void> {
    return this.#file.close();
  }

  async #write(chunk: Uint8Array): Promise<Result<void>> {
    try {
      await this.#file.writeFile(chunk);
      return ok(undefined);
    } catch (error) {
      return writeFailure(this.#path, error);
    }
  }
}
