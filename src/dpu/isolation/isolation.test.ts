import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { dpuDraft, START_SECONDS, temporaryFolder } from '../../../test/support/state.ts';
import { makeCertificate, makeRoot } from '../../../test/support/x509.ts';
import { systemClock } from '../../base/clock.ts';
import type { Result } from '../../base/result.ts';
import { encodePem } from '../../der/pem.ts';
import type { DpuState } from '../../rules/dpu.ts';
import type { DpuNotice } from '../inventory.ts';
import { createExecHook } from './exec-hook.ts';
import type { IsolationOrder } from './isolation.ts';
import { type IsolationOutcome, Isolator } from './isolator.ts';
import { createWebhook, type Webhook } from './webhook.ts';

const LONG_MS = 60_000;
const order: IsolationOrder = {
  version: 1,
  action: 'isolate',
  serial: 'MT1',
  reason: '"; rm -rf / $(id)',
  at: START_SECONDS,
  requestedBy: 'self',
  zone: 1,
  rack: 'r1',
  tenant: '',
  bmcHost: '10.0.0.1',
  host: { serial: 'H1', uuid: '', pf0Mac: '' },
};
const never = new AbortController().signal;

const messageOf = (done: Result<void>): string => (done.ok ? 'done' : done.error.message);

function notice(from: DpuState, to: DpuState, event: DpuNotice['event'] = 'quarantine'): DpuNotice {
  const dpu = (state: DpuState) => ({ ...dpuDraft('MT1', { state }), revision: 1n });
  return { event, dpu: dpu(to), before: dpu(from), by: 'self', alarm: false, reach: undefined };
}

/** A certificate for 127.0.0.1, its key, and the root above it. */
function webIdentity() {
  const root = makeRoot();
  const { der, key } = makeCertificate({ issuer: root, ips: [Uint8Array.of(127, 0, 0, 1)] });
  return {
    ca: encodePem('CERTIFICATE', root.der),
    cert: encodePem('CERTIFICATE', der),
    key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
  };
}

describe('a program as isolation hook', () => {
  async function script(context: TestContext, body: string) {
    const folder = await temporaryFolder(context);
    const path = join(folder, 'hook');
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
    const run = (args: readonly string[] = [], timeoutMs = LONG_MS, signal = never) =>
      createExecHook({ path, args, timeoutMs, clock: systemClock })(order, signal);
    return { folder, run, read: (name: string) => readFileSync(join(folder, name), 'utf8') };
  }

  it('gets the order on its input, its arguments as they are, and no secret of the server', async (context) => {
    process.env.SIGNET_TEST_SECRET = 'secret';
    context.after(() => delete process.env.SIGNET_TEST_SECRET);
    const { run, read } = await script(
      context,
      'cd "$(dirname "$0")"; cat > order; printf "%s|" "$@" > args; env > env',
    );
    assert.equal(messageOf(await run(['--do', '$(touch pwned); x'])), 'done');
    assert.deepEqual(JSON.parse(read('order')), order);
    assert.equal(read('args'), '--do|$(touch pwned); x|');
    assert.ok(!read('env').includes('secret'));
  });

  it('that fails, does not exist, or does not read is told as it was', async (context) => {
    const failing = await script(context, 'echo "switch 7 away" >&2; exit 3');
    assert.match(messageOf(await failing.run()), /hook ended with 3: switch 7 away$/);
    const loud = await script(context, 'head -c 1000000 /dev/zero | tr "\\0" x >&2; exit 1');
    assert.ok(messageOf(await loud.run()).length < 700);
    const deaf = await script(context, 'exec 0<&-; exit 0');
    assert.equal(messageOf(await deaf.run()), 'done');
    const hook = createExecHook({
      path: '/none',
      args: [],
      timeoutMs: LONG_MS,
      clock: systemClock,
    });
    assert.match(messageOf(await hook(order, never)), /cannot be run \(ENOENT\)/);
  });

  it('that hangs is killed with what it started', async (context) => {
    const { run, read, folder } = await script(
      context,
      'cd "$(dirname "$0")"; sleep 3600 & echo $! > child; mv child pid; wait',
    );
    const controller = new AbortController();
    const running = run([], LONG_MS, controller.signal);
    while (!existsSync(join(folder, 'pid'))) await new Promise((done) => setImmediate(done));
    controller.abort();
    assert.match(messageOf(await running), /the server stops/);
    const pid = Number(read('pid'));
    for (;;) {
      try {
        process.kill(pid, 0);
      } catch {
        break;
      }
      if (readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')) break;
      await new Promise((done) => setImmediate(done));
    }
    const slow = await script(context, 'sleep 3600');
    assert.match(messageOf(await slow.run([], 50)), /took longer than 50 ms/);
  });
});

describe('an address as isolation hook', () => {
  async function listening(
    context: TestContext,
    answer: (request: IncomingMessage, response: ServerResponse, count: number) => void,
  ) {
    const folder = await temporaryFolder(context);
    const { ca, cert, key } = webIdentity();
    const bodies: string[] = [];
    const requests: IncomingMessage[] = [];
    const server = createServer({ cert, key }, (request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (part: string) => {
        body += part;
      });
      request.on('end', () => {
        bodies.push(body);
        requests.push(request);
        answer(request, response, bodies.length);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    context.after(() => {
      server.closeAllConnections();
      server.close();
    });
    // Its port is the server's own, an address.
    const { port } = server.address() as AddressInfo;
    const call = (extra: Partial<Webhook> = {}, signal = never) =>
      createWebhook({
        url: new URL(`https://127.0.0.1:${port}/isolate`),
        bearerPath: undefined,
        hmacKeyPath: undefined,
        ca,
        timeoutMs: LONG_MS,
        attempts: 3,
        clock: systemClock,
        ...extra,
      })(order, signal);
    return { folder, bodies, requests, call };
  }

  it('gets the order, a token, and a signature over time and body', async (context) => {
    const { folder, bodies, requests, call } = await listening(context, (_q, response) => {
      response.writeHead(204).end();
    });
    const [bearerPath, hmacKeyPath] = [join(folder, 'bearer'), join(folder, 'hmac')];
    writeFileSync(bearerPath, 'token\n');
    writeFileSync(hmacKeyPath, 'key\n');
    assert.equal(messageOf(await call({ bearerPath, hmacKeyPath })), 'done');
    assert.deepEqual(JSON.parse(bodies[0] ?? ''), order);
    const { authorization, 'signet-signature': signature } = requests[0]?.headers ?? {};
    assert.equal(authorization, 'Bearer token');
    const [, seconds, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(signature)) ?? [];
    assert.equal(mac, createHmac('sha256', 'key').update(`${seconds}.${bodies[0]}`).digest('hex'));
    const absent = messageOf(await call({ bearerPath: join(folder, 'none') }));
    assert.match(absent, /bearerPath: cannot read/);
  });

  it('is called again where that may help, so many times, and not after a refusal', async (context) => {
    const healing = await listening(context, (_q, response, count) => {
      response.writeHead(count < 3 ? 503 : 200).end();
    });
    assert.equal(messageOf(await healing.call()), 'done');
    assert.equal(healing.bodies.length, 3);
    const broken = await listening(context, (_q, response) => response.writeHead(500).end());
    assert.match(messageOf(await broken.call({ attempts: 2 })), /answered 500/);
    assert.equal(broken.bodies.length, 2);
    const refusing = await listening(context, (_q, response) => response.writeHead(403).end());
    assert.match(messageOf(await refusing.call()), /answered 403/);
    assert.equal(refusing.bodies.length, 1);
    const moved = await listening(context, (_q, response) => {
      response.writeHead(307, { location: 'http://127.0.0.1:9/' }).end();
    });
    assert.match(messageOf(await moved.call()), /answered 307/);
  });

  it('is not believed with another certificate, nor waited for without end', async (context) => {
    const { call, bodies } = await listening(context, () => {});
    const other = webIdentity().ca;
    assert.match(messageOf(await call({ ca: other, attempts: 1 })), /no answer/);
    assert.equal(bodies.length, 0);
    assert.match(messageOf(await call({ timeoutMs: 50, attempts: 1 })), /no answer in 50 ms/);
  });
});

describe('the isolator', () => {
  it('orders what changes who is out, in order, and is not waited for', async () => {
    const heard: string[] = [];
    const gates: (() => void)[] = [];
    const outcomes: IsolationOutcome[] = [];
    const isolator = new Isolator(
      [
        async ({ action }) => {
          heard.push(action);
          await new Promise<void>((resolve) => gates.push(resolve));
          return { ok: true, value: undefined };
        },
      ],
      (outcome) => outcomes.push(outcome),
    );
    isolator.hear(notice('trusted', 'degraded', 'warned'));
    isolator.hear(notice('trusted', 'quarantined', 'contradicted'));
    isolator.hear(notice('quarantined', 'commissioned', 'release'));
    isolator.hear(notice('quarantined', 'retired', 'retire'));
    while (gates.length === 0) await new Promise((done) => setImmediate(done));
    assert.deepEqual(heard, ['isolate'], 'the second waits for the first');
    gates.shift()?.();
    while (gates.length === 0) await new Promise((done) => setImmediate(done));
    assert.deepEqual(heard, ['isolate', 'restore']);
    gates.shift()?.();
    await isolator.close();
    assert.deepEqual(
      outcomes.map(({ order: { action }, error }) => [action, error]),
      [
        ['isolate', undefined],
        ['restore', undefined],
      ],
    );
  });
});
