import { isAbsolute, resolve } from 'node:path';
import { ok, type Result } from '../base/result.ts';
import type { SignedCheckpoint } from '../ledger/checkpoint.ts';
import { type NoteVerifier, parseVerifierKey } from '../ledger/note-key.ts';
import { readHead, readVerifier } from '../ledger/reader.ts';
import type { RecordFilter } from '../ledger/search.ts';
import { FileTree } from '../runtime/file-tree.ts';
import { flagError, spiffeIdFlag, timeFlag } from './flags.ts';
import type { CliIo, FlagSpec, Input } from './spec.ts';

/** Where a server keeps its state unless told. */
const DEFAULT_DATA_DIR = '/var/lib/signet/server';

/** The flags that say which ledger is read. */
export const LEDGER_FLAGS: readonly FlagSpec[] = [
  {
    name: 'data-dir',
    value: 'path',
    help: `data directory of the server, or a copy of it (SIGNET_SERVER_DATA_DIR, ${DEFAULT_DATA_DIR})`,
  },
  {
    name: 'key',
    value: 'name+id+key',
    help: 'key that must have signed the checkpoint; that of the directory unless told',
  },
];

/** The flags that say which records are meant. */
export const RECORD_FLAGS: readonly FlagSpec[] = [
  { name: 'spiffe-id', value: 'id', help: 'records of this SPIFFE ID' },
  {
    name: 'serial',
    value: 'number',
    help: 'the certificate of this serial, hexadecimal or decimal',
  },
  { name: 'agent', value: 'id', help: 'what was issued through this agent' },
  { name: 'pod-uid', value: 'uid', help: 'what was issued to this pod' },
  { name: 'since', value: 'time', help: 'not before: Unix seconds or 2030-01-31T12:00:00Z' },
  { name: 'until', value: 'time', help: 'before: Unix seconds or 2030-01-31T12:00:00Z' },
];

/** A ledger that is read, with the checkpoint that all of it is held against. */
export interface ReadLedger {
  readonly files: FileTree;
  readonly verifier: NoteVerifier;
  readonly head: SignedCheckpoint;
}

/**
 * Opens the ledger that flags and environment name. It is read from the disk, never through the
 * server: that works while it is stopped, on a copy, and takes nothing from issuance.
 */
export async function openLedgerFiles(input: Input, io: CliIo): Promise<Result<ReadLedger>> {
  const path = input.text('data-dir') ?? io.env.SIGNET_SERVER_DATA_DIR ?? DEFAULT_DATA_DIR;
  if (path === '' || path.includes('\0')) return flagError('data-dir', 'is no path');
  const files = new FileTree(isAbsolute(path) ? path : resolve(path));
  const given = keyFlag(input);
  if (!given.ok) return given;
  const verifier = given.value === undefined ? await readVerifier(files) : ok(given.value);
  if (!verifier.ok) return verifier;
  const head = await readHead(files, verifier.value);
  return head.ok ? ok({ files, verifier: verifier.value, head: head.value }) : head;
}

/** The key of the flag, where given. */
export function keyFlag(input: Input): Result<NoteVerifier | undefined> {
  const text = input.text('key');
  if (text === undefined) return ok(undefined);
  const key = parseVerifierKey(text);
  return key.ok ? key : flagError('key', key.error.message);
}

/** The records that the flags mean. */
export function recordFilter(input: Input): Result<RecordFilter> {
  const spiffeId = spiffeIdFlag(input, 'spiffe-id');
  if (!spiffeId.ok) return spiffeId;
  const agent = spiffeIdFlag(input, 'agent');
  if (!agent.ok) return agent;
  const serials = serialFlag(input);
  if (!serials.ok) return serials;
  const since = timeFlag(input, 'since');
  if (!since.ok) return since;
  const until = timeFlag(input, 'until');
  if (!until.ok) return until;
  const podUid = input.text('pod-uid');
  if (podUid === '') return flagError('pod-uid', 'is empty');
  return ok({
    spiffeId: spiffeId.value?.uri,
    agentId: agent.value?.uri,
    serials: serials.value,
    podUid,
    sinceMs: since.value === undefined ? undefined : Number(since.value) * 1000,
    untilMs: until.value === undefined ? undefined : Number(until.value) * 1000,
  });
}

/** A number of a flag: a whole one from 0 on. */
export function wholeFlag(input: Input, flag: string): Result<number | undefined> {
  const text = input.text(flag);
  if (text === undefined) return ok(undefined);
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? ok(value) : flagError(flag, 'must be a whole number');
}

/** Both readings of what may be hexadecimal, as OpenSSL prints it, or decimal, as SPIRE does. */
export function serialFlag(input: Input): Result<readonly string[] | undefined> {
  const text = input.text('serial');
  if (text === undefined) return ok(undefined);
  const digits = text.replaceAll(':', '').toLowerCase();
  if (!/^[0-9a-f]{1,60}$/.test(digits)) return flagError('serial', 'is no number');
  const decimal = /^\d+$/.test(digits) ? [octets(BigInt(digits).toString(16))] : [];
  return ok([octets(digits), ...decimal].flatMap((hex) => [hex, hex.padStart(32, '0')]));
}

function octets(hex: string): string {
  return hex.length % 2 === 0 ? hex : `0${hex}`;
}
