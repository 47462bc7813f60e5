const UNIT_SECONDS: ReadonlyMap<string, number> = new Map([
  ['ns', 1e-9],
  ['us', 1e-6],
  ['µs', 1e-6],
  ['μs', 1e-6],
  ['ms', 1e-3],
  ['s', 1],
  ['m', 60],
  ['h', 3600],
]);

/** Longest duration that Go holds: 2^63 nanoseconds. */
const MAX_SECONDS = 2 ** 63 / 1e9;

const PART = /([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)/gy;

/** Seconds of a duration as Go's time.ParseDuration reads it, such as `1h30m`; undefined where it is none. */
export function parseGoDuration(text: string): number | undefined {
  if (text.length > 100) return undefined;
  const sign = text.startsWith('-') ? -1 : 1;
  const rest = /^[-+]/.test(text) ? text.slice(1) : text;
  if (rest === '0') return 0;
  let seconds = 0;
  let at = 0;
  for (const match of rest.matchAll(PART)) {
    seconds += Number(match[1]) * (UNIT_SECONDS.get(match[2] ?? '') ?? 0);
    at += match[0].length;
  }
  const whole = at === rest.length && at > 0;
  return whole && seconds < MAX_SECONDS ? sign * seconds : undefined;
}
