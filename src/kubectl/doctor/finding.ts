/** One thing that was looked at, and what to do about it. */
export interface Finding {
  readonly context: string;
  readonly check: string;
  readonly found: string;
  /** What to do next; empty where all is well. */
  readonly remedy: string;
  /** What exactly was found, such as references of copies or names of accounts. */
  readonly details: readonly string[];
  readonly result: Severity;
}

/** A Hint alone does not make the command end with 1. */
export type Severity = 'Ok' | 'Hint' | 'Failed';

/** A finding without details; a remedy is for trouble alone. */
export function findingOf(
  context: string,
  check: string,
  found: string,
  result: Severity,
  remedy = '',
): Finding {
  return { context, check, found, remedy: result === 'Ok' ? '' : remedy, details: [], result };
}
