import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '../../base/errors.ts';
import { tokenFault } from './pkcs11-faults.ts';

const CASES: readonly [string, number | undefined, ErrorCode][] = [
  ['no library at all', undefined, 'KEY_MANAGER_MODULE'],
  ['CKR_DEVICE_ERROR', 0x30, 'KEY_MANAGER_FAULT'],
  ['CKR_DEVICE_REMOVED', 0x32, 'KEY_MANAGER_UNREACHABLE'],
  ['CKR_TOKEN_NOT_PRESENT', 0xe0, 'KEY_MANAGER_UNREACHABLE'],
  ['CKR_PIN_INCORRECT', 0xa0, 'KEY_MANAGER_CREDENTIALS'],
  ['CKR_PIN_LOCKED', 0xa4, 'KEY_MANAGER_CREDENTIALS'],
  ['CKR_USER_NOT_LOGGED_IN', 0x101, 'KEY_PERMISSION'],
  ['CKR_KEY_HANDLE_INVALID', 0x60, 'KEY_DELETED'],
  ['CKR_KEY_FUNCTION_NOT_PERMITTED', 0x68, 'KEY_DISABLED'],
  ['CKR_MECHANISM_INVALID', 0x70, 'KEY_SIGNING_UNSUPPORTED'],
  ['a number of a vendor', 0x8000_0001, 'KEY_MANAGER_REFUSED'],
];

for (const [name, rv, code] of CASES) {
  test(`${name} is ${code}`, () => {
    assert.equal(tokenFault({ rv, message: name }).error.code, code);
  });
}
