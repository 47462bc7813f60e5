import { concatBytes, equalBytes } from '../../src/base/bytes.ts';
import { type Random, randomFraction } from '../../src/base/random.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { signerKeyIds } from '../../src/spiffe/bundle.ts';
import type { SpiffeId } from '../../src/spiffe/spiffe-id.ts';
import { parseX509SvidChain } from '../../src/spiffe/x509-svid.ts';
import type { KeyAndRequest } from './csr.ts';

/** An X.509-SVID with its key, as workloads get it. */
export interface X509Svid {
  readonly spiffeId: SpiffeId;
  /** DER after DER, leaf first (WLAPI-17). */
  readonly chain: Uint8Array;
  /** Unencrypted PKCS#8 DER. */
  readonly privateKeyPkcs8: Buffer;
  /** Decimal. */
  readonly serial: string;
  /** Key identifiers, in hex, of the authorities that signed the chain's certificates. */
  readonly authorityKeyIds: readonly string[];
  readonly notAfterMs: number;
  /** When it is to be renewed. */
  readonly renewAtMs: number;
}

/** What is judged, and when. */
export interface X509SvidCheck {
  /** DER certificates as the server sent them. */
  readonly chain: readonly Uint8Array[];
  readonly spiffeId: SpiffeId;
  readonly key: KeyAndRequest;
  readonly nowMs: number;
  readonly random: Random;
}

/**
 * Reads the SVID that the server minted for a key. What workloads' libraries refuse is refused here,
 * since one bad SVID fails their whole message. Fails with AGENT_SERVER_ANSWER or AGENT_CLOCK_SKEW.
 */
export function readX509Svid(check: X509SvidCheck): Result<X509Svid> {
  const { spiffeId, key, nowMs } = check;
  const chain = concatBytes(check.chain);
  const parsed = parseX509SvidChain(chain);
  if (!parsed.ok) return refuse(spiffeId, parsed.error.message);
  const { id, leaf } = parsed.value;
  if (id.uri !== spiffeId.uri) return refuse(spiffeId, `names ${id.uri}`);
  if (!equalBytes(leaf.publicKey.spki, key.publicKeySpki)) {
    return refuse(spiffeId, 'it has another key than was asked for');
  }
  const late = validityProblem(leaf, nowMs);
  if (late !== undefined) {
    return fail('AGENT_CLOCK_SKEW', `the SVID of ${spiffeId.uri} ${late}`);
  }
  return ok({
    spiffeId,
    chain,
    privateKeyPkcs8: key.privateKeyPkcs8,
    serial: leaf.serialDecimal,
    authorityKeyIds: signerKeyIds(parsed.value.chain),
    notAfterMs: leaf.notAfterMs,
    renewAtMs: renewalTime(nowMs, leaf.notAfterMs, check.random),
  });
}

/**
 * When something that is valid from now on is renewed: at half its life, less up to a tenth of that,
 * drawn once, so that what was minted together is renewed apart.
 */
export function renewalTime(nowMs: number, notAfterMs: number, random: Random): number {
  return nowMs + (notAfterMs - nowMs) * (0.5 - 0.05 * randomFraction(random));
}

function refuse(spiffeId: SpiffeId, problem: string): Result<never> {
  return fail('AGENT_SERVER_ANSWER', `the SVID of ${spiffeId.uri} is of no use: ${problem}`);
}

/** From when to when something is valid, in Unix milliseconds. */
export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Why a certificate is not valid now, in words that name the clocks; undefined where it is. */
export function validityProblem(leaf: Validity, nowMs: number): string | undefined {
  if (leaf.notBeforeMs > nowMs) {
    const seconds = Math.ceil((leaf.notBeforeMs - nowMs) / 1000);
    return `is valid only in ${seconds} s: the clock of this machine is behind the server's`;
  }
  if (leaf.notAfterMs <= nowMs) {
    const seconds = Math.ceil((nowMs - leaf.notAfterMs) / 1000);
    return `was over ${seconds} s ago when it came: the clock of this machine is ahead of the server's`;
  }
  return undefined;
}
