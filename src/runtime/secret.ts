import type { ErrorCode } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { readFileIfPresent } from './atomic-file.ts';

/** Where a secret stands. */
export interface SecretPlace {
  /** A file; its last line end does not belong to the secret. */
  readonly path: string | undefined;
  /** A variable of the environment, where there is no path. */
  readonly variable: string;
  /** The setting that a refusal names. */
  readonly setting: string;
  /** The code that a refusal has. */
  readonly code: ErrorCode;
}

/** Largest file that is read as a secret, in bytes. */
const MAX_SECRET_BYTES = 65_536;

/** Reads a secret from its file or variable. Fails with the place's code; never says the secret. */
export async function readSecret(place: SecretPlace): Promise<Result<string>> {
  const { path, variable, setting, code } = place;
  if (path === undefined) {
    const value = process.env[variable] ?? '';
    if (value !== '') return ok(value);
    return fail(code, `neither ${setting} nor the variable ${variable} is set`);
  }
  const bytes = await readFileIfPresent(path, MAX_SECRET_BYTES);
  if (!bytes.ok || bytes.value === undefined) {
    return fail(code, `${setting}: cannot read ${path}`);
  }
  const text = Buffer.from(bytes.value)
    .toString('utf8')
    .replace(/\r?\n$/, '');
  return text === '' ? fail(code, `${setting}: ${path} is empty`) : ok(text);
}
