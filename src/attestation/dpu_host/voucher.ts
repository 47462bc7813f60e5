import { createHash } from 'node:crypto';
import { z } from 'zod';
import { toHex } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { decodeBase64Url, encodeBase64Url } from '../../spiffe/base64.ts';
import { type CompactJws, parseCompactJws, verifyCompactJws } from '../../spiffe/jws.ts';
import type { PublicKey, PublicKeyType } from '../../x509/types.ts';
import { readMessage } from '../strict-message.ts';
import { bootSchema, DPU_HOST_LIMITS, HOST_NONCE_BYTES, hostSchema } from './payload.ts';

/** Longest that a voucher is valid, in seconds (dpu-attestation §7.7). */
export const VOUCHER_SECONDS = 60;

/** `typ` of a voucher: no other token of ours is one, and it is no other token. */
const TYPE = 'dpu-voucher+jwt';

/** The one algorithm of each kind of key; agents have no others. */
const ALGORITHMS = new Map<PublicKeyType, { readonly name: string; readonly hash: string }>([
  ['ec-p256', { name: 'ES256', hash: 'sha256' }],
  ['ec-p384', { name: 'ES384', hash: 'sha384' }],
  ['ec-p521', { name: 'ES512', hash: 'sha512' }],
]);

const seconds = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const claimsSchema = z.strictObject({
  aud: z.string().max(512),
  iat: seconds,
  exp: seconds,
  nonce: z.string().transform((text, context): Uint8Array => {
    const bytes = decodeBase64Url(text);
    if (bytes?.length === HOST_NONCE_BYTES) return bytes;
    context.addIssue({ code: 'custom', message: 'no nonce' });
    return z.NEVER;
  }),
  key: sha256,
  anchor: sha256,
  boot: bootSchema,
  witness: z.union([sha256, z.literal('')]),
  host: hostSchema,
  tenant: z.string().max(128),
});

/**
 * What a DPU says of its host: `key` (SHA-256 of the SubjectPublicKeyInfo) asked over the host's own
 * link, with the key `anchor` of this boot. `iat` and `exp` are Unix seconds.
 */
export type VoucherClaims = z.output<typeof claimsSchema>;

/** A voucher that was read; its signature is not checked. */
export interface ReadVoucher {
  readonly claims: VoucherClaims;
  /** SHA-256 of the certificate whose key signed it, hex. */
  readonly leafSha256: string;
  readonly jws: CompactJws;
}

/** Whose voucher it is. */
export interface VoucherSigner {
  /** DER. */
  readonly leaf: Uint8Array;
  readonly keyType: PublicKeyType;
  /** ECDSA over a message with a hash, r then s (RFC 7518 §3.4). */
  readonly sign: (hash: string, message: Uint8Array) => Uint8Array;
}

/** The text that `aud` holds for the servers of a trust domain. */
export function voucherAudience(trustDomain: string): string {
  return `spiffe://${trustDomain}/spire/server`;
}

/** Makes a voucher in JWS compact form (RFC 7515 §7.1). Fails with VOUCHER_ALGORITHM. */
export function signVoucher(claims: VoucherClaims, signer: VoucherSigner): Result<string> {
  const algorithm = ALGORITHMS.get(signer.keyType);
  if (algorithm === undefined) {
    return fail('VOUCHER_ALGORITHM', `keys of type ${signer.keyType} sign no vouchers`);
  }
  const header = { alg: algorithm.name, typ: TYPE, kid: certificateSha256(signer.leaf) };
  const payload = { ...claims, nonce: encodeBase64Url(claims.nonce) };
  const input = [header, payload].map(toPart).join('.');
  const signature = signer.sign(algorithm.hash, Buffer.from(input));
  return ok(`${input}.${encodeBase64Url(signature)}`);
}

/**
 * Reads a voucher, strictly: exact base64url, `alg`, `typ` and `kid` alone in the header, every claim
 * and no other. Fails with VOUCHER_MALFORMED.
 */
export function readVoucher(text: string): Result<ReadVoucher> {
  const jws = parseCompactJws(text, DPU_HOST_LIMITS.voucherBytes);
  if (!jws.ok) return fail('VOUCHER_MALFORMED', jws.error.message, { cause: jws.error });
  const { header, keyId: leafSha256 = '' } = jws.value;
  if (header.get('typ') !== TYPE || header.size !== 3 || !/^[0-9a-f]{64}$/.test(leafSha256)) {
    return fail('VOUCHER_MALFORMED', 'the header of a voucher has alg, typ and kid');
  }
  const claims = readMessage(jws.value.payload, claimsSchema, {
    what: 'voucher',
    maxBytes: DPU_HOST_LIMITS.voucherBytes,
    code: 'VOUCHER_MALFORMED',
  });
  return claims.ok ? ok({ claims: claims.value, leafSha256, jws: jws.value }) : claims;
}

/**
 * Checks the signature by the key of the certificate that the header names; the key decides on the
 * algorithm. Fails with VOUCHER_ALGORITHM or VOUCHER_SIGNATURE.
 */
export function verifyVoucher({ jws }: ReadVoucher, key: PublicKey): Result<void> {
  if (ALGORITHMS.get(key.type)?.name !== jws.algorithm) {
    return fail('VOUCHER_ALGORITHM', `${jws.algorithm} is not for keys of type ${key.type}`);
  }
  const verified = verifyCompactJws(jws, key);
  if (verified.ok) return verified;
  return fail('VOUCHER_SIGNATURE', verified.error.message, { cause: verified.error });
}

/** How a header names a certificate. */
export function certificateSha256(der: Uint8Array): string {
  return toHex(createHash('sha256').update(der).digest());
}

function toPart(value: object): string {
  return encodeBase64Url(Buffer.from(JSON.stringify(value)));
}
