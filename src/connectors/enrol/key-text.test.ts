import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { seededRandom, systemRandom } from '../../base/random.ts';
import { unwrap } from '../../base/result.ts';
import { newProvisioningKey, parseProvisioningKey } from './key-text.ts';

test('a provisioning key is read back as what is kept of it', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const { text, ...kept } = newProvisioningKey(seededRandom(seed));
      assert.match(text, /^sck1\.[a-z2-7]{10}\.[A-Za-z0-9_-]{43}$/);
      assert.deepEqual(unwrap(parseProvisioningKey(text)), kept);
      assert.deepEqual(unwrap(parseProvisioningKey(` ${text}\n`)), kept);
    }),
  );
});

test('two keys have nothing in common', () => {
  const [one, two] = [newProvisioningKey(systemRandom), newProvisioningKey(systemRandom)];
  assert.notEqual(one.id, two.id);
  assert.notEqual(one.secretHash, two.secretHash);
});

test('what is no provisioning key is refused, and never quoted', () => {
  const { text } = newProvisioningKey(seededRandom(1));
  // 43 characters have two bits more than 32 octets: another last character stands for the same ones.
  const last = text.at(-1) ?? '';
  const other = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const twin = `${text.slice(0, -1)}${other[other.indexOf(last) + 1]}`;
  const hostile: readonly string[] = [
    ...['', 'sck1', 'sck1..', text.slice(0, -1), `${text}A`, text.slice(1), `x${text}`],
    ...[text.replace('sck1', 'sck2'), text.replaceAll('.', '_'), text.toUpperCase(), twin],
    ...[`${' '.repeat(300)}${text}`, `${text.slice(0, 20)}\n${text.slice(20)}`, '\0'.repeat(70)],
    'a'.repeat(1_000_000),
  ];
  for (const hostileText of hostile) {
    const parsed = parseProvisioningKey(hostileText);
    assert.ok(!parsed.ok, hostileText.slice(0, 100));
    assert.equal(parsed.error.code, 'CONNECTOR_KEY_UNKNOWN');
    assert.ok(!parsed.error.message.includes(text.slice(16)));
  }
});
