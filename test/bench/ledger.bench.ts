/**
 * What a ledger of a million records costs: appending, starting, proving, verifying and searching.
 * Prints a table and writes `bench-ledger.json`. The number of records is the first argument.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { unwrap } from '../../src/base/result.ts';
import { auditLedger } from '../../src/ledger/audit.ts';
import { type Ledger, openLedger } from '../../src/ledger/ledger.ts';
import { proveInclusion } from '../../src/ledger/proof.ts';
import { type RecordProof, verifyProof } from '../../src/ledger/proof-file.ts';
import { readEntry, readHead, readVerifier, subtreesIn } from '../../src/ledger/reader.ts';
import { encodeRecord } from '../../src/ledger/record.ts';
import { searchRecords } from '../../src/ledger/search.ts';
import { FileTree } from '../../src/runtime/file-tree.ts';
import { makeNoteSigner } from '../support/ledger.ts';
import { quantile, report } from './report.ts';

const RECORDS = Number(process.argv[2] ?? 1_000_000);
const BATCH = 1000;
const AGENT = 'spiffe://example.org/spire/agent/join_token/01234567-89ab-cdef-0123-456789abcdef';

const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
const signer = makeNoteSigner();
const clock = systemClock;
const open = async (files: FileTree): Promise<Ledger> =>
  unwrap(
    await openLedger({
      files,
      signer,
      clock,
      random: systemRandom,
      originPrefix: 'example.org/ledger',
    }),
  );

const entryAt = (index: number) => ({
  timeMs: 1_800_000_000_000 + index,
  bytes: encodeRecord({
    kind: 'x509',
    timeMs: 1_800_000_000_000 + index,
    spiffeId: `spiffe://example.org/ns/default/sa/web-${index % 10_000}`,
    serial: index.toString(16).padStart(32, '0'),
    authorityId: 'f0'.repeat(20),
    entryId: '01234567-89ab-cdef-0123-456789abcdef',
    entryRevision: '5',
    agentId: AGENT,
    requestedBy: `agent:${AGENT}`,
    notBefore: 1_800_000_000,
    notAfter: 1_800_003_600,
    tbsHash: 'ab'.repeat(32),
  }),
});

const rows: Record<string, Record<string, number>> = {};
const timed = async <T>(name: string, times: number, work: () => Promise<T>): Promise<T> => {
  const samples: number[] = [];
  let last = await work();
  for (let time = 0; time < times; time++) {
    const start = clock.monotonicMs();
    last = await work();
    samples.push(clock.monotonicMs() - start);
  }
  rows[name] = { 'ms, median': quantile(samples, 0.5), 'ms, worst': Math.max(...samples) };
  return last;
};

try {
  const files = new FileTree(folder);
  const first = await open(files);
  const began = clock.monotonicMs();
  for (let index = 0; index < RECORDS; index += BATCH) {
    const entries = Array.from({ length: BATCH }, (_, at) => entryAt(index + at));
    unwrap(await first.append(entries));
  }
  rows['append, records a second'] = { value: (RECORDS / (clock.monotonicMs() - began)) * 1000 };
  rows['resident memory after it'] = { MiB: process.memoryUsage.rss() / 2 ** 20 };
  await first.close();

  await timed('start', 3, async () => (await open(files)).close());
  const verifier = unwrap(await readVerifier(files));
  const head = unwrap(await readHead(files, verifier));
  let next = 12_345;
  const prove = async (): Promise<RecordProof> => {
    next = (next * 7919) % RECORDS;
    const entry = unwrap(await readEntry(files, head.size, next));
    const path = unwrap(await proveInclusion(next, head.size, subtreesIn(files)));
    return { index: next, entry, path, checkpoint: head.bytes };
  };
  const proof = await timed('prove one record', 50, prove);
  await timed('verify one record', 50, async () => unwrap(verifyProof(proof, verifier)));
  const wanted = Math.floor(RECORDS / 2)
    .toString(16)
    .padStart(32, '0');
  await timed('search by serial', 3, async () => {
    const all = { first: 0, size: head.size };
    let found = 0;
    const filter = { serials: [wanted] };
    unwrap(
      await searchRecords(files, all, filter, () => {
        found += 1;
        return true;
      }),
    );
    if (found !== 1) throw new TypeError(`found ${found}`);
  });
  await timed('verify the whole ledger', 1, async () => unwrap(await auditLedger(files, head)));
  rows['resident memory at the end'] = { MiB: process.memoryUsage.rss() / 2 ** 20 };
  await files.close();
  report('ledger', rows);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
