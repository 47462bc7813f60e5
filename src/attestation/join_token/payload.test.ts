import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unwrap } from '../../base/result.ts';
import {
  decodeJoinTokenPayload,
  encodeJoinTokenPayload,
  MAX_JOIN_TOKEN_BYTES,
  parseJoinToken,
} from './payload.ts';

test('a join token payload is the raw bytes of the token, as SPIRE sends it', () => {
  const token = '0b4d0b31-61e2-4b0c-9f8b-5a2b7e3b8a11';
  assert.equal(encodeJoinTokenPayload(token).toString('latin1'), token);
  assert.equal(unwrap(decodeJoinTokenPayload(Buffer.from(token))), token);
});

test('a join token is one path segment of a SPIFFE ID (SPI-01-007, F2)', () => {
  const refused: readonly [string, string][] = [
    ['empty', ''],
    ['slash', 'a/b'],
    ['dot segment', '..'],
    ['single dot', '.'],
    ['traversal', '../admin'],
    ['NUL', 'a\0b'],
    ['newline', 'abc\n'],
    ['percent', 'a%2fb'],
    ['four-byte UTF-8', 'a\u{1f600}'],
    ['one byte too long', 'x'.repeat(MAX_JOIN_TOKEN_BYTES + 1)],
  ];
  for (const [name, text] of refused) {
    const parsed = parseJoinToken(text);
    assert.ok(!parsed.ok, name);
    assert.equal(parsed.error.code, 'JOIN_TOKEN_MALFORMED', name);
    const payload = decodeJoinTokenPayload(Buffer.from(text, 'utf8'));
    assert.ok(!payload.ok, name);
  }
  for (const length of [1, MAX_JOIN_TOKEN_BYTES - 1, MAX_JOIN_TOKEN_BYTES]) {
    assert.ok(parseJoinToken('x'.repeat(length)).ok, String(length));
  }
});

test('a refusal never quotes the token', () => {
  const parsed = parseJoinToken('secret token');
  assert.ok(!parsed.ok && !parsed.error.message.includes('secret'));
});
