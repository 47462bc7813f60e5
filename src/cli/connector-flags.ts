import { fail, ok, type Result } from '../base/result.ts';
import { flagError } from './flags.ts';
import type { FlagSpec, Input } from './spec.ts';

/** A file in place of flags. */
export const DATA_FLAG: FlagSpec = {
  name: 'data',
  short: 'f',
  value: 'file',
  help: 'JSON or YAML in place of the flags; "-" is standard input',
};

/** The flag that empties what other flags give. */
export function clearFlag(flags: readonly string[]): FlagSpec {
  return {
    name: 'clear',
    value: 'flag',
    repeat: true,
    help: `empties what this flag gives: ${flags.join(', ')}`,
  };
}

/** All connectors of a group. */
export const GROUP_FLAG: FlagSpec = {
  name: 'group',
  value: 'name',
  help: 'only those of this group',
};

/** A whole number of 32 bits, where given. */
export function numberFlag(input: Input, flag: string): Result<number | undefined> {
  const text = input.text(flag);
  if (text === undefined) return ok(undefined);
  if (/^\d{1,10}$/.test(text) && Number(text) < 2 ** 32) return ok(Number(text));
  return flagError(flag, 'must be a whole number');
}

/** The labels of a repeated flag, `name=value` each; undefined where it is not given. */
export function labelFlags(input: Input, flag: string): Result<Record<string, string> | undefined> {
  const texts = input.texts(flag);
  if (texts.length === 0) return ok(undefined);
  const labels = new Map<string, string>();
  for (const text of texts) {
    const at = text.indexOf('=');
    if (at < 1) return flagError(flag, 'write name=value');
    labels.set(text.slice(0, at), text.slice(at + 1));
  }
  return ok(Object.fromEntries(labels));
}

/** The one word that a command is about. */
export function oneArg(input: Input, what: string, list: string): Result<string> {
  const [word, ...rest] = input.args;
  if (word !== undefined && word !== '' && rest.length === 0) return ok(word);
  return fail('CLI_USAGE', `takes one ${what}, as "${list}" shows it`);
}
