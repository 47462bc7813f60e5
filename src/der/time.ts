/** First year that is written as GeneralizedTime (RFC 5280 §4.1.2.5). */
const FIRST_GENERALIZED_YEAR = 2050;

/** Two-digit years from here on are 19xx (RFC 5280 §4.1.2.5.1). */
const UTC_TIME_PIVOT = 50;

/** Number that `count` decimal digits make, or NaN. */
function digits(bytes: Uint8Array, start: number, count: number): number {
  let number = 0;
  for (let i = start; i < start + count; i++) {
    const digit = (bytes[i] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return Number.NaN;
    number = number * 10 + digit;
  }
  return number;
}

/** Year of a time with four digits or two. */
function readYear(bytes: Uint8Array, start: number, digitCount: number): number {
  const year = digits(bytes, start, digitCount);
  if (digitCount === 4) return year >= FIRST_GENERALIZED_YEAR ? year : Number.NaN;
  return year >= UTC_TIME_PIVOT ? 1900 + year : 2000 + year;
}

/**
 * Unix milliseconds of the contents of a UTCTime (YYMMDDHHMMSSZ) or GeneralizedTime
 * (YYYYMMDDHHMMSSZ, from 2050 on): seconds present, Zulu, no fractions, a date that exists.
 * Nothing where it is anything else.
 */
export function readTime(bytes: Uint8Array, start: number, end: number): number | undefined {
  const yearDigits = end - start === 13 ? 2 : end - start === 15 ? 4 : 0;
  if (yearDigits === 0 || bytes[end - 1] !== 0x5a) return undefined;
  const year = readYear(bytes, start, yearDigits);
  const at = start + yearDigits;
  const month = digits(bytes, at, 2);
  const day = digits(bytes, at + 2, 2);
  const hour = digits(bytes, at + 4, 2);
  const minute = digits(bytes, at + 6, 2);
  const second = digits(bytes, at + 8, 2);
  if (!(hour < 24 && minute < 60 && second < 60)) return undefined;
  // Date.UTC rolls a 31 February over to March: the date exists when it comes back as it was.
  const timeMs = Date.UTC(year, month - 1, day, hour, minute, second);
  if (Number.isNaN(timeMs)) return undefined;
  const date = new Date(timeMs);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? timeMs : undefined;
}

function twoDigits(number: number): string {
  return number < 10 ? `0${number}` : String(number);
}

/** Text of a time, cut to whole seconds, and whether it is a GeneralizedTime (2050 and later). */
export function timeText(timeMs: number): { readonly text: string; readonly generalized: boolean } {
  const date = new Date(timeMs);
  const year = date.getUTCFullYear();
  if (Number.isNaN(timeMs) || year < 1950 || year > 9999) {
    throw new TypeError(`a certificate cannot hold the time ${timeMs}`);
  }
  const generalized = year >= FIRST_GENERALIZED_YEAR;
  const yearText = generalized ? String(year) : twoDigits(year % 100);
  const rest = [
    date.getUTCMonth() + 1,
    date.getUTCDate(),
    date.getUTCHours(),
    date.getUTCMinutes(),
    date.getUTCSeconds(),
  ];
  return { text: `${yearText}${rest.map(twoDigits).join('')}Z`, generalized };
}
