import { type ErrorCode, SignetError, type SignetErrorOptions } from './errors.ts';

/**
 * The answer of anything that reads hostile input or talks to something that may refuse: a value or
 * a coded error. Parsers answer with it; they do not throw.
 */
export type Result<T> = Ok<T> | Failed;

/** A value. */
export interface Ok<T> {
  readonly ok: true;
  readonly value: T;
}

/** A refusal, with its code from the one table. */
export interface Failed {
  readonly ok: false;
  readonly error: SignetError;
}

/** Wraps a value. */
export function ok<T>(value: T): Ok<T> {
  return { ok: true, value };
}

/** Refuses with a code from the table and a message that is safe to send to the caller. */
export function fail(code: ErrorCode, message: string, options?: SignetErrorOptions): Failed {
  return { ok: false, error: new SignetError(code, message, options) };
}

/** The value, or throws the error: for tests and for input that this program made itself. */
export function unwrap<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  throw result.error;
}
