import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { encodePem, parsePem } from './pem.ts';

const block = (label: string, body: string, end = label): string =>
  `-----BEGIN ${label}-----\n${body}\n-----END ${end}-----\n`;

describe('PEM', () => {
  it('reads back what it writes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), (der) => {
        const blocks = assertValue(parsePem(encodePem('CERTIFICATE', der)));
        assert.deepEqual(
          blocks.map((read) => [read.label, [...read.der]]),
          [['CERTIFICATE', [...der]]],
        );
      }),
    );
  });

  it('wraps lines after 64 characters', () => {
    const lines = encodePem('X', new Uint8Array(100)).split('\n');
    assert.deepEqual(
      lines.map((line) => line.length),
      [17, 64, 64, 8, 15, 0],
    );
  });

  it('skips text around blocks and takes CRLF and bytes', () => {
    const text = `subject=x\r\n${block('A', 'AQID')}\nissuer=y\n${block('B', 'BA==')}`;
    const crlf = Buffer.from(text.replaceAll('\n', '\r\n'));
    const blocks = assertValue(parsePem(crlf));
    assert.deepEqual(
      blocks.map(({ label }) => label),
      ['A', 'B'],
    );
  });

  it('answers no blocks for a text without any', () => {
    assert.deepEqual(assertValue(parsePem('hello')), []);
  });

  const MALFORMED: readonly [name: string, text: string][] = [
    ['a block without end', '-----BEGIN A-----\nAQID\n'],
    ['an end with another label', block('A', 'AQID', 'B')],
    ['a block inside a block', block('A', block('B', 'AQID'))],
    ['an empty block', block('A', '')],
    ['headers in a block', block('A', 'Proc-Type: 4,ENCRYPTED\n\nAQID')],
    ['base64 without padding', block('A', 'AQ')],
    ['base64 with padding too much', block('A', 'AQID=')],
    ['base64 with stray bits', block('A', 'AR==')],
    ['base64 of the URL alphabet', block('A', '-_-_')],
    ['a space inside the base64', block('A', 'AQ ID')],
    ['text after padding', block('A', 'AQ==AQ==')],
    ['a boundary without closing dashes', '-----BEGIN A\nAQID\n-----END A-----\n'],
    ['a label in lower case', block('a', 'AQID')],
    ['an empty label', block('', 'AQID')],
    ['a label of 65 characters', block('A'.repeat(65), 'AQID')],
  ];
  for (const [name, text] of MALFORMED) {
    it(`refuses ${name}`, () => assertRefused(parsePem(text), 'PEM_MALFORMED'));
  }

  it('reads the most blocks and bytes allowed and refuses one more', () => {
    const text = block('A', 'AQID');
    assertValue(parsePem(text.repeat(3), { maxBlocks: 3 }));
    assertRefused(parsePem(text.repeat(4), { maxBlocks: 3 }), 'PEM_TOO_LARGE');
    assertValue(parsePem(text, { maxBytes: text.length }));
    assertRefused(parsePem(text, { maxBytes: text.length - 1 }), 'PEM_TOO_LARGE');
  });

  it('G-10 reads a megabyte of near misses to its end', () => {
    const nearMiss = '-----BEGIN'.repeat(104_000);
    assert.deepEqual(assertValue(parsePem(nearMiss)), []);
    const manyBegins = '-----BEGIN A-----\n'.repeat(58_000);
    assertRefused(parsePem(manyBegins), 'PEM_MALFORMED');
    const manyDashes = `-----BEGIN ${'-'.repeat(1_000_000)}`;
    assertRefused(parsePem(manyDashes), 'PEM_MALFORMED');
  });
});
