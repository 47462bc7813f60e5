import assert from 'node:assert/strict';
import type { ErrorCode } from '../../src/base/errors.ts';
import type { Result } from '../../src/base/result.ts';

/** Asserts that a result is a refusal with a code. */
export function assertRefused(result: Result<unknown>, code: ErrorCode): void {
  const answer = result.ok ? 'a value' : `${result.error.code}: ${result.error.message}`;
  assert.equal(result.ok ? undefined : result.error.code, code, `answered ${answer}`);
}

/** The value of a result that must be one. */
export function assertValue<T>(result: Result<T>): T {
  if (!result.ok) assert.fail(`refused with ${result.error.code}: ${result.error.message}`);
  return result.value;
}
