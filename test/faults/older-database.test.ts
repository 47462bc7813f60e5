import assert from 'node:assert/strict';
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fleet } from '../support/fleet.ts';
import { TestServer } from '../support/server.ts';

test('a server does not start on an older copy of its database, and does on the newer one', async () => {
  const server = await TestServer.start();
  const path = join(server.config.dataDir, 'server.sqlite');
  await server.halt();
  copyFileSync(path, `${path}.older`);
  await server.restart();
  const agent = await server.attest();
  await server.halt();
  copyFileSync(path, `${path}.newer`);
  copyFileSync(`${path}.older`, path);
  await assert.rejects(server.restart(), /STORE_ROLLED_BACK/);
  copyFileSync(`${path}.newer`, path);
  await server.restart();
  await server.tcp(agent);
  rmSync(`${path}.older`);
  rmSync(`${path}.newer`);
  await server.stop();
});

test('kill -9 leaves no database that passes for an older one', async () => {
  const fleet = await Fleet.start({ serverOnly: true });
  try {
    for (let round = 0; round < 3; round++) {
      // Enough transactions for the mark to be written in between, and to be behind in the end.
      const tokens = Array.from({ length: 4 }, () => fleet.cli('token', 'generate'));
      await tokens[round];
      await fleet.stopServer('SIGKILL');
      await Promise.all(tokens);
      await fleet.startServer();
    }
  } finally {
    await fleet.stop();
  }
});
