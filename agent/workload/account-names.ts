import { readFileSync, type Stats, statSync } from 'node:fs';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { errnoCode } from '../../src/runtime/atomic-file.ts';

/** Names of users and groups by number. */
export interface AccountNames {
  /** Undefined where the number has no name. */
  user(uid: number): Result<string | undefined>;
  /** Undefined where the number has no name. */
  group(gid: number): Result<string | undefined>;
}

/** Largest account file in bytes. */
const MAX_ACCOUNT_FILE_BYTES = 16 * 1024 * 1024;

/**
 * Names from `passwd` and `group` files, read again when they change. Only files are asked, no
 * directory service: an attestation must not hang on the network. A file that is absent has no names
 * (minimal containers); one that cannot be read is a refusal, since names would go missing.
 */
export function createAccountNames(
  passwdPath = '/etc/passwd',
  groupPath = '/etc/group',
): AccountNames {
  const users = createNameFile(passwdPath);
  const groups = createNameFile(groupPath);
  return { user: users, group: groups };
}

/** Names by number of a colon-separated account file; the first line of a number counts. */
export function parseAccountFile(text: string): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':');
    if (name === undefined || !/^[^\s+-]\S*$/.test(name)) continue;
    if (id === undefined || !/^[0-9]{1,10}$/.test(id)) continue;
    if (!names.has(Number(id))) names.set(Number(id), name);
  }
  return names;
}

function createNameFile(path: string): (id: number) => Result<string | undefined> {
  let names: ReadonlyMap<number, string> = new Map();
  let version = '';
  return (id) => {
    try {
      const stats = statSync(path, { throwIfNoEntry: false });
      const current = stats === undefined ? 'absent' : versionOf(stats);
      if (current !== version) {
        if (stats !== undefined && stats.size > MAX_ACCOUNT_FILE_BYTES) {
          return fail(
            'AGENT_PROCESS_UNREADABLE',
            `${path} is larger than ${MAX_ACCOUNT_FILE_BYTES} bytes`,
          );
        }
        names = stats === undefined ? new Map() : parseAccountFile(readFileSync(path, 'utf8'));
        version = current;
      }
      return ok(names.get(id));
    } catch (error) {
      return fail('AGENT_PROCESS_UNREADABLE', `${path} cannot be read (${errnoCode(error)})`, {
        cause: error,
      });
    }
  };
}

function versionOf(stats: Stats): string {
  return `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeMs}:${stats.ctimeMs}`;
}
