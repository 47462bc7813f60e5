import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  envelopeOf,
  manifestBytes,
  signManifest,
  type Written,
} from '../../../test/support/manifest.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { makeKey, type TestKey } from '../../../test/support/x509.ts';
import { utf8 } from '../../base/bytes.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { MANIFEST_PAYLOAD_TYPE, openManifest, preAuthEncoding } from './open-manifest.ts';

const key = makeKey('ec-p384');
const other = makeKey('ed25519');
const stranger = makeKey();
const payload = manifestBytes();

function signers(keys: readonly TestKey[], threshold?: number) {
  const pinned = { keys: keys.map(({ publicKey }) => publicKey) };
  return threshold === undefined ? pinned : { ...pinned, threshold };
}

/** The envelope with fields changed. */
function changed(changes: Written): Uint8Array {
  return utf8(JSON.stringify({ ...envelopeOf(payload, [key]), ...changes }));
}

describe('a signed manifest', () => {
  for (const type of ['ec-p256', 'ec-p384', 'ec-p521', 'rsa-2048', 'ed25519'] as const) {
    test(`opens under a pinned key of type ${type}`, () => {
      const signer = makeKey(type);
      const manifest = assertValue(openManifest(signManifest(payload, signer), signers([signer])));
      assert.equal(manifest.sequence, 7);
    });
  }

  test('opens where one of several pinned keys signed, beside strangers', () => {
    const file = signManifest(payload, stranger, other);
    assertValue(openManifest(file, signers([key, other])));
  });

  for (const [by, threshold, code] of [
    [[key, other], 2, undefined],
    [[key], 2, 'MANIFEST_UNSIGNED'],
    [[key, key], 2, 'MANIFEST_UNSIGNED'],
    [[key, stranger], 2, 'MANIFEST_UNSIGNED'],
    [[stranger], 1, 'MANIFEST_UNSIGNED'],
    [[stranger], 0, 'MANIFEST_UNSIGNED'],
  ] as const) {
    const names = by
      .map((each) => (each === stranger ? 'a stranger' : 'a pinned key'))
      .join(' and ');
    test(`${code === undefined ? 'opens' : 'is refused'} by ${names}, ${threshold} needed`, () => {
      const result = openManifest(signManifest(payload, ...by), signers([key, other], threshold));
      if (code === undefined) assertValue(result);
      else assertRefused(result, code);
    });
  }

  test('is refused where nobody is pinned', () => {
    assertRefused(openManifest(signManifest(payload, key), signers([])), 'MANIFEST_UNSIGNED');
  });

  test('is refused after any change of a byte of its payload', () => {
    const { signatures } = envelopeOf(payload, [key]);
    for (const at of [0, payload.length >> 1, payload.length - 1]) {
      const bytes = Buffer.from(payload);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      const file = changed({ payload: bytes.toString('base64'), signatures });
      assertRefused(openManifest(file, signers([key])), 'MANIFEST_UNSIGNED');
    }
  });

  test('is not the signature over the bare payload, nor over another type of document', () => {
    const bare = signManifest(payload.subarray(0, 0), key);
    const { signatures } = JSON.parse(Buffer.from(bare).toString()) as Written;
    assertRefused(openManifest(changed({ signatures }), signers([key])), 'MANIFEST_UNSIGNED');
    const foreign = envelopeOf(payload, [key], 'application/vnd.in-toto+json').signatures;
    assertRefused(
      openManifest(changed({ signatures: foreign }), signers([key])),
      'MANIFEST_UNSIGNED',
    );
  });

  test('signs type and payload with their lengths (DSSE PAE)', () => {
    const encoded = preAuthEncoding('http://example.com/HelloWorld', utf8('hello world'));
    const expected = 'DSSEv1 29 http://example.com/HelloWorld 11 hello world';
    assert.equal(Buffer.from(encoded).toString(), expected);
  });

  test('is read only once its signature holds', () => {
    const broken = utf8('{"schema":1,"schema":2}');
    assertRefused(
      openManifest(signManifest(broken, stranger), signers([key])),
      'MANIFEST_UNSIGNED',
    );
    assertRefused(openManifest(signManifest(broken, key), signers([key])), 'JSON_DUPLICATE_KEY');
  });
});

const many = (count: number) => envelopeOf(payload, Array<TestKey>(count).fill(key)).signatures;

const REFUSED: readonly (readonly [string, () => Uint8Array, ErrorCode])[] = [
  ['no JSON', () => payload.subarray(1), 'JSON_SYNTAX'],
  ['the payload itself', () => payload, 'MANIFEST_ENVELOPE'],
  ['a field that is not known', () => changed({ extra: 1 }), 'MANIFEST_ENVELOPE'],
  ['another payload type', () => changed({ payloadType: 'text/plain' }), 'MANIFEST_ENVELOPE'],
  ['no payload', () => changed({ payload: undefined }), 'MANIFEST_ENVELOPE'],
  ['an empty payload', () => changed({ payload: '' }), 'MANIFEST_ENVELOPE'],
  ['a payload that is no base64', () => changed({ payload: 'a b' }), 'MANIFEST_ENVELOPE'],
  ['a payload in URL-safe base64', () => changed({ payload: '-_-_' }), 'MANIFEST_ENVELOPE'],
  ['no signatures', () => changed({ signatures: [] }), 'MANIFEST_ENVELOPE'],
  ['signatures that are no list', () => changed({ signatures: {} }), 'MANIFEST_ENVELOPE'],
  ['a signature that is no object', () => changed({ signatures: ['x'] }), 'MANIFEST_ENVELOPE'],
  [
    'a signature without bytes',
    () => changed({ signatures: [{ keyid: '' }] }),
    'MANIFEST_ENVELOPE',
  ],
  [
    'a signature with a field that is not known',
    () => changed({ signatures: [{ sig: 'AAAA', alg: 'none' }] }),
    'MANIFEST_ENVELOPE',
  ],
  ['9 signatures', () => changed({ signatures: many(9) }), 'MANIFEST_ENVELOPE'],
  [
    'a field twice',
    () => utf8(`{"payloadType":"${MANIFEST_PAYLOAD_TYPE}","payloadType":"x"}`),
    'JSON_DUPLICATE_KEY',
  ],
];

describe('an envelope is refused with', () => {
  for (const [name, file, code] of REFUSED) {
    test(name, () => assertRefused(openManifest(file(), signers([key])), code));
  }

  test('but 8 signatures are taken', () => {
    assertValue(openManifest(changed({ signatures: many(8) }), signers([key])));
  });
});
