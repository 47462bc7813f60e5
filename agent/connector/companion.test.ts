import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fail } from '../../src/base/result.ts';
import type { SegmentUpdate } from '../../src/gen/signet/connector/v1/connector.ts';
import {
  belongTogether,
  command,
  keyOf,
  local,
  message,
  outputs,
  server,
  session,
  spkiOf,
} from '../../test/support/companion.ts';
import {
  companionSettings,
  runCompanion,
  testSegment,
} from '../../test/support/companion-server.ts';
import { soon } from '../../test/support/processes.ts';

// The server here is scripted, not ours: what the real one says is in test/integration/companion.test.ts.

describe('in a session', () => {
  test('a renewal has a new key, is acknowledged, written, and the next session is under it', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    await runCompanion(context, one);
    const first = await session(of, 1);
    await soon(async () => existsSync(join(one.folder, 'out', 'tls.crt')));
    const before = outputs(one.folder);
    first.send(command({ $case: 'renewNow', value: { reason: 'half its life' } }));
    const { csr } = await message(first, 'renewCsr');
    assert.notEqual(keyOf(csr), keyOf(of.enrolments[0]!.csr));
    const svid = of.svid(spkiOf(csr));
    first.send({ $case: 'svid', value: { svid, version: 'v2', nonce: Buffer.from('x') } });
    const ack = await message(first, 'ack', ({ type }) => type === 1);
    assert.deepEqual([ack.version, ack.nonce.toString()], ['v2', 'x']);
    const second = await session(of, 2);
    const beat = await message(second, 'heartbeat');
    assert.equal(beat.serialNumber, svid.serialNumber);
    await soon(async () => outputs(one.folder).cert.fingerprint !== before.cert.fingerprint);
    assert.ok(belongTogether(one.folder));
    assert.equal(of.enrolments.length, 1);
  });

  test('an SVID for another key, or that nobody asked for, is refused and nothing changes', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    await runCompanion(context, one);
    const first = await session(of, 1);
    const svid = of.svid(spkiOf(of.enrolments[0]!.csr));
    first.send({ $case: 'svid', value: { svid, version: 'v2', nonce: Buffer.from('a') } });
    const unasked = await message(first, 'nack');
    assert.match(unasked.error, /not asked for/);
    first.send(command({ $case: 'renewNow', value: { reason: '' } }));
    await message(first, 'renewCsr');
    first.send({ $case: 'svid', value: { svid, version: 'v3', nonce: Buffer.from('b') } });
    const other = await message(first, 'nack', ({ version }) => version === 'v3');
    assert.match(other.error, /not the key of the leaf/);
    assert.ok(belongTogether(one.folder));
  });

  test('an SVID of another connector is refused', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    await runCompanion(context, one);
    const first = await session(of, 1);
    first.send(command({ $case: 'renewNow', value: { reason: '' } }));
    const { csr } = await message(first, 'renewCsr');
    const svid = of.svid(spkiOf(csr), 'spiffe://example.org/connector/edge/c2');
    first.send({ $case: 'svid', value: { svid, version: 'v2', nonce: Buffer.from('a') } });
    assert.match((await message(first, 'nack')).error, /that of .*c2/);
  });

  test('segments come in chunks, as changes, to a file and over the local socket', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    await runCompanion(context, one);
    const first = await session(of, 1);
    const chunk = { removedIds: [], version: '1-a', nonce: Buffer.from('1'), baseVersion: '' };
    const watch = local(one.folder, '/segments?watch&version=');
    first.send({
      $case: 'segments',
      value: { ...chunk, full: true, segments: [testSegment('b')], last: false },
    });
    first.send({
      $case: 'segments',
      value: { ...chunk, full: true, segments: [testSegment('a')], last: true },
    });
    await message(first, 'ack', ({ version }) => version === '1-a');
    assert.equal(first.received.filter(({ $case }) => $case === 'ack').length, 1);
    assert.equal(((await watch).body as { version: string }).version, '1-a');
    const file = () => JSON.parse(readFileSync(join(one.folder, 'segments.json'), 'utf8'));
    await soon(async () => existsSync(join(one.folder, 'segments.json')));
    assert.deepEqual(
      file().segments.map(({ id }: { id: string }) => id),
      ['a', 'b'],
    );
    assert.equal(file().schema, 'signet.connector.segments/1');
    first.send({
      $case: 'segments',
      value: {
        full: false,
        segments: [testSegment('c')],
        removedIds: ['a'],
        version: '2-b',
        baseVersion: '1-a',
        nonce: Buffer.from('2'),
        last: true,
      },
    });
    await message(first, 'ack', ({ version }) => version === '2-b');
    await soon(async () => file().version === '2-b');
    assert.deepEqual(
      file().segments.map(({ id }: { id: string }) => id),
      ['b', 'c'],
    );
    assert.equal((await local(one.folder, '/segments?version=2-b')).status, 304);
    first.end();
    const second = await session(of, 2);
    const hello = await message(second, 'hello');
    assert.deepEqual(hello.versions.find(({ type }) => type === 3)?.version, '2-b');
  });

  for (const [what, change] of [
    ['from another version', { baseVersion: '9-z' }],
    [
      'with a port range that is none',
      { full: true, segments: [testSegment('x', { ports: [{ first: 9, last: 8 }] })] },
    ],
    [
      'with port 65536',
      { full: true, segments: [testSegment('x', { ports: [{ first: 1, last: 65_536 }] })] },
    ],
    [
      'with a protocol of a later version',
      { full: true, segments: [testSegment('x', { protocol: 7 as never })] },
    ],
    ['without a version', { full: true, version: '' }],
  ] as readonly (readonly [string, Partial<SegmentUpdate>])[]) {
    test(`segments ${what} are refused, and those before stay`, async (context) => {
      const of = await server(context);
      const one = companionSettings(context, of);
      await runCompanion(context, one);
      const first = await session(of, 1);
      const base = {
        full: true,
        removedIds: [],
        baseVersion: '',
        nonce: Buffer.from('1'),
        last: true,
      };
      first.send({
        $case: 'segments',
        value: { ...base, segments: [testSegment('a')], version: '1-a' },
      });
      await message(first, 'ack', ({ version }) => version === '1-a');
      first.send({
        $case: 'segments',
        value: { ...base, full: false, segments: [], version: '2-b', ...change },
      });
      await message(first, 'nack');
      const { body } = await local(one.folder, '/segments');
      assert.equal(body.version, '1-a');
    });
  }

  test('a drain waits for the flows, says Goodbye, and opens nothing more', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    writeFileSync(join(one.folder, 'flows'), '2\n');
    one.settings.flows = { path: join(one.folder, 'flows') };
    const companion = await runCompanion(context, one);
    const first = await session(of, 1);
    const deadlineMs = BigInt(Date.now() + 600_000);
    first.send(command({ $case: 'drain', value: { deadlineMs, reason: 'scale down' } }));
    await message(first, 'heartbeat', ({ health }) => health === 3);
    assert.equal(companion.health.report('ready').failures.serving, 'draining');
    assert.equal(
      first.received.some(({ $case }) => $case === 'goodbye'),
      false,
    );
    writeFileSync(join(one.folder, 'flows'), '0\n');
    assert.deepEqual(await message(first, 'goodbye'), { drained: true, openFlows: 0n });
    await first.ended;
    assert.equal(of.sessions.length, 1);
  });

  test('Resume takes it back before Goodbye, and never after', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    writeFileSync(join(one.folder, 'flows'), '2\n');
    one.settings.flows = { path: join(one.folder, 'flows') };
    const companion = await runCompanion(context, one);
    const first = await session(of, 1);
    const deadlineMs = BigInt(Date.now() + 600_000);
    const drain = command({ $case: 'drain', value: { deadlineMs, reason: 'a' } });
    const resume = command({ $case: 'resume', value: {} });
    await soon(async () => companion.health.report('ready').ok);
    first.send(drain);
    await soon(async () => !companion.health.report('ready').ok);
    first.send(resume);
    await soon(async () => companion.health.report('ready').ok);
    assert.equal(of.sessions.length, 1);
    writeFileSync(join(one.folder, 'flows'), '0\n');
    // It crosses the Goodbye that the drain ends with.
    of.lingers = true;
    first.send(drain);
    await message(first, 'goodbye');
    first.send(resume);
    first.end();
    await soon(async () => (await local(one.folder, '/status')).body.sessionUp === false);
    assert.equal(companion.health.report('ready').failures.serving, 'draining');
    assert.equal(of.sessions.length, 1);
  });

  test('a drain that is over in time says how many flows it broke', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    writeFileSync(join(one.folder, 'flows'), '3\n');
    one.settings.flows = { path: join(one.folder, 'flows') };
    await runCompanion(context, one);
    const first = await session(of, 1);
    const { status, body } = await local(one.folder, '/drain?timeoutSeconds=0', 'POST');
    assert.equal(status, 504);
    assert.deepEqual(body, { drained: false, openFlows: 3 });
    assert.deepEqual(await message(first, 'goodbye'), { drained: false, openFlows: 3n });
  });

  test('a revocation removes the key files first, and ends the companion', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    one.settings.hooks = { revoked: { command: ['/usr/bin/touch', join(one.folder, 'told')] } };
    const companion = await runCompanion(context, one);
    const first = await session(of, 1);
    await soon(async () => existsSync(join(one.folder, 'out', 'tls.key')));
    first.send(command({ $case: 'revoke', value: { reason: 'stolen' } }));
    const error = await companion.ended;
    assert.equal(error.code, 'COMPANION_REVOKED');
    assert.match(error.message, /stolen/);
    await message(first, 'ack', ({ type }) => type === 4);
    assert.equal(existsSync(join(one.folder, 'out', 'tls.key')), false);
    assert.deepEqual(
      readdirSync(join(one.folder, 'out')).filter((name) => name.startsWith('..v-')),
      [],
    );
    assert.ok(existsSync(join(one.folder, 'told')));
    assert.equal(companion.health.report('ready').ok, false);
    assert.equal(existsSync(join(one.folder, 'data', 'connector-state.json')), false);
  });

  test('a session that is refused for revocation ends it too', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    of.refuseSession = () => fail('CONNECTOR_REVOKED', 'revoked by an operator');
    const companion = await runCompanion(context, one);
    assert.equal((await companion.ended).code, 'COMPANION_REVOKED');
    assert.equal(existsSync(join(one.folder, 'out', 'tls.key')), false);
  });

  test('ReEnrol brings a new key', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    await runCompanion(context, one);
    (await session(of, 1)).send(command({ $case: 'reEnrol', value: { reason: 'moved' } }));
    await session(of, 2);
    const [a, b] = of.enrolments;
    assert.notEqual(keyOf(a!.csr), keyOf(b!.csr));
  });

  test('a clock a minute and more away degrades it, and says what to do', async (context) => {
    const of = await server(context);
    of.aheadMs = 120_000;
    const one = companionSettings(context, of);
    await runCompanion(context, one);
    const first = await session(of, 1);
    const { reason } = await message(first, 'heartbeat', ({ health }) => health === 2);
    assert.match(reason, /set the clock .*120 s behind/);
  });
});
