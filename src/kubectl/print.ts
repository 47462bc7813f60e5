import type { CliIo, Input } from '../cli/spec.ts';
import { safe, safeLines } from '../cli/text.ts';
import { outputOf } from './flags.ts';
import { STATES } from './judge.ts';

/** Version of the JSON that is printed; it changes when a member goes or means something else. */
export const API_VERSION = 'kubectl.signet.dev/v1';

/** Heads and lines of a table. */
export interface Table {
  readonly heads: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Everything that stands for trouble, and the colour of a terminal for it (ECMA-48 SGR). */
const COLOURS: ReadonlyMap<string, number> = new Map([
  ...STATES.map((state): [string, number] => [state, 33]),
  ...['Unreadable', 'Extra', 'Expired', 'Empty', 'Invalid', 'Failed'].map(
    (state): [string, number] => [state, 31],
  ),
  ...['InSync', 'Valid', 'Ok'].map((state): [string, number] => [state, 32]),
]);

/**
 * A table as kubectl prints it: columns as wide as their widest cell, nothing cut, so that a name can be
 * copied. What is not ours is made safe for a terminal; the last column has colours where they are wanted.
 */
export function formatColumns(
  { heads, rows }: Table,
  { headers, colours }: { readonly headers: boolean; readonly colours: boolean },
): string {
  const cells = [...(headers ? [heads] : []), ...rows.map((row) => row.map(safe))];
  const widths = heads.map((_, at) => Math.max(0, ...cells.map((row) => (row[at] ?? '').length)));
  const last = heads.length - 1;
  return cells
    .map((row) =>
      row
        .map((cell, at) => (at === last ? painted(cell, colours) : cell.padEnd(widths[at] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

function painted(cell: string, colours: boolean): string {
  const colour = COLOURS.get(cell.split(/[ ,]/, 1)[0] ?? '');
  return colours && colour !== undefined ? `\u001b[${colour}m${cell}\u001b[0m` : cell;
}

/** Prints a table as the flags say. */
export function printTable(table: Table, input: Input, io: CliIo): void {
  const headers = !input.has('no-headers');
  io.out(formatColumns(table, { headers, colours: io.colours === true }));
}

/** Prints for programs where that is asked for: JSON or YAML, with version and kind. */
export async function printObject(
  kind: string,
  members: Readonly<Record<string, unknown>>,
  input: Input,
  io: CliIo,
): Promise<void> {
  const object = { apiVersion: API_VERSION, kind, ...members };
  if (outputOf(input) === 'json') {
    io.out(`${safeLines(JSON.stringify(object, undefined, 2))}\n`);
    return;
  }
  const { stringify } = await import('yaml');
  // In double quotes escapes mean the same as in JSON.
  const options = { defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN' } as const;
  io.out(`${safeYaml(stringify(object, options).trimEnd())}\n`);
}

/** YAML knows no surrogates: a character beyond U+FFFF is escaped whole (YAML 1.2 §5.7). */
function safeYaml(text: string): string {
  return safeLines(
    text.replace(/[\p{Cf}--[\0-\uffff]]/gv, (character) => {
      const code = character.codePointAt(0) ?? 0;
      return `\\U${code.toString(16).padStart(8, '0')}`;
    }),
  );
}

/** Whether output for programs is asked for. */
export function isForPrograms(input: Input): boolean {
  return ['json', 'yaml'].includes(outputOf(input));
}
