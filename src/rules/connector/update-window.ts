/** Days as a window names them, Sunday first as in `Date.prototype.getUTCDay`. */
const DAYS: readonly string[] = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

const FORM =
  /^(?:([A-Z][a-z]{2}(?:[,-][A-Z][a-z]{2}){0,13}) )?(\d{2}):(\d{2})-(\d{2}):(\d{2}) UTC$/;

const MINUTES_OF_DAY = 24 * 60;

/** When connectors of a group may be updated, each week. */
export interface UpdateWindow {
  /** 0 is Sunday; the days on which it begins. */
  readonly days: readonly number[];
  /** Minutes after midnight, UTC, at which it begins. */
  readonly startMinute: number;
  /** How long it is; it may pass midnight. */
  readonly minutes: number;
}

/**
 * Reads a window such as `Sat 02:00-06:00 UTC`, `Mon-Wed,Fri 23:00-01:00 UTC` or `02:00-03:00 UTC`, which
 * is every day. Undefined where the text is none.
 */
export function parseUpdateWindow(text: string): UpdateWindow | undefined {
  const found = FORM.exec(text);
  if (found === null) return undefined;
  const [, names, ...numbers] = found;
  const days = names === undefined ? DAYS.map((_, day) => day) : dayNumbers(names.split(','));
  const startMinute = minuteOf(numbers[0], numbers[1]);
  const endMinute = minuteOf(numbers[2], numbers[3]);
  if (days === undefined || startMinute === undefined || endMinute === undefined) return undefined;
  const minutes = (endMinute - startMinute + MINUTES_OF_DAY) % MINUTES_OF_DAY;
  return minutes === 0 ? undefined : { days, startMinute, minutes };
}

/** The window that is open at a moment, or the next one: both ends in Unix milliseconds. */
export function nextUpdateWindow(
  window: UpdateWindow,
  nowMs: number,
): { readonly startMs: number; readonly endMs: number } {
  const midnight = Math.floor(nowMs / 86_400_000) * 86_400_000;
  // From yesterday, whose window may have passed midnight, to the same day of the next week.
  for (let day = -1; day <= 7; day++) {
    const dayMs = midnight + day * 86_400_000;
    if (!window.days.includes(new Date(dayMs).getUTCDay())) continue;
    const startMs = dayMs + window.startMinute * 60_000;
    const endMs = startMs + window.minutes * 60_000;
    if (endMs > nowMs) return { startMs, endMs };
  }
  // Not reached: a window has a day, and every day comes within a week.
  return { startMs: nowMs, endMs: nowMs };
}

function dayNumbers(parts: readonly string[]): readonly number[] | undefined {
  const days: number[] = [];
  for (const part of parts) {
    const [first = -1, last = first, ...more] = part.split('-').map(dayNumber);
    if (first === -1 || last === -1 || more.length > 0) return undefined;
    // Up to the last one, over the end of the week where that is needed.
    for (let day = first; ; day = (day + 1) % 7) {
      days.push(day);
      if (day === last) break;
    }
  }
  return new Set(days).size === days.length ? days : undefined;
}

function dayNumber(name: string): number {
  return DAYS.indexOf(name);
}

function minuteOf(hours = '', minutes = ''): number | undefined {
  const [hour, minute] = [Number(hours), Number(minutes)];
  return hour < 24 && minute < 60 ? hour * 60 + minute : undefined;
}
