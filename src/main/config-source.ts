import { resolve } from 'node:path';
import { parseDocument } from 'yaml';
import type { z } from 'zod';
import { fail, ok, type Result } from '../base/result.ts';
import { flagError } from '../cli/flags.ts';
import type { CliIo, FlagSpec, Input } from '../cli/spec.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';
import {
  checkConfig,
  formatProblem,
  formatProblemIn,
  MAX_CONFIG_BYTES,
} from '../runtime/config.ts';

/** A setting that a flag stands for. */
export interface Override {
  /** Path of the key, such as `listen.port`. */
  readonly key: string;
  readonly value: string | number | boolean;
}

/** Where a configuration comes from. */
export interface ConfigSource {
  readonly path: string;
  /** Whether the path was given; the default one may be absent. */
  readonly required: boolean;
  /** Replaces `$NAME` and `${NAME}` in the text. */
  readonly expandEnv: boolean;
  readonly overrides: readonly Override[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Flag of everything that reads a configuration file. */
export const EXPAND_ENV_FLAG: FlagSpec = {
  name: 'expand-env',
  spire: 'expandEnv',
  help: 'replace $NAME in the file by environment variables',
};

/** SPIRE's flags about logs that have no counterpart. */
export const LOG_REFUSALS: Readonly<Record<string, string>> = {
  logFile: 'the log goes to standard error; redirect that',
  logFormat: 'the log is JSON, one object a line',
  logSourceLocation: 'log lines name the event, not the place in the source',
};

/**
 * Reads a configuration file, lays the flags over it, and checks the whole. Fails with
 * CONFIG_UNREADABLE, or CONFIG_INVALID with one problem a line.
 */
export async function loadFrom<S extends z.ZodType>(
  source: ConfigSource,
  schema: S,
): Promise<Result<z.output<S>>> {
  const text = await readText(source);
  if (!text.ok) return text;
  const laid = layOver(text.value ?? '', source.overrides);
  const checked = checkConfig(laid, schema);
  if (checked.ok) return ok(checked.value);
  const lines = checked.problems.map((problem) =>
    text.value === undefined
      ? `  ${formatProblem(problem)}`
      : formatProblemIn(source.path, problem),
  );
  const absent =
    text.value === undefined ? [`${source.path} does not exist, and by flags alone:`] : [];
  return fail('CONFIG_INVALID', [...absent, ...lines].join('\n'));
}

/** The file's text; undefined where it is absent and may be. */
async function readText(source: ConfigSource): Promise<Result<string | undefined>> {
  const bytes = await readFileIfPresent(source.path, MAX_CONFIG_BYTES);
  if (!bytes.ok) return fail('CONFIG_UNREADABLE', bytes.error.message, { cause: bytes.error });
  if (bytes.value === undefined) {
    if (!source.required) return ok(undefined);
    return fail('CONFIG_UNREADABLE', `${source.path} does not exist`);
  }
  const text = Buffer.from(bytes.value).toString('utf8');
  return source.expandEnv ? expand(text, source) : ok(text);
}

function expand(text: string, { path, env }: ConfigSource): Result<string> {
  const unset = new Set<string>();
  const expanded = text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (_, braced?: string, bare?: string) => {
    const name = braced ?? bare ?? '';
    const value = env[name];
    if (value === undefined) unset.add(name);
    return value ?? '';
  });
  if (unset.size === 0) return ok(expanded);
  return fail(
    'CONFIG_INVALID',
    `${path} names variables that are not set: ${[...unset].join(', ')}`,
  );
}

/** Text that cannot be read goes on as it is, for the check to say what is wrong with it. */
function layOver(text: string, overrides: readonly Override[]): string {
  if (overrides.length === 0) return text;
  const document = parseDocument(text);
  if (document.errors.length > 0) return text;
  for (const { key, value } of overrides) {
    try {
      document.setIn(key.split('.'), value);
    } catch {
      // Something else than a map is in the way: the check names it.
      return text;
    }
  }
  return document.toString();
}

/** A flag that lays one setting over the file. */
export interface OverrideFlag extends FlagSpec {
  readonly key: string;
  /** How the text becomes a value; as it is unless told. */
  readonly kind?: 'number' | 'path' | 'lowercase';
}

/** What a command lays over which file. */
export interface SourceOptions {
  /** The file unless one is given. */
  readonly fallback: string;
  readonly flags: readonly OverrideFlag[];
}

/** The source that a command line names; paths become absolute. Fails with CLI_USAGE. */
export function configSourceOf(
  input: Input,
  io: CliIo,
  { fallback, flags }: SourceOptions,
): Result<ConfigSource> {
  const overrides: Override[] = [];
  for (const flag of flags) {
    const override = overrideOf(flag, input);
    if (!override.ok) return override;
    if (override.value !== undefined) overrides.push(override.value);
  }
  const given = input.text('config');
  return ok({
    path: given ?? fallback,
    required: given !== undefined,
    expandEnv: input.has('expand-env'),
    overrides,
    env: io.env,
  });
}

function overrideOf(
  { name, key, kind, value: takesValue }: OverrideFlag,
  input: Input,
): Result<Override | undefined> {
  if (takesValue === undefined) return ok(input.has(name) ? { key, value: true } : undefined);
  const text = input.text(name);
  if (text === undefined) return ok(undefined);
  // Resolved, an empty path would be the current folder.
  if (kind === 'path' && text === '') return flagError(name, 'is empty');
  if (kind === 'path') return ok({ key, value: resolve(text) });
  if (kind === 'lowercase') return ok({ key, value: text.toLowerCase() });
  if (kind !== 'number') return ok({ key, value: text });
  return /^\d{1,9}$/.test(text)
    ? ok({ key, value: Number(text) })
    : flagError(name, 'is no number');
}
