import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { createHealth } from './health.ts';
import { createLogger } from './log.ts';
import { createMetrics } from './metrics.ts';
import { startTelemetry, type Telemetry } from './telemetry.ts';

const metrics = createMetrics('signet_test');
metrics.counter('things', 'Things.').inc(3);
const health = createHealth();
const store = health.part('store', 'opening');
let telemetry: Telemetry;

before(async () => {
  const started = await startTelemetry(
    { address: '127.0.0.1', port: 0 },
    { metrics, health, log: createLogger({ level: 'silent' }) },
  );
  assert.ok(started.ok);
  telemetry = started.value;
});

after(() => telemetry.close());

/** Sends bytes and reads until the other side closes. */
async function exchange(request: string): Promise<string> {
  const socket = connect(telemetry.port!, '127.0.0.1');
  let answer = '';
  socket.on('data', (bytes) => {
    answer += bytes;
  });
  socket.write(request);
  await once(socket, 'close');
  return answer;
}

const get = (path: string, extra = '') =>
  exchange(`GET ${path} HTTP/1.1\r\nHost: x\r\n${extra}\r\n`);

test('/metrics shows the metrics and closes the connection', async () => {
  const answer = await get('/metrics');
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.match(answer, /\nsignet_test_things 3\n/);
  assert.match(answer, /\r\nConnection: close\r\n/);
});

test('/ready says why not until all parts are ready; /live does not mind', async () => {
  assert.match(await get('/live'), /^HTTP\/1\.1 200 /);
  const waiting = await get('/ready');
  assert.match(waiting, /^HTTP\/1\.1 503 /);
  assert.match(waiting, /"store":"opening"/);
  store.ready();
  assert.match(await get('/ready'), /^HTTP\/1\.1 200 /);
});

const strict: readonly (readonly [string, string, string])[] = [
  ['an unknown page', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', '404'],
  ['a query', 'GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n', '404'],
  ['another method', 'POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n', '405'],
  ['a body', 'GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx', '400'],
  [
    'I-4 two framings at once',
    'GET /live HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    '400',
  ],
  ['I-4 a bare line feed', 'GET /live HTTP/1.1\nHost: x\n\n', '400'],
  ['headers over 8 KiB', `GET /live HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(9000)}\r\n\r\n`, '400'],
  ['no HTTP at all', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '400'],
];

for (const [name, request, status] of strict) {
  test(`telemetry refuses ${name} with ${status}`, async () => {
    const answer = await exchange(request);
    assert.equal(answer.slice(0, 12), `HTTP/1.1 ${status}`);
  });
}

test('I-4 a second request on a connection is not answered', async () => {
  const one = 'GET /live HTTP/1.1\r\nHost: x\r\n\r\n';
  const answer = await exchange(one + one);
  assert.equal(answer.match(/HTTP\/1\.1 /g)?.length, 1);
});

test('a port that is taken answers LISTEN_FAILED; no port means no listener', async () => {
  const parts = { metrics, health, log: createLogger({ level: 'silent' }) };
  const taken = await startTelemetry({ address: '127.0.0.1', port: telemetry.port! }, parts);
  assert.equal(taken.ok ? '' : taken.error.code, 'LISTEN_FAILED');
  const none = await startTelemetry({ address: '127.0.0.1' }, parts);
  assert.ok(none.ok && none.value.port === undefined);
});
