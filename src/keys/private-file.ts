import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { fail, ok, type Result } from '../base/result.ts';
import { errnoCode } from '../runtime/atomic-file.ts';

/**
 * Content of a file that only the user of this process may read; undefined where there is none. Fails
 * with KEY_PERMISSIONS where others may read it, KEY_FILE_CORRUPT where it cannot be read at all.
 */
export async function readPrivateFile(path: string): Promise<Result<Buffer | undefined>> {
  let file: FileHandle | undefined;
  try {
    // Mode and content of one open file, never of a link: a swap between two looks changes nothing.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { mode, uid } = await file.stat();
    if ((mode & 0o077) !== 0 || uid !== process.geteuid?.()) {
      return fail('KEY_PERMISSIONS', `${path} is open to other users, or not ours`);
    }
    return ok(await file.readFile());
  } catch (cause) {
    if (errnoCode(cause) === 'ENOENT') return ok(undefined);
    return fail('KEY_FILE_CORRUPT', `${path} cannot be read (${errnoCode(cause)})`, { cause });
  } finally {
    await file?.close();
  }
}
