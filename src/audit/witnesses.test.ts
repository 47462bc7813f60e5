import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startFakeWitness } from '../../test/support/fake-witness.ts';
import {
  MemoryFiles,
  makeEntries,
  makeNoteSigner,
  openTestLedger,
} from '../../test/support/ledger.ts';
import { testFolder } from '../../test/support/workload-api.ts';
import { makeLeaf, makeRoot } from '../../test/support/x509.ts';
import { utf8 } from '../base/bytes.ts';
import { ManualClock } from '../base/clock.ts';
import { type Result, unwrap } from '../base/result.ts';
import { openCheckpoint } from '../ledger/checkpoint.ts';
import { verifyCosignature } from '../ledger/cosignature.ts';
import { parseVerifierKey } from '../ledger/note-key.ts';
import { readVerifier } from '../ledger/reader.ts';
import { WITNESSED_FILE } from '../ledger/witness.ts';
import { createLogger } from '../runtime/log.ts';
import { startWitnesses } from './witnesses.ts';

const signer = makeNoteSigner();
const codeOf = (result: Result<unknown>) => (result.ok ? undefined : result.error.code);

async function rig(context: TestContext) {
  const files = new MemoryFiles();
  const clock = new ManualClock(1_800_000_000_000);
  const openLedger = async (of: MemoryFiles) =>
    unwrap(await openTestLedger({ files: of, signer, clock }));
  const ledger = await openLedger(files);
  const logKey = unwrap(await readVerifier(files));
  const witnesses = [
    await startFakeWitness('one.example/w', () => logKey),
    await startFakeWitness('two.example/w', () => logKey),
  ] as const;
  context.after(async () => {
    for (const each of witnesses) await each.close();
  });
  const start = (of = ledger, on = files) =>
    startWitnesses({
      places: witnesses.map(({ url, key }) => ({ url, key })),
      files: on,
      ledger: of,
      clock,
      log: createLogger({ level: 'silent' }),
      everyMs: 1000,
      timeoutMs: 5000,
    });
  const add = async (count: number, to = ledger): Promise<void> => {
    unwrap(await to.append(makeEntries(to.size, count)));
    unwrap(await to.publish());
  };
  return { files, ledger, logKey, witnesses, start, add, openLedger };
}

test('two witnesses cosign each checkpoint, and what is kept carries both', async (context) => {
  const { files, ledger, logKey, witnesses, start, add } = await rig(context);
  await add(3);
  const started = unwrap(await start());
  for (const count of [1, 4, 300]) {
    await add(count);
    await started.round();
    const bytes = files.durable.get(WITNESSED_FILE)!;
    const kept = unwrap(openCheckpoint(bytes, logKey));
    assert.equal(kept.size, ledger.size);
    for (const { key } of witnesses) {
      assert.equal(
        unwrap(verifyCosignature(kept.note, unwrap(parseVerifierKey(key)))),
        1_800_000_000n,
      );
    }
  }
  assert.deepEqual(witnesses[0].seen, ['0→3', '3→4', '4→8', '8→308']);
  assert.deepEqual(
    started.lags.map(({ records }) => records),
    [0, 0],
  );
  await started.close();
});

test('after a restart a witness says what it knows, and gets a proof from there', async (context) => {
  const { witnesses, start, add } = await rig(context);
  await add(5);
  await unwrap(await start()).close();
  await add(5);
  await unwrap(await start()).close();
  assert.deepEqual(witnesses[1].seen, ['0→5', '0→10', '5→10']);
});

test('a witness that has cosigned more refuses the start: the ledger is an older copy', async (context) => {
  const { files, start, add, openLedger } = await rig(context);
  await add(5);
  const older = new MemoryFiles(files.afterKill());
  await add(5);
  await unwrap(await start()).close();
  // Log, head and cosigned checkpoint are all of the same older copy.
  const ledger = await openLedger(older);
  assert.equal(codeOf(await start(ledger, older)), 'LEDGER_ROLLED_BACK');
  await add(5, ledger);
  assert.equal(
    codeOf(await start(ledger, older)),
    undefined,
    'the same records again are the same tree',
  );
});

test('a ledger that went another way from an older copy is refused', async (context) => {
  const { files, start, add, openLedger } = await rig(context);
  await add(5);
  const older = new MemoryFiles(files.afterKill());
  await add(5);
  await unwrap(await start()).close();
  for (const others of [5, 6]) {
    const copy = new MemoryFiles(older.afterKill());
    const ledger = await openLedger(copy);
    const entries = Array.from({ length: others }, () => ({ bytes: utf8('other'), timeMs: 1 }));
    unwrap(await ledger.append(entries));
    unwrap(await ledger.publish());
    assert.equal(codeOf(await start(ledger, copy)), 'LEDGER_FORKED', `${others}`);
  }
});

test('the cosigned checkpoint that is kept guards the ledger while no witness answers', async (context) => {
  const { files, witnesses, start, add, openLedger } = await rig(context);
  await add(5);
  const older = new MemoryFiles(files.afterKill());
  await add(5);
  await unwrap(await start()).close();
  unwrap(await older.replace(WITNESSED_FILE, files.durable.get(WITNESSED_FILE)!));
  for (const { faults } of witnesses) faults.push({ status: 500, text: '' });
  assert.equal(codeOf(await start(await openLedger(older), older)), 'LEDGER_ROLLED_BACK');
});

test('a witness first reached later stops issuance where it knows more', async (context) => {
  const { files, witnesses, start, add, openLedger } = await rig(context);
  await add(5);
  const older = new MemoryFiles(files.afterKill());
  await add(5);
  await unwrap(await start()).close();
  for (const { faults } of witnesses) faults.push({ status: 503, text: '' });
  const started = unwrap(await start(await openLedger(older), older));
  assert.equal(codeOf(started.mayIssue()), undefined);
  await started.round();
  assert.equal(codeOf(started.mayIssue()), 'LEDGER_ROLLED_BACK');
  await started.close();
});

test('a witness that fails or lies cosigns nothing and stops nothing', async (context) => {
  const { files, witnesses, start, add } = await rig(context);
  await add(5);
  for (const { faults } of witnesses) {
    faults.push(
      { status: 404, text: '' },
      { status: 403, text: '' },
      { status: 500, text: '' },
      { status: 200, text: '' },
      { status: 200, text: '\u2014 somebody AAAAAAAAAAAA\n' },
      { status: 409, text: 'many\n' },
    );
  }
  const started = unwrap(await start());
  for (let round = 0; round < 5; round++) await started.round();
  assert.equal(files.durable.get(WITNESSED_FILE), undefined);
  assert.deepEqual(
    started.lags.map(({ records }) => records),
    [5, 5],
  );
  await started.round();
  assert.deepEqual(
    started.lags.map(({ records }) => records),
    [0, 0],
  );
  await started.close();
});

test('a witness behind a private CA is believed by that CA alone', async (context) => {
  const files = new MemoryFiles();
  const clock = new ManualClock(1_800_000_000_000);
  const ledger = unwrap(await openTestLedger({ files, signer, clock }));
  unwrap(await ledger.append(makeEntries(0, 3)));
  unwrap(await ledger.publish());
  const logKey = unwrap(await readVerifier(files));
  const [root, other] = [makeRoot(), makeRoot()];
  const leaf = makeLeaf(root, undefined, { dnsNames: ['localhost'] });
  const key = leaf.key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const witness = await startFakeWitness('w', () => logKey, { key, cert: leaf.pem });
  context.after(() => witness.close());
  const folder = testFolder(context);
  writeFileSync(join(folder, 'ca.pem'), root.pem);
  writeFileSync(join(folder, 'other.pem'), other.pem);
  const start = (name: string) =>
    startWitnesses({
      places: [{ url: witness.url, key: witness.key, caPath: join(folder, name) }],
      files,
      ledger,
      clock,
      log: createLogger({ level: 'silent' }),
      everyMs: 1000,
      timeoutMs: 30_000,
    });
  const lagBy = async (name: string): Promise<number | undefined> => {
    const started = unwrap(await start(name));
    const [lag] = started.lags;
    await started.close();
    return lag?.records;
  };
  assert.equal(await lagBy('other.pem'), 3);
  assert.deepEqual(witness.seen, []);
  assert.equal(await lagBy('ca.pem'), 0);
  assert.equal(codeOf(await start('absent.pem')), 'FILE_UNREADABLE');
});
