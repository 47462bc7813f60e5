import { hash } from 'node:crypto';
import type { PublicKey } from './types.ts';

/** Something signed whose bytes never change: a certificate or a CRL, as its parser answers it. */
export interface SignedBytes {
  /** All of it, the signature included. */
  readonly der: Uint8Array;
}

/** Who signs. */
export interface SigningParty {
  readonly publicKey: Pick<PublicKey, 'spki'>;
}

/**
 * Signatures that verified before, so that those which a fleet has in common are checked once. It
 * says nothing but "these bytes verify under this key", which stays true; dates, names, constraints
 * and revocation are judged each time.
 */
export interface SignatureMemo {
  /** Whether the signature of exactly these bytes verified under exactly this key. */
  has(signed: SignedBytes, signer: SigningParty): boolean;
  /** Keeps a signature that just verified; what was used longest ago makes room. */
  add(signed: SignedBytes, signer: SigningParty): void;
  readonly size: number;
}

/**
 * An empty memo.
 *
 * @param maxEntries Signatures that are kept; each takes some 200 bytes.
 */
export function createSignatureMemo(maxEntries: number): SignatureMemo {
  const known = new Set<string>();
  /** A CRL is megabytes long and asked about often: its digest lives as long as its bytes. */
  const digests = new WeakMap<Uint8Array, string>();

  function digestOf(bytes: Uint8Array): string {
    const kept = digests.get(bytes);
    if (kept !== undefined) return kept;
    const digest = hash('sha256', bytes, 'base64');
    digests.set(bytes, digest);
    return digest;
  }

  function keyOf(signed: SignedBytes, { publicKey }: SigningParty): string {
    return digestOf(signed.der) + digestOf(publicKey.spki);
  }

  function touch(key: string): void {
    known.delete(key);
    known.add(key);
  }

  return {
    has(signed, signer) {
      const key = keyOf(signed, signer);
      if (!known.has(key)) return false;
      touch(key);
      return true;
    },
    add(signed, signer) {
      touch(keyOf(signed, signer));
      if (known.size <= maxEntries) return;
      const [oldest] = known;
      if (oldest !== undefined) known.delete(oldest);
    },
    get size() {
      return known.size;
    },
  };
}
