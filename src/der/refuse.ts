import { type ErrorCode, SignetError, toSignetError } from '../base/errors.ts';
import { ok, type Result } from '../base/result.ts';

/**
 * Stops a parser with a coded refusal. Parsers are written straight through with it; it never leaves
 * them, because `attempt` stands around each and answers with a Result.
 */
export function refuse(code: ErrorCode, message: string): never {
  throw new SignetError(code, message);
}

/** Runs a parser: its value, or the refusal that stopped it. Anything else thrown is INTERNAL. */
export function attempt<T>(what: string, parse: () => T): Result<T> {
  try {
    return ok(parse());
  } catch (thrown) {
    return { ok: false, error: toSignetError(thrown, `reading ${what}`) };
  }
}
