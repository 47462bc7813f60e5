import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fail } from '../../src/base/result.ts';
import {
  belongTogether,
  command,
  keyOf,
  local,
  message,
  outputs,
  scrape,
  server,
  session,
  spkiOf,
} from '../../test/support/companion.ts';
import { companionSettings, runCompanion } from '../../test/support/companion-server.ts';
import { MovedClock } from '../../test/support/moved-clock.ts';
import { soon } from '../../test/support/processes.ts';

// The server here is scripted, not ours: what the real one says is in test/integration/companion.test.ts.

const HOUR_MS = 3_600_000;

describe('nobody asks', () => {
  test('at two thirds of its life the SVID is renewed, by the same request until there is an answer', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    const clock = new MovedClock();
    await runCompanion(context, one, { clock });
    const first = await session(of, 1);
    await message(first, 'heartbeat');
    clock.advance((HOUR_MS * 2) / 3 - 10_000);
    assert.equal(first.received.filter(({ $case }) => $case === 'renewCsr').length, 0);
    clock.advance(60_000);
    const { csr } = await message(first, 'renewCsr');
    clock.advance(60_000);
    const asked = () => first.received.filter(({ $case }) => $case === 'renewCsr');
    await soon(async () => asked().length === 2);
    assert.deepEqual(asked()[1]?.value, { csr });
    assert.notEqual(keyOf(csr), keyOf(of.enrolments[0]!.csr));
    of.aheadMs = (HOUR_MS * 2) / 3;
    const svid = of.svid(spkiOf(csr));
    first.send({ $case: 'svid', value: { svid, version: 'v2', nonce: Buffer.from('x') } });
    const beat = await message(await session(of, 2), 'heartbeat');
    assert.equal(beat.serialNumber, svid.serialNumber);
    assert.equal(of.enrolments.length, 1);
    assert.ok(belongTogether(one.folder));
  });

  test('an SVID that ends in a session leads to an enrolment, with the same key', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    const clock = new MovedClock();
    const companion = await runCompanion(context, one, { clock });
    await message(await session(of, 1), 'heartbeat');
    await soon(async () => companion.health.report('ready').ok);
    of.aheadMs = HOUR_MS;
    clock.advance(HOUR_MS);
    await session(of, 2);
    assert.equal(of.enrolments.length, 2);
    assert.equal(keyOf(of.enrolments[0]!.csr), keyOf(of.enrolments[1]!.csr));
    await soon(async () => outputs(one.folder).cert.validToDate.getTime() > clock.nowMs());
    await soon(async () => companion.health.report('ready').ok);
  });

  test('a server that never says Welcome is left after half a minute', async (context) => {
    const of = await server(context);
    of.silent = true;
    const clock = new MovedClock();
    const companion = await runCompanion(context, companionSettings(context, of), { clock });
    const first = await session(of, 1);
    await message(first, 'hello');
    assert.match(await scrape(companion), /^signet_connector_session_up 0$/m);
    clock.advance(29_000);
    of.silent = false;
    clock.advance(1000);
    await message(await session(of, 2), 'heartbeat');
    await first.ended;
    clock.advance(30_000);
    assert.match(await scrape(companion), /^signet_connector_session_up 1$/m);
  });
});

describe('commands', () => {
  test('Upgrade runs its hook with version, digest and window, and is told as an event', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    const log = join(one.folder, 'log');
    const print = 'env | grep ^SIGNET_ | sort >"$1.new"; mv "$1.new" "$1"';
    one.settings.hooks = { upgrade: { command: ['/bin/sh', '-c', print, 'sh', log] } };
    await runCompanion(context, one);
    const first = await session(of, 1);
    const value = { version: '2.0', imageDigest: 'sha256:ab', notBeforeMs: 5n, notAfterMs: 9n };
    first.send(command({ $case: 'upgrade', value }));
    const event = await message(first, 'event', ({ reason }) => reason === 'upgrade');
    assert.equal(event.message, 'to 2.0 sha256:ab');
    await message(first, 'ack', ({ type }) => type === 4);
    await soon(async () => existsSync(log));
    assert.deepEqual(readFileSync(log, 'utf8').trim().split('\n'), [
      'SIGNET_EVENT=upgrade',
      'SIGNET_IMAGE_DIGEST=sha256:ab',
      'SIGNET_NOT_AFTER_MS=9',
      'SIGNET_NOT_BEFORE_MS=5',
      'SIGNET_VERSION=2.0',
    ]);
  });

  test('Drain has its deadline by the clock of the server', async (context) => {
    const of = await server(context);
    const aheadMs = 600_000;
    of.aheadMs = aheadMs;
    const one = companionSettings(context, of);
    const path = join(one.folder, 'deadline');
    const print = 'echo "$SIGNET_DEADLINE_MS" >"$1.new"; mv "$1.new" "$1"';
    one.settings.hooks = { drain: { command: ['/bin/sh', '-c', print, 'sh', path] } };
    await runCompanion(context, one);
    const first = await session(of, 1);
    await message(first, 'heartbeat');
    const deadlineMs = Date.now() + HOUR_MS;
    const value = { deadlineMs: BigInt(deadlineMs + aheadMs), reason: '' };
    first.send(command({ $case: 'drain', value }));
    await soon(async () => existsSync(path));
    const told = Number(readFileSync(path, 'utf8'));
    // The offset was measured over a connection that takes its time.
    assert.ok(Math.abs(told - deadlineMs) < aheadMs / 2, String(told - deadlineMs));
  });

  test('ReEnrol is for one new key, though the first try for it fails', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    await runCompanion(context, one);
    const first = await session(of, 1);
    let left = 2;
    of.refuse = () => (left-- > 0 ? fail('SERVER_STOPPING', 'the answer is lost') : undefined);
    first.send(command({ $case: 'reEnrol', value: { reason: 'moved' } }));
    await message(await session(of, 2), 'heartbeat');
    const keys = of.enrolments.map(({ csr }) => keyOf(csr));
    assert.equal(keys.length, 4);
    assert.deepEqual([new Set(keys).size, new Set(keys.slice(1)).size], [2, 1]);
    await soon(async () => belongTogether(one.folder));
  });

  test('a flood of them ends the session, and the next begins as ever', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    await runCompanion(context, one);
    const first = await session(of, 1);
    for (let at = 0; at < 1000; at++) first.send(command({ $case: 'resume', value: {} }));
    await first.ended;
    const acks = first.received.filter(({ $case }) => $case === 'ack').length;
    assert.ok(acks < 400, String(acks));
    await message(await session(of, 2), 'heartbeat');
  });

  test('one that sends it to enrol in each session does not make it spin', async (context) => {
    const of = await server(context);
    const clock = new MovedClock();
    const waits: number[] = [];
    const noted = {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      after(ms: number, action: () => void) {
        waits.push(ms);
        return clock.after(ms, action);
      },
    };
    const one = companionSettings(context, of, {
      session: { reconnectWithin: '5m', reconnectAtMost: '1h' },
    });
    await runCompanion(context, one, {
      clock: noted,
      random: { bytes: (n) => new Uint8Array(n).fill(128) },
    });
    for (let number = 1; !waits.some((ms) => ms > 100_000); number++) {
      if (number > 20) assert.fail('it never waits');
      await soon(async () => of.sessions.length >= number || waits.some((ms) => ms > 100_000));
      of.sessions[number - 1]?.send(command({ $case: 'reEnrol', value: { reason: '' } }));
    }
    assert.ok(of.sessions.length > 1);
  });
});

test('while its node may not be served the connector is not ready, and the hook offline runs', async (context) => {
  const of = await server(context);
  const one = companionSettings(context, of);
  const log = join(one.folder, 'log');
  const note = ['/bin/sh', '-c', 'echo "$SIGNET_EVENT" >>"$1"', 'sh', log];
  one.settings.hooks = { offline: { command: note }, resume: { command: note } };
  const companion = await runCompanion(context, one);
  const first = await session(of, 1);
  await soon(async () => companion.health.report('ready').ok);
  of.refuseSession = () => fail('CONNECTOR_NODE', 'the node is in quarantine');
  first.end(fail('CONNECTOR_NODE', 'the node is in quarantine'));
  await soon(async () => !companion.health.report('ready').ok);
  assert.match(companion.health.report('ready').failures.identity ?? '', /suspended: .*quarantine/);
  of.refuseSession = undefined;
  await soon(async () => companion.health.report('ready').ok);
  await soon(async () => readFileSync(log, 'utf8') === 'offline\nresume\n');
  assert.ok(existsSync(join(one.folder, 'out', 'tls.key')));
  assert.equal(of.enrolments.length, 1);
});

describe('one that never enrolled', () => {
  test('leaves and stops at once, though the server has not answered yet', async (context) => {
    const of = await server(context);
    const gate = Promise.withResolvers<void>();
    of.enrolling = gate.promise;
    context.after(() => gate.resolve());
    const one = companionSettings(context, of, { drain: { timeout: '1d', quiet: '1d' } });
    const companion = await runCompanion(context, one);
    await soon(async () => of.enrolments.length === 1);
    // Neither waits for a clock: the drain would take a day, the call half a minute.
    assert.deepEqual(await companion.leave(), { drained: true, openFlows: 0 });
    await companion.stop('SIGTERM');
    gate.resolve();
    assert.deepEqual([of.enrolments.length, of.sessions.length], [1, 0]);
    assert.equal(existsSync(join(one.folder, 'out')), false);
  });

  test('asked to drain over the local socket it opens nothing more', async (context) => {
    const of = await server(context);
    of.refuse = () => fail('SERVER_STOPPING', 'not now');
    const one = companionSettings(context, of, { drain: { timeout: '1d', quiet: '1d' } });
    await runCompanion(context, one);
    await soon(async () => of.enrolments.length >= 1);
    assert.equal((await local(one.folder, '/drain', 'POST')).status, 200);
    assert.equal((await local(one.folder, '/ready')).body.ok, false);
    assert.equal(of.sessions.length, 0);
  });
});
