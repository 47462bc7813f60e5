import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TAG } from '../der/tags.ts';
import { derElement, derOid, derSequence, derSetOf, derUtf8String } from '../der/writer.ts';
import { commonNameOf } from './common-name.ts';
import { derName } from './name-writer.ts';
import { OID } from './oids.ts';

function named(...values: readonly Uint8Array[]): Uint8Array {
  return derSequence(
    ...values.map((value) => derSetOf(derSequence(derOid(OID.commonName), value))),
  );
}

test('a common name is read in every form that may stand there', () => {
  assert.equal(commonNameOf(derName({ commonName: 'a' })), 'a');
  assert.equal(commonNameOf(named(derUtf8String('ä'))), 'ä');
  assert.equal(commonNameOf(named(derElement(TAG.bmpString, Buffer.of(0, 0x61)))), 'a');
  assert.equal(commonNameOf(named(derElement(TAG.ia5String, Buffer.from('a')))), 'a');
});

test('a name without one, with two, or with text that is broken has none', () => {
  assert.equal(commonNameOf(derName({ organization: 'a' })), undefined);
  assert.equal(commonNameOf(named(derUtf8String('a'), derUtf8String('b'))), undefined);
  assert.equal(commonNameOf(named(derElement(TAG.utf8String, Buffer.of(0xff)))), undefined);
  assert.equal(commonNameOf(named(derElement(TAG.printableString, Buffer.of(0xe4)))), undefined);
  assert.equal(commonNameOf(Buffer.of(1, 2, 3)), undefined);
});
