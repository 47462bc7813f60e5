import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeLeaf, makeRoot } from '../../test/support/x509.ts';
import { unwrap } from '../base/result.ts';
import { parseBmcOrigin, parseTlsCa, parseTlsPins } from './place.ts';

const HEX = 'ab'.repeat(32);

const ORIGINS: readonly (readonly [address: string, origin: string])[] = [
  ['10.1.2.3', 'https://10.1.2.3'],
  ['10.1.2.3:8443', 'https://10.1.2.3:8443'],
  ['10.1.2.3:443', 'https://10.1.2.3'],
  ['https://10.1.2.3', 'https://10.1.2.3'],
  ['https://10.1.2.3/', 'https://10.1.2.3'],
  ['fd00::1', 'https://[fd00::1]'],
  ['[fd00::1]:8443', 'https://[fd00::1]:8443'],
  ['BMC-7.Example.org', 'https://bmc-7.example.org'],
  ['bmc:1', 'https://bmc:1'],
  ['bmc:65535', 'https://bmc:65535'],
];

for (const [address, origin] of ORIGINS) {
  test(`the BMC address ${address} is ${origin}`, () => {
    assert.equal(unwrap(parseBmcOrigin(address)), origin);
  });
}

const NO_ORIGINS = [
  '',
  '10.1.2.300',
  '10.1',
  '2130706433',
  '0x7f.1',
  'bmc.0',
  '10.1.2.3.4',
  'http://10.1.2.3',
  'HTTPS://10.1.2.3',
  'https://user:secret@10.1.2.3',
  'user@10.1.2.3',
  '10.1.2.3/redfish',
  '10.1.2.3?x',
  '10.1.2.3#x',
  '10.1.2.3:0',
  '10.1.2.3:65536',
  '10.1.2.3:',
  '10.1.2.3:44a',
  ' 10.1.2.3',
  '10.1.2.3\n',
  '[fd00::1',
  '[10.1.2.3]:1:2',
  '[not-an-address]',
  '-bmc',
  'bmc..example',
  'bmc_7',
  'bmc%20',
  `${'a'.repeat(64)}.example`,
];

for (const address of NO_ORIGINS) {
  test(`the BMC address ${JSON.stringify(address)} is refused`, () => {
    const parsed = parseBmcOrigin(address);
    assert.equal(parsed.ok ? parsed.value : parsed.error.code, 'REDFISH_SETTINGS');
    assert.ok(!parsed.ok && !parsed.error.message.includes('secret'));
  });
}

test('pins are of a certificate or of its key, one or several of a kind', () => {
  const one = unwrap(parseTlsPins(`cert-sha256:${HEX.toUpperCase()}`));
  assert.deepEqual(one, { kind: 'certificate', sha256: [HEX] });
  const two = unwrap(parseTlsPins(`spki-sha256:${HEX}, SPKI-SHA256:${'cd'.repeat(32)}`));
  assert.deepEqual(two, { kind: 'spki', sha256: [HEX, 'cd'.repeat(32)] });
});

const NO_PINS = [
  '',
  'insecure',
  'none',
  'cert-sha256:',
  HEX,
  `sha256:${HEX}`,
  `cert-sha256:${HEX.slice(1)}`,
  `cert-sha256:${HEX}0`,
  `cert-sha256:${HEX.replace('a', 'g')}`,
  `cert-sha256:${HEX},`,
  `cert-sha256:${HEX},spki-sha256:${HEX}`,
];

for (const text of NO_PINS) {
  test(`the TLS pin ${JSON.stringify(text)} is refused`, () => {
    const parsed = parseTlsPins(text);
    assert.equal(parsed.ok ? parsed.value : parsed.error.code, 'REDFISH_SETTINGS');
  });
}

test('a CA is certificates of CAs in PEM, and nothing else is', () => {
  const root = makeRoot();
  assert.equal(unwrap(parseTlsCa(root.pem)).kind, 'ca');
  const leaf = makeLeaf(root, 'spiffe://example.org/leaf');
  const noCas = ['', 'text', leaf.pem, root.pem.slice(0, -20), root.pem.replace('M', '*')];
  for (const pem of [...noCas, `${root.pem}${leaf.pem}`, `${root.pem}\n`.repeat(200)]) {
    const parsed = parseTlsCa(pem);
    assert.equal(parsed.ok ? parsed.value : parsed.error.code, 'REDFISH_SETTINGS');
  }
});
