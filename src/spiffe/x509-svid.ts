import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { parseCertificates } from '../x509/certificate.ts';
import { validatePath } from '../x509/path.ts';
import type { RevocationCheck } from '../x509/revocation.ts';
import { verifySignature } from '../x509/signature.ts';
import type { Certificate } from '../x509/types.ts';
import { type Bundle, type BundleSource, x509Roots } from './bundle.ts';
import type { SpiffeId } from './spiffe-id.ts';
import { checkLeafProfile, checkSignerId } from './x509-profile.ts';

/** Most certificates that a peer may present. */
export const MAX_CHAIN_CERTIFICATES = 16;
/** Longest PKCS#8 key in bytes: RSA 8192 takes less. */
const MAX_KEY_BYTES = 8_192;

/** What a peer's X.509-SVID is validated against. */
export interface X509SvidValidation {
  /** The leaf first. */
  readonly chain: readonly Certificate[];
  readonly bundles: BundleSource;
  /** Unix milliseconds. */
  readonly atMs: number;
  /** How revocation is judged in the trust domain of a bundle; not at all unless told. */
  readonly revocation?: (bundle: Bundle) => RevocationCheck;
}

/** A peer whose X.509-SVID holds. */
export interface ValidX509Svid {
  readonly id: SpiffeId;
  readonly leaf: Certificate;
  /** From the leaf to the root, both included. */
  readonly path: readonly Certificate[];
}

/** An X.509-SVID of our own: chain and key that belong together. */
export interface X509Svid {
  readonly id: SpiffeId;
  /** The leaf first, each signed by the next. */
  readonly chain: readonly Certificate[];
  readonly leaf: Certificate;
  readonly privateKey: KeyObject;
}

/**
 * Validates a peer's X.509-SVID (X509-SVID §5): the leaf's profile, then a path (RFC 5280 §6) to the
 * bundle of the trust domain that the leaf names, and to no other.
 */
export function validateX509Svid(request: X509SvidValidation): Result<ValidX509Svid> {
  const { chain, bundles, atMs, revocation } = request;
  const [leaf] = chain;
  if (leaf === undefined || chain.length > MAX_CHAIN_CERTIFICATES) {
    return fail('X509_SVID_CHAIN', `chain has ${chain.length} certificates`);
  }
  const id = checkLeafProfile(leaf);
  if (!id.ok) return id;
  const { trustDomain } = id.value;
  const bundle = bundles(trustDomain);
  if (bundle === undefined || bundle.trustDomain.name !== trustDomain.name) {
    const what = `no bundle for the trust domain "${trustDomain.name}"`;
    return fail('X509_SVID_TRUST_DOMAIN', what);
  }
  const valid = validatePath({
    chain,
    roots: x509Roots(bundle),
    atMs,
    ...(revocation === undefined ? {} : { revocation: revocation(bundle) }),
  });
  if (!valid.ok) return valid;
  const { path } = valid.value;
  const signers = checkSigners(path.slice(1));
  return signers.ok ? ok({ id: id.value, leaf, path }) : signers;
}

function checkSigners(signers: readonly Certificate[]): Result<void> {
  for (const signer of signers) {
    const checked = checkSignerId(signer);
    if (!checked.ok) return checked;
  }
  return ok(undefined);
}

/**
 * Reads an X.509-SVID of our own as the Workload API or an issuer sends it: DER certificates one
 * after the other, leaf first, and its PKCS#8 key. Says nothing about validity or trust.
 */
export function parseX509Svid(chainDer: Uint8Array, keyDer: Uint8Array): Result<X509Svid> {
  const chain = parseX509SvidChain(chainDer);
  if (!chain.ok) return chain;
  const { leaf } = chain.value;
  const privateKey = readPrivateKey(keyDer);
  if (!privateKey.ok) return privateKey;
  const spki = createPublicKey(privateKey.value).export({ format: 'der', type: 'spki' });
  if (equalBytes(spki, leaf.publicKey.spki))
    return ok({ ...chain.value, privateKey: privateKey.value });
  return fail('X509_SVID_KEY', 'private key is not the key of the leaf certificate');
}

/** Like {@link parseX509Svid} where the key was never away: the chain alone. */
export function parseX509SvidChain(chainDer: Uint8Array): Result<Omit<X509Svid, 'privateKey'>> {
  const chain = parseCertificates(chainDer, MAX_CHAIN_CERTIFICATES);
  if (!chain.ok) return chain;
  const [leaf, ...signers] = chain.value;
  if (leaf === undefined) return fail('X509_SVID_CHAIN', 'chain is empty');
  const id = checkLeafProfile(leaf);
  if (!id.ok) return id;
  const ordered = checkOrder(leaf, signers);
  return ordered.ok ? ok({ id: id.value, chain: chain.value, leaf }) : ordered;
}

/** X509-25: every certificate is signed by the next one, which is a signing certificate. */
function checkOrder(leaf: Certificate, signers: readonly Certificate[]): Result<void> {
  let subject = leaf;
  for (const signer of signers) {
    if (signer.basicConstraints?.ca !== true || signer.keyUsage?.keyCertSign !== true) {
      return fail('X509_SVID_CHAIN', 'chain holds another leaf in place of a signing certificate');
    }
    const checked = checkSignerId(signer);
    if (!checked.ok) return checked;
    const signed =
      equalBytes(subject.issuerDer, signer.subjectDer) &&
      verifySignature(signer.publicKey, subject.signatureAlgorithm, subject.tbs, subject.signature)
        .ok;
    if (!signed) return fail('X509_SVID_CHAIN', 'chain is out of order: a signer does not follow');
    subject = signer;
  }
  return ok(undefined);
}

function readPrivateKey(der: Uint8Array): Result<KeyObject> {
  if (der.length === 0 || der.length > MAX_KEY_BYTES) {
    return fail('X509_SVID_KEY', 'private key is empty or too long');
  }
  try {
    return ok(createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' }));
  } catch {
    // No cause: messages of the crypto library may quote what they were given.
    return fail('X509_SVID_KEY', 'private key is not unencrypted PKCS#8');
  }
}
