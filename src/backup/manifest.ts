import { z } from 'zod';
import { utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';

/** Version of the form of a backup file. */
export const FORMAT_VERSION = 1;

/** Largest manifest that is read, in bytes: some 20,000 parts. */
export const MAX_MANIFEST_BYTES: number = 4 * 1024 * 1024;

/** Names of the parts of a backup, besides those of ledgers. */
export const PARTS = {
  database: 'server.sqlite',
  localBans: 'local-bans',
  localHolds: 'local-holds',
  config: 'server.yaml',
  keys: 'keys.box',
} as const;

/** Folder, in a backup and in a data directory, of the ledgers from before each restore. */
export const EARLIER_LEDGERS = 'earlier-ledgers';

const EARLIER_PREFIX = /^earlier-ledgers\/[0-9a-f]{1,64}\//;
const LEDGER_PART =
  /^(ledger-head|ledger-witnessed|ledger(\/[a-z0-9][a-z0-9-]{0,63}){1,2}|audit\/[a-z0-9][a-z0-9-]{0,62}\.cursor)$/;

/**
 * Whether a part is of the ledger that runs: log, hashes, last checkpoint, the one that witnesses
 * cosigned, and how far each audit sink has it.
 */
export function isLedgerPart(name: string): boolean {
  return LEDGER_PART.test(name);
}

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);

const partSchema = z.strictObject({
  name: z.string(),
  bytes: count,
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

const manifestSchema = z.strictObject({
  format: z.literal(FORMAT_VERSION),
  program: z.string().min(1).max(64),
  trustDomain: z.string().min(1).max(255),
  createdMs: count,
  schema: z.int().min(1).max(1_000_000),
  ledger: z
    .strictObject({
      origin: z.string().min(1).max(255),
      size: count,
      root: z.string().min(1).max(64),
    })
    .nullable(),
  parts: z.array(partSchema),
});

/** A file inside a backup. */
export type BackupPart = Readonly<z.output<typeof partSchema>>;

/** What a backup is of, and every file in it, in their order. */
export interface BackupManifest {
  readonly format: typeof FORMAT_VERSION;
  /** Version of the program that made it. */
  readonly program: string;
  readonly trustDomain: string;
  /** Unix milliseconds. */
  readonly createdMs: number;
  /** Version of the schema of the database. */
  readonly schema: number;
  /** Last checkpoint of the ledger; null where the server kept none. Root is base64. */
  readonly ledger: { readonly origin: string; readonly size: number; readonly root: string } | null;
  readonly parts: readonly BackupPart[];
}

/** Whether a name may be one of a part: nothing else is ever written by a restore. */
export function isPartName(name: string): boolean {
  return (
    Object.values(PARTS).some((part) => part === name) ||
    isLedgerPart(name.replace(EARLIER_PREFIX, ''))
  );
}

/** The one encoding of a manifest. */
export function encodeManifest(manifest: BackupManifest): Uint8Array {
  const { format, program, trustDomain, createdMs, schema, ledger } = manifest;
  const parts = manifest.parts.map(({ name, bytes, sha256 }) => ({ name, bytes, sha256 }));
  const head = ledger && { origin: ledger.origin, size: ledger.size, root: ledger.root };
  const fields = { format, program, trustDomain, createdMs, schema, ledger: head, parts };
  return utf8(JSON.stringify(fields));
}

/**
 * Reads a manifest. Only the very bytes that {@link encodeManifest} writes are taken, which rules out
 * duplicates, rounded numbers and unknown keys; no part may stand twice or under a name that a restore
 * does not know. Fails with BACKUP_INVALID, or BACKUP_NEWER for another form.
 */
export function decodeManifest(bytes: Uint8Array): Result<BackupManifest> {
  const value = parse(bytes);
  const format = z.looseObject({ format: z.int() }).safeParse(value);
  if (format.success && format.data.format > FORMAT_VERSION) {
    return fail('BACKUP_NEWER', `it has form ${format.data.format}, this program reads 1`);
  }
  const checked = manifestSchema.safeParse(value);
  if (!checked.success) return invalid('its manifest cannot be read');
  const manifest = checked.data;
  if (Buffer.compare(encodeManifest(manifest), bytes) !== 0) {
    return invalid('its manifest is not in its canonical form');
  }
  const names = manifest.parts.map(({ name }) => name);
  const stranger = names.find((name) => !isPartName(name));
  if (stranger !== undefined) {
    return invalid(`it holds "${stranger.slice(0, 100)}", which is no part of a backup`);
  }
  if (new Set(names).size !== names.length) return invalid('it holds a part twice');
  if (!names.includes(PARTS.database)) return invalid('it holds no database');
  return ok(manifest);
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined; // The schema refuses it.
  }
}

function invalid(what: string): Result<never> {
  return fail('BACKUP_INVALID', what);
}
