import { constants, type VerifyKeyObjectInput, verify } from 'node:crypto';
import { fail, ok, type Result } from '../base/result.ts';
import { readDer } from '../der/reader.ts';
import { contextConstructed } from '../der/tags.ts';
import { derElement, derNull, derNumber, derOid, derSequence } from '../der/writer.ts';
import { OID } from './oids.ts';
import { toKeyObject } from './public-key.ts';
import type { PublicKey, PublicKeyType } from './types.ts';

/** How a message is hashed, padded and encoded when it is signed. */
export interface SignatureScheme {
  readonly kind: 'ecdsa' | 'rsa' | 'rsa-pss' | 'ed25519';
  /** Not used by Ed25519. */
  readonly hash: 'sha256' | 'sha384' | 'sha512';
  /** Form of an ECDSA signature: `der` in certificates, `p1363` in JWS; `der` unless told. */
  readonly encoding?: 'der' | 'p1363';
}

type Hash = SignatureScheme['hash'];

const HASHES: readonly Hash[] = ['sha256', 'sha384', 'sha512'];

/** Digest lengths in bytes: PSS salts are as long. */
const HASH_BYTES: Readonly<Record<Hash, number>> = { sha256: 32, sha384: 48, sha512: 64 };

const ECDSA_OID = { sha256: OID.ecdsaSha256, sha384: OID.ecdsaSha384, sha512: OID.ecdsaSha512 };
const RSA_OID = { sha256: OID.rsaSha256, sha384: OID.rsaSha384, sha512: OID.rsaSha512 };
const HASH_OID = { sha256: OID.sha256, sha384: OID.sha384, sha512: OID.sha512 };

/** Algorithms that are refused by name: their hashes are broken. */
const WEAK_OIDS: ReadonlySet<string> = new Set([
  '1.2.840.113549.1.1.2', // md2WithRSAEncryption
  '1.2.840.113549.1.1.3', // md4WithRSAEncryption
  '1.2.840.113549.1.1.4', // md5WithRSAEncryption
  '1.2.840.113549.1.1.5', // sha1WithRSAEncryption
  '1.3.14.3.2.29', // sha1WithRSASignature
  '1.2.840.10045.4.1', // ecdsa-with-SHA1
  '1.2.840.10040.4.3', // dsa-with-SHA1
]);

/**
 * RSASSA-PSS-params (RFC 4055 §3.1): one hash for message and mask, salt as long as the hash. The
 * hash's own parameters are NULL or absent; both are in use.
 */
function pssAlgorithm(hash: Hash, hashParameters: Uint8Array): Uint8Array {
  const hashAlgorithm = derSequence(derOid(HASH_OID[hash]), hashParameters);
  const maskAlgorithm = derSequence(derOid(OID.mgf1), hashAlgorithm);
  const parameters = derSequence(
    derElement(contextConstructed(0), hashAlgorithm),
    derElement(contextConstructed(1), maskAlgorithm),
    derElement(contextConstructed(2), derNumber(HASH_BYTES[hash])),
  );
  return derSequence(derOid(OID.rsaPss), parameters);
}

interface KnownAlgorithm {
  readonly scheme: SignatureScheme;
  readonly der: Uint8Array;
}

const ABSENT = new Uint8Array();

/** Every AlgorithmIdentifier that is accepted, byte for byte; the first of a scheme is written. */
const KNOWN: readonly KnownAlgorithm[] = [
  ...HASHES.flatMap((hash): KnownAlgorithm[] => [
    { scheme: { kind: 'ecdsa', hash }, der: derSequence(derOid(ECDSA_OID[hash])) },
    { scheme: { kind: 'rsa', hash }, der: derSequence(derOid(RSA_OID[hash]), derNull()) },
    { scheme: { kind: 'rsa-pss', hash }, der: pssAlgorithm(hash, derNull()) },
    { scheme: { kind: 'rsa-pss', hash }, der: pssAlgorithm(hash, ABSENT) },
  ]),
  { scheme: { kind: 'ed25519', hash: 'sha512' }, der: derSequence(derOid(OID.ed25519)) },
];

function bytesKey(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

const SCHEME_BY_DER: ReadonlyMap<string, SignatureScheme> = new Map(
  KNOWN.map(({ scheme, der }) => [bytesKey(der), scheme]),
);

/**
 * The scheme that an AlgorithmIdentifier names: ECDSA, RSA PKCS#1 v1.5 or PSS with SHA-256, -384 or
 * -512, or Ed25519. Errors: SIGNATURE_ALGORITHM_WEAK for MD5 and SHA-1, else SIGNATURE_ALGORITHM.
 */
export function parseSignatureAlgorithm(algorithmDer: Uint8Array): Result<SignatureScheme> {
  const scheme = SCHEME_BY_DER.get(bytesKey(algorithmDer));
  if (scheme !== undefined) return ok(scheme);
  const oid = readDer('signature algorithm', algorithmDer, (cursor) => {
    const fields = cursor.sequence('signature algorithm');
    return fields.oid('signature algorithm');
  });
  if (!oid.ok) return oid;
  if (WEAK_OIDS.has(oid.value)) {
    return fail('SIGNATURE_ALGORITHM_WEAK', `signature algorithm ${oid.value} is broken`);
  }
  return fail(
    'SIGNATURE_ALGORITHM',
    `signature algorithm ${oid.value}: not known, or with other parameters than expected`,
  );
}

/** The AlgorithmIdentifier of a scheme. */
export function signatureAlgorithmDer(scheme: SignatureScheme): Uint8Array {
  const known = KNOWN.find(
    (row) =>
      row.scheme.kind === scheme.kind &&
      (scheme.kind === 'ed25519' || row.scheme.hash === scheme.hash),
  );
  if (known === undefined) throw new TypeError(`no such signature scheme: ${scheme.kind}`);
  return known.der;
}

/**
 * The scheme an authority with such a key signs certificates with, as SPIRE does: P-256 with SHA-256,
 * P-384 with SHA-384, P-521 with SHA-512, RSA PKCS#1 v1.5 with SHA-256.
 */
export function schemeForKeyType(type: Exclude<PublicKeyType, 'unknown'>): SignatureScheme {
  switch (type) {
    case 'ec-p256':
      return { kind: 'ecdsa', hash: 'sha256' };
    case 'ec-p384':
      return { kind: 'ecdsa', hash: 'sha384' };
    case 'ec-p521':
      return { kind: 'ecdsa', hash: 'sha512' };
    case 'rsa':
      return { kind: 'rsa', hash: 'sha256' };
    case 'ed25519':
      return { kind: 'ed25519', hash: 'sha512' };
  }
}

function schemeFitsKey(scheme: SignatureScheme, type: PublicKeyType): boolean {
  switch (scheme.kind) {
    case 'ecdsa':
      return type === 'ec-p256' || type === 'ec-p384' || type === 'ec-p521';
    case 'rsa':
    case 'rsa-pss':
      return type === 'rsa';
    case 'ed25519':
      return type === 'ed25519';
  }
}

/** Options beside the key that Node's `verify` takes for a scheme. */
function verifyOptions(scheme: SignatureScheme): Omit<VerifyKeyObjectInput, 'key'> {
  if (scheme.kind === 'ecdsa' && scheme.encoding === 'p1363') return { dsaEncoding: 'ieee-p1363' };
  if (scheme.kind !== 'rsa-pss') return {};
  return { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: HASH_BYTES[scheme.hash] };
}

/**
 * Checks a signature under a scheme, which must fit the key; also for JWS. Errors:
 * SIGNATURE_ALGORITHM_KEY, SIGNATURE_INVALID, those of `toKeyObject`.
 */
export function verifyWithScheme(
  publicKey: PublicKey,
  scheme: SignatureScheme,
  message: Uint8Array,
  signature: Uint8Array,
): Result<void> {
  if (!schemeFitsKey(scheme, publicKey.type)) {
    return fail(
      'SIGNATURE_ALGORITHM_KEY',
      `signature: ${scheme.kind} does not fit a key of type ${publicKey.type}`,
    );
  }
  const key = toKeyObject(publicKey);
  if (!key.ok) return key;
  const hash = scheme.kind === 'ed25519' ? null : scheme.hash;
  try {
    if (verify(hash, message, { key: key.value, ...verifyOptions(scheme) }, signature)) {
      return ok(undefined);
    }
  } catch (cause) {
    return fail('SIGNATURE_INVALID', 'signature: cannot be checked', { cause });
  }
  return fail('SIGNATURE_INVALID', 'signature: does not verify');
}

/**
 * Checks a signature made under an X.509 AlgorithmIdentifier. Errors: those of
 * `parseSignatureAlgorithm` and `verifyWithScheme`.
 */
export function verifySignature(
  publicKey: PublicKey,
  algorithmDer: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): Result<void> {
  const scheme = parseSignatureAlgorithm(algorithmDer);
  if (!scheme.ok) return scheme;
  return verifyWithScheme(publicKey, scheme.value, message, signature);
}
