import { fail, ok, type Result } from '../base/result.ts';

/** A row of a CSV document, with the line that it begins in, counted from 1. */
export interface CsvRow {
  readonly line: number;
  readonly cells: readonly string[];
}

/**
 * Reads CSV (RFC 4180): commas, quotes doubled within quotes, rows that end with LF or CRLF. Empty
 * lines are left out. Fails with CLI_DATA_INVALID, naming the line.
 */
export function parseCsv(text: string): Result<readonly CsvRow[]> {
  const rows: CsvRow[] = [];
  let [at, line] = [0, 1];
  while (at < text.length) {
    const row = readRow(text, at, line);
    if (!row.ok) return row;
    const { cells, next, lines } = row.value;
    if (cells.length > 1 || cells[0] !== '') rows.push({ line, cells });
    at = next;
    line += lines;
  }
  return ok(rows);
}

interface ReadRow {
  readonly cells: readonly string[];
  readonly next: number;
  readonly lines: number;
}

function readRow(text: string, start: number, line: number): Result<ReadRow> {
  const cells: string[] = [];
  let [at, lines] = [start, 1];
  for (;;) {
    let cell: string;
    if (text[at] === '"') {
      const end = closingQuote(text, at + 1);
      if (end === undefined) return fail('CLI_DATA_INVALID', `line ${line}: a quote is not closed`);
      cell = text.slice(at + 1, end).replaceAll('""', '"');
      lines += cell.split('\n').length - 1;
      at = end + 1;
    } else {
      const end = /[,\r\n]|$/.exec(text.slice(at))?.index ?? 0;
      cell = text.slice(at, at + end);
      if (cell.includes('"')) {
        return fail('CLI_DATA_INVALID', `line ${line}: a quote within an unquoted value`);
      }
      at += end;
    }
    cells.push(cell);
    if (text[at] === ',') {
      at += 1;
      continue;
    }
    if (text[at] === '\r') at += 1;
    if (at < text.length && text[at] !== '\n') {
      return fail('CLI_DATA_INVALID', `line ${line}: text after a closing quote`);
    }
    return ok({ cells, next: at + 1, lines });
  }
}

function closingQuote(text: string, from: number): number | undefined {
  for (let at = from; at < text.length; at++) {
    if (text[at] !== '"') continue;
    if (text[at + 1] !== '"') return at;
    at += 1;
  }
  return undefined;
}
