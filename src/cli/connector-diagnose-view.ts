import type { ConnectorDiagnostics } from '../gen/signet/connector/v1/admin.ts';
import type { CliIo } from './spec.ts';
import { formatBlock, formatTime, safeLines } from './text.ts';

/** How deep what a connector tells is taken apart; below that it is only said that there is more. */
const MAX_DEPTH = 4;

type Field = readonly [name: string, value: string | readonly string[]];

/** What connectors told, one after the other; those that told nothing are left out. */
export function formatDiagnostics(
  told: readonly ConnectorDiagnostics[],
  io: Pick<CliIo, 'clock'>,
): string {
  return told
    .filter(({ parts }) => parts.length > 0)
    .map((one) => formatOne(one, io))
    .join('\n');
}

function formatOne(one: ConnectorDiagnostics, io: Pick<CliIo, 'clock'>): string {
  const { id, askedAtMs, answeredAtMs, parts, truncated } = one;
  const took = answeredAtMs === 0n ? 'not whole yet' : `after ${answeredAtMs - askedAtMs} ms`;
  const about: Field[] = [
    ['Connector', id],
    ['Asked', formatTime(Number(askedAtMs / 1000n), io.clock.nowMs())],
    ['Answered', truncated ? `${took}; more than is kept` : took],
  ];
  const texts = parts.map(({ text, warning }) => {
    const fields = fieldsOf(text);
    const shown = fields === undefined ? `${safeLines(text.trimEnd())}\n` : formatBlock(fields);
    return warning ? `Not well:\n${shown}` : shown;
  });
  return [formatBlock(about), ...texts].join('\n');
}

/** The fields of an object of JSON by their paths; undefined where a text is none, or an empty one. */
function fieldsOf(text: string): readonly Field[] | undefined {
  let value: unknown;
  try {
    // Only shown: what of it is doubled or has too many digits decides nothing.
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const fields = flat('', value, MAX_DEPTH);
  return fields.length === 0 ? undefined : fields;
}

function flat(path: string, value: unknown, depth: number): readonly Field[] {
  if (typeof value !== 'object' || value === null) return [[path, shown(value)]];
  if (depth === 0) return [[path, '…']];
  if (Array.isArray(value)) {
    if (value.length === 0) return [[path, 'none']];
    const isPlain = value.every((item) => typeof item !== 'object' || item === null);
    if (isPlain) return [[path, value.map(shown)]];
    return value.flatMap((item, at) => flat(`${path}[${at}]`, item, depth - 1));
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return path === '' ? [] : [[path, 'none']];
  const below = path === '' ? '' : `${path}.`;
  return entries.flatMap(([key, item]) => flat(`${below}${key}`, item, depth - 1));
}

function shown(value: unknown): string {
  return value === null ? 'none' : String(value);
}
