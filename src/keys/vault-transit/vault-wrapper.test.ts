import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  type FakeVault,
  startFakeVault,
  type VaultFault,
} from '../../../test/support/fake-vault.ts';
import { CONTEXT, SECRET, testKeyWrapper } from '../../../test/support/key-wrapper-suite.ts';
import { vaultOptions } from '../../../test/support/vault.ts';
import { type Result, unwrap } from '../../base/result.ts';
import { openVaultKeyManager } from './vault-key-manager.ts';

let fake: FakeVault;
before(async () => {
  fake = await startFakeVault();
  process.env.VAULT_TOKEN ??= 'root';
});
after(() => fake.close());

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

function open(namespace: string, address = fake.address, deadlineMs = 60_000) {
  const owner = { namespace, trustDomain: 'example.org' };
  const { pace } = vaultOptions(address);
  return openVaultKeyManager(vaultOptions(address, { owner, pace: { ...pace, deadlineMs } }));
}

testKeyWrapper({ name: 'a fake of Vault', open });

const real = process.env.VAULT_ADDR;
if (real !== undefined) {
  const mine = (namespace: string) => `test-${process.pid}-${namespace}`;
  testKeyWrapper({ name: 'Vault', open: (namespace) => open(mine(namespace), real) });
}

describe('wrapping by Vault', () => {
  test('asks nobody to unwrap by a key that is not ours', async () => {
    const ours = unwrap(await open('wrap-mine'));
    const theirs = unwrap(await open('wrap-alien'));
    const wrapped = unwrap(await theirs.wrapper!.wrap(SECRET, CONTEXT));
    assert.equal(code(await ours.wrapper!.unwrap(wrapped, CONTEXT)), 'KEY_SEAL_BROKEN');
    await ours.close();
    await theirs.close();
  });

  test('a name that stands for a key of another type is refused', async () => {
    // What never comes is not waited for long.
    const keys = unwrap(await open('wrap-moved', fake.address, 3000));
    unwrap(await keys.generate('Other', 'ec-p256'));
    const other = fake.keys.get('wrap-moved.ec-p256.Other.example.org')!;
    fake.keys.set('wrap-moved.aes256.Wrapping.example.org', { ...other, secrets: [] });
    assert.notEqual(code(await keys.wrapper!.wrap(SECRET, CONTEXT)), 'ok');
    await keys.close();
  });

  const faults: readonly [VaultFault, string][] = [
    [{ status: 403, error: 'permission denied' }, 'KEY_PERMISSION'],
    [{ status: 400, error: 'invalid ciphertext: unable to decrypt' }, 'KEY_SEAL_BROKEN'],
    [
      { status: 400, error: 'ciphertext or signature version is disallowed by policy (too old)' },
      'KEY_DISABLED',
    ],
  ];
  for (const [fault, expected] of faults) {
    test(`what Vault says is told apart: ${expected}`, async () => {
      const keys = unwrap(await open('wrap-faults'));
      const wrapped = unwrap(await keys.wrapper!.wrap(SECRET, CONTEXT));
      fake.decide = (request) => (request.startsWith('POST transit/decrypt/') ? fault : undefined);
      assert.equal(code(await keys.wrapper!.unwrap(wrapped, CONTEXT)), expected);
      fake.decide = () => undefined;
      await keys.close();
    });
  }
});
