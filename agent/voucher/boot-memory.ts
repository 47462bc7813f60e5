import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import type { BootKey } from '../../src/attestation/dpu_host/boot-key.ts';
import { bootSchema } from '../../src/attestation/dpu_host/payload.ts';
import { readMessage } from '../../src/attestation/strict-message.ts';
import { ok, type Result } from '../../src/base/result.ts';
import { readFileIfPresent, writeFileAtomic } from '../../src/runtime/atomic-file.ts';

const FILE = 'voucher-keys.json';
const MAX_BYTES = 4096;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const fileSchema = z.strictObject({
  v: z.literal(1),
  anchor: sha256,
  boot: bootSchema,
  witness: z.union([sha256, z.literal('')]),
  /** SHA-256 of the three above: a file that was cut or changed is not believed. */
  checksum: sha256,
});

/** The first key of the host's boot, over restarts of the agent. */
export interface BootMemory {
  readonly known: BootKey | undefined;
  /** Forgets where somebody removed the file meanwhile, which is how an operator lets a new key in. */
  refresh(): Promise<Result<void>>;
  /** Durable when it answers. Fails as files do; then the old one is still known. */
  remember(key: BootKey): Promise<Result<void>>;
}

/** Opens the memory in a data directory that this process holds. Fails with VOUCHER_STATE_CORRUPT. */
export async function openBootMemory(directory: string): Promise<Result<BootMemory>> {
  const path = join(directory, FILE);
  const bytes = await readFileIfPresent(path, MAX_BYTES);
  if (!bytes.ok) return bytes;
  const stored = bytes.value === undefined ? ok(undefined) : decode(path, bytes.value);
  if (!stored.ok) return stored;
  let known = stored.value;
  return ok({
    get known() {
      return known;
    },
    async refresh() {
      const now = await readFileIfPresent(path, MAX_BYTES);
      if (!now.ok) return now;
      if (now.value === undefined) known = undefined;
      return ok(undefined);
    },
    async remember(key) {
      const written = await writeFileAtomic(path, encode(key));
      if (written.ok) known = key;
      return written;
    },
  });
}

function encode({ anchor, boot, witness }: BootKey): Buffer {
  const fields = { v: 1, anchor, boot, witness };
  const checksum = checksumOf(fields);
  return Buffer.from(`${JSON.stringify({ ...fields, checksum })}\n`);
}

function decode(path: string, bytes: Uint8Array): Result<BootKey> {
  const rules = { what: path, maxBytes: MAX_BYTES, code: 'VOUCHER_STATE_CORRUPT' } as const;
  const schema = fileSchema.refine((file) => file.checksum === checksumOf(file), {
    message: 'its checksum does not fit',
  });
  const read = readMessage(bytes, schema, rules);
  if (!read.ok) return read;
  const { anchor, boot, witness } = read.value;
  return ok({ anchor, boot, witness });
}

function checksumOf({ anchor, boot, witness }: BootKey): string {
  return createHash('sha256').update([anchor, boot, witness].join(' ')).digest('hex');
}
