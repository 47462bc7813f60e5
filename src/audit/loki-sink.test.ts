import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { followerBounds, readBack } from '../../test/support/audit.ts';
import { type FakeLoki, type LokiFault, startFakeLoki } from '../../test/support/fake-loki.ts';
import {
  MemoryFiles,
  makeEntries,
  makeNoteSigner,
  openTestLedger,
} from '../../test/support/ledger.ts';
import { temporaryFolder } from '../../test/support/state.ts';
import { type Result, unwrap } from '../base/result.ts';
import { openFollower } from './follower.ts';
import { openLokiSink } from './loki-sink.ts';
import type { LokiConfig } from './settings.ts';

let loki: FakeLoki;
before(async () => {
  loki = await startFakeLoki();
});
after(() => loki.close());

const { signal } = new AbortController();
const settings = (extra: Partial<LokiConfig> = {}): LokiConfig => ({
  url: loki.url,
  labels: { job: 'signet-audit' },
  timeout: 5,
  ...extra,
});
const LINE = { origin: 'o', index: 1_000_007, timeMs: 1_800_000_000_123, text: '{"index":7}' };
const codeOf = (result: Result<unknown>) => (result.ok ? undefined : result.error.code);

test('a push has one stream with the labels, and times that keep the order', async () => {
  const sink = unwrap(await openLokiSink(settings({ tenant: 'fleet' })));
  unwrap(await sink.deliver([LINE, { ...LINE, index: 1_000_008 }], signal));
  const push = loki.pushes.at(-1)!;
  assert.deepEqual(push.stream, { job: 'signet-audit' });
  assert.deepEqual(push.values, [
    ['1800000000123000007', LINE.text],
    ['1800000000123000008', LINE.text],
  ]);
  assert.equal(push.headers['x-scope-orgid'], 'fleet');
  assert.equal(push.headers.authorization, undefined);
});

test('a password and a token come from their files, at each push anew', async (context) => {
  const path = join(await temporaryFolder(context), 'secret');
  await writeFile(path, 'one\n');
  const basic = unwrap(await openLokiSink(settings({ username: 'signet', passwordPath: path })));
  const bearer = unwrap(await openLokiSink(settings({ tokenPath: path })));
  const sent = async (sink: typeof basic) => {
    unwrap(await sink.deliver([LINE], signal));
    return loki.pushes.at(-1)?.headers.authorization;
  };
  assert.equal(await sent(basic), `Basic ${Buffer.from('signet:one').toString('base64')}`);
  assert.equal(await sent(bearer), 'Bearer one');
  await writeFile(path, 'two\n');
  assert.equal(await sent(bearer), 'Bearer two');
  const missing = unwrap(await openLokiSink(settings({ tokenPath: `${path}-gone` })));
  assert.equal(codeOf(await missing.deliver([LINE], signal)), 'AUDIT_SETTINGS');
});

const FAULTS: readonly (readonly [string, LokiFault, string, number | undefined])[] = [
  ['429', { status: 429, text: 'slowly' }, 'AUDIT_SINK_THROTTLED', 0],
  ['429 with a pause', { status: 429, text: '', retryAfter: '7' }, 'AUDIT_SINK_THROTTLED', 7000],
  ['429 with a date', { status: 429, text: '', retryAfter: 'Mon' }, 'AUDIT_SINK_THROTTLED', 0],
  ['500', { status: 500, text: 'no' }, 'AUDIT_SINK_UNAVAILABLE', undefined],
  ['503 with a pause', { status: 503, text: '', retryAfter: '2' }, 'AUDIT_SINK_UNAVAILABLE', 2000],
  ['400', { status: 400, text: 'entry too far behind' }, 'AUDIT_SINK_REFUSED', undefined],
  ['401', { status: 401, text: 'who' }, 'AUDIT_SINK_REFUSED', undefined],
  ['a redirect', { status: 302, text: '' }, 'AUDIT_SINK_REFUSED', undefined],
  ['a reset', 'reset', 'AUDIT_SINK_UNAVAILABLE', undefined],
  ['silence', 'silence', 'AUDIT_SINK_UNAVAILABLE', undefined],
];

for (const [name, fault, code, retryAfterMs] of FAULTS) {
  test(`${name} from Loki is ${code}`, async () => {
    const sink = unwrap(await openLokiSink(settings({ timeout: 0.2 })));
    loki.faults.push(fault);
    const delivered = await sink.deliver([LINE], signal);
    assert.equal(codeOf(delivered), code);
    if (!delivered.ok) assert.equal(delivered.error.details.retryAfterMs, retryAfterMs);
  });
}

test('through 429, 5xx, resets and silence every record comes, in order', async (context) => {
  const files = new MemoryFiles();
  const ledger = unwrap(await openTestLedger({ files, signer: makeNoteSigner() }));
  for (let at = 0; at < 60; at += 10) unwrap(await ledger.append(makeEntries(at, 10)));
  unwrap(await ledger.publish());
  const before = loki.pushes.length;
  const sink = unwrap(await openLokiSink(settings({ timeout: 0.3 })));
  loki.faults.push({ status: 429, text: '' }, 'reset', { status: 503, text: '' }, 'silence');
  const follower = unwrap(await openFollower({ ...followerBounds(), sink, files, ledger }));
  context.after(() => follower.close());
  follower.start();
  while (follower.lagRecords > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const values = loki.pushes.slice(before).flatMap((push) => push.values);
  assert.deepEqual(
    values.map(([, text]) => readBack(text).index),
    Array.from({ length: 60 }, (_, at) => at),
  );
  const times = values.map(([time]) => BigInt(time));
  assert.ok(times.every((time, at) => at === 0 || time > (times[at - 1] ?? 0n)));
  assert.equal(follower.counts.failed, 4);
});
