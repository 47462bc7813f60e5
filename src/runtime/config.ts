import { type Document, isMap, isNode, LineCounter, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { fail, ok, type Result } from '../base/result.ts';
import { readFileIfPresent } from './atomic-file.ts';
import {
  type ConfigProblem,
  explainIssue,
  formatKeyPath,
  type KeyPath,
} from './config-problems.ts';

export type { ConfigProblem } from './config-problems.ts';

/** Largest configuration file in bytes. */
export const MAX_CONFIG_BYTES = 1024 * 1024;

/** An address setting: an IP address, or a name that may stand in DNS. */
export const hostSetting = z
  .string()
  .regex(/^[A-Za-z0-9_.:%-]{1,253}$/, 'must be an IP address or a host name');

/** A configuration that was read: the value, or everything that is wrong with it. */
export type ConfigCheck<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/**
 * Reads a process's configuration file into a frozen value. Unknown keys and values out of bounds are
 * refused with their path, their line and what is allowed. Fails with CONFIG_UNREADABLE,
 * CONFIG_SYNTAX or CONFIG_INVALID; the message holds one problem a line.
 */
export async function loadConfig<S extends z.ZodType>(
  path: string,
  schema: S,
): Promise<Result<z.output<S>>> {
  const text = await readConfigText(path);
  if (!text.ok) return text;
  const checked = checkConfig(text.value, schema);
  if (checked.ok) return ok(checked.value);
  const lines = checked.problems.map((problem) => formatProblemIn(path, problem));
  return fail('CONFIG_INVALID', lines.join('\n'));
}

/** Checks the text of a configuration against its schema. */
export function checkConfig<S extends z.ZodType>(
  text: string,
  schema: S,
): ConfigCheck<z.output<S>> {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true });
  const first = Array.isArray(documents) ? documents[0] : undefined;
  if (documents.length > 1) return syntaxProblem('must be one YAML document');
  if (first !== undefined && first.errors.length > 0) {
    return { ok: false, problems: first.errors.map(syntaxErrorProblem) };
  }
  const value = plainValue(first);
  if (!value.ok) return syntaxProblem(value.error.message);
  return checkValue(value.value, schema, (path) => locate(first, lines, path));
}

/** Checks a configuration that was put together by a program, such as the embedded defaults. */
export function checkConfigValue<S extends z.ZodType>(
  value: unknown,
  schema: S,
): ConfigCheck<z.output<S>> {
  return checkValue(value, schema, () => ({}));
}

/** `12:3: listen.prot: unknown key; did you mean "port"? (allowed: …)`. */
export function formatProblem(problem: ConfigProblem): string {
  const place = problem.line === undefined ? '' : `${problem.line}:${problem.column ?? 1}: `;
  return `${place}${problem.path === '' ? '' : `${problem.path}: `}${problem.message}`;
}

/** The same with its file in front: `agent.yaml:12:3: …`, or `agent.yaml: …` where the place is unknown. */
export function formatProblemIn(file: string, problem: ConfigProblem): string {
  return `${file}:${problem.line === undefined ? ' ' : ''}${formatProblem(problem)}`;
}

/** JSON Schema (2020-12) of a configuration file, for editors. */
export function configJsonSchema(schema: z.ZodType, title: string): Record<string, unknown> {
  return { ...z.toJSONSchema(schema, { io: 'input' }), title };
}

/** Freezes a value and everything in it. */
function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}

async function readConfigText(path: string): Promise<Result<string>> {
  const bytes = await readFileIfPresent(path, MAX_CONFIG_BYTES);
  if (!bytes.ok) return fail('CONFIG_UNREADABLE', bytes.error.message, { cause: bytes.error });
  if (bytes.value === undefined) return fail('CONFIG_UNREADABLE', `${path} does not exist`);
  try {
    return ok(new TextDecoder('utf-8', { fatal: true }).decode(bytes.value));
  } catch {
    return fail('CONFIG_SYNTAX', `${path} is not UTF-8 text`);
  }
}

function checkValue<S extends z.ZodType>(
  value: unknown,
  schema: S,
  place: (path: KeyPath) => Pick<ConfigProblem, 'line' | 'column'>,
): ConfigCheck<z.output<S>> {
  const parsed = schema.safeParse(value ?? {});
  if (parsed.success) return { ok: true, value: deepFreeze(parsed.data) };
  const problems = parsed.error.issues
    .flatMap((issue) => explainIssue(issue, schema, []))
    .map(({ path, message }) => ({ path: formatKeyPath(path), message, ...place(path) }));
  return { ok: false, problems };
}

function syntaxProblem(message: string): { ok: false; problems: ConfigProblem[] } {
  return { ok: false, problems: [{ path: '', message }] };
}

function syntaxErrorProblem(error: {
  message: string;
  linePos?: [{ line: number; col: number }, unknown?];
}): ConfigProblem {
  // The library's message goes on with a picture of the line; its first line says it all.
  const message = (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, '');
  const at = error.linePos?.[0];
  return { path: '', message, ...(at === undefined ? {} : { line: at.line, column: at.col }) };
}

function plainValue(document: Document | undefined): Result<unknown> {
  try {
    return ok(document?.toJS({ maxAliasCount: 20 }));
  } catch (error) {
    // Aliases that multiply, or that name no anchor.
    return fail('CONFIG_SYNTAX', error instanceof Error ? error.message : 'unreadable YAML');
  }
}

/** Place of the key that a path names, or of the nearest thing above it that the file holds. */
function locate(
  document: Document | undefined,
  lines: LineCounter,
  path: KeyPath,
): Pick<ConfigProblem, 'line' | 'column'> {
  for (let depth = path.length; depth > 0; depth--) {
    const offset = offsetOf(document, path.slice(0, depth));
    if (offset === undefined) continue;
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  }
  return {};
}

function offsetOf(document: Document | undefined, path: KeyPath): number | undefined {
  const parent = path.length === 1 ? document?.contents : document?.getIn(path.slice(0, -1), true);
  const key = path.at(-1);
  if (isMap(parent)) {
    const pair = parent.items.find(
      ({ key: node }) => node !== null && String(node) === String(key),
    );
    return isNode(pair?.key) ? pair.key.range?.[0] : undefined;
  }
  const node = document?.getIn(path, true);
  return isNode(node) ? node.range?.[0] : undefined;
}

/** A text setting that one of the value parsers reads. */
export function parsedSetting<T>(parse: (text: string) => Result<T>): z.ZodType<T, string> {
  return z.string().transform((text, context) => {
    const value = parse(text);
    if (value.ok) return value.value;
    context.addIssue({ code: 'custom', message: value.error.message });
    return z.NEVER;
  });
}

/** Longest path that the kernel takes, in bytes (PATH_MAX without its NUL). */
export const MAX_PATH_BYTES = 4095;

/** A path that does not depend on where the process was started. */
export const absolutePathSetting = z
  .string()
  .startsWith('/', 'must be an absolute path')
  .refine((path) => Buffer.byteLength(path) <= MAX_PATH_BYTES, 'is too long for a path');
