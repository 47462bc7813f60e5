import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import type { ErrorCode } from '../base/errors.ts';
import { SignetError } from '../base/errors.ts';
import { DerCursor, MAX_DER_DEPTH, readDer } from './reader.ts';
import { TAG } from './tags.ts';
import { derElement, derOid, derSequence } from './writer.ts';

type Read = (cursor: DerCursor) => unknown;

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');

const readInteger: Read = (cursor) => Buffer.from(cursor.integer('number')).toString('hex');
const readBoolean: Read = (cursor) => cursor.boolean('flag');
const readOid: Read = (cursor) => cursor.oid('oid');
const readBits: Read = (cursor) => cursor.bitString('bits').unusedBits;
const readOctets: Read = (cursor) => cursor.content(TAG.octetString, 'octets').length;
const readTime: Read = (cursor) => new Date(cursor.time('time')).toISOString();
const readNull: Read = (cursor) => cursor.null('null');
const readSmall: Read = (cursor) => cursor.smallInteger('number');
const readPositive: Read = (cursor) =>
  Buffer.from(cursor.positiveInteger('number')).toString('hex');

const ascii = (tag: number, text: string): string =>
  Buffer.from(derElement(tag, Buffer.from(text, 'latin1'))).toString('hex');
const utc = (text: string): string => ascii(TAG.utcTime, text);
const generalized = (text: string): string => ascii(TAG.generalizedTime, text);

const ACCEPTED: readonly [name: string, input: string, read: Read, value: unknown][] = [
  ['INTEGER 0', '02 01 00', readInteger, '00'],
  ['INTEGER 127', '02 01 7f', readInteger, '7f'],
  ['INTEGER 128 with its zero octet', '02 02 00 80', readInteger, '0080'],
  ['INTEGER -128', '02 01 80', readInteger, '80'],
  ['INTEGER -129', '02 02 ff 7f', readInteger, 'ff7f'],
  ['small INTEGER 2^31-1', '02 04 7f ff ff ff', readSmall, 2 ** 31 - 1],
  ['positive INTEGER 128 without its zero octet', '02 02 00 80', readPositive, '80'],
  ['BOOLEAN true', '01 01 ff', readBoolean, true],
  ['BOOLEAN false', '01 01 00', readBoolean, false],
  ['BIT STRING without bits', '03 01 00', readBits, 0],
  ['BIT STRING with 7 unused zero bits', '03 02 07 80', readBits, 7],
  ['OID with arcs of several octets', '06 03 2a 86 48', readOid, '1.2.840'],
  ['OID below 2.x with a second arc over 39', '06 03 88 37 03', readOid, '2.999.3'],
  ['OID arc of 2^53-1', '06 09 2a 8f ff ff ff ff ff ff 7f', readOid, '1.2.9007199254740991'],
  ['NULL', '05 00', readNull, undefined],
  ['length of 127 in one octet', `04 7f ${'00'.repeat(127)}`, readOctets, 127],
  ['length of 128 in two octets', `04 81 80 ${'00'.repeat(128)}`, readOctets, 128],
  ['length of 256 in three octets', `04 82 01 00 ${'00'.repeat(256)}`, readOctets, 256],
  ['UTCTime of 1950', utc('500101000000Z'), readTime, '1950-01-01T00:00:00.000Z'],
  ['UTCTime of 2049', utc('491231235959Z'), readTime, '2049-12-31T23:59:59.000Z'],
  ['UTCTime of a leap day', utc('240229120000Z'), readTime, '2024-02-29T12:00:00.000Z'],
  ['GeneralizedTime of 2050', generalized('20500101000000Z'), readTime, '2050-01-01T00:00:00.000Z'],
  ['GeneralizedTime of 9999', generalized('99991231235959Z'), readTime, '9999-12-31T23:59:59.000Z'],
];

const REFUSED: readonly [name: string, input: string, read: Read, code: ErrorCode][] = [
  ['nothing', '', readInteger, 'DER_TRUNCATED'],
  ['a tag alone', '02', readInteger, 'DER_TRUNCATED'],
  ['contents that end early', '02 02 01', readInteger, 'DER_TRUNCATED'],
  ['a long length that ends early', '04 82 01', readOctets, 'DER_TRUNCATED'],
  ['another tag', '04 01 00', readInteger, 'DER_TAG'],
  ['a tag number above 30', '1f 02 00', (c) => c.content(0x1f, 'high'), 'DER_TAG'],
  ['an indefinite length', '04 80 00 00', readOctets, 'DER_LENGTH'],
  ['the reserved length octet', '04 ff', readOctets, 'DER_LENGTH'],
  ['a length of five octets', '04 85 00 00 00 00 01 00', readOctets, 'DER_LENGTH'],
  ['a length of 127 in two octets', `04 81 7f ${'00'.repeat(127)}`, readOctets, 'DER_LENGTH'],
  ['a length with a leading zero', `04 82 00 80 ${'00'.repeat(128)}`, readOctets, 'DER_LENGTH'],
  ['a length of 4 GiB', '04 84 ff ff ff ff', readOctets, 'DER_TRUNCATED'],
  ['a byte after the end', '02 01 00 00', readInteger, 'DER_TRAILING_BYTES'],
  ['an INTEGER without contents', '02 00', readInteger, 'DER_VALUE'],
  ['an INTEGER padded with zero', '02 02 00 7f', readInteger, 'DER_VALUE'],
  ['an INTEGER padded with ff', '02 02 ff 80', readInteger, 'DER_VALUE'],
  ['a small INTEGER of 2^31', '02 05 00 80 00 00 00', readSmall, 'DER_VALUE'],
  ['a small INTEGER below zero', '02 01 ff', readSmall, 'DER_VALUE'],
  ['a positive INTEGER of zero', '02 01 00', readPositive, 'DER_VALUE'],
  ['a positive INTEGER below zero', '02 01 80', readPositive, 'DER_VALUE'],
  ['a BOOLEAN of 01', '01 01 01', readBoolean, 'DER_VALUE'],
  ['a BOOLEAN without contents', '01 00', readBoolean, 'DER_VALUE'],
  ['a BOOLEAN of two octets', '01 02 ff ff', readBoolean, 'DER_VALUE'],
  ['a BIT STRING without contents', '03 00', readBits, 'DER_VALUE'],
  ['a BIT STRING with 8 unused bits', '03 02 08 00', readBits, 'DER_VALUE'],
  ['a BIT STRING with unused bits of nothing', '03 01 01', readBits, 'DER_VALUE'],
  ['a BIT STRING with an unused bit set', '03 02 07 c0', readBits, 'DER_VALUE'],
  ['half an octet', '03 02 04 f0', (c) => c.octetsInBitString('key'), 'DER_VALUE'],
  ['an OID without contents', '06 00', readOid, 'DER_VALUE'],
  ['an OID that ends inside an arc', '06 02 2a 86', readOid, 'DER_VALUE'],
  ['an OID arc with a leading 80', '06 03 2a 80 01', readOid, 'DER_VALUE'],
  ['an OID that begins with 80', '06 02 80 01', readOid, 'DER_VALUE'],
  ['an OID arc of 2^53', '06 09 2a 90 80 80 80 80 80 80 00', readOid, 'DER_VALUE'],
  ['an OID of 65 octets', `06 41 ${'2a'.repeat(65)}`, readOid, 'DER_VALUE'],
  ['a NULL with contents', '05 01 00', readNull, 'DER_VALUE'],
  ['a time with another tag', ascii(TAG.ia5String, '240101000000Z'), readTime, 'DER_TAG'],
  ['a UTCTime without seconds', utc('2401010000Z'), readTime, 'DER_TIME'],
  ['a UTCTime with an offset', utc('240101000000+0000'), readTime, 'DER_TIME'],
  ['a UTCTime without Z', utc('2401010000000'), readTime, 'DER_TIME'],
  ['a UTCTime with a letter', utc('24010100000aZ'), readTime, 'DER_TIME'],
  ['month 00', utc('240001000000Z'), readTime, 'DER_TIME'],
  ['month 13', utc('241301000000Z'), readTime, 'DER_TIME'],
  ['day 00', utc('240100000000Z'), readTime, 'DER_TIME'],
  ['day 31 of April', utc('240431000000Z'), readTime, 'DER_TIME'],
  ['29 February of a common year', utc('230229000000Z'), readTime, 'DER_TIME'],
  ['hour 24', utc('240101240000Z'), readTime, 'DER_TIME'],
  ['minute 60', utc('240101006000Z'), readTime, 'DER_TIME'],
  ['second 60', utc('240101000060Z'), readTime, 'DER_TIME'],
  ['GeneralizedTime of 2049', generalized('20491231235959Z'), readTime, 'DER_TIME'],
  ['GeneralizedTime with fractions', generalized('20500101000000.5Z'), readTime, 'DER_TIME'],
];

/** Sequences in one another, the innermost empty. */
function nested(levels: number): Uint8Array {
  let der: Uint8Array = derSequence();
  for (let i = 1; i < levels; i++) der = derSequence(der);
  return der;
}

function descend(cursor: DerCursor): void {
  while (!cursor.done) descend(cursor.sequence('level'));
}

describe('DER reader', () => {
  for (const [name, input, read, value] of ACCEPTED) {
    it(`accepts ${name}`, () => assert.equal(assertValue(readDer('x', hex(input), read)), value));
  }

  for (const [name, input, read, code] of REFUSED) {
    it(`refuses ${name}`, () => assertRefused(readDer('x', hex(input), read), code));
  }

  it('follows 16 levels and refuses 17', () => {
    assertValue(readDer('x', nested(MAX_DER_DEPTH), descend));
    assertRefused(readDer('x', nested(MAX_DER_DEPTH + 1), descend), 'DER_TOO_DEEP');
  });

  it('reads 64 KiB and refuses one byte more, or what the caller allows', () => {
    const octets = (length: number): Uint8Array => derElement(4, new Uint8Array(length - 4));
    assertValue(readDer('x', octets(65_536), readOctets));
    assertRefused(readDer('x', octets(65_537), readOctets), 'DER_TOO_LARGE');
    assertRefused(readDer('x', hex('02 01 00'), readInteger, 2), 'DER_TOO_LARGE');
  });

  it('keeps an inner element from reaching past its end', () => {
    const input = hex('30 03 04 02 00 04 01 00');
    const read: Read = (cursor) => cursor.sequence('outer').content(4, 'inner');
    assertRefused(readDer('x', input, read), 'DER_TRUNCATED');
  });

  it('turns anything else that is thrown into INTERNAL', () => {
    const result = readDer('x', hex('02 01 00'), () => {
      throw new TypeError('a mistake of ours');
    });
    assertRefused(result, 'INTERNAL');
  });

  it('answers any bytes with a value or a coded refusal', () => {
    const reads = [readInteger, readBoolean, readOid, readBits, readTime, readNull, descend];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.constantFrom(...reads), (bytes, read) => {
        const result = readDer('x', bytes, read);
        return (
          result.ok || (result.error instanceof SignetError && result.error.code !== 'INTERNAL')
        );
      }),
    );
  });

  it('reads back every OID that is written', () => {
    const arc = fc.nat({ max: 2 ** 31 - 1 });
    fc.assert(
      fc.property(fc.nat(2), fc.nat(39), fc.array(arc, { maxLength: 8 }), (first, second, rest) => {
        const dotted = [first, second, ...rest].join('.');
        assert.equal(assertValue(readDer('oid', derOid(dotted), readOid)), dotted);
      }),
    );
  });

  it('cuts out what was read', () => {
    const cursor = new DerCursor(hex('02 01 05 02 01 06'));
    cursor.integer('first');
    const start = cursor.position;
    cursor.skip('second');
    assert.deepEqual([...cursor.since(start)], [2, 1, 6]);
    assert.equal(cursor.nextTag, -1);
  });
});
