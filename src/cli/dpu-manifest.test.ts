import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cli } from '../../test/support/cli.ts';
import {
  comid,
  digestMeasurement,
  environment,
  signCorim,
  unsignedCorim,
} from '../../test/support/corim.ts';
import { sha256Hex } from '../../test/support/dice.ts';
import {
  manifestBytes,
  sha512,
  signManifest,
  writtenManifest,
  writtenRelease,
  writtenTarget,
} from '../../test/support/manifest.ts';
import { makeKey } from '../../test/support/x509.ts';
import { encodePem } from '../der/pem.ts';
import { cliCommands } from './commands.ts';

const NOW_MS = Date.UTC(2030, 5, 1);
const [publisher, second, stranger] = [makeKey('ec-p384'), makeKey('ed25519'), makeKey()];
const corim = signCorim(
  unsignedCorim([comid([[environment('NIC'), [digestMeasurement(3, [[8, sha512('nic')]])]]])]),
  publisher,
);
const release = {
  measurements: [],
  corims: [{ sha256: sha256Hex(corim), environment: { model: 'NIC' } }],
};
const withCorim = manifestBytes(
  writtenManifest({ targets: [writtenTarget({ releases: [writtenRelease('r1', 1, release)] })] }),
);

let folder: string;
const at = (name: string): string => join(folder, name);

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'sgn-'));
  const files = {
    'manifest.json': manifestBytes(),
    'signed.json': signManifest(manifestBytes(), publisher, second),
    'with-corim.json': withCorim,
    'vendor.corim': corim,
    'expired.json': signManifest(
      manifestBytes(writtenManifest({ expiresAt: '2030-05-31T00:00:00Z' })),
      publisher,
    ),
    'publisher.pem': encodePem('PUBLIC KEY', publisher.spki),
    'second.pem': encodePem('PUBLIC KEY', second.spki),
    'stranger.pem': encodePem('PUBLIC KEY', stranger.spki),
    'certificate.pem': encodePem('CERTIFICATE', publisher.spki),
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(at(name), content);
});

after(() => rmSync(folder, { recursive: true, force: true }));

const dpu = (...argv: string[]) => cli(cliCommands, ['dpu', ...argv], { nowMs: NOW_MS });

describe('signet dpu manifest verify', () => {
  test('says what a manifest demands once its signatures hold', async () => {
    const keys = ['--key', at('publisher.pem'), '--key', at('second.pem'), '--threshold', '2'];
    const { code, out, err } = await dpu('manifest', 'verify', ...keys, at('signed.json'));
    assert.equal(code, 0, err);
    assert.match(out, /^Signatures hold\.$/m);
    assert.match(out, /^Revision +: 7$/m);
    assert.match(out, /^Baseline +: 7, 8, 9, 10$/m);
    assert.match(out, /^r2 +2 +L5, L6 +2, 3, 4$/m);
  });

  test('answers programs with JSON', async () => {
    const argv = ['--key', at('publisher.pem'), '-o', 'json', at('signed.json')];
    const { out } = await dpu('manifest', 'verify', ...argv);
    const { id, sequence, targets } = JSON.parse(out);
    assert.deepEqual([id, sequence, targets[0].minimumRelease], ['bluefield-3', 7, 'r1']);
  });

  test('shows a manifest that has expired, and ends with 1', async () => {
    const argv = ['--key', at('publisher.pem'), at('expired.json')];
    const { code, out, err } = await dpu('manifest', 'verify', ...argv);
    assert.equal(code, 1);
    assert.match(out, /^Expires +: 2030-05-31T00:00:00Z/m);
    assert.match(err, /code: MANIFEST_EXPIRED/);
  });

  test('names the file of a key that is none', async () => {
    const { err } = await dpu(
      'manifest',
      'verify',
      '--key',
      at('certificate.pem'),
      at('signed.json'),
    );
    assert.ok(err.includes(at('certificate.pem')), err);
  });

  for (const [what, argv, code] of [
    ['a key that did not sign', ['--key', 'stranger.pem', 'signed.json'], 'MANIFEST_UNSIGNED'],
    [
      'fewer keys than are needed',
      ['--key', 'publisher.pem', '--threshold', '2', 'signed.json'],
      'MANIFEST_UNSIGNED',
    ],
    ['the bare payload', ['--key', 'publisher.pem', 'manifest.json'], 'MANIFEST_ENVELOPE'],
    ['no key', ['signed.json'], 'CLI_USAGE'],
    ['no file', ['--key', 'publisher.pem'], 'CLI_USAGE'],
    ['two files', ['--key', 'publisher.pem', 'signed.json', 'signed.json'], 'CLI_USAGE'],
    ['a file that is not there', ['--key', 'publisher.pem', 'nowhere'], 'CLI_FILE'],
    ['a certificate as a key', ['--key', 'certificate.pem', 'signed.json'], 'PEM_LABEL'],
    [
      'a threshold of none',
      ['--key', 'publisher.pem', '--threshold', '0', 'signed.json'],
      'CLI_USAGE',
    ],
  ] as const) {
    test(`refuses ${what}`, async () => {
      const named = argv.map((word) => (/\.(json|pem)$|^nowhere$/.test(word) ? at(word) : word));
      const { code: exit, out, err } = await dpu('manifest', 'verify', ...named);
      assert.notEqual(exit, 0);
      assert.equal(out, '');
      assert.match(err, new RegExp(`^ {2}code: ${code}\\b`, 'm'));
    });
  }
});

describe('signet dpu manifest show', () => {
  test('says what a draft demands, and that it is not signed', async () => {
    const { code, out, err } = await dpu('manifest', 'show', at('manifest.json'));
    assert.equal(code, 0, err);
    assert.match(out, /^Not signed/m);
    assert.match(out, /^Manifest +: bluefield-3$/m);
  });

  test('leads who gives it a signed one to verify', async () => {
    const { code, err } = await dpu('manifest', 'show', at('signed.json'));
    assert.equal(code, 2);
    assert.match(err, /"signet dpu manifest verify" shows it/);
  });

  test('takes values out of a CoRIM that is given with its key', async () => {
    const corims = ['--corim', at('vendor.corim'), '--corim-key', at('publisher.pem')];
    const { out, err } = await dpu('manifest', 'show', ...corims, at('with-corim.json'));
    assert.match(out, /^r1 +1 +L5, L6 +3$/m, err);
    const without = await dpu('manifest', 'show', at('with-corim.json'));
    assert.match(without.err, /code: MANIFEST_CORIM/);
    const unsigned = await dpu('manifest', 'show', ...corims.slice(0, 2), at('with-corim.json'));
    assert.match(unsigned.err, /code: CORIM_UNSIGNED/);
  });
});

test('signet dpu corim show gives what a manifest names a CoRIM by', async () => {
  const { out, err } = await dpu('corim', 'show', '--key', at('publisher.pem'), at('vendor.corim'));
  assert.match(out, new RegExp(`^SHA-256 +: ${sha256Hex(corim)}$`, 'm'), err);
  assert.match(out, /^3 +sha512 +vendor=NVIDIA model=NIC$/m);
});
