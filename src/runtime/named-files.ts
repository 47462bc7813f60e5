import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { errnoCode } from './atomic-file.ts';

/** A file that a configuration names for reading. */
export interface NamedFile {
  /** As messages name settings, such as `attestation.dpu.manifests.paths[0]`. */
  readonly key: string;
  readonly path: string;
}

/** Ends of the keys whose values are files that somebody else wrote; folders, sockets and own files are not. */
const READ = /(^paths$|^blockedKeys$|(Path|Paths)$)/;

/** Settings whose files the program makes itself, or that may be absent. */
const WRITTEN: readonly string[] = [
  'pidPath',
  'logPath',
  'bootIdPath',
  'hostBootPath',
  'serialPath',
  'uuidPath',
];

/** The files that a configuration names, in its order. Settings are objects, lists and texts. */
export function namedFiles(config: unknown, prefix = ''): readonly NamedFile[] {
  if (typeof config !== 'object' || config === null) return [];
  return Object.entries(config).flatMap(([name, value]): readonly NamedFile[] => {
    const key = prefix === '' ? name : `${prefix}.${name}`;
    if (Array.isArray(value)) {
      return value.flatMap((item, i) => fileOf(name, `${key}[${i}]`, item));
    }
    return fileOf(name, key, value);
  });
}

function fileOf(name: string, key: string, value: unknown): readonly NamedFile[] {
  if (typeof value !== 'string') return namedFiles(value, key);
  return READ.test(name) && !WRITTEN.includes(name) && value.startsWith('/')
    ? [{ key, path: value }]
    : [];
}

/**
 * Says in a refusal over a file which setting names it: operators look for the setting, code below knows
 * the path only. Other refusals stay as they are.
 */
export function nameSetting(error: SignetError, config: unknown): SignetError {
  const { code, message, cause, statusName: status, details } = error;
  const found = namedFiles(config).find(
    ({ path }) => message.startsWith(`${path} `) || message.startsWith(`${path}:`),
  );
  if (found === undefined) return error;
  return new SignetError(code, `${found.key}: ${message}`, { cause, status, details });
}

/** Whether every file that a configuration names can be read. Fails with FILE_UNREADABLE, naming all that cannot. */
export async function checkNamedFiles(config: unknown): Promise<Result<readonly NamedFile[]>> {
  const files = namedFiles(config);
  const problems: string[] = [];
  for (const { key, path } of files) {
    try {
      await access(path, constants.R_OK);
    } catch (cause) {
      problems.push(`${key}: ${path} cannot be read (${errnoCode(cause)})`);
    }
  }
  return problems.length === 0 ? ok(files) : fail('FILE_UNREADABLE', problems.join('\n'));
}
