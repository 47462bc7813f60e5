import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { type ServiceError, status } from '@grpc/grpc-js';
import { serveUnix, testHost } from '../../test/support/rpc.ts';
import { fail } from '../base/result.ts';
import {
  HealthClient,
  HealthCheckResponse_ServingStatus as Serving,
} from '../gen/grpc/health/v1/health.ts';
import { openUnixChannel } from './channel.ts';
import { createHealthBoard, type HealthBoard } from './health.ts';
import type { RpcHost } from './host.ts';

async function serve(
  context: TestContext,
): Promise<{ board: HealthBoard; client: HealthClient; host: RpcHost }> {
  const board = createHealthBoard();
  const host = testHost({ guards: [() => fail('RATE_LIMITED', 'not for health')] });
  board.serveOn(host);
  const { address } = await serveUnix(context, host);
  const channel = openUnixChannel(address);
  context.after(() => channel.close());
  return { board, client: channel.client(HealthClient), host };
}

function check(client: HealthClient, service: string): Promise<number | ServiceError> {
  return new Promise((resolve) => {
    client.check({ service }, (error, value) => resolve(error ?? value.status));
  });
}

test('a service is serving, not serving, or NOT_FOUND', async (context) => {
  const { board, client } = await serve(context);
  assert.equal(await check(client, ''), Serving.NOT_SERVING);
  board.set('', true);
  board.set('a.B', false);
  assert.equal(await check(client, ''), Serving.SERVING);
  assert.equal(await check(client, 'a.B'), Serving.NOT_SERVING);
  const unknown = await check(client, 'no.Such');
  assert.ok(typeof unknown === 'object' && unknown.code === status.NOT_FOUND);
});

test('a watcher is told of each change once, of unknown services too, and of the shutdown', async (context) => {
  const { board, client, host } = await serve(context);
  const watch = client.watch({ service: 'a.B' });
  const next = async (): Promise<number> => (await once(watch, 'data'))[0].status;
  assert.equal(await next(), Serving.SERVICE_UNKNOWN);
  board.set('a.B', true);
  assert.equal(await next(), Serving.SERVING);
  board.set('other', true);
  board.set('a.B', true);
  board.set('a.B', false);
  assert.equal(await next(), Serving.NOT_SERVING);
  const ended = once(watch, 'error');
  await host.shutdown(5000);
  assert.equal((await ended)[0].code, status.UNAVAILABLE);
});

test('a check refreshes the board first', async (context) => {
  let serving = false;
  const board = createHealthBoard(() => board.set('', serving));
  const host = testHost();
  board.serveOn(host);
  const { address } = await serveUnix(context, host);
  const channel = openUnixChannel(address);
  context.after(() => channel.close());
  const client = channel.client(HealthClient);
  assert.equal(await check(client, ''), Serving.NOT_SERVING);
  serving = true;
  assert.equal(await check(client, ''), Serving.SERVING);
});
