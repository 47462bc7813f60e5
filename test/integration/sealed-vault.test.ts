import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startFakeVault } from '../support/fake-vault.ts';
import { mint, mintJwt, verifiesJwt } from '../support/minting.ts';
import { TestServer } from '../support/server.ts';

test('sealed keys under a key in (a fake of) Vault are found again after a restart', async (context) => {
  const vault = await startFakeVault();
  context.after(() => vault.close());
  process.env.VAULT_TOKEN ??= 'root';
  const server = await TestServer.start({
    keys: {
      manager: 'vault-transit',
      vaultTransit: { address: vault.address, auth: { method: 'token' } },
    },
  });
  const token = await mintJwt(server);
  assert.equal((await mint(server)).length, 2, 'an issuing CA signs');
  assert.deepEqual([...vault.keys.keys()].sort(), [
    'signet.aes256.Wrapping.example.org',
    'signet.ec-p256.x509-CA-A.example.org',
  ]);
  await server.restart();
  assert.equal(vault.keys.get('signet.aes256.Wrapping.example.org')?.secrets.length, 1);
  assert.ok(await verifiesJwt(server, token));
  assert.ok(await verifiesJwt(server, await mintJwt(server)));
  await server.stop();
});
