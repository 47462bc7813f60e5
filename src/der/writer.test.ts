import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { assertValue } from '../../test/support/refused.ts';
import { readDer } from './reader.ts';
import { TAG } from './tags.ts';
import {
  derAscii,
  derBitString,
  derBoolean,
  derDirectoryString,
  derElement,
  derNamedBits,
  derNull,
  derNumber,
  derOctetString,
  derOid,
  derSetOf,
  derTime,
  derUnsigned,
} from './writer.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('DER writer', () => {
  for (const length of [0, 127, 128, 255, 256, 65_535, 65_536]) {
    it(`writes contents of ${length} bytes so that the strict reader reads them`, () => {
      const der = derOctetString(new Uint8Array(length).fill(7));
      const read = readDer('x', der, (c) => c.content(TAG.octetString, 'octets'), 70_000);
      assert.equal(assertValue(read).length, length);
    });
  }

  const WRITTEN: readonly [name: string, der: Uint8Array, expected: string][] = [
    ['INTEGER 0 from no bytes', derUnsigned(new Uint8Array()), '020100'],
    ['INTEGER 0 from zeros', derUnsigned(new Uint8Array(3)), '020100'],
    ['INTEGER 127', derNumber(127), '02017f'],
    ['INTEGER 128', derNumber(128), '02020080'],
    ['INTEGER 2^32-1', derNumber(2 ** 32 - 1), '020500ffffffff'],
    ['INTEGER without leading zeros', derUnsigned(Uint8Array.of(0, 0, 1)), '020101'],
    ['BOOLEAN true', derBoolean(true), '0101ff'],
    ['BOOLEAN false', derBoolean(false), '010100'],
    ['NULL', derNull(), '0500'],
    ['BIT STRING', derBitString(Uint8Array.of(0x80), 7), '03020780'],
    ['named bits without trailing zeros', derNamedBits([0, 2, 4]), '030203a8'],
    ['named bit 8 in a second octet', derNamedBits([8]), '0303070080'],
    ['no named bits', derNamedBits([]), '030100'],
    ['OID', derOid('2.5.29.17'), '0603551d11'],
    ['SET OF in order', derSetOf(derNumber(2), derNumber(1)), '3106020101020102'],
    ['printable text', derDirectoryString('US'), '13025553'],
    ['an asterisk as UTF8String', derDirectoryString('*'), '0c012a'],
    ['umlauts as UTF8String', derDirectoryString('ä'), '0c02c3a4'],
    ['empty element', derElement(0xa0), 'a000'],
  ];
  for (const [name, der, expected] of WRITTEN) {
    it(`writes ${name}`, () => assert.equal(hex(der), expected));
  }

  it('refuses what cannot be written as a mistake of the caller', () => {
    assert.throws(() => derNumber(-1), TypeError);
    assert.throws(() => derNumber(2 ** 32), TypeError);
    assert.throws(() => derNumber(1.5), TypeError);
    assert.throws(() => derOid('1.x'), TypeError);
    assert.throws(() => derOid(''), TypeError);
    assert.throws(() => derAscii(TAG.ia5String, 'ä'), TypeError);
    assert.throws(() => derTime(Number.NaN), TypeError);
    assert.throws(() => derTime(Date.UTC(1949, 11, 31)), TypeError);
    assert.throws(() => derTime(Date.UTC(10_000, 0, 1)), TypeError);
  });

  it('switches from UTCTime to GeneralizedTime with the year 2050', () => {
    assert.equal(derTime(Date.UTC(2049, 11, 31, 23, 59, 59))[0], TAG.utcTime);
    assert.equal(derTime(Date.UTC(2050, 0, 1))[0], TAG.generalizedTime);
  });

  it('reads back every second of 1950 to 9999', () => {
    const first = Date.UTC(1950, 0, 1) / 1000;
    const last = Date.UTC(9999, 11, 31, 23, 59, 59) / 1000;
    fc.assert(
      fc.property(fc.integer({ min: first, max: last }), (second) => {
        const read = readDer('time', derTime(second * 1000 + 999), (c) => c.time('time'));
        assert.equal(assertValue(read), second * 1000);
      }),
    );
  });

  it('reads back every magnitude', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (magnitude) => {
        const read = readDer('number', derUnsigned(magnitude), (c) => hex(c.integer('number')));
        const expected = BigInt(`0x${hex(magnitude) || '0'}`);
        assert.equal(BigInt(`0x${assertValue(read)}`), expected);
      }),
    );
  });
});
