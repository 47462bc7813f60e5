import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { watch } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { pino } from 'pino';
import type { X509SVIDResponse } from '../../src/gen/workload.ts';
import { Field } from '../support/field.ts';
import { assertRefused, assertValue } from '../support/refused.ts';
import { answerOf, Reading, securityHeader, workloadClient } from '../support/workload-api.ts';

function paths(response: X509SVIDResponse): string[] {
  return response.svids.map(({ spiffeId }) => spiffeId.slice('spiffe://example.org'.length));
}

test('an agent attests, and what operators register reaches open streams', async (context) => {
  const field = new Field(context);
  await field.startServer();
  const token = await field.token();
  const bundlePath = join(field.dir, 'bundle.pem');
  writeFileSync(bundlePath, await field.bundlePem());
  const first = await field.createEntry(token, '/one');
  const agent = assertValue(await field.agent({ join: { token }, bootstrap: { bundlePath } }));
  const { api } = workloadClient(context, agent.workloadSocket);
  const reading = new Reading(api.fetchX509Svid({}, securityHeader()));
  assert.deepEqual(paths(await reading.message(1)), ['/one']);
  await field.createEntry(token, '/two');
  assert.deepEqual(paths(await reading.message(2)), ['/one', '/two']);
  await field.deleteEntry(first);
  assert.deepEqual(paths(await reading.message(3)), ['/two']);
  assert.deepEqual(agent.health.report('ready'), { ok: true, failures: {} });
  const tokens = await answerOf<{ svids: { svid: string }[] }>((done) =>
    api.fetchJwtsvid({ audience: ['me'], spiffeId: '' }, securityHeader(), done),
  );
  const svid = tokens.value?.svids[0]?.svid ?? '';
  const valid = await answerOf<{ spiffeId: string }>((done) =>
    api.validateJwtsvid({ audience: 'me', svid }, securityHeader(), done),
  );
  assert.equal(valid.value?.spiffeId, 'spiffe://example.org/two');
});

test('a restart goes on with the stored SVID, without a token and with the server verified', async (context) => {
  const field = new Field(context);
  await field.startServer();
  const token = await field.token();
  await field.createEntry(token, '/one');
  const agent = assertValue(await field.agent({ join: { token } }));
  const before = workloadClient(context, agent.workloadSocket);
  await new Reading(before.api.fetchX509Svid({}, securityHeader())).message(1);
  await agent.stop('restart');
  const again = assertValue(await field.agent({}));
  const after = workloadClient(context, again.workloadSocket);
  const reading = new Reading(after.api.fetchX509Svid({}, securityHeader()));
  assert.deepEqual(paths(await reading.message(1)), ['/one']);
});

test('A5 a second agent on one data directory is refused', async (context) => {
  const field = new Field(context);
  await field.startServer();
  assertValue(await field.agent({ join: { token: await field.token() } }));
  const second = await field.agent({
    join: { token: 'other' },
    workloadSocket: { path: join(field.dir, 'w2.sock') },
  });
  assertRefused(second, 'DATA_DIR_LOCKED');
});

test('a server restart is not seen by streams, and what changed then arrives', async (context) => {
  const field = new Field(context);
  await field.startServer();
  const token = await field.token();
  await field.createEntry(token, '/one');
  const agent = assertValue(await field.agent({ join: { token } }));
  const { api } = workloadClient(context, agent.workloadSocket);
  const reading = new Reading(api.fetchX509Svid({}, securityHeader()));
  await reading.message(1);
  const jwt = () =>
    answerOf<{ svids: { svid: string }[] }>((done) =>
      api.fetchJwtsvid({ audience: ['me'], spiffeId: '' }, securityHeader(), done),
    );
  const cached = await jwt();
  await field.stopServer();
  // Served from what is held: streams stay, new ones open, cached tokens are handed out.
  const second = new Reading(api.fetchX509Svid({}, securityHeader()));
  assert.deepEqual(paths(await second.message(1)), ['/one']);
  assert.deepEqual((await jwt()).value?.svids, cached.value?.svids);
  const fresh = await answerOf<unknown>((done) =>
    api.fetchJwtsvid({ audience: ['never asked'], spiffeId: '' }, securityHeader(), done),
  );
  assert.equal(fresh.code, status.UNAVAILABLE);
  await field.startServer();
  await field.createEntry(token, '/two');
  assert.deepEqual(paths(await reading.message(2)), ['/one', '/two']);
});

test('a banned agent wipes its identity and ends with the reason', async (context) => {
  const field = new Field(context);
  await field.startServer();
  const token = await field.token();
  const agent = assertValue(await field.agent({ join: { token } }));
  const { api } = workloadClient(context, agent.workloadSocket);
  await field.createEntry(token, '/one');
  await new Reading(api.fetchX509Svid({}, securityHeader())).message(1);
  await field.ban(token);
  const end = await agent.ended;
  assert.equal(end.code, 'AGENT_BANNED');
  await agent.stop('banned');
  assert.equal(existsSync(join(field.dir, 'a', 'agent-state.json')), false);
});

test('an evicted agent attests again with a new token, and ends where there is none', async (context) => {
  const field = new Field(context);
  await field.startServer();
  const first = await field.token();
  const tokenPath = join(field.dir, 'token');
  writeFileSync(tokenPath, `${first}\n`);
  const agent = assertValue(await field.agent({ join: { tokenPath } }));
  const { api } = workloadClient(context, agent.workloadSocket);
  // Older than what the first agent follows last: it must not be resumed from there as the second.
  const second = await field.token();
  await field.createEntry(second, '/two');
  await field.createEntry(first, '/one');
  const old = new Reading(api.fetchX509Svid({}, securityHeader()));
  await old.message(1);
  writeFileSync(tokenPath, second);
  await field.evict(first);
  // The entries of the agent that it was are gone, those of the agent that it is are there.
  while (!old.messages.some((message) => paths(message).join() === '/two')) {
    await old.message(old.messages.length + 1);
  }
  await field.evict(second);
  const end = await agent.ended;
  assert.equal(end.code, 'AGENT_MUST_ATTEST');
  await agent.stop('evicted');
});

test('F1 a used token ends the agent with what to do next', async (context) => {
  const field = new Field(context);
  await field.startServer();
  const token = await field.token();
  const first = assertValue(await field.agent({ join: { token } }));
  const { api } = workloadClient(context, first.workloadSocket);
  await new Reading(api.fetchX509Svid({}, securityHeader())).ended();
  await first.stop('used');
  const second = assertValue(
    await field.agent({ join: { token }, dataDir: join(field.dir, 'other') }),
  );
  const end = await second.ended;
  assert.equal(end.code, 'AGENT_ATTESTATION_REFUSED');
  assert.ok(end.action.includes('new one'));
});

test('an agent without a token and without an SVID ends at once', async (context) => {
  const field = new Field(context);
  await field.startServer();
  const agent = assertValue(await field.agent({}));
  assert.equal((await agent.ended).code, 'AGENT_JOIN_TOKEN_MISSING');
});

test('a server that the bootstrap bundle does not vouch for gets no token', async (context) => {
  const field = new Field(context);
  const foreign = new Field(context);
  await field.startServer();
  await foreign.startServer();
  const token = await field.token();
  const bundlePath = join(field.dir, 'bundle.pem');
  writeFileSync(bundlePath, await foreign.bundlePem());
  const { promise: refused, resolve } = Promise.withResolvers<void>();
  const listening = pino(
    { level: 'warn' },
    { write: (line) => line.includes('SERVER_CERTIFICATE_REFUSED') && resolve() },
  );
  const agent = assertValue(
    await field.agent({ join: { token }, bootstrap: { bundlePath } }, listening),
  );
  const { api } = workloadClient(context, agent.workloadSocket);
  const reading = new Reading(api.fetchX509Svid({}, securityHeader()));
  await refused;
  assert.equal(reading.end, undefined);
  writeFileSync(bundlePath, await field.bundlePem());
  // The file is read at each attempt: corrected, the same token still works, so it was never used.
  assert.equal((await reading.ended()).code, status.PERMISSION_DENIED);
});

test('an own SVID is renewed at half its life, and the streams do not notice', async (context) => {
  const field = new Field(context, { svid: { agentTtl: '8s', x509Ttl: '1h' } });
  await field.startServer();
  const token = await field.token();
  await field.createEntry(token, '/one');
  const agent = assertValue(await field.agent({ join: { token } }));
  const { api } = workloadClient(context, agent.workloadSocket);
  const reading = new Reading(api.fetchX509Svid({}, securityHeader()));
  await reading.message(1);
  const statePath = join(field.dir, 'a', 'agent-state.json');
  const svidOf = (): string | undefined =>
    JSON.parse(readFileSync(statePath, 'utf8').split('\n')[1] ?? '').svid?.chain[0];
  let first: string | undefined;
  const abort = new AbortController();
  void agent.ended.then(() => abort.abort());
  for await (const _change of watch(join(field.dir, 'a'), { signal: abort.signal })) {
    first ??= svidOf();
    if (svidOf() !== first) break;
  }
  await field.createEntry(token, '/two');
  assert.deepEqual(paths(await reading.message(2)), ['/one', '/two']);
  assert.equal(reading.end, undefined);
});
