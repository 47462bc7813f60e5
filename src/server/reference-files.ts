import { stat } from 'node:fs/promises';
import { fail, ok, type Result } from '../base/result.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';

const MAX_FILE_BYTES = 8 * 1024 * 1024;

/** Facts of files that are others when a file is: cheaper than reading them. */
export async function appearanceOf(paths: readonly string[]): Promise<string> {
  const facts = paths.map(async (path) => {
    const found = await stat(path, { bigint: true }).catch(() => undefined);
    return found && [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(':');
  });
  return (await Promise.all(facts)).join(' ');
}

/** Files one after the other; a refusal names the file. */
export async function readAll<T>(
  paths: readonly string[],
  read: (bytes: Uint8Array) => Result<T>,
): Promise<Result<readonly T[]>> {
  const values: T[] = [];
  for (const path of paths) {
    const bytes = await readFileIfPresent(path, MAX_FILE_BYTES);
    if (!bytes.ok) return bytes;
    if (bytes.value === undefined) return fail('FILE_UNREADABLE', `${path} does not exist`);
    const value = read(bytes.value);
    if (!value.ok) return fail(value.error.code, `${path}: ${value.error.message}`);
    values.push(value.value);
  }
  return ok(values);
}
