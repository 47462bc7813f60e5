import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ok, type Result } from '../../src/base/result.ts';
import type { SegmentUpdate } from '../../src/gen/signet/connector/v1/connector.ts';
import { testSegment } from '../../test/support/companion-server.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import type { StateFile } from '../state-file.ts';
import { SegmentSet } from './segments.ts';
import type { StoredSegments } from './state.ts';

/** A set that keeps what is saved in memory. */
function set() {
  const saved: StoredSegments[] = [];
  const file: StateFile<StoredSegments> = {
    get current() {
      return saved.at(-1) ?? { version: '', update: '' };
    },
    async save(change) {
      saved.push({ ...this.current, ...change });
      return ok(undefined);
    },
    settled: async () => {},
    wipe: async () => ok(undefined),
  };
  return { one: assertValue(SegmentSet.restore(file)), saved };
}

const problem = (result: Result<unknown>): string => (result.ok ? '' : result.error.message);

function update(version: string, more: Partial<SegmentUpdate> = {}): SegmentUpdate {
  return {
    full: true,
    segments: [],
    removedIds: [],
    version,
    nonce: Buffer.from('n'),
    last: true,
    baseVersion: '',
    ...more,
  };
}

const many = (count: number, prefix = '') => Array.from({ length: count }, (_, at) => prefix + at);

for (const version of ['', 'a b', 'a"b', 'a\r\nX: y', 'a\0', 'a\u001b[2J', 'ä', 'x'.repeat(129)]) {
  test(`the version ${JSON.stringify(version.slice(0, 10))} (${version.length}) is none`, async () => {
    const { one } = set();
    assertRefused(await one.take(update(version)), 'COMPANION_SEGMENTS');
  });
}

test('a version of 128 characters is one', async () => {
  const { one } = set();
  assert.equal(assertValue(await one.take(update('x'.repeat(128)))), true);
});

test('an id that would paint on a terminal is refused, and told without its colours', async () => {
  const { one } = set();
  const segments = [testSegment('a\u001b[31mb\n')];
  const refused = await one.take(update('1', { segments }));
  assertRefused(refused, 'COMPANION_SEGMENTS');
  assert.match(problem(refused), /a\?\[31mb\?: its id/);
});

test('the rest of an update that was refused is passed over, not taken for the whole', async () => {
  const { one } = set();
  assertValue(await one.take(update('1', { segments: [testSegment('held')] })));
  const bad = testSegment('bad', { hosts: [] });
  assertRefused(
    await one.take(update('2', { segments: [bad], last: false })),
    'COMPANION_SEGMENTS',
  );
  const middle = update('2', { segments: [testSegment('b')], last: false });
  assert.equal(assertValue(await one.take(middle)), false);
  assert.equal(assertValue(await one.take(update('2', { segments: [testSegment('c')] }))), false);
  assert.deepEqual([one.version, one.list().map(({ id }) => id)], ['1', ['held']]);
  // The next one, be it of the same version, is taken.
  assert.equal(assertValue(await one.take(update('2', { segments: [testSegment('d')] }))), true);
  assert.equal(one.size, 1);
});

test('another update ends the wait for the rest of a refused one', async () => {
  const { one } = set();
  const bad = testSegment('bad', { hosts: [] });
  assertRefused(
    await one.take(update('2', { segments: [bad], last: false })),
    'COMPANION_SEGMENTS',
  );
  assert.equal(assertValue(await one.take(update('3'))), true);
});

test('100,000 segments are held, one more is refused and what was there stays', async () => {
  const { one } = set();
  const segments = many(100_000).map((id) => testSegment(id, { hosts: ['h'], clients: [] }));
  assert.equal(assertValue(await one.take(update('1', { segments }))), true);
  const more = update('2', { full: false, baseVersion: '1', segments: [testSegment('more')] });
  assertRefused(await one.take(more), 'COMPANION_SEGMENTS');
  assert.deepEqual([one.version, one.size], ['1', 100_000]);
});

test('chunks that never end are refused: of removed ids, of strings, of segments', async () => {
  const { one } = set();
  assertValue(await one.take(update('1')));
  const endless = (more: Partial<SegmentUpdate>) =>
    update('2', { full: false, baseVersion: '1', last: false, ...more });
  for (const more of [
    { removedIds: many(50_000) },
    { segments: [testSegment('big', { labels: { x: 'y'.repeat(16 * 1024 * 1024) } })] },
    { segments: many(50_000).map((id) => testSegment(id, { hosts: ['h'], clients: [] })) },
  ]) {
    one.reset();
    let refused = false;
    for (let chunk = 0; chunk < 5 && !refused; chunk++) {
      refused = !(await one.take(endless(more))).ok;
    }
    assert.ok(refused);
  }
});

test('what could not be read at the next start is not held', async () => {
  const { one, saved } = set();
  const large = (id: string) => testSegment(id, { labels: { x: 'y'.repeat(35 * 1024 * 1024) } });
  assertValue(await one.take(update('1', { segments: [large('a')] })));
  const more = update('2', { full: false, baseVersion: '1', segments: [large('b')] });
  assert.match(problem(await one.take(more)), /more than 67108864 bytes/);
  assert.deepEqual([one.version, one.size, saved.length], ['1', 1, 1]);
});
