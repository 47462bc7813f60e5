import { ok, type Result } from '../../base/result.ts';
import { auditLedger } from '../../ledger/audit.ts';
import { openCheckpoint } from '../../ledger/checkpoint.ts';
import { proveConsistency } from '../../ledger/proof.ts';
import { parseProof, verifyProof } from '../../ledger/proof-file.ts';
import { subtreesIn } from '../../ledger/reader.ts';
import { verifyConsistency } from '../../ledger/verify.ts';
import { readData } from '../files.ts';
import { keyFlag, LEDGER_FLAGS, openLedgerFiles } from '../ledger-files.ts';
import { formatRecord } from '../ledger-view.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { counted, safeJson } from '../text.ts';

/** `signet ledger verify`. */
export const ledgerVerify: CommandSpec = {
  prints: true,
  about:
    'Reads the whole ledger and compares it with its checkpoint; or checks one proof, or that it grew out of an older checkpoint.',
  flags: [
    ...LEDGER_FLAGS,
    {
      name: 'proof',
      value: 'path',
      help: 'a proof of "signet ledger prove"; "-" reads standard input',
    },
    {
      name: 'checkpoint',
      value: 'path',
      help: 'an older checkpoint that this ledger must have grown out of; "-" reads standard input',
    },
  ],
  examples: [
    'signet ledger verify',
    'signet ledger verify --proof web.tlog-proof --key example.org/ledger/…+…+…',
    'signet ledger verify --checkpoint kept-elsewhere',
  ],
  run: (input, io) => {
    if (input.text('proof') !== undefined) return verifyOne(input, io);
    return input.text('checkpoint') === undefined ? verifyAll(input, io) : verifyGrowth(input, io);
  },
};

async function verifyAll(input: Input, io: CliIo): Promise<Result<void>> {
  const opened = await openLedgerFiles(input, io);
  if (!opened.ok) return opened;
  const { files, head } = opened.value;
  const audited = await auditLedger(files, head);
  if (!audited.ok) return audited;
  const { first, records } = audited.value;
  if (input.text('output') === 'json') {
    io.out(`${safeJson({ valid: true, size: head.size, first, records })}\n`);
  } else {
    io.out(`Ledger is whole: ${counted(records, 'record', 'records')} from ${first} on.\n`);
  }
  return ok(undefined);
}

async function verifyOne(input: Input, io: CliIo): Promise<Result<void>> {
  const bytes = await readData(input.text('proof') ?? '', io);
  if (!bytes.ok) return bytes;
  const proof = parseProof(bytes.value);
  if (!proof.ok) return proof;
  const key = keyFlag(input);
  if (!key.ok) return key;
  const opened =
    key.value === undefined ? await openLedgerFiles(input, io) : ok({ verifier: key.value });
  if (!opened.ok) return opened;
  const proven = verifyProof(proof.value, opened.value.verifier);
  if (!proven.ok) return proven;
  const { index, record, checkpoint } = proven.value;
  if (input.text('output') === 'json') {
    const { origin, size } = checkpoint;
    io.out(`${safeJson({ valid: true, origin, size, index, record })}\n`);
  } else {
    io.out(`Proof is valid.\n\n${formatRecord(index, record, io)}`);
  }
  return ok(undefined);
}

async function verifyGrowth(input: Input, io: CliIo): Promise<Result<void>> {
  const bytes = await readData(input.text('checkpoint') ?? '', io);
  if (!bytes.ok) return bytes;
  const opened = await openLedgerFiles(input, io);
  if (!opened.ok) return opened;
  const { files, head, verifier } = opened.value;
  const older = openCheckpoint(bytes.value, verifier);
  if (!older.ok) return older;
  const { size: oldSize, root: oldRoot } = older.value;
  const proof = await proveConsistency(oldSize, head.size, subtreesIn(files));
  if (!proof.ok) return proof;
  const claim = { oldSize, newSize: head.size, oldRoot, newRoot: head.root };
  // Every ledger grew out of the empty one, of which there is no proof.
  const grown = oldSize === 0 ? ok(undefined) : verifyConsistency(claim, proof.value);
  if (!grown.ok) return grown;
  if (input.text('output') === 'json') {
    io.out(`${safeJson({ valid: true, oldSize, size: head.size })}\n`);
  } else {
    io.out(`Ledger of ${head.size} records grew out of that of ${oldSize}.\n`);
  }
  return ok(undefined);
}
