import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Random } from '../../src/base/random.ts';
import { type Result, unwrap } from '../../src/base/result.ts';
import { readCorim } from '../../src/dpu/manifest/corim.ts';
import { openManifest } from '../../src/dpu/manifest/open-manifest.ts';
import { parseManifest } from '../../src/dpu/manifest/parse-manifest.ts';
import {
  comid,
  digestMeasurement,
  environment,
  rawMeasurement,
  signCorim,
  unsignedCorim,
} from '../support/corim.ts';
import { manifestBytes, sha512, signManifest } from '../support/manifest.ts';
import { makeKey } from '../support/x509.ts';
import { between, runSeed } from './seed.ts';

const ROUNDS = 5000;
const AT_MS = Date.UTC(2030, 0, 1);

const key = makeKey('ec-p256');
const keys = [key.publicKey];
const measurements = [
  digestMeasurement(2, [[8, sha512('psc')]]),
  rawMeasurement(1, Uint8Array.of(0, 1, 0, 3)),
];
const corim = unsignedCorim([comid([[environment('BlueField-3'), measurements]])]);

/** One bit flipped, a part cut out, or the end cut off. */
function mutate(bytes: Uint8Array, random: Random): Uint8Array {
  const at = between(random, 0, bytes.length);
  const kind = between(random, 0, 4);
  if (kind === 0) return bytes.subarray(0, at);
  if (kind === 1) {
    const end = Math.min(bytes.length, at + between(random, 1, 16));
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
  }
  const copy = Uint8Array.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ (1 << between(random, 0, 8));
  return copy;
}

/** What is signed is refused, or says what it said: key ids are not signed. What is not may say anything. */
const DOCUMENTS: readonly {
  readonly name: string;
  readonly file: Uint8Array;
  readonly read: (file: Uint8Array) => Result<unknown>;
  readonly signed: boolean;
}[] = [
  { name: 'a manifest', file: manifestBytes(), read: (file) => parseManifest(file), signed: false },
  {
    name: 'a signed manifest',
    file: signManifest(manifestBytes(), key),
    read: (file) => openManifest(file, { keys }),
    signed: true,
  },
  {
    name: 'a CoRIM',
    file: corim,
    read: (file) => readCorim(file, { keys, atMs: AT_MS }),
    signed: false,
  },
  {
    name: 'a signed CoRIM',
    file: signCorim(corim, key),
    read: (file) => readCorim(file, { keys, atMs: AT_MS }),
    signed: true,
  },
];

describe('bit flips and cuts', () => {
  for (const { name, file, read, signed } of DOCUMENTS) {
    test(`of ${name} crash nothing${signed ? ', and none says anything else' : ''}`, () => {
      const { random } = runSeed(name);
      const original = unwrap(read(file));
      for (let round = 0; round < ROUNDS; round++) {
        const result = read(mutate(file, random));
        if (!result.ok) assert.notEqual(result.error.code, 'INTERNAL', `round ${round}`);
        else if (signed) assert.deepEqual(result.value, original, `round ${round}`);
      }
    });
  }
});
