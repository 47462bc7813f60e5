import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cli } from '../../test/support/cli.ts';
import { makeNoteSigner, openTestLedger } from '../../test/support/ledger.ts';
import { unwrap } from '../base/result.ts';
import { encodeRecord, type LedgerRecord } from '../ledger/record.ts';
import { FileTree } from '../runtime/file-tree.ts';
import { cliCommands } from './commands.ts';

const AGENT = 'spiffe://example.org/spire/agent/join_token/1';
const START_MS = Date.parse('2030-01-31T12:00:00Z');

const recordAt = (at: number): LedgerRecord => ({
  kind: 'x509',
  timeMs: START_MS + at * 1000,
  spiffeId: `spiffe://example.org/w/${at % 7}`,
  serial: (at + 4096).toString(16).padStart(32, '0'),
  authorityId: 'aa',
  agentId: AGENT,
  ...(at === 5 ? { podUid: 'pod-5' } : {}),
  tbsHash: 'ab'.repeat(32),
});

let folder: string;
let older: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sgn-'));
  const files = new FileTree(folder);
  const ledger = unwrap(await openTestLedger({ files, signer: makeNoteSigner() }));
  for (const [from, to] of [
    [0, 100],
    [100, 300],
  ] as const) {
    const records = Array.from({ length: to - from }, (_, at) => recordAt(from + at));
    const entries = records.map((each) => ({ bytes: encodeRecord(each), timeMs: each.timeMs }));
    unwrap(await ledger.append(entries));
    const checkpoint = unwrap(await ledger.publish());
    if (to === 100) {
      older = join(folder, 'older');
      writeFileSync(older, checkpoint.bytes);
    }
  }
  await ledger.close();
  await files.close();
});

after(() => rmSync(folder, { recursive: true, force: true }));

const ledger = (...argv: string[]) =>
  cli(cliCommands, ['ledger', ...argv], {
    env: { SIGNET_SERVER_DATA_DIR: folder },
    nowMs: START_MS,
  });

async function json(...argv: string[]) {
  const { code, out, err } = await ledger(...argv, '-o', 'json');
  assert.equal(code, 0, err);
  return JSON.parse(out);
}

/** A copy of the ledger for a test to damage. */
function copy(context: { after(work: () => void): void }): string {
  const target = mkdtempSync(join(tmpdir(), 'sgn-'));
  context.after(() => rmSync(target, { recursive: true, force: true }));
  cpSync(folder, target, { recursive: true });
  return target;
}

test('status tells size, root and key', async () => {
  const status = await json('status');
  assert.equal(status.size, 300);
  assert.match(status.origin, /^example\.org\/ledger\/[0-9a-f]{16}$/);
  assert.ok(status.key.startsWith(`${status.origin}+`));
  const { out } = await ledger('status', '--key', status.key);
  assert.match(out, /^Records +: 300$/m);
});

describe('search', () => {
  const found = async (...argv: string[]): Promise<number[]> =>
    (await json('search', '--limit', '1000', ...argv)).map(({ index }: { index: number }) => index);

  test('finds by each flag, and by all together', async () => {
    const hex = recordAt(77).serial ?? '';
    assert.deepEqual(await found('--serial', hex), [77]);
    assert.deepEqual(await found('--serial', hex.toUpperCase().replace(/..(?=.)/g, '$&:')), [77]);
    assert.deepEqual(await found('--serial', BigInt(`0x${hex}`).toString()), [77]);
    assert.deepEqual(await found('--pod-uid', 'pod-5'), [5]);
    assert.equal((await found('--agent', AGENT)).length, 300);
    assert.equal((await found('--spiffe-id', 'spiffe://example.org/w/3')).length, 43);
    assert.deepEqual(
      await found('--since', '2030-01-31T12:01:00Z', '--until', '2030-01-31T12:01:02Z'),
      [60, 61],
    );
    assert.deepEqual(await found('--pod-uid', 'pod-5', '--serial', hex), []);
  });

  test('shows the newest in a table and says how many there are', async () => {
    const { out } = await ledger('search', '--limit', '2');
    assert.match(out, /^300 records, 298 older not shown \(--limit\)\n\nINDEX /);
    assert.match(out, /\n298 .*\n299 .*\n$/);
    const list = await json('search', '--limit', '1');
    assert.deepEqual(list, [{ index: 299, ...recordAt(299) }]);
  });
});

describe('prove and verify', () => {
  const proofOf = async (...argv: string[]): Promise<string> => {
    const { code, out, err } = await ledger('prove', ...argv);
    assert.equal(code, 0, err);
    return out;
  };
  const verify = (proof: string, ...argv: string[]) =>
    cli(cliCommands, ['ledger', 'verify', '--proof', '-', ...argv], {
      stdin: proof,
      env: { SIGNET_SERVER_DATA_DIR: folder },
      nowMs: START_MS,
    });

  test('a proof is checked with the key alone', async () => {
    const { key } = await json('status');
    const proof = await proofOf('--serial', recordAt(123).serial ?? '');
    const { code, out, err } = await verify(proof, '--key', key, '--data-dir', '/nowhere/dir');
    assert.equal(code, 0, err);
    assert.match(out, /^Proof is valid\.\n\nIndex +: 123$/m);
    const newest = await json('prove', '--spiffe-id', 'spiffe://example.org/w/3');
    assert.equal(newest.index, 297);
  });

  test('a proof of which anything was changed is refused', async () => {
    const proof = await proofOf('--index', '123');
    const other = await proofOf('--index', '122');
    const [, extra = ''] = other.split('\n');
    const lines = proof.split('\n');
    const forged = [
      proof.replace('index 123', 'index 122'),
      [lines[0], extra, ...lines.slice(2)].join('\n'),
      [...lines.slice(0, 3), ...lines.slice(4)].join('\n'),
      proof.replace('\n300\n', '\n301\n'),
      proof.replace('tlog-proof@v1', 'tlog-proof@v2'),
      '',
    ];
    for (const text of forged) {
      const { code, err } = await verify(text);
      assert.equal(code, 1, text);
      assert.match(err, /code: LEDGER_(PROOF_INVALID|NOTE_INVALID|NOTE_UNTRUSTED) /);
    }
  });

  test('the whole ledger is checked, and refused when a record was altered', async (context) => {
    assert.deepEqual(await json('verify'), { valid: true, size: 300, first: 0, records: 300 });
    const target = copy(context);
    const log = join(target, 'ledger/log/0000000000000000');
    const bytes = readFileSync(log);
    bytes[20_000] = (bytes[20_000] ?? 0) ^ 1;
    writeFileSync(log, bytes);
    const { code, err } = await ledger('verify', '--data-dir', target);
    assert.equal(code, 1);
    assert.match(err, /code: LEDGER_CORRUPT/);
  });

  test('growth out of an older checkpoint is checked', async (context) => {
    const grown = await json('verify', '--checkpoint', older);
    assert.deepEqual(grown, { valid: true, oldSize: 100, size: 300 });
    const target = copy(context);
    const { out } = await ledger('verify', '--checkpoint', older, '--data-dir', target);
    assert.match(out, /grew out of that of 100/);
    cpSync(older, join(target, 'ledger-head'));
    const newer = join(folder, 'ledger-head');
    const shrunk = await ledger('verify', '--checkpoint', newer, '--data-dir', target);
    assert.match(shrunk.err, /code: LEDGER_INDEX_RANGE/);
  });
});

test('export prints every record, or writes the static layout', async (context) => {
  const { out } = await ledger('export', '--from', '298');
  const lines = out.trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [298, 299].map((index) => ({ index, record: recordAt(index) })),
  );
  const target = mkdtempSync(join(tmpdir(), 'sgn-'));
  context.after(() => rmSync(target, { recursive: true, force: true }));
  assert.equal((await ledger('export', '--tiles', target)).code, 0);
  assert.equal(readFileSync(join(target, 'tile/0/000')).length, 256 * 32);
  assert.equal(readFileSync(join(target, 'tile/0/001.p/44')).length, 44 * 32);
  assert.equal(readFileSync(join(target, 'tile/1/000.p/1')).length, 32);
  assert.ok(readFileSync(join(target, 'tile/entries/001.p/44')).length > 44 * 100);
  const head = readFileSync(join(folder, 'ledger-head'));
  assert.deepEqual(readFileSync(join(target, 'checkpoint')), head);
});

describe('what is not there is refused with what to do', () => {
  const cases: readonly (readonly [string, readonly string[], string, number])[] = [
    ['no ledger', ['status', '--data-dir', '/nowhere/dir'], 'LEDGER_ABSENT', 1],
    ['no record of an index', ['prove', '--index', '300'], 'LEDGER_INDEX_RANGE', 1],
    ['no record of a serial', ['prove', '--serial', 'abcdef'], 'LEDGER_RECORD_UNKNOWN', 1],
    ['nothing to prove', ['prove'], 'CLI_USAGE', 2],
    ['two things to prove', ['prove', '--index', '1', '--serial', 'ab'], 'CLI_USAGE', 2],
    ['no serial', ['search', '--serial', 'xyz'], 'CLI_USAGE', 2],
    ['no number', ['search', '--limit', '-1'], 'CLI_USAGE', 2],
    ['no key', ['status', '--key', 'x'], 'CLI_USAGE', 2],
    ['no file', ['verify', '--proof', '/nowhere/file'], 'CLI_FILE', 1],
  ];
  for (const [what, argv, code, exit] of cases) {
    test(what, async () => {
      const outcome = await ledger(...argv);
      assert.equal(outcome.code, exit);
      assert.match(outcome.err, new RegExp(`code: ${code}\\b`));
      assert.match(outcome.err, /next: \S/);
    });
  }

  test('a checkpoint that another key signed', async () => {
    const other = mkdtempSync(join(folder, 'other-'));
    const files = new FileTree(other);
    unwrap(await openTestLedger({ files, signer: makeNoteSigner() }));
    await files.close();
    const { key } = await json('status', '--data-dir', other);
    assert.match((await ledger('status', '--key', key)).err, /code: LEDGER_NOTE_UNTRUSTED/);
  });
});
