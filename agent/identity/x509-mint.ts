import type { Clock } from '../../src/base/clock.ts';
import { toSignetError } from '../../src/base/errors.ts';
import type { Random } from '../../src/base/random.ts';
import { fail, type Result } from '../../src/base/result.ts';
import type { WorkloadKeyType } from '../config.ts';
import { createKeyAndRequest, type KeyAndRequest } from './csr.ts';
import type { AgentEntry } from './entry.ts';
import { readX509Svid, type X509Svid } from './x509-svid.ts';

/** Keys made before the event loop is let go. */
const KEYS_AT_ONCE = 32;

/** A certificate request for an entry. */
export interface MintRequest {
  readonly entryId: string;
  readonly csr: Uint8Array;
}

/**
 * Asks the server for X.509-SVIDs: the chains in the order of the requests, each its own answer; or a
 * refusal of the whole call.
 */
export type MintX509 = (
  requests: readonly MintRequest[],
) => Promise<Result<readonly Result<readonly Uint8Array[]>[]>>;

/** What minting needs. */
export interface X509MintParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly keyType: WorkloadKeyType;
  readonly mint: MintX509;
}

/**
 * Makes a key for each entry and has the server sign: one answer an entry, in order. Never rejects.
 */
export async function mintX509Svids(
  parts: X509MintParts,
  entries: readonly AgentEntry[],
): Promise<readonly Result<X509Svid>[]> {
  try {
    const keys = await makeKeys(parts.keyType, entries);
    const requests = entries.map(({ id }, index) => ({
      entryId: id,
      csr: keys[index]?.csr ?? new Uint8Array(),
    }));
    const answers = await parts.mint(requests);
    if (!answers.ok) return entries.map(() => answers);
    return entries.map((entry, index) => read(parts, entry, keys[index], answers.value[index]));
  } catch (error) {
    const failed = { ok: false, error: toSignetError(error, 'minting X.509-SVIDs') } as const;
    return entries.map(() => failed);
  }
}

async function makeKeys(
  type: WorkloadKeyType,
  entries: readonly AgentEntry[],
): Promise<readonly KeyAndRequest[]> {
  const keys: KeyAndRequest[] = [];
  for (let at = 0; at < entries.length; at += KEYS_AT_ONCE) {
    const some = entries.slice(at, at + KEYS_AT_ONCE);
    keys.push(
      ...(await Promise.all(some.map(({ spiffeId }) => createKeyAndRequest(type, spiffeId)))),
    );
  }
  return keys;
}

function read(
  parts: X509MintParts,
  entry: AgentEntry,
  key: KeyAndRequest | undefined,
  answer: Result<readonly Uint8Array[]> | undefined,
): Result<X509Svid> {
  if (key === undefined || answer === undefined) {
    return fail('AGENT_SERVER_ANSWER', 'the server answered fewer SVIDs than it was asked for');
  }
  if (!answer.ok) return answer;
  return readX509Svid({
    chain: answer.value,
    spiffeId: entry.spiffeId,
    key,
    nowMs: parts.clock.nowMs(),
    random: parts.random,
  });
}
