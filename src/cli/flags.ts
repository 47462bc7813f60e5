import { fail, ok, type Result } from '../base/result.ts';
import { parseSelector, type Selector } from '../rules/selector.ts';
import { parseDuration } from '../runtime/units.ts';
import { parseSpiffeId, type SpiffeId } from '../spiffe/spiffe-id.ts';
import type { Input } from './spec.ts';

/** A value that a flag's text does not stand for: usage, with the parser's reason. */
export function flagError(flag: string, reason: string): Result<never> {
  return fail('CLI_USAGE', `--${flag}: ${reason}`);
}

/** The SPIFFE ID of a flag, where given. */
export function spiffeIdFlag(input: Input, flag: string): Result<SpiffeId | undefined> {
  const text = input.text(flag);
  if (text === undefined) return ok(undefined);
  const id = parseSpiffeId(text);
  return id.ok ? id : flagError(flag, id.error.message);
}

/** The selectors of a repeated flag. */
export function selectorFlags(input: Input, flag: string): Result<readonly Selector[]> {
  const selectors: Selector[] = [];
  for (const text of input.texts(flag)) {
    const selector = parseSelector(text);
    if (!selector.ok) return flagError(flag, selector.error.message);
    selectors.push(selector.value);
  }
  return ok(selectors);
}

/** Seconds of a flag: a duration with a unit, or SPIRE's bare number of seconds. */
function secondsFlag(input: Input, flag: string): Result<number | undefined> {
  const text = input.text(flag);
  if (text === undefined) return ok(undefined);
  if (/^\d{1,9}$/.test(text)) return ok(Number(text));
  const seconds = parseDuration(text);
  return seconds.ok ? seconds : flagError(flag, seconds.error.message);
}

/** Whole seconds that fit an int32 of the wire, at least 0. */
export function wholeSecondsFlag(input: Input, flag: string): Result<number | undefined> {
  const seconds = secondsFlag(input, flag);
  if (!seconds.ok || seconds.value === undefined) return seconds;
  if (Number.isInteger(seconds.value) && seconds.value < 2 ** 31) return seconds;
  return flagError(flag, 'must be whole seconds, less than 68 years');
}

/** `true` or `false` of a flag that filters; undefined where it is not given. */
export function booleanFlag(input: Input, flag: string): boolean | undefined {
  const text = input.text(flag);
  return text === undefined ? undefined : text === 'true';
}

/** A moment: Unix seconds as SPIRE writes it, or RFC 3339. */
export function timeFlag(input: Input, flag: string): Result<bigint | undefined> {
  const text = input.text(flag);
  if (text === undefined) return ok(undefined);
  if (/^\d{1,12}$/.test(text)) return ok(BigInt(text));
  const ms = /^\d{4}-\d{2}-\d{2}T[\d:.]+(Z|[+-]\d{2}:\d{2})$/.test(text) ? Date.parse(text) : NaN;
  if (!Number.isNaN(ms)) return ok(BigInt(Math.floor(ms / 1000)));
  return flagError(
    flag,
    `"${text.slice(0, 40)}" is no time: write Unix seconds, or 2030-01-31T12:00:00Z`,
  );
}

/** How long calls may take, in milliseconds. */
export function timeoutFlag(input: Input, defaultMs: number): Result<number> {
  const seconds = secondsFlag(input, 'timeout');
  if (!seconds.ok) return seconds;
  if (seconds.value === undefined) return ok(defaultMs);
  return seconds.value > 0 && seconds.value <= 86_400
    ? ok(seconds.value * 1000)
    : flagError('timeout', 'must be more than 0 and at most 24h');
}
