import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { ask, TestServer, wireEntry } from '../support/server.ts';
import { makeCsr } from '../support/x509.ts';

const ID = 'PRAGMA application_id';

test('the thread of the database dies: issuance goes on, registration comes back by itself', async (context) => {
  const threads: Worker[] = [];
  const note = (worker: Worker): number => threads.push(worker);
  process.on('worker', note);
  context.after(() => process.off('worker', note));
  const server = await TestServer.start({ telemetry: { port: 0 } });
  // The store is opened before anything else that has a thread.
  const [thread] = threads;
  assert.ok(thread);
  const agent = await server.attest();
  const parentId = { trustDomain: 'example.org', path: agent.path };
  const entry = await server.register({ parentId });
  const path = join(server.dir, 'data', 'server.sqlite');
  const change = (id: unknown): unknown => {
    const connection = new DatabaseSync(path);
    const before = connection.prepare(ID).get()?.application_id;
    connection.exec(`${ID} = ${String(id)}`);
    connection.close();
    return before;
  };
  // As long as the file says that it is another program's, the new thread does not open it.
  const ours = change(1);
  await thread.terminate();

  const client = await server.tcp(agent);
  const params = [{ entryId: entry.id, csr: Buffer.from(makeCsr()) }];
  const issued = await ask(client, SVIDService.batchNewX509Svid, { params });
  assert.equal(issued.results[0]?.status?.code, 0);
  const entries = [wireEntry({ parentId, spiffeId: { trustDomain: 'example.org', path: '/new' } })];
  const request = { entries, outputMask: undefined };
  const refused = await ask(server.admin(), EntryService.batchCreateEntry, request).then(
    ({ results }) => results[0]?.status?.code,
    (error) => error.code,
  );
  assert.equal(refused, 14, 'Unavailable');

  change(ours);
  // A caller that repeats what is retryable gets through.
  let outcome: number | undefined;
  for (let tries = 0; outcome !== 0; tries++) {
    assert.ok(tries < 1000, `still ${outcome}`);
    await sleep(20);
    const { results } = await ask(server.admin(), EntryService.batchCreateEntry, request);
    outcome = results[0]?.status?.code;
  }
  const metrics = await fetch(`http://127.0.0.1:${server.running.telemetryPort}/metrics`);
  assert.match(await metrics.text(), /^signet_server_store_thread_restarts_total 1$/m);
  const served = await ask(client, EntryService.getAuthorizedEntries, { outputMask: undefined });
  assert.equal(served.entries.length, 2);
});
