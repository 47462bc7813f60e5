import { createHash } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fail, ok, type Result } from '../base/result.ts';
import { errnoCode, readFileIfPresent, writeFileAtomic } from '../runtime/atomic-file.ts';

/** Largest evidence that is kept, in bytes: what attestors take in, as JSON. */
const MAX_BYTES = 256 * 1024;

/** Names of evidence: moments in Unix milliseconds, and a part of its hash. */
const NAME = /^\d{10,16}-[0-9a-f]{16}$/;

/** The evidence that verdicts of this server rest on, kept as files; the newest few of each DPU. */
export class EvidenceVault {
  readonly #folder: string;
  readonly #kept: number;

  /** @param kept Pieces that are kept of one DPU. */
  constructor(folder: string, kept = 8) {
    this.#folder = folder;
    this.#kept = kept;
  }

  /** Keeps a piece of evidence; answers its name. Fails with DPU_INVALID, DISK_FULL or FILE_UNWRITABLE. */
  async put(serial: string, evidence: Uint8Array, atMs: number): Promise<Result<string>> {
    if (evidence.length > MAX_BYTES) {
      return fail(
        'DPU_INVALID',
        `evidence of ${evidence.length} bytes is longer than ${MAX_BYTES}`,
      );
    }
    const hash = createHash('sha256').update(evidence).digest('hex').slice(0, 16);
    const id = `${Math.floor(atMs)}-${hash}`;
    const folder = this.#folderOf(serial);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
    } catch (cause) {
      return fail('FILE_UNWRITABLE', `cannot make ${folder} (${errnoCode(cause)})`, { cause });
    }
    const written = await writeFileAtomic(join(folder, id), evidence);
    if (!written.ok) return written;
    for (const old of (await this.list(serial)).slice(this.#kept)) {
      await rm(join(folder, old), { force: true });
    }
    return ok(id);
  }

  /** Names of what is kept of a DPU, newest first. */
  async list(serial: string): Promise<readonly string[]> {
    try {
      const names = await readdir(this.#folderOf(serial));
      return names.filter((name) => NAME.test(name)).sort((a, b) => momentOf(b) - momentOf(a));
    } catch {
      // No folder: nothing was kept.
      return [];
    }
  }

  /** A piece of evidence by its name. Fails with DPU_EVIDENCE_ABSENT or FILE_UNREADABLE. */
  async get(serial: string, id: string): Promise<Result<Uint8Array>> {
    const absent = fail(
      'DPU_EVIDENCE_ABSENT',
      `there is no evidence "${id.slice(0, 60)}" of ${serial}`,
    );
    if (!NAME.test(id)) return absent;
    const bytes = await readFileIfPresent(join(this.#folderOf(serial), id), MAX_BYTES);
    if (!bytes.ok) return bytes;
    return bytes.value === undefined ? absent : ok(bytes.value);
  }

  /** By a hash: a serial number is no file name. */
  #folderOf(serial: string): string {
    return join(this.#folder, createHash('sha256').update(serial).digest('hex').slice(0, 32));
  }
}

function momentOf(name: string): number {
  return Number(name.split('-', 1)[0]);
}
