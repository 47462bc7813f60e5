import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  type FakeVault,
  startFakeVault,
  type VaultFault,
} from '../../../test/support/fake-vault.ts';
import { type KeyFault, testKeyManager } from '../../../test/support/key-manager-suite.ts';
import { temporaryFolder } from '../../../test/support/state.ts';
import { vaultOptions } from '../../../test/support/vault.ts';
import { type Result, unwrap } from '../../base/result.ts';
import { KEY_TYPES } from '../key-manager.ts';
import { openVaultKeyManager, type VaultOptions } from './vault-key-manager.ts';

let fake: FakeVault;
before(async () => {
  fake = await startFakeVault();
  process.env.VAULT_TOKEN ??= 'root';
});
after(() => fake.close());

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

const options = (extra?: Partial<VaultOptions>) => vaultOptions(fake.address, extra);

function hasty(): VaultOptions {
  const { pace, ...rest } = options();
  return { ...rest, pace: { ...pace, timeoutMs: 1400, deadlineMs: 1500 } };
}

const keyOf = (slot: string) => fake.keys.get(`signet.ec-p256.${slot}.example.org`)!;

/** A fault that the fake makes of every signature. */
function atSigning(fault: VaultFault): KeyFault['begin'] {
  return async () => {
    fake.decide = (request) => (request.startsWith('POST transit/sign/') ? fault : undefined);
    return async () => {
      fake.decide = () => undefined;
    };
  };
}

const remade: KeyFault['begin'] = async (slot) => {
  const key = keyOf(slot);
  const [own] = key.versions.splice(0, 1);
  await fake.addVersion(key);
  return async () => void key.versions.splice(0, 1, own!);
};

const disabled: KeyFault['begin'] = async (slot) => {
  keyOf(slot).minEncryption = 2;
  return async () => {
    keyOf(slot).minEncryption = 0;
  };
};

const deleted: KeyFault['begin'] = async (slot) => {
  const key = keyOf(slot);
  const name = `signet.ec-p256.${slot}.example.org`;
  fake.keys.delete(name);
  return async () => void fake.keys.set(name, key);
};

const status = (number: number, error = 'by the fake') => atSigning({ status: number, error });

const FAULTS: readonly KeyFault[] = [
  { name: 'throttled', code: 'KEY_MANAGER_THROTTLED', begin: status(429) },
  { name: 'slow', code: 'KEY_MANAGER_TIMEOUT', begin: atSigning('silence') },
  { name: 'down', code: 'KEY_MANAGER_UNREACHABLE', begin: atSigning('reset') },
  { name: 'a fault', code: 'KEY_MANAGER_FAULT', begin: status(500) },
  { name: 'something behind it down', code: 'KEY_MANAGER_DEPENDENCY', begin: status(502) },
  { name: 'sealed', code: 'KEY_UNAVAILABLE', begin: status(503, 'Vault is sealed') },
  { name: "another key's signature", code: 'KEY_SIGNATURE_WRONG', begin: remade },
  { name: 'a key disabled', code: 'KEY_DISABLED', begin: disabled },
  { name: 'a key disabled', shows: 'refresh', code: 'KEY_DISABLED', begin: disabled },
  { name: 'a key disabled', shows: 'open', code: 'KEY_DISABLED', begin: disabled },
  { name: 'a key deleted', code: 'KEY_DELETED', begin: deleted },
  { name: 'a key deleted', shows: 'refresh', code: 'KEY_DELETED', begin: deleted },
  { name: 'permission lost', code: 'KEY_PERMISSION', begin: status(403, 'permission denied') },
  { name: 'token gone', code: 'KEY_MANAGER_CREDENTIALS', begin: status(403, 'invalid token') },
  { name: 'a name moved to another key', shows: 'refresh', code: 'KEY_ALIAS_MOVED', begin: remade },
];

const capabilities = { persistent: true, inProcess: false, anyHash: true, keyTypes: KEY_TYPES };

testKeyManager({
  name: 'vault-transit',
  capabilities,
  open: (pace) => openVaultKeyManager(pace === 'hasty' ? hasty() : options()),
  faults: FAULTS,
});

const real = process.env.VAULT_ADDR;
if (real !== undefined) {
  const untried = 'a real Vault is not made to fail; the fake is';
  const lacks = {
    throttled: untried,
    slow: untried,
    down: untried,
    "another key's signature": untried,
    'a key disabled': untried,
    'a key deleted': untried,
    'permission lost': untried,
    'a name moved to another key': untried,
  };
  const owner = { namespace: `test-${process.pid}`, trustDomain: 'example.org' };
  testKeyManager({
    name: 'vault-transit',
    capabilities,
    open: () => openVaultKeyManager(options({ place: { address: real }, owner })),
    lacks,
  });
}

describe('logging in to Vault', () => {
  test('by AppRole and Kubernetes, once, and again where the token is refused', async (context) => {
    const dir = await temporaryFolder(context);
    const file = async (name: string, text: string) => {
      await writeFile(join(dir, name), text);
      return join(dir, name);
    };
    const [roleIdPath, secretIdPath] = [await file('role', 'r\n'), await file('secret', 's\n')];
    const jwtPath = await file('jwt', 'j\n');
    const ways: readonly [VaultOptions['auth'], string][] = [
      [
        { method: 'approle', roleIdPath, secretIdPath },
        'auth/approle/login {"role_id":"r","secret_id":"s"}',
      ],
      [
        { method: 'kubernetes', role: 'signet', jwtPath },
        'auth/kubernetes/login {"role":"signet","jwt":"j"}',
      ],
    ];
    for (const [auth, expected] of ways) {
      fake.logins.length = 0;
      fake.tokens.clear();
      const manager = unwrap(await openVaultKeyManager(options({ auth })));
      unwrap(await manager.generate('slot-login', 'ec-p256'));
      assert.deepEqual(fake.logins, [expected]);
      fake.tokens.clear();
      assert.equal(code(await manager.refresh()), 'ok');
      assert.deepEqual(fake.logins, [expected, expected]);
      await manager.close();
    }
    fake.tokens.add('root');
  });

  test('with a file that is missing is refused by the setting', async () => {
    const auth = { method: 'token', tokenPath: '/nonexistent' } as const;
    assert.equal(code(await openVaultKeyManager(options({ auth }))), 'KEY_MANAGER_SETTINGS');
  });
});
