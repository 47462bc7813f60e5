import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { errnoCode, readFileIfPresent, writeFileAtomic } from '../runtime/atomic-file.ts';
import type { CliIo } from './spec.ts';

/** Largest file of data that a command reads, in bytes. */
export const MAX_DATA_BYTES = 64 * 1024 * 1024;

/** Bytes of a file, or of standard input for `-`. */
export async function readData(path: string, io: CliIo): Promise<Result<Uint8Array>> {
  if (path === '-') return io.readStdin(MAX_DATA_BYTES);
  const bytes = await readFileIfPresent(path, MAX_DATA_BYTES);
  if (!bytes.ok) return bytes;
  return bytes.value === undefined ? fail('CLI_FILE', `${path} does not exist`) : ok(bytes.value);
}

/** One file to write. */
export interface OutputFile {
  readonly name: string;
  readonly content: string;
  /** Only the owner may read it: 0600 from its first byte, else 0644. */
  readonly secret?: boolean;
}

/**
 * Writes files into a folder, which is made where absent; a reader never sees half a file. Answers
 * with their paths.
 */
export async function writeFiles(
  folder: string,
  files: readonly OutputFile[],
): Promise<Result<readonly string[]>> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o755 });
  } catch (error) {
    return fail('CLI_FILE', `cannot make ${folder} (${errnoCode(error)})`, { cause: error });
  }
  const paths: string[] = [];
  for (const { name, content, secret } of files) {
    const path = join(folder, name);
    const mode = secret === true ? 0o600 : 0o644;
    const written = await writeFileAtomic(path, utf8(content), { mode });
    if (!written.ok) return written;
    paths.push(path);
  }
  return ok(paths);
}
