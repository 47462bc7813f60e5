import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  MemoryFiles,
  makeEntries,
  makeNoteSigner,
  openTestLedger,
} from '../../test/support/ledger.ts';
import { ManualClock } from '../base/clock.ts';
import { type Result, unwrap } from '../base/result.ts';
import { hashLeaf } from './hash.ts';
import { listSegments } from './log-scan.ts';
import { proveInclusion } from './proof.ts';
import { readEntry, readTile, subtreesIn } from './reader.ts';
import { dropBodies } from './retention.ts';
import { verifyInclusion } from './verify.ts';

const START_MS = 1_800_000_000_000;
const signer = makeNoteSigner();
const codeOf = (result: Result<unknown>) => (result.ok ? undefined : result.error.code);

/** 600 records, a second apart, in small segments. */
async function rig(retentionMs?: number) {
  const files = new MemoryFiles();
  const clock = new ManualClock(START_MS + 600_000);
  const options = { files, signer, clock, segmentBytes: 1000 };
  const open = async () =>
    unwrap(
      await openTestLedger({ ...options, ...(retentionMs === undefined ? {} : { retentionMs }) }),
    );
  const ledger = await open();
  for (let at = 0; at < 600; at += 10) unwrap(await ledger.append(makeEntries(at, 10)));
  unwrap(await ledger.publish());
  return { files, ledger, open };
}

const firstKept = async (files: MemoryFiles): Promise<number> =>
  unwrap(await listSegments(files))[0]?.first ?? 0;

test('bodies that are old are gone, whole segments at a time, and none that is younger', async () => {
  const { files, ledger } = await rig();
  const before = unwrap(await listSegments(files)).map(({ first }) => first);
  for (const age of [0, 1, before[1]!, before[1]! + 1, 300, 599, 10_000]) {
    const rule = { beforeMs: START_MS + age * 1000, holds: [] };
    const dropped = unwrap(await dropBodies(files, ledger.checkpoint, rule));
    const first = await firstKept(files);
    assert.ok(before.includes(first) && dropped >= 0);
    assert.ok(first <= Math.max(age - 1, 0), `age ${age}: kept from ${first}`);
  }
  assert.equal(await firstKept(files), before.at(-1), 'the last segment stays');
});

test('the ledger goes on without them, across restarts, and proves what is left', async () => {
  const { files, ledger, open } = await rig(300_000);
  const kept = await firstKept(files);
  assert.ok(kept > 200 && kept <= 300, `${kept}`);
  await ledger.close();
  const next = await open();
  unwrap(await next.append(makeEntries(600, 5)));
  await next.close();
  const last = await open();
  const { size, root } = last.checkpoint;
  assert.equal(size, 605);
  for (const index of [kept, 599, 604]) {
    const entry = unwrap(await readEntry(files, size, index));
    const proof = unwrap(await proveInclusion(index, size, subtreesIn(files)));
    unwrap(verifyInclusion({ index, size, leafHash: hashLeaf(entry), root }, proof));
  }
  assert.equal(codeOf(await readEntry(files, size, kept - 1)), 'LEDGER_BODY_GONE');
  const bundle = { level: 'entries', index: 0, width: 256 } as const;
  assert.equal(codeOf(await readTile(files, size, bundle)), 'LEDGER_BODY_GONE');
  unwrap(await readTile(files, size, { level: 0, index: 0, width: 256 }));
  // A proof needs only the hash of a body that somebody else kept.
  const [entry] = makeEntries(3, 1);
  const proof = unwrap(await proveInclusion(3, size, subtreesIn(files)));
  const leafHash = hashLeaf(entry?.bytes ?? new Uint8Array());
  unwrap(verifyInclusion({ index: 3, size, leafHash, root }, proof));
});

test('what no checkpoint covers is never dropped', async () => {
  const { files, ledger } = await rig();
  const covered = { ...ledger.checkpoint, size: 100 };
  unwrap(await dropBodies(files, covered, { beforeMs: START_MS + 1_000_000, holds: [] }));
  assert.ok((await firstKept(files)) <= 100);
});

test('what somebody still wants stays for its extra time, and no longer', async () => {
  const { files, ledger } = await rig();
  const starts = unwrap(await listSegments(files)).map(({ first }) => first);
  const beforeMs = START_MS + 500_000;
  const hold = { from: 100, extraMs: 300_000 };
  const holds = [hold, { from: 600, extraMs: 0 }];
  // Record 100 is wanted, but what is before 200 is older than the extra time.
  unwrap(await dropBodies(files, ledger.checkpoint, { beforeMs, holds }));
  const first = await firstKept(files);
  assert.ok(first > 100 && first <= 200, `${first}`);
  unwrap(await dropBodies(files, ledger.checkpoint, { beforeMs: START_MS + 900_000, holds: [] }));
  assert.equal(await firstKept(files), starts.at(-1));
});

test('a hold keeps everything from its first record on', async () => {
  const { files, ledger } = await rig();
  const starts = unwrap(await listSegments(files)).map(({ first }) => first);
  const holds = [{ from: 100, extraMs: 10_000_000 }];
  unwrap(await dropBodies(files, ledger.checkpoint, { beforeMs: START_MS + 500_000, holds }));
  assert.equal(
    await firstKept(files),
    starts.findLast((each) => each <= 100),
  );
});

test('a ledger drops nothing while it is not known who wants what', async () => {
  for (const [holds, dropped] of [
    [undefined, false],
    [[], true],
  ] as const) {
    const files = new MemoryFiles();
    const clock = new ManualClock(START_MS + 600_000);
    const bodyHolds = () => holds;
    const options = { files, signer, clock, segmentBytes: 1000, retentionMs: 1000, bodyHolds };
    const ledger = unwrap(await openTestLedger(options));
    for (let at = 0; at < 100; at += 10) unwrap(await ledger.append(makeEntries(at, 10)));
    unwrap(await ledger.publish());
    assert.equal((await firstKept(files)) > 0, dropped);
  }
});
