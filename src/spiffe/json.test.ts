import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { utf8 } from '../base/bytes.ts';
import type { ErrorCode } from '../base/errors.ts';
import { unwrap } from '../base/result.ts';
import { type JsonValue, jsonToPlain, parseJson, parseJsonObject } from './json.ts';

const LIMITS = { maxBytes: 100_000 };

function read(text: string): JsonValue {
  return unwrap(parseJson(utf8(text), LIMITS));
}

function codeOf(input: string | Uint8Array, limits = LIMITS): ErrorCode | 'ok' {
  const result = parseJson(typeof input === 'string' ? utf8(input) : input, limits);
  return result.ok ? 'ok' : result.error.code;
}

test('reads what JSON.parse reads, for every document that JSON.stringify writes', () => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
      const text = JSON.stringify(value);
      assert.equal(JSON.stringify(jsonToPlain(read(text))), JSON.stringify(JSON.parse(text)));
    }),
    { numRuns: 500 },
  );
});

test('agrees with JSON.parse on which random texts are JSON, duplicate keys and surrogates aside', () => {
  const pieces = [
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    'a',
    '0',
    '1',
    '-',
    '.',
    'e',
    'true',
    ' ',
  ];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 9 }), (parts) => {
      const text = parts.join('');
      const ours = codeOf(text);
      if (ours === 'JSON_DUPLICATE_KEY' || ours === 'JSON_NUMBER') return;
      assert.equal(ours === 'ok', isJson(text), text);
    }),
    { numRuns: 5_000 },
  );
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const REFUSED: readonly (readonly [name: string, text: string, code: ErrorCode])[] = [
  ['nothing', '', 'JSON_SYNTAX'],
  ['space alone', '  ', 'JSON_SYNTAX'],
  ['a second value', '{} {}', 'JSON_SYNTAX'],
  ['a comma at the end of an object', '{"a":1,}', 'JSON_SYNTAX'],
  ['a comma at the end of an array', '[1,]', 'JSON_SYNTAX'],
  ['a key without quotes', '{a:1}', 'JSON_SYNTAX'],
  ['a key without a value', '{"a"}', 'JSON_SYNTAX'],
  ['single quotes', "{'a':1}", 'JSON_SYNTAX'],
  ['a comment', '{}//', 'JSON_SYNTAX'],
  ['a leading zero', '[01]', 'JSON_SYNTAX'],
  ['a bare dot', '[.5]', 'JSON_SYNTAX'],
  ['a plus', '[+1]', 'JSON_SYNTAX'],
  ['a hexadecimal number', '[0x1]', 'JSON_SYNTAX'],
  ['NaN', '[NaN]', 'JSON_SYNTAX'],
  ['a minus alone', '[-]', 'JSON_SYNTAX'],
  ['an object without an end', '{"a":1', 'JSON_SYNTAX'],
  ['an array without an end', '[1', 'JSON_SYNTAX'],
  ['a string without an end', '"a', 'JSON_SYNTAX'],
  ['a string that ends in a backslash', '"a\\', 'JSON_SYNTAX'],
  ['an unknown escape', '"\\x"', 'JSON_SYNTAX'],
  ['an escape named like a member of objects', '"\\constructor"', 'JSON_SYNTAX'],
  ['a short unicode escape', '"\\u12"', 'JSON_SYNTAX'],
  ['a unicode escape with a sign', '"\\u+123"', 'JSON_SYNTAX'],
  ['a bare control character', '"\u0001"', 'JSON_SYNTAX'],
  ['a bare line end in a string', '"\n"', 'JSON_SYNTAX'],
  ['a no-break space', '\u00a0{}', 'JSON_SYNTAX'],
  ['a literal cut short', 'tru', 'JSON_SYNTAX'],
  ['a key twice', '{"a":1,"a":1}', 'JSON_DUPLICATE_KEY'],
  ['a key twice, once escaped', '{"a":1,"\\u0061":1}', 'JSON_DUPLICATE_KEY'],
  ['a key twice, deep down', '[{"b":{"a":1,"c":2,"a":3}}]', 'JSON_DUPLICATE_KEY'],
  ['half of a surrogate pair', '"\\ud800"', 'JSON_ENCODING'],
  ['the other half', '"\\udc00"', 'JSON_ENCODING'],
  ['the halves in the wrong order', '"\\udc00\\ud800"', 'JSON_ENCODING'],
  ['half of a pair in a key', '{"\\ud800":1}', 'JSON_ENCODING'],
  ['a number beyond doubles', '[1e999]', 'JSON_NUMBER'],
  ['an integer of 65 digits', `[${'1'.repeat(65)}]`, 'JSON_NUMBER'],
];
for (const [name, text, code] of REFUSED) {
  test(`refuses ${name}`, () => assert.equal(codeOf(text), code));
}

test('refuses bytes that are not UTF-8, and a byte order mark', () => {
  for (const bytes of [
    [0x22, 0xff, 0x22],
    [0x22, 0xc0, 0x80, 0x22],
    [0x22, 0xed, 0xa0, 0x80, 0x22],
  ]) {
    assert.equal(codeOf(Uint8Array.from(bytes)), 'JSON_ENCODING');
  }
  assert.equal(codeOf(Uint8Array.from([0xef, 0xbb, 0xbf, 0x7b, 0x7d])), 'JSON_SYNTAX');
});

test('reads integers alike on the short way and on the long one', () => {
  for (let digits = 1; digits <= 20; digits++) {
    const text = '9'.repeat(digits);
    const value = BigInt(text);
    const exact = value <= BigInt(Number.MAX_SAFE_INTEGER);
    assert.equal(read(text), exact ? Number(value) : value);
    assert.equal(read(`-${text}`), exact ? -Number(value) : -value);
    assert.equal(read(`${text}.5`), Number(`${text}.5`));
    assert.equal(read(`${text}e1`), Number(`${text}e1`));
    assert.equal(read(`${text}E-1`), Number(`${text}E-1`));
  }
  assert.equal(read('0'), 0);
});

test('keeps integers exact beyond 2^53 and leaves the others numbers', () => {
  assert.equal(read('9007199254740991'), 9007199254740991);
  assert.equal(read('9007199254740993'), 9007199254740993n);
  assert.equal(read('-9007199254740993'), -9007199254740993n);
  assert.equal(read('18446744073709551615'), 2n ** 64n - 1n);
  assert.equal(read('1.5'), 1.5);
  assert.equal(read('1e3'), 1000);
});

test('reads keys that would reach into a prototype as keys', () => {
  const value = read('{"__proto__":{"x":1},"constructor":2,"toString":3}');
  const plain = jsonToPlain(value) as Record<string, unknown>;
  assert.deepEqual(Object.keys(plain), ['__proto__', 'constructor', 'toString']);
  assert.equal(Object.getPrototypeOf(plain), null);
  assert.equal(plain.x, undefined);
});

for (const [depth, code] of [
  [31, 'ok'],
  [32, 'ok'],
  [33, 'JSON_TOO_DEEP'],
  [50_000, 'JSON_TOO_DEEP'],
] as const) {
  test(`nesting ${depth} deep: ${code}`, () => {
    assert.equal(codeOf('['.repeat(depth) + ']'.repeat(depth)), code);
  });
}

test('siblings do not add up to depth', () => {
  assert.equal(codeOf(`[${'[],'.repeat(1_000)}{}]`), 'ok');
});

for (const [length, code] of [
  [9, 'ok'],
  [10, 'ok'],
  [11, 'JSON_TOO_LARGE'],
] as const) {
  test(`a document of ${length} bytes under a limit of 10: ${code}`, () => {
    assert.equal(codeOf(`"${'a'.repeat(length - 2)}"`, { maxBytes: 10 }), code);
  });
}

test('an object is demanded where one is', () => {
  for (const text of ['[]', '1', 'null', '"{}"']) {
    const result = parseJsonObject(utf8(text), LIMITS);
    assert.equal(result.ok ? 'ok' : result.error.code, 'JSON_SYNTAX');
  }
});

test('no bytes make the reader throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      parseJson(bytes, LIMITS);
    }),
    { numRuns: 2_000 },
  );
});
