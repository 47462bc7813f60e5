import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  DISK_FULL,
  MemoryFiles,
  makeEntries,
  makeNoteSigner,
  openTestLedger,
} from '../../test/support/ledger.ts';
import { utf8 } from '../base/bytes.ts';
import { ManualClock } from '../base/clock.ts';
import type { ErrorCode } from '../base/errors.ts';
import { fail, ok, type Result, unwrap } from '../base/result.ts';
import type { SignedCheckpoint } from './checkpoint.ts';
import { HEAD_FILE, LOG_FOLDER, VERIFIER_FILE } from './files.ts';
import { encodeFrame, FRAME_HEADER_BYTES, splitEntries } from './frame.ts';
import { Frontier } from './frontier.ts';
import { hashLeaf } from './hash.ts';
import type { Ledger } from './ledger.ts';
import { segmentName } from './log-scan.ts';
import { parseVerifierKey } from './note-key.ts';
import { proveConsistency, proveInclusion } from './proof.ts';
import { readEntries, readEntry, readHead, readTile, readVerifier, subtreesIn } from './reader.ts';
import { tilesOf } from './tile-path.ts';
import { verifyConsistency, verifyInclusion } from './verify.ts';

const signer = makeNoteSigner();

const codeOf = (result: Result<unknown>): ErrorCode | undefined =>
  result.ok ? undefined : result.error.code;

async function open(files: MemoryFiles, segmentBytes = 64 * 1024 * 1024): Promise<Ledger> {
  return unwrap(await openTestLedger({ files, signer, segmentBytes }));
}

async function fill(ledger: Ledger, count: number, batch: number): Promise<void> {
  for (let done = ledger.size; count > 0; done = ledger.size) {
    const next = Math.min(batch, count);
    unwrap(await ledger.append(makeEntries(done, next)));
    count -= next;
  }
}

/** Root of the first records as they should be. */
function expectedRoot(size: number): Uint8Array {
  const frontier = new Frontier();
  for (const { bytes } of makeEntries(0, size)) frontier.push(hashLeaf(bytes));
  return frontier.root();
}

async function assertWhole(files: MemoryFiles, size: number): Promise<void> {
  const head = unwrap(await readHead(files, unwrap(await readVerifier(files))));
  assert.equal(head.size, size);
  assert.deepEqual(Buffer.from(head.root), Buffer.from(expectedRoot(size)));
  const texts: string[] = [];
  unwrap(await readEntries(files, { first: 0, end: size }, (entry) => texts.push(`${entry}`)));
  assert.deepEqual(
    texts,
    makeEntries(0, size).map(({ bytes }) => `${bytes}`),
  );
}

describe('a ledger', () => {
  test('begins empty, with a head and a key that anybody can verify it by', async () => {
    const files = new MemoryFiles();
    const ledger = await open(files);
    assert.equal(ledger.size, 0);
    assert.match(ledger.checkpoint.origin, /^example\.org\/ledger\/[0-9a-f]{16}$/);
    const key = unwrap(await files.read(VERIFIER_FILE, 0, 1000));
    const verifier = unwrap(parseVerifierKey(Buffer.from(key).toString().trim()));
    assert.equal(unwrap(await readHead(files, verifier)).size, 0);
  });

  test('has the root of RFC 6962 at each checkpoint, across restarts and segments', async () => {
    const files = new MemoryFiles();
    for (const count of [1, 1, 254, 1, 700, 0, 43]) {
      const ledger = await open(files, 2000);
      await fill(ledger, count, 100);
      const size = ledger.size;
      await ledger.close();
      if (size > 0) await assertWhole(files, size);
    }
    assert.ok(unwrap(await files.list(LOG_FOLDER)).length > 5);
  });

  test('covers each batch by a checkpoint within the interval', async () => {
    const clock = new ManualClock(1_800_000_000_000);
    const files = new MemoryFiles();
    const ledger = unwrap(await openTestLedger({ files, signer, clock }));
    await fill(ledger, 3, 3);
    assert.equal(ledger.checkpoint.size, 0);
    clock.advance(1000);
    await ledger.publish();
    assert.equal(ledger.checkpoint.size, 3);
    await assertWhole(files, 3);
  });

  test('writes what waits at the same time with one fsync, each caller with its own index', async () => {
    const files = new MemoryFiles();
    const ledger = await open(files);
    await fill(ledger, 1, 1);
    const before = files.logSyncs;
    const batches = Array.from({ length: 50 }, (_, at) =>
      ledger.append(makeEntries(1 + at * 2, 2)),
    );
    const indices = (await Promise.all(batches)).map(unwrap);
    assert.deepEqual(
      indices,
      batches.map((_, at) => 1 + at * 2),
    );
    // The first goes at once, all others while it is written.
    assert.equal(files.logSyncs - before, 2);
    await ledger.close();
    await assertWhole(files, 101);
  });

  test('writes nothing for an empty batch, alone or beside others', async () => {
    const files = new MemoryFiles();
    const ledger = await open(files);
    assert.equal(unwrap(await ledger.append([])), 0);
    const syncs = files.logSyncs;
    const [one, none] = [ledger.append(makeEntries(0, 2)), ledger.append([])];
    assert.deepEqual([unwrap(await one), ledger.size], [0, 2]);
    unwrap(await none);
    assert.equal(files.logSyncs, syncs + 1);
    await ledger.close();
    assert.equal(codeOf(await ledger.append([])), 'LEDGER_CLOSED');
    await assertWhole(files, 2);
  });

  test('refuses entries and batches that are too large, whole', async () => {
    const files = new MemoryFiles();
    const ledger = await open(files);
    const entry = (length: number) => ({ bytes: new Uint8Array(length), timeMs: 0 });
    assert.equal(codeOf(await ledger.append([entry(1), entry(65_536)])), 'LEDGER_RECORD_TOO_LARGE');
    const many = Array.from({ length: 129 }, () => entry(65_535));
    assert.equal(codeOf(await ledger.append(many)), 'LEDGER_RECORD_TOO_LARGE');
    unwrap(await ledger.append([entry(65_535), entry(0)]));
    assert.equal(ledger.size, 2);
    assert.equal(unwrap(await readEntry(files, 2, 0)).length, 65_535);
  });

  test('refuses what comes after close, and does what came before', async () => {
    const files = new MemoryFiles();
    const ledger = await open(files);
    const last = ledger.append(makeEntries(0, 2));
    const closed = ledger.close();
    assert.equal(codeOf(await ledger.append(makeEntries(2, 1))), 'LEDGER_CLOSED');
    unwrap(await last);
    await closed;
    await assertWhole(files, 2);
  });
});

describe('proofs from the files', async () => {
  const files = new MemoryFiles();
  const ledger = await open(files, 30_000);
  const checkpoints: SignedCheckpoint[] = [];
  for (const count of [1, 255, 1, 300, 700]) {
    await fill(ledger, count, 70);
    checkpoints.push(unwrap(await ledger.publish()));
  }
  const head = ledger.checkpoint;
  const source = subtreesIn(files);

  test('show each record in the tree', async () => {
    for (const index of [0, 1, 255, 256, 257, 511, 512, 556, 557, head.size - 1]) {
      const entry = unwrap(await readEntry(files, head.size, index));
      assert.equal(`${entry}`, `{"record":${index}}`);
      const proof = unwrap(await proveInclusion(index, head.size, source));
      const { size, root } = head;
      unwrap(verifyInclusion({ index, size, leafHash: hashLeaf(entry), root }, proof));
    }
  });

  test('show that each checkpoint grew into the next (I9)', async () => {
    for (const [at, older] of checkpoints.entries()) {
      for (const newer of checkpoints.slice(at)) {
        const proof = unwrap(await proveConsistency(older.size, newer.size, source));
        const claim = {
          oldSize: older.size,
          newSize: newer.size,
          oldRoot: older.root,
          newRoot: newer.root,
        };
        unwrap(verifyConsistency(claim, proof));
      }
    }
  });

  test('every tile and bundle is there, and none beyond', async () => {
    for (const tile of tilesOf(head.size)) {
      const bytes = unwrap(await readTile(files, head.size, tile));
      if (tile.level === 'entries') assert.equal(splitEntries(bytes)?.length, tile.width);
      else assert.equal(bytes.length, tile.width * 32);
    }
    const beyond = [
      { level: 0, index: 5, width: 256 },
      { level: 1, index: 0, width: 5 },
      { level: 2, index: 0, width: 1 },
      { level: 'entries', index: 4, width: 256 },
    ] as const;
    for (const tile of beyond) {
      assert.equal(codeOf(await readTile(files, head.size, tile)), 'LEDGER_INDEX_RANGE');
    }
    assert.equal(codeOf(await readEntry(files, head.size, head.size)), 'LEDGER_INDEX_RANGE');
  });
});

describe('after a crash', () => {
  test('a batch that was torn at any byte is cut, and the ledger goes on', async () => {
    const files = new MemoryFiles();
    const ledger = await open(files);
    await fill(ledger, 10, 4);
    await ledger.publish();
    const name = segmentName(0);
    const whole = unwrap(await files.size(name)) ?? 0;
    await fill(ledger, 3, 3);
    const before = files.afterKill();
    const log = before.get(name) ?? Buffer.alloc(0);
    for (let end = whole; end < log.length; end++) {
      const torn = new MemoryFiles(new Map(before).set(name, log.subarray(0, end)));
      const next = await open(torn);
      assert.equal(next.size, 10, `cut at ${end}`);
      await fill(next, 5, 5);
      await next.close();
      await assertWhole(torn, 15);
    }
  });

  test('a last batch whose bytes came out of order is cut', async () => {
    const files = new MemoryFiles();
    const ledger = await open(files);
    await fill(ledger, 4, 4);
    await ledger.publish();
    const whole = unwrap(await files.size(segmentName(0))) ?? 0;
    await fill(ledger, 3, 3);
    const length = unwrap(await files.size(segmentName(0))) ?? 0;
    for (let at = whole; at < length; at++) {
      const content = files.afterKill();
      content.get(segmentName(0))?.fill(0, at, at + 1);
      if (content.get(segmentName(0))?.equals(files.afterKill().get(segmentName(0))!)) continue;
      assert.equal((await open(new MemoryFiles(content))).size, 4, `zero at ${at}`);
    }
  });

  test('records behind the last checkpoint are kept when their batch was whole', async () => {
    const files = new MemoryFiles();
    const ledger = await open(files);
    await fill(ledger, 300, 30);
    await ledger.publish();
    await fill(ledger, 300, 30);
    const next = new MemoryFiles(files.afterCrash(() => 0));
    const again = await open(next);
    assert.equal(again.size, 600);
    await assertWhole(next, 600);
  });

  /** Lives until it is killed at its n-th step on files; tells what was answered and published. */
  async function liveUntil(step: number, content: ReadonlyMap<string, Buffer>) {
    let left = step;
    const died = Promise.withResolvers<'killed'>();
    const files: MemoryFiles = new MemoryFiles(content, async () => {
      left -= 1;
      if (left > 0) return ok(undefined);
      died.resolve('killed');
      return new Promise(() => {});
    });
    const seen = { acknowledged: 0, heads: [] as { size: number; root: Uint8Array }[] };
    const live = async (): Promise<'lived'> => {
      const ledger = await open(files, 300);
      seen.heads.push(ledger.checkpoint);
      for (let round = 0; round < 3; round++) {
        const first = ledger.size;
        await Promise.all([
          ledger.append(makeEntries(first, 2)).then(unwrap),
          ledger.append(makeEntries(first + 2, 3)).then(unwrap),
        ]);
        seen.acknowledged = ledger.size;
        seen.heads.push(unwrap(await ledger.publish()));
      }
      await ledger.close();
      return 'lived';
    };
    const ended = await Promise.race([live(), died.promise]);
    return { ended, files, seen };
  }

  for (const [how, left] of [
    ['a kill of the process', (files: MemoryFiles) => files.afterKill()],
    ['a crash of the machine, nothing unsynced kept', (files) => files.afterCrash(() => 0)],
    ['a crash of the machine, half kept', (files) => files.afterCrash((n) => Math.floor(n / 2))],
  ] as readonly (readonly [string, (files: MemoryFiles) => ReadonlyMap<string, Buffer>])[]) {
    test(`${how} at any step loses no answered record and no checkpoint (I2, I9)`, async () => {
      for (let step = 1; ; step++) {
        const { ended, files, seen } = await liveUntil(step, new Map());
        const next = new MemoryFiles(left(files));
        const ledger = await open(next, 300);
        assert.ok(ledger.size >= seen.acknowledged, `step ${step}`);
        for (const head of seen.heads) {
          assert.deepEqual(head.root, expectedRoot(head.size), `step ${step}`);
          assert.ok(ledger.size >= head.size);
        }
        await fill(ledger, 2, 2);
        await ledger.close();
        await assertWhole(next, ledger.size);
        if (ended === 'lived') {
          assert.ok(step > 20, `${step} steps`);
          return;
        }
      }
    });
  }
});

describe('what must not be signed on is refused', () => {
  const build = async (count = 600): Promise<MemoryFiles> => {
    const files = new MemoryFiles();
    const ledger = await open(files, 4000);
    await fill(ledger, count, 20);
    await ledger.close();
    return files;
  };
  const reopen = (content: ReadonlyMap<string, Buffer>, by = signer) =>
    openTestLedger({ files: new MemoryFiles(content), signer: by });

  test('any altered byte of the log', async () => {
    const whole = (await build(60)).afterKill();
    const names = [...whole.keys()].filter((name) => name.startsWith(`${LOG_FOLDER}/`));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (name, seed, by) => {
          const content = new Map([...whole].map(([key, bytes]) => [key, Buffer.from(bytes)]));
          const bytes = content.get(name)!;
          const at = seed % bytes.length;
          bytes[at] = bytes[at]! ^ by;
          const opened = await reopen(content);
          const codes = ['LEDGER_CORRUPT', 'LEDGER_ROLLED_BACK', 'LEDGER_FORKED'];
          assert.ok(codes.includes(codeOf(opened) ?? ''), `${name} byte ${at}`);
        },
      ),
    );
  });

  test('a damaged batch in the middle', async () => {
    const content = (await build()).afterKill();
    const [first = Buffer.alloc(0)] = [...content]
      .filter(([name]) => name.startsWith(LOG_FOLDER))
      .map(([, bytes]) => bytes);
    first.fill(0, 500, 600);
    assert.equal(codeOf(await reopen(content)), 'LEDGER_CORRUPT');
  });

  test('a damaged batch behind the last checkpoint that is not the last one', async () => {
    const files = new MemoryFiles();
    const ledger = await open(files);
    await fill(ledger, 4, 4);
    await ledger.publish();
    const start = unwrap(await files.size(segmentName(0))) ?? 0;
    await fill(ledger, 8, 4);
    const content = files.afterKill();
    for (const at of [start, start + 20, start + FRAME_HEADER_BYTES + 3]) {
      const log = Buffer.from(content.get(segmentName(0))!);
      log[at] = (log[at] ?? 0) ^ 1;
      const opened = await reopen(new Map(content).set(segmentName(0), log));
      assert.equal(codeOf(opened), 'LEDGER_CORRUPT', `byte ${at}`);
    }
  });

  test('a batch that was written anew with other records and right checksums', async () => {
    const content = (await build(20)).afterKill();
    const log = content.get(segmentName(0))!;
    const forged = encodeFrame(
      0,
      makeEntries(0, 20).map((entry, at) =>
        at === 7 ? { ...entry, bytes: utf8('{"record":9}') } : entry,
      ),
    );
    assert.equal(forged.length, log.length);
    const opened = await reopen(new Map(content).set(segmentName(0), Buffer.from(forged)));
    assert.equal(codeOf(opened), 'LEDGER_FORKED');
  });

  test('a missing segment in the middle, and one at the end', async () => {
    const names = unwrap(await (await build()).list(LOG_FOLDER));
    const without = async (name: string) => {
      const content = new Map((await build()).afterKill());
      content.delete(`${LOG_FOLDER}/${name}`);
      return codeOf(await reopen(content));
    };
    assert.equal(await without(names[1] ?? ''), 'LEDGER_CORRUPT');
    assert.equal(await without(names.at(-1) ?? ''), 'LEDGER_ROLLED_BACK');
  });

  test('an older copy of the log beside the last checkpoint', async () => {
    const files = await build(300);
    const older = files.afterKill();
    const ledger = await open(files);
    await fill(ledger, 1, 1);
    await ledger.close();
    const head = files.afterKill().get(HEAD_FILE)!;
    const opened = await reopen(new Map(older).set(HEAD_FILE, head));
    assert.equal(codeOf(opened), 'LEDGER_ROLLED_BACK');
    assert.equal(!opened.ok && /301/.test(opened.error.message), true);
    assert.equal(codeOf(await reopen(new Map([[HEAD_FILE, head]]))), 'LEDGER_ROLLED_BACK');
  });

  test('another log than that of the last checkpoint, even where it is longer', async () => {
    const content = (await build(10)).afterKill();
    const other = new MemoryFiles();
    const ledger = await open(other);
    unwrap(await ledger.append(makeEntries(5, 30)));
    await ledger.close();
    const mixed = new Map(other.afterKill()).set(HEAD_FILE, content.get(HEAD_FILE)!);
    assert.equal(codeOf(await reopen(mixed)), 'LEDGER_FORKED');
  });

  test('a log without its head, and a head signed by another key', async () => {
    const content = new Map((await build(10)).afterKill());
    assert.equal(codeOf(await reopen(content, makeNoteSigner())), 'LEDGER_HEAD_MISSING');
    content.delete(HEAD_FILE);
    assert.equal(codeOf(await reopen(content)), 'LEDGER_HEAD_MISSING');
  });

  test('but hash files that are lost or damaged are made anew from the log', async () => {
    for (const damage of [
      (content: Map<string, Buffer>, name: string) => content.delete(name),
      (content: Map<string, Buffer>, name: string) => content.get(name)?.fill(7),
      (content: Map<string, Buffer>, name: string) =>
        content.set(name, content.get(name)!.subarray(0, 40)),
    ]) {
      for (const name of ['ledger/hashes/0', 'ledger/hashes/1', 'ledger/bundles']) {
        const content = new Map((await build()).afterKill());
        damage(content, name);
        const files = new MemoryFiles(content);
        const ledger = await open(files);
        await fill(ledger, 1, 1);
        await ledger.close();
        await assertWhole(files, 601);
      }
    }
  });
});

describe('a disk that fails', () => {
  /** A ledger whose disk answers what the test says, for the file that it names. */
  async function failing() {
    let failure: Result<void> = ok(undefined);
    let at: string = LOG_FOLDER;
    const files: MemoryFiles = new MemoryFiles(new Map(), async (step, name) =>
      step !== 'truncate' && name.startsWith(at) ? failure : ok(undefined),
    );
    const ledger = await open(files);
    await fill(ledger, 2, 2);
    return {
      files,
      ledger,
      set: (next: Result<void>, where: string = LOG_FOLDER) => {
        failure = next;
        at = where;
      },
    };
  }

  test('for lack of space refuses until there is some, and records nothing meanwhile', async () => {
    const { files, ledger, set } = await failing();
    set(DISK_FULL);
    assert.equal(codeOf(await ledger.append(makeEntries(2, 3))), 'LEDGER_FULL');
    assert.equal(ledger.size, 2);
    set(ok(undefined));
    await fill(ledger, 3, 3);
    await ledger.close();
    await assertWhole(files, 5);
  });

  test('for lack of space leaves nothing of the batch that a later start would stumble over', async () => {
    let full = false;
    const files: MemoryFiles = new MemoryFiles(new Map(), async (step) =>
      full && step === 'writeDurably' ? DISK_FULL : ok(undefined),
    );
    const ledger = await open(files);
    await fill(ledger, 1, 1);
    full = true;
    assert.equal(codeOf(await ledger.append(makeEntries(1, 50))), 'LEDGER_FULL');
    full = false;
    await fill(ledger, 2, 2);
    await ledger.close();
    const next = new MemoryFiles(files.afterKill());
    const whole = unwrap(await next.size(segmentName(0)));
    await open(next);
    assert.equal(unwrap(await next.size(segmentName(0))), whole, 'nothing had to be cut');
    await assertWhole(next, 3);
  });

  test('in any other way ends recording until a restart (A14)', async () => {
    const { files, ledger, set } = await failing();
    set(fail('FILE_UNWRITABLE', 'EIO'));
    assert.equal(codeOf(await ledger.append(makeEntries(2, 3))), 'LEDGER_IO');
    set(ok(undefined));
    assert.equal(codeOf(await ledger.append(makeEntries(2, 3))), 'LEDGER_IO');
    assert.equal(ledger.fault?.code, 'LEDGER_IO');
    await ledger.close();
    const next = new MemoryFiles(files.afterKill());
    await open(next);
    await assertWhole(next, 2);
  });

  test('beside the log keeps the last checkpoint, and the next try covers all', async () => {
    for (const where of ['ledger/hashes', 'ledger/bundles', HEAD_FILE]) {
      const { files, ledger, set } = await failing();
      set(DISK_FULL, where);
      await fill(ledger, 2, 1);
      assert.equal(codeOf(await ledger.publish()), 'DISK_FULL', where);
      assert.equal(ledger.checkpoint.size, 0);
      await fill(ledger, 300, 100);
      set(ok(undefined));
      unwrap(await ledger.publish());
      await fill(ledger, 1, 1);
      await ledger.close();
      await assertWhole(files, 305);
    }
  });
});
