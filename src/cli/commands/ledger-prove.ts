import { fail, ok, type Result } from '../../base/result.ts';
import { proveInclusion } from '../../ledger/proof.ts';
import { formatProof, type RecordProof } from '../../ledger/proof-file.ts';
import { readEntry, subtreesIn } from '../../ledger/reader.ts';
import { decodeRecord } from '../../ledger/record.ts';
import { type RecordFilter, searchRecords } from '../../ledger/search.ts';
import { spiffeIdFlag } from '../flags.ts';
import {
  LEDGER_FLAGS,
  openLedgerFiles,
  type ReadLedger,
  serialFlag,
  wholeFlag,
} from '../ledger-files.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { safeJson } from '../text.ts';

/** `signet ledger prove`. */
export const ledgerProve: CommandSpec = {
  prints: true,
  about:
    'Prints a proof that a record is in the ledger, in the form of C2SP tlog-proof with the record in it. "signet ledger verify --proof" checks it with nothing but the key.',
  flags: [
    ...LEDGER_FLAGS,
    { name: 'index', value: 'number', help: 'the record of this index' },
    { name: 'serial', value: 'number', help: 'the certificate of this serial' },
    { name: 'spiffe-id', value: 'id', help: 'the newest record of this SPIFFE ID' },
  ],
  examples: ['signet ledger prove --serial 4f0a12 > web.tlog-proof'],
  run: async (input, io) => {
    const wanted = wantedRecord(input);
    if (!wanted.ok) return wanted;
    const opened = await openLedgerFiles(input, io);
    if (!opened.ok) return opened;
    const index =
      typeof wanted.value === 'number'
        ? ok(wanted.value)
        : await newestIndex(opened.value, wanted.value);
    if (!index.ok) return index;
    const proof = await proofOf(opened.value, index.value);
    return proof.ok ? print(proof.value, input, io) : proof;
  },
};

/** The index of a record, or what it is found by. */
function wantedRecord(input: Input): Result<number | RecordFilter> {
  const given = ['index', 'serial', 'spiffe-id'].filter((flag) => input.text(flag) !== undefined);
  if (given.length !== 1) {
    return fail('CLI_USAGE', 'takes one of --index, --serial and --spiffe-id');
  }
  const index = wholeFlag(input, 'index');
  if (!index.ok) return index;
  const serials = serialFlag(input);
  if (!serials.ok) return serials;
  const spiffeId = spiffeIdFlag(input, 'spiffe-id');
  if (!spiffeId.ok) return spiffeId;
  return ok(index.value ?? { serials: serials.value, spiffeId: spiffeId.value?.uri });
}

async function newestIndex(
  { files, head }: ReadLedger,
  filter: RecordFilter,
): Promise<Result<number>> {
  let newest: number | undefined;
  const all = { first: 0, size: head.size };
  const searched = await searchRecords(files, all, filter, ({ index }) => {
    newest = index;
    return true;
  });
  if (!searched.ok) return searched;
  if (newest !== undefined) return ok(newest);
  return fail('LEDGER_RECORD_UNKNOWN', `no such record among the first ${head.size}`);
}

async function proofOf({ files, head }: ReadLedger, index: number): Promise<Result<RecordProof>> {
  const entry = await readEntry(files, head.size, index);
  if (!entry.ok) return entry;
  const path = await proveInclusion(index, head.size, subtreesIn(files));
  if (!path.ok) return path;
  return ok({ index, entry: entry.value, path: path.value, checkpoint: head.bytes });
}

function print(proof: RecordProof, input: Input, io: CliIo): Result<void> {
  if (input.text('output') !== 'json') {
    io.out(formatProof(proof));
    return ok(undefined);
  }
  const { index, entry, path } = proof;
  const record = decodeRecord(entry);
  if (!record.ok) return record;
  const hashes = path.map((hash) => Buffer.from(hash).toString('base64'));
  const checkpoint = Buffer.from(proof.checkpoint).toString('utf8');
  io.out(`${safeJson({ index, record: record.value, path: hashes, checkpoint })}\n`);
  return ok(undefined);
}
