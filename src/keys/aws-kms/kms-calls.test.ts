import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { after, test } from 'node:test';
import { SignCommand } from '@aws-sdk/client-kms';
import { systemClock } from '../../base/clock.ts';
import { systemRandom } from '../../base/random.ts';
import { type Result, unwrap } from '../../base/result.ts';
import { createMetrics } from '../../runtime/metrics.ts';
import { PacedCalls } from '../outside/paced-calls.ts';
import { KmsCalls } from './kms-calls.ts';

/** More than the idle connections that Node.js keeps by itself. */
const CALLS = 300;

const closers: (() => void)[] = [];
after(() => {
  for (const close of closers) close();
});

/** Something that answers as KMS does, and calls to it. */
async function world(credentials: () => Promise<{ accessKeyId: string; secretAccessKey: string }>) {
  const seen: IncomingMessage['headers'][] = [];
  const connections = { made: 0 };
  const server = createServer(async (call, answer) => {
    seen.push(call.headers);
    await call.toArray();
    answer.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' });
    answer.end(JSON.stringify({ KeyId: 'k', Signature: 'AAAA' }));
  }).listen(0, '127.0.0.1');
  server.on('connection', () => (connections.made += 1));
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const pace = {
    perSecond: 1e6,
    burst: 1e6,
    inFlight: CALLS,
    timeoutMs: 60_000,
    deadlineMs: 60_000,
  };
  const paced = new PacedCalls({
    pace,
    clock: systemClock,
    random: systemRandom,
    metrics: createMetrics('test'),
  });
  const place = { region: 'eu-west-1', endpoint: `http://127.0.0.1:${port}`, credentials };
  const calls = new KmsCalls(place, paced, CALLS);
  closers.push(
    () => calls.close(),
    () => server.close(),
    () => server.closeAllConnections(),
  );
  const sign = (): Promise<Result<unknown>> =>
    calls.send('Sign', (client, options) =>
      client.send(
        new SignCommand({
          KeyId: 'k',
          Message: new Uint8Array(32),
          MessageType: 'DIGEST',
          SigningAlgorithm: 'ECDSA_SHA_256',
        }),
        options,
      ),
    );
  return { seen, connections, sign };
}

test('a second batch of calls uses the connections of the first', async () => {
  const { connections, sign } = await world(async () => ({
    accessKeyId: 'AKIAFIRST',
    secretAccessKey: 'x',
  }));
  const batch = async () => {
    const answers = await Promise.all(Array.from({ length: CALLS }, sign));
    for (const answer of answers) unwrap(answer);
  };
  await batch();
  await batch();
  await batch();
  assert.ok(connections.made <= CALLS, `${connections.made} connections`);
});

test('each call is signed with the credentials of its time, and says that it is ours', async () => {
  const expired = { expiration: new Date(0) };
  let accessKeyId = 'AKIAFIRST';
  const { seen, sign } = await world(async () => ({
    accessKeyId,
    secretAccessKey: 'x',
    ...expired,
  }));
  unwrap(await sign());
  accessKeyId = 'AKIASECOND';
  unwrap(await sign());
  const [first, second] = seen;
  assert.match(first?.authorization ?? '', /^AWS4-HMAC-SHA256 Credential=AKIAFIRST\//);
  assert.match(second?.authorization ?? '', /^AWS4-HMAC-SHA256 Credential=AKIASECOND\//);
  assert.equal(second?.['user-agent'], 'signet');
});

test('credentials that cannot be had once can be had the next time', async () => {
  let broken = true;
  const { sign } = await world(async () => {
    if (broken) throw Object.assign(new TypeError('none'), { name: 'CredentialsProviderError' });
    return { accessKeyId: 'AKIAFIRST', secretAccessKey: 'x' };
  });
  const refused = await sign();
  assert.equal(refused.ok ? 'ok' : refused.error.code, 'KEY_MANAGER_CREDENTIALS');
  broken = false;
  unwrap(await sign());
});
