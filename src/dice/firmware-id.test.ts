import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  compositeFwid,
  sha256Hex,
  sha384,
  tcbInfo,
  tcbInfoExtension,
} from '../../test/support/dice.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { makeCertificate, makeKey } from '../../test/support/x509.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { Result } from '../base/result.ts';
import { contextConstructed, contextPrimitive } from '../der/tags.ts';
import {
  derBoolean,
  derElement,
  derNumber,
  derOctetString,
  derOid,
  derSequence,
} from '../der/writer.ts';
import { derExtension } from '../x509/extension-writer.ts';
import { OID } from '../x509/oids.ts';
import { type FirmwareIds, readFirmwareIds } from './firmware-id.ts';
import { DICE_OID } from './oids.ts';

const digest = sha384('code');
const { spki } = makeKey('ec-p384');
const fwid = derSequence(derOid(OID.sha384), derOctetString(digest));

function read(...extensions: readonly Uint8Array[]): Result<FirmwareIds> {
  return readFirmwareIds(makeCertificate({ extraExtensions: extensions }).certificate);
}

/** The extension with any value. */
function withValue(value: Uint8Array): Result<FirmwareIds> {
  return read(derExtension(DICE_OID.tcbInfo, false, value));
}

function several(...infos: readonly Uint8Array[]): Uint8Array {
  return derExtension(DICE_OID.multiTcbInfo, false, derSequence(...infos));
}

function flags(...octets: readonly number[]): Result<FirmwareIds> {
  const list = derElement(contextConstructed(6), fwid);
  return withValue(derSequence(list, derElement(contextPrimitive(7), Uint8Array.from(octets))));
}

function digests(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, at) => sha384(`code ${at}`));
}

describe('firmware ids', () => {
  test('are read from the composite form with the key that it names', () => {
    const ids = assertValue(read(compositeFwid(spki, [digest])));
    assert.equal(ids.form, 'composite');
    assert.deepEqual(ids.parentSpki && sha256Hex(ids.parentSpki), sha256Hex(spki));
    assert.deepEqual(
      ids.fwids.map(({ algorithm }) => algorithm),
      ['sha384'],
    );
    assert.deepEqual(
      ids.fwids.map((each) => sha256Hex(each.digest)),
      [sha256Hex(digest)],
    );
  });

  test('are read from a TcbInfo with any of its other fields', () => {
    const ids = assertValue(
      read(tcbInfoExtension({ vendor: 'V', model: 'M', svn: 3, layer: 1, digests: [digest] })),
    );
    assert.deepEqual(
      [ids.form, ids.parentSpki, ids.flags, ids.fwids.length],
      ['tcb-info', undefined, [], 1],
    );
  });

  test('are read from every TcbInfo of several', () => {
    const infos = digests(3).map((each) => tcbInfo({ digests: [each] }));
    const ids = assertValue(read(several(...infos)));
    assert.deepEqual([ids.form, ids.fwids.length], ['multi-tcb-info', 3]);
  });

  for (const [algorithm, bytes] of [
    ['sha256', 32],
    ['sha384', 48],
    ['sha512', 64],
  ] as const) {
    test(`of ${algorithm} have ${bytes} bytes, no more and no less`, () => {
      const of = (length: number): Result<FirmwareIds> =>
        read(compositeFwid(spki, [new Uint8Array(length)], { algorithm: OID[algorithm] }));
      assert.equal(assertValue(of(bytes)).fwids[0]?.algorithm, algorithm);
      assertRefused(of(bytes - 1), 'DEVICE_FWID_MALFORMED');
      assertRefused(of(bytes + 1), 'DEVICE_FWID_MALFORMED');
    });
  }

  test('are at most 16 in one certificate', () => {
    assertValue(read(compositeFwid(spki, digests(15))));
    assertValue(read(compositeFwid(spki, digests(16))));
    assertRefused(read(compositeFwid(spki, digests(17))), 'DEVICE_FWID_MALFORMED');
    const infos = (count: number): Uint8Array[] =>
      digests(count).map((each) => tcbInfo({ digests: [each] }));
    assertValue(read(several(...infos(16))));
    assertRefused(read(several(...infos(17))), 'DEVICE_FWID_MALFORMED');
    const empty = Array.from({ length: 15 }, () => tcbInfo({}));
    assertValue(read(several(...empty, ...infos(1))));
    assertRefused(read(several(...empty, tcbInfo({}), ...infos(1))), 'DEVICE_FWID_MALFORMED');
    const full = tcbInfo({ digests: digests(9) });
    assertRefused(read(several(full, full)), 'DEVICE_FWID_MALFORMED');
  });

  test('flags are named, whatever octets hold them', () => {
    const cases = [
      [[0], []],
      [[4, 0x00], []],
      [[4, 0x10], ['debug']],
      [
        [4, 0xf0],
        ['not-configured', 'not-secure', 'recovery', 'debug'],
      ],
      [[0, 0x08], ['unknown']],
      [[0, 0x00, 0x01], ['unknown']],
    ] as const;
    for (const [octets, expected] of cases) {
      assert.deepEqual(assertValue(flags(...octets)).flags, expected);
    }
  });
});

const REFUSED: readonly (readonly [string, () => Result<unknown>, ErrorCode])[] = [
  ['no extension', () => read(), 'DEVICE_FWID_MALFORMED'],
  [
    'both extensions',
    () => read(compositeFwid(spki, [digest]), several(tcbInfo({ digests: [digest] }))),
    'DEVICE_FWID_MALFORMED',
  ],
  [
    'composite version 0',
    () => read(compositeFwid(spki, [digest], { version: 0 })),
    'DEVICE_FWID_MALFORMED',
  ],
  [
    'composite version 2',
    () => read(compositeFwid(spki, [digest], { version: 2 })),
    'DEVICE_FWID_MALFORMED',
  ],
  ['a composite without ids', () => read(compositeFwid(spki, [])), 'DER_TRUNCATED'],
  ['a TcbInfo without ids', () => read(tcbInfoExtension({ vendor: 'V' })), 'DEVICE_FWID_MALFORMED'],
  ['an empty TcbInfo', () => withValue(derSequence()), 'DEVICE_FWID_MALFORMED'],
  ['no TcbInfo of several', () => read(several()), 'DEVICE_FWID_MALFORMED'],
  [
    'an empty list of ids',
    () => withValue(derSequence(derElement(contextConstructed(6)))),
    'DER_TRUNCATED',
  ],
  [
    'SHA-1',
    () => read(compositeFwid(spki, [new Uint8Array(20)], { algorithm: '1.3.14.3.2.26' })),
    'DEVICE_FWID_MALFORMED',
  ],
  [
    'fields out of order',
    () =>
      withValue(
        derSequence(
          derElement(contextConstructed(6), fwid),
          derElement(contextPrimitive(3), derNumber(1)),
        ),
      ),
    'DER_TRAILING_BYTES',
  ],
  [
    'integrity registers, which hold values that nobody compares',
    () =>
      withValue(
        derSequence(derElement(contextConstructed(6), fwid), derElement(contextConstructed(11))),
      ),
    'DER_TRAILING_BYTES',
  ],
  [
    'bytes after the composite',
    () => withValue(Buffer.concat([derSequence(derNumber(1), spki, fwid), derBoolean(true)])),
    'DER_TRAILING_BYTES',
  ],
  [
    'an id with a field too many',
    () =>
      withValue(
        derSequence(
          derNumber(1),
          spki,
          derSequence(derOid(OID.sha384), derOctetString(digest), derBoolean(true)),
        ),
      ),
    'DER_TRAILING_BYTES',
  ],
  ['flags without octets', () => flags(), 'DEVICE_FWID_MALFORMED'],
  ['flags with 8 unused bits', () => flags(8, 0), 'DEVICE_FWID_MALFORMED'],
  ['flags with unused bits of no octet', () => flags(1), 'DEVICE_FWID_MALFORMED'],
];

describe('a firmware id extension is refused with', () => {
  for (const [name, attempt, code] of REFUSED) test(name, () => assertRefused(attempt(), code));
});
