import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, test } from 'node:test';
import { PUBLISHED_KEY } from '../../test/support/weak-keys.ts';
import { makeKey } from '../../test/support/x509.ts';
import { type Result, unwrap } from '../base/result.ts';
import {
  checkNotBlocked,
  MAX_BLOCKED_KEYS,
  PUBLISHED_BLOCKED_KEYS,
  parseBlockedKeys,
} from './blocked-keys.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const key = makeKey();
const digest = hash('sha256', key.spki, 'hex');

describe('lists of blocked keys', () => {
  test('G-3 a published key is blocked without a list, and with one', () => {
    for (const list of [PUBLISHED_BLOCKED_KEYS, unwrap(parseBlockedKeys(digest))]) {
      assert.equal(code(checkNotBlocked(PUBLISHED_KEY.publicKey, list)), 'KEY_BLOCKED');
      assert.equal(code(checkNotBlocked(makeKey().publicKey, list)), 'ok');
    }
  });

  const lists: readonly (readonly [name: string, text: string, key: string])[] = [
    ['nothing', '', 'ok'],
    ['comments and blank lines', '# keys of host 7\n\n  \n', 'ok'],
    ['the key', digest, 'KEY_BLOCKED'],
    ['the key in upper case', digest.toUpperCase(), 'KEY_BLOCKED'],
    ['the key with a comment', `  ${digest}  # found on a laptop\r\n`, 'KEY_BLOCKED'],
    ['the key behind a comment sign', `#${digest}`, 'ok'],
  ];
  for (const [name, text, outcome] of lists) {
    test(`with ${name}: ${outcome}`, () => {
      const list = unwrap(parseBlockedKeys(text));
      assert.equal(code(checkNotBlocked(key.publicKey, list)), outcome);
    });
  }

  for (const line of [
    digest.slice(1),
    `${digest}0`,
    `g${digest.slice(1)}`,
    `${digest} ${digest}`,
  ]) {
    test(`refuses a line of ${line.length} characters that is no hash, by its number`, () => {
      const parsed = parseBlockedKeys(`# first\n${digest}\n${line}`);
      assert.equal(code(parsed), 'KEY_BLOCKLIST');
      assert.match(parsed.ok ? '' : parsed.error.message, /^line 3/);
    });
  }

  test(`takes ${MAX_BLOCKED_KEYS} keys and no more`, () => {
    const own = MAX_BLOCKED_KEYS - PUBLISHED_BLOCKED_KEYS.size;
    const lines = Array.from({ length: own + 1 }, (_, n) => n.toString(16).padStart(64, '0'));
    assert.equal(code(parseBlockedKeys(lines.slice(1).join('\n'))), 'ok');
    assert.equal(code(parseBlockedKeys(lines.join('\n'))), 'KEY_BLOCKLIST');
  });
});
