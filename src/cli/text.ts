/**
 * Characters that a terminal acts on or that hide or reorder text: controls, format characters and
 * line separators. A hostile server or entry must not be able to write to an operator's screen.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, i) => {
    return `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`;
  }).join('');
}

/** Text from elsewhere, made safe for one line of a terminal. */
export function safe(text: string): string {
  return text.replace(UNSAFE, escaped);
}

/** Text from elsewhere that may have several lines. */
export function safeLines(text: string): string {
  return text.split('\n').map(safe).join('\n');
}

/** One line of JSON that is also safe on a terminal: JSON leaves C1 and bidi controls as they are. */
export function safeJson(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE, escaped);
}

/** Widest line of a table for people. */
export const COLUMNS = 80;

/**
 * A table: columns as wide as their widest cell, two spaces between. Cells of all columns but the
 * last are cut where the line would pass {@link COLUMNS}; the last, where SPIFFE IDs stand, never is.
 */
export function formatTable(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const cells = [heads, ...rows.map((row) => row.map(safe))];
  const widths = heads.map((_, i) => Math.max(...cells.map((row) => (row[i] ?? '').length)));
  const limit = columnLimit(widths);
  const lines = cells.map((row) =>
    row
      .map((cell, i) => {
        if (i === heads.length - 1) return cell;
        const width = Math.min(widths[i] ?? 0, limit);
        return cut(cell, width).padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** Widest that one of the first columns may be so that all of them leave a quarter to the last. */
function columnLimit(widths: readonly number[]): number {
  const first = widths.slice(0, -1);
  const room = (COLUMNS * 3) / 4 - 2 * first.length;
  let limit = Math.max(...first, 0);
  while (limit > 8 && first.reduce((sum, width) => sum + Math.min(width, limit), 0) > room) limit--;
  return limit;
}

/** Text of at most this many characters; one that is cut ends with an ellipsis. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

/** `Name : value` lines with the colons under each other; lists give one line an element. */
export function formatBlock(
  fields: readonly (readonly [string, string | readonly string[]])[],
): string {
  // Names may come from elsewhere too: a JWT has any claims.
  const named = fields.map(([name, value]) => [safe(name), value] as const);
  const width = Math.max(...named.map(([name]) => name.length));
  const lines = named.flatMap(([name, value]) =>
    (typeof value === 'string' ? [value] : value).map(
      (text) => `${name.padEnd(width)} : ${safe(text)}`,
    ),
  );
  return `${lines.join('\n')}\n`;
}

/** `1 entry`, `2 entries`. */
export function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** A moment in UTC to the second, with how far away it is; `never` for 0. */
export function formatTime(unixSeconds: number, nowMs: number): string {
  if (unixSeconds === 0) return 'never';
  const date = new Date(unixSeconds * 1000);
  if (Number.isNaN(date.getTime())) return String(unixSeconds);
  const text = `${date.toISOString().slice(0, 19)}Z`;
  const away = Math.round(unixSeconds - nowMs / 1000);
  if (away === 0) return `${text} (now)`;
  return away > 0 ? `${text} (in ${span(away)})` : `${text} (${span(-away)} ago)`;
}

/** A length of time in its two largest units, such as `1h 5m`. */
export function span(seconds: number): string {
  const parts: [number, string][] = [
    [Math.floor(seconds / 86400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [Math.floor(seconds) % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return '0s';
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ');
}
