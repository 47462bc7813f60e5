import { z } from 'zod';
import { fail, ok, type Result } from '../base/result.ts';

const SECONDS_OF: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };
const BYTES_OF: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

const DURATION = /^(?:\d{1,9}(?:ms|s|m|h|d))+$/;
const DURATION_PART = /(\d+)(ms|s|m|h|d)/g;
const SIZE = /^(\d{1,12})(B|KiB|MiB|GiB)$/;

/** Seconds of a duration such as `90s`, `5m`, `1h30m` or `250ms`. A number without a unit is refused. */
export function parseDuration(text: string): Result<number> {
  if (text.length > 40 || !DURATION.test(text)) {
    return fail(
      'CONFIG_INVALID',
      `"${text.slice(0, 40)}" is no duration: write a number with ms, s, m, h or d, such as 90s, 5m or 1h30m`,
    );
  }
  let seconds = 0;
  for (const [, count, unit] of text.matchAll(DURATION_PART)) {
    seconds += Number(count) * (SECONDS_OF[unit ?? ''] ?? 0);
  }
  return ok(seconds);
}

/** Bytes of a size such as `512B`, `64KiB` or `4MiB`. */
export function parseSize(text: string): Result<number> {
  const match = SIZE.exec(text);
  if (match === null) {
    return fail(
      'CONFIG_INVALID',
      `"${text.slice(0, 40)}" is no size: write a number with B, KiB, MiB or GiB, such as 64KiB`,
    );
  }
  return ok(Number(match[1]) * (BYTES_OF[match[2] ?? ''] ?? 0));
}

/** A length of time in a form that {@link parseDuration} reads, for messages. */
export function formatDuration(seconds: number): string {
  if (seconds === 0) return '0s';
  let rest = Math.round(seconds * 1000);
  let text = '';
  for (const [unit, ms] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
    ['ms', 1],
  ] as const) {
    if (rest >= ms) text += `${Math.floor(rest / ms)}${unit}`;
    rest %= ms;
  }
  return text;
}

/** A size in a form that {@link parseSize} reads. */
export function formatSize(bytes: number): string {
  const fits = Object.entries(BYTES_OF).findLast(([, unit]) => bytes >= unit && bytes % unit === 0);
  return fits === undefined ? `${bytes}B` : `${bytes / fits[1]}${fits[0]}`;
}

/** Bounds of a setting, both inclusive, in the form that the setting is written in. */
export interface Bounds {
  readonly min?: string;
  readonly max?: string;
}

/** Schema of a duration setting: a string with units in the file, seconds in the program. */
export function durationSetting(bounds: Bounds = {}): z.ZodType<number, string> {
  return measured(parseDuration, bounds, '^([0-9]{1,9}(ms|s|m|h|d))+$');
}

/** Schema of a size setting: a string with a unit in the file, bytes in the program. */
export function sizeSetting(bounds: Bounds = {}): z.ZodType<number, string> {
  return measured(parseSize, bounds, '^[0-9]{1,12}(B|KiB|MiB|GiB)$');
}

/** Schema of a setting that counts something: a whole number from 1. */
export function countSetting(preset: number, max = 1_000_000): z.ZodDefault<z.ZodInt> {
  return z.int().min(1).max(max).default(preset);
}

function measured(
  parse: (text: string) => Result<number>,
  bounds: Bounds,
  pattern: string,
): z.ZodType<number, string> {
  const limit = (text: string | undefined, none: number): number => {
    const value = text === undefined ? ok(none) : parse(text);
    if (!value.ok) throw new TypeError(value.error.message);
    return value.value;
  };
  const min = limit(bounds.min, 0);
  const max = limit(bounds.max, Number.MAX_SAFE_INTEGER);
  const refuse = (text: string): string | undefined => {
    const value = parse(text);
    if (!value.ok) return value.error.message;
    if (value.value < min) return `${text} is less than ${bounds.min ?? '0'}`;
    if (value.value > max) return `${text} is more than ${bounds.max ?? 'allowed'}`;
    return undefined;
  };
  return z
    .string()
    .superRefine((text, context) => {
      const message = refuse(text);
      if (message !== undefined) context.addIssue({ code: 'custom', message });
    })
    .meta({ pattern })
    .transform((text) => {
      const value = parse(text);
      return value.ok ? value.value : 0;
    });
}
