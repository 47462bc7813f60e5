import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fail } from '../../src/base/result.ts';
import {
  belongTogether,
  keyOf,
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
import { MovedClock } from '../../test/support/moved-clock.ts';
import { soon } from '../../test/support/processes.ts';
import { makeRoot } from '../../test/support/x509.ts';

// The server here is scripted, not ours: what the real one says is in test/integration/companion.test.ts.

const HOUR_MS = 3_600_000;

/** A companion in its first session, with the segment `before`, whose SVID lives that long. */
async function companion(context: TestContext, ttlMs: number) {
  const of = await server(context);
  of.ttlMs = ttlMs;
  const one = companionSettings(context, of);
  const clock = new MovedClock();
  const running = await runCompanion(context, one, { clock });
  const first = await session(of, 1);
  await message(first, 'heartbeat');
  const whole = { full: true, removedIds: [], baseVersion: '', last: true };
  const [segments, nonce] = [[testSegment('before')], Buffer.from('a')];
  first.send({ $case: 'segments', value: { ...whole, segments, version: '1-a', nonce } });
  await message(first, 'ack', ({ version }) => version === '1-a');
  await soon(async () => running.health.report('ready').ok);
  return { of, one, clock, running, first };
}

test('a partition of an hour past half the life of an SVID: segments and authorities that changed are taken, the SVID is renewed', async (context) => {
  const { of, one, clock, running, first } = await companion(context, 1.75 * HOUR_MS);
  of.refuseSession = () => fail('SERVER_STOPPING', 'partition');
  of.refuse = of.refuseSession;
  first.end(fail('SERVER_STOPPING', 'partition'));
  await first.ended;
  clock.advance(HOUR_MS);
  of.aheadMs = HOUR_MS;
  // Nothing that was held is lost meanwhile.
  assert.ok(running.health.report('ready').ok);
  assert.ok(belongTogether(one.folder));
  const segmentsFile = () => readFileSync(join(one.folder, 'segments.json'), 'utf8');
  assert.match(segmentsFile(), /"before"/);

  const next = makeRoot();
  of.refuseSession = undefined;
  of.refuse = undefined;
  const second = await session(of, 2);
  const { versions } = await message(second, 'hello');
  assert.deepEqual(
    versions.map(({ version }) => version),
    ['1-a'],
  );
  const [own] = of.bundles();
  const x509Authorities = [...own!.x509Authorities, Buffer.from(next.der)];
  const bundles = [{ ...own!, x509Authorities, sequence: 2n }];
  const rotated = { bundles, crl: Buffer.alloc(0), version: 'b2', nonce: Buffer.from('b') };
  second.send({ $case: 'bundle', value: rotated });
  await message(second, 'ack', ({ version }) => version === 'b2');
  const change = { full: false, baseVersion: '1-a', last: true, version: '2-b' };
  const [segments, nonce] = [[testSegment('after')], Buffer.from('c')];
  second.send({ $case: 'segments', value: { ...change, segments, removedIds: ['before'], nonce } });
  await message(second, 'ack', ({ version }) => version === '2-b');
  // The new authority signs from now on.
  of.signer = next;
  second.send({
    $case: 'command',
    value: { nonce, kind: { $case: 'renewNow', value: { reason: 'past half of its life' } } },
  });
  const { csr } = await message(second, 'renewCsr');
  const svid = of.svid(spkiOf(csr));
  second.send({ $case: 'svid', value: { svid, version: 'v2', nonce } });
  const third = await session(of, 3);
  const beat = await message(third, 'heartbeat');
  assert.equal(beat.serialNumber, svid.serialNumber);
  assert.deepEqual((await message(third, 'hello')).versions.map(({ version }) => version).sort(), [
    '2-b',
    'b2',
    'v2',
  ]);
  await soon(async () => outputs(one.folder).cert.checkIssued(new X509Certificate(next.pem)));
  await soon(async () => /"after"/.test(segmentsFile()) && !/"before"/.test(segmentsFile()));
  assert.ok(belongTogether(one.folder));
  const authorities = readFileSync(join(one.folder, 'out', 'ca.crt'), 'utf8');
  assert.equal(authorities.split('BEGIN CERTIFICATE').length, 3);
  assert.ok(running.health.report('ready').ok);
  assert.equal(new Set(of.enrolments.map((one) => keyOf(one.csr))).size, 1);
});

test('a partition in which the SVID ends: not ready meanwhile, then an enrolment anew with the same key', async (context) => {
  const { of, one, clock, running, first } = await companion(context, HOUR_MS / 2);
  of.refuseSession = () => fail('SERVER_STOPPING', 'partition');
  of.refuse = of.refuseSession;
  first.end(fail('SERVER_STOPPING', 'partition'));
  await first.ended;
  clock.advance(HOUR_MS);
  of.aheadMs = HOUR_MS;
  await soon(async () => !running.health.report('ready').ok);
  assert.match(running.health.report('ready').failures.identity ?? '', /the SVID has expired/);
  const sessions = of.sessions.length;
  of.refuse = undefined;
  of.refuseSession = undefined;
  const next = await session(of, sessions + 1);
  const { versions } = await message(next, 'hello');
  assert.ok(versions.some(({ version }) => version === '1-a'));
  await soon(async () => running.health.report('ready').ok);
  await soon(async () => outputs(one.folder).cert.validToDate.getTime() > clock.nowMs());
  assert.ok(belongTogether(one.folder));
  assert.ok(of.enrolments.length > 1);
  assert.equal(new Set(of.enrolments.map((one) => keyOf(one.csr))).size, 1);
});
