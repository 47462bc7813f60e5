import { z } from 'zod';
import { utf8 } from '../../base/bytes.ts';
import type { SealedSecret } from '../../keys/sealed/secret.ts';

/** Names of what is kept of vendors' keys begin so; the group follows. */
export const VENDOR_KEY_PREFIX = 'vendor-key/';

/** Most uses that a key may have: each is kept. */
export const MAX_VENDOR_KEY_USES = 10_000;

const recordSchema = z.strictObject({
  v: z.literal(1),
  group: z.string(),
  description: z.string(),
  fingerprint: z.string(),
  maxUses: z.int().min(1).max(MAX_VENDOR_KEY_USES),
  used: z.int().min(0).max(MAX_VENDOR_KEY_USES),
  changedAt: z.int(),
  wrappingKeyId: z.string(),
  wrappedKey: z.base64(),
  box: z.base64(),
  uses: z.array(z.tuple([z.string(), z.int()])),
});

/** The key of a vendor for one connector group, as it is kept. */
export interface VendorKeyRecord {
  readonly group: string;
  readonly description: string;
  /** SHA-256 of the key, the first 16 hex digits. */
  readonly fingerprint: string;
  /** By the vendor's portal. */
  readonly maxUses: number;
  /** Uses that others made of it. */
  readonly used: number;
  /** Unix seconds. */
  readonly changedAtSeconds: number;
  readonly sealed: SealedSecret;
  /** Connectors that have had it, each with when it first had it (Unix seconds). */
  readonly uses: readonly (readonly [connectorId: string, atSeconds: number])[];
}

/** How often it was used, by all that is known. */
export function usesOf({ used, uses }: Pick<VendorKeyRecord, 'used' | 'uses'>): number {
  return used + uses.length;
}

/** A record as it is kept. */
export function encodeVendorKey(record: VendorKeyRecord): Uint8Array {
  const { group, description, fingerprint, maxUses, used, changedAtSeconds, sealed, uses } = record;
  const { wrapped, box } = sealed;
  return utf8(
    JSON.stringify({
      v: 1,
      group,
      description,
      fingerprint,
      maxUses,
      used,
      changedAt: changedAtSeconds,
      wrappingKeyId: wrapped.wrappingKeyId,
      wrappedKey: Buffer.from(wrapped.ciphertext).toString('base64'),
      box: Buffer.from(box).toString('base64'),
      uses,
    }),
  );
}

/** Reads a record back; undefined where another program wrote it. */
export function decodeVendorKey(value: Uint8Array): VendorKeyRecord | undefined {
  const parsed = recordSchema.safeParse(parseJson(value));
  if (!parsed.success) return undefined;
  const { v: _, changedAt, wrappingKeyId, wrappedKey, box, ...said } = parsed.data;
  return {
    ...said,
    changedAtSeconds: changedAt,
    sealed: {
      wrapped: { wrappingKeyId, ciphertext: Buffer.from(wrappedKey, 'base64') },
      box: Buffer.from(box, 'base64'),
    },
  };
}

function parseJson(value: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(value).toString('utf8'));
  } catch {
    return undefined;
  }
}
