import { fail, ok, type Result } from '../base/result.ts';
import type { FlagSpec } from './spec.ts';

/** What the rewriting needs to know about a command. */
export interface ArgvTable {
  readonly flags: readonly FlagSpec[];
  readonly refused: Readonly<Record<string, string>>;
  /** Whether a value may stand right after a short flag, as in `-ojson`. */
  readonly attachedValues?: boolean;
}

/**
 * Rewrites flags to one spelling, `--kebab-name` or `--kebab-name=value`. Understands SPIRE's
 * `-spiffeID x`, `--spiffeID=x`, `-admin=false`, and our own; what it does not know goes on as it is,
 * to be refused by the parser. A value is taken as it stands, even with a leading dash.
 */
export function rewriteArgv(argv: readonly string[], table: ArgvTable): Result<string[]> {
  const spellings = spellingsOf(table.flags);
  const out: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const token = argv[i] ?? '';
    if (token === '--') return ok([...out, ...argv.slice(i)]);
    const { name, value } = splitFlag(detached(token, table, spellings));
    const refused = table.refused[name];
    if (name !== '' && refused !== undefined) {
      return fail('CLI_UNSUPPORTED_FLAG', `there is no -${name}: ${refused}`);
    }
    const flag = spellings.get(name);
    if (flag === undefined) {
      out.push(token);
    } else if (flag.value === undefined) {
      const given = switchValue(flag, value);
      if (!given.ok) return given;
      if (given.value) out.push(`--${flag.name}`);
    } else if (value !== undefined) {
      out.push(`--${flag.name}=${value}`);
    } else if (i + 1 < argv.length) {
      out.push(`--${flag.name}=${argv[++i]}`);
    } else {
      return fail('CLI_USAGE', `--${flag.name} needs a value (${flag.value})`);
    }
  }
  return ok(out);
}

/** `-ojson` as `-o=json`; whatever is a name as a whole is left alone. */
function detached(
  token: string,
  { attachedValues }: ArgvTable,
  spellings: ReadonlyMap<string, FlagSpec>,
): string {
  const short = token.charAt(1);
  const isCandidate = attachedValues === true && /^-[A-Za-z][^=]/.test(token);
  if (!isCandidate || spellings.has(token.slice(1).split('=', 1)[0] ?? '')) return token;
  const takesValue = spellings.get(short)?.value !== undefined;
  return takesValue ? `-${short}=${token.slice(2)}` : token;
}

function spellingsOf(flags: readonly FlagSpec[]): ReadonlyMap<string, FlagSpec> {
  const spellings = new Map<string, FlagSpec>();
  for (const flag of flags) {
    for (const name of [flag.name, flag.spire, flag.short]) {
      if (name !== undefined) spellings.set(name, flag);
    }
  }
  return spellings;
}

/** Name and value of a flag; the name is empty where the token is none. */
function splitFlag(token: string): { name: string; value: string | undefined } {
  const dashes = token.startsWith('--') ? 2 : token.startsWith('-') ? 1 : 0;
  if (dashes === 0 || token.length === dashes) return { name: '', value: undefined };
  const equals = token.indexOf('=');
  if (equals === -1) return { name: token.slice(dashes), value: undefined };
  return { name: token.slice(dashes, equals), value: token.slice(equals + 1) };
}

function switchValue(flag: FlagSpec, value: string | undefined): Result<boolean> {
  if (value === undefined || value === 'true') return ok(true);
  if (value === 'false') return ok(false);
  return fail(
    'CLI_USAGE',
    `--${flag.name} is a switch: leave out the value, or write true or false`,
  );
}
