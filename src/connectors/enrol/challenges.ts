import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { concatBytes, equalBytes, toHex } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/random.ts';
import { fail, ok, type Result } from '../../base/result.ts';

/** How long a challenge may be answered, in milliseconds. */
export const CHALLENGE_LIFE_MS = 60_000;

/** Used challenges that are remembered; beyond, nobody enrols until the oldest have ended. */
const MAX_USED = 65_536;

const ID_BYTES = 16;
const END_BYTES = 8;
const HASH_BYTES = 32;
const BODY_BYTES = ID_BYTES + END_BYTES + HASH_BYTES;

/** A challenge that was given. */
export interface Challenge {
  readonly bytes: Uint8Array;
  /** Unix milliseconds. */
  readonly expiresAtMs: number;
}

/** Challenges of one process: each for one key, good once, for a minute. */
export interface Challenges {
  /** @param spki SubjectPublicKeyInfo of the key that has to answer. */
  give(spki: Uint8Array): Challenge;
  /**
   * Whether it may be answered with this key. Fails with CONNECTOR_CHALLENGE_UNKNOWN,
   * CONNECTOR_CHALLENGE_KEY, CONNECTOR_CHALLENGE_EXPIRED and CONNECTOR_CHALLENGE_USED.
   */
  check(challenge: Uint8Array, spki: Uint8Array): Result<void>;
  /**
   * Uses up one that was checked, once its answer is known to be that of a claimant: strangers, who could
   * answer any number, take no room. Fails as `check` does, and with CONNECTOR_BUSY.
   */
  use(challenge: Uint8Array, spki: Uint8Array): Result<void>;
}

/** A challenge that may be answered. */
interface OpenChallenge {
  readonly id: string;
  /** Unix milliseconds. */
  readonly endMs: number;
}

/**
 * Challenges that cost no memory until they are used: each says its end and its key, and bears a code
 * under a secret of this process.
 */
export function createChallenges(
  { clock, random }: { readonly clock: Clock; readonly random: Random },
  maxUsed = MAX_USED,
): Challenges {
  const secret = random.bytes(32);
  const seal = (body: Uint8Array): Uint8Array => createHmac('sha256', secret).update(body).digest();
  // In the order in which they were used; all end within a minute of it.
  const used = new Map<string, number>();
  const forget = (nowMs: number): void => {
    for (const [id, endMs] of used) {
      if (endMs > nowMs) return;
      used.delete(id);
    }
  };
  const check = (challenge: Uint8Array, spki: Uint8Array): Result<OpenChallenge> => {
    const body = challenge.subarray(0, BODY_BYTES);
    const code = challenge.subarray(BODY_BYTES);
    if (code.length !== HASH_BYTES || !timingSafeEqual(code, seal(body))) {
      return fail('CONNECTOR_CHALLENGE_UNKNOWN', 'this server did not give that challenge');
    }
    if (!equalBytes(body.subarray(ID_BYTES + END_BYTES), keyHash(spki))) {
      return fail('CONNECTOR_CHALLENGE_KEY', 'the challenge was given for another key');
    }
    const nowMs = clock.nowMs();
    const endMs = decodeEnd(body.subarray(ID_BYTES, ID_BYTES + END_BYTES));
    if (nowMs >= endMs) {
      return fail('CONNECTOR_CHALLENGE_EXPIRED', `the challenge ended ${nowMs - endMs} ms ago`);
    }
    const id = toHex(body.subarray(0, ID_BYTES));
    if (!used.has(id)) return ok({ id, endMs });
    return fail('CONNECTOR_CHALLENGE_USED', 'the challenge was answered before');
  };
  return {
    give(spki) {
      const expiresAtMs = clock.nowMs() + CHALLENGE_LIFE_MS;
      const body = concatBytes([random.bytes(ID_BYTES), encodeEnd(expiresAtMs), keyHash(spki)]);
      return { bytes: concatBytes([body, seal(body)]), expiresAtMs };
    },
    check(challenge, spki) {
      const checked = check(challenge, spki);
      return checked.ok ? ok(undefined) : checked;
    },
    use(challenge, spki) {
      const checked = check(challenge, spki);
      if (!checked.ok) return checked;
      forget(clock.nowMs());
      if (used.size >= maxUsed) return fail('CONNECTOR_BUSY', 'too many challenges were answered');
      used.set(checked.value.id, checked.value.endMs);
      return ok(undefined);
    },
  };
}

function keyHash(spki: Uint8Array): Uint8Array {
  return createHash('sha256').update(spki).digest();
}

function encodeEnd(ms: number): Uint8Array {
  const bytes = Buffer.alloc(END_BYTES);
  bytes.writeBigUInt64BE(BigInt(Math.floor(ms)));
  return bytes;
}

function decodeEnd(bytes: Uint8Array): number {
  return Number(Buffer.from(bytes).readBigUInt64BE());
}
