import { hash } from 'node:crypto';
import { equalBytes } from '../base/bytes.ts';
import { toSignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { readDer } from '../der/reader.ts';
import { TAG } from '../der/tags.ts';
import { certificateScheme } from '../keys/scheme.ts';
import type { ExpectedIssuer } from '../lint/certificate-lints.ts';
import { type LintToken, lintLeaf } from '../lint/gate.ts';
import type { LintedKey } from '../lint/linted-key.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { BlockedKeys } from '../x509/blocked-keys.ts';
import { parseCsr } from '../x509/csr.ts';
import { subjectKeyId } from '../x509/key-id.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import { signatureAlgorithmDer } from '../x509/signature.ts';
import {
  assembleCertificate,
  buildLeafTbs,
  createLeafTemplate,
  type LeafTemplate,
} from '../x509/template.ts';
import type { Certificate, PublicKey } from '../x509/types.ts';
import { provenKey } from './csr-key.ts';

/** Where a leaf's key comes from. */
export type KeySource =
  /** PKCS#10 DER from outside; only its key is used, once its signature proved it. */
  | { readonly kind: 'csr'; readonly der: Uint8Array }
  /** SubjectPublicKeyInfo DER of a key of this process, or of a CSR that was checked. */
  | { readonly kind: 'spki'; readonly der: Uint8Array };

/** One leaf to be made. All but the key comes from the grant and from the server. */
export interface LeafOrder {
  readonly source: KeySource;
  readonly id: SpiffeId;
  readonly dnsNames: readonly string[];
  /** Big-endian magnitude. */
  readonly serial: Uint8Array;
  /** Unix seconds. */
  readonly notBeforeSeconds: number;
  /** Unix seconds. */
  readonly notAfterSeconds: number;
}

/** An authority made ready to sign leaves. */
export interface LeafIssuer {
  readonly key: LintedKey;
  readonly certificate: Certificate;
  readonly template: LeafTemplate;
  /** What leaves must say of it. */
  readonly expected: ExpectedIssuer;
  /** Keys that it signs no leaf for. */
  readonly blockedKeys: BlockedKeys;
}

/** A leaf that may be signed once. */
export interface DraftLeaf {
  readonly token: LintToken;
  /** SHA-256 of the TBSCertificate, for the record. */
  readonly tbsHash: Uint8Array;
}

/**
 * Prepares what all leaves of an authority share.
 *
 * @param crlPoints Value of their CRL distribution points; none unless given.
 */
export function createLeafIssuer(
  key: LintedKey,
  certificate: Certificate,
  blockedKeys: BlockedKeys,
  crlPoints?: Uint8Array,
): LeafIssuer {
  const keyId = certificate.subjectKeyId ?? subjectKeyId(certificate.publicKey);
  const signatureAlgorithm = signatureAlgorithmDer(certificateScheme(key.type));
  const { subjectDer, notBeforeMs, notAfterMs } = certificate;
  const { spki } = certificate.publicKey;
  const validity = { notBeforeMs, notAfterMs };
  const expected = { subjectDer, keyId, spki, signatureAlgorithm, ...validity, crlPoints };
  return { key, certificate, template: createLeafTemplate(expected), expected, blockedKeys };
}

/**
 * The key that a leaf may be made for. Step 1's half of the CSR: whoever asks holds the key (G-1),
 * and it is one that the key policy allows (G-3, G-4). Nothing else of a CSR is looked at.
 */
export function checkKeySource(source: KeySource, blocked: BlockedKeys): Result<PublicKey> {
  if (source.kind === 'spki') return parsePublicKey(source.der);
  const csr = parseCsr(source.der);
  return csr.ok ? provenKey(csr.value, blocked) : csr;
}

/** Steps 1 and 2 for one leaf: checks the key, builds the body, lints it. */
export function draftLeaf(order: LeafOrder, issuer: LeafIssuer): Result<DraftLeaf> {
  try {
    const checked = checkKeySource(order.source, issuer.blockedKeys);
    return checked.ok ? lintedBody(order, checked.value, issuer) : checked;
  } catch (thrown) {
    // A fault of ours met one request: it must not take the others of its batch with it.
    return { ok: false, error: toSignetError(thrown, 'preparing a certificate') };
  }
}

function lintedBody(order: LeafOrder, publicKey: PublicKey, issuer: LeafIssuer): Result<DraftLeaf> {
  const fields = {
    serial: order.serial,
    notBeforeMs: order.notBeforeSeconds * 1000,
    notAfterMs: order.notAfterSeconds * 1000,
    spki: publicKey.spki,
    keyId: subjectKeyId(publicKey),
    dnsNames: order.dnsNames,
  };
  const tbs = buildLeafTbs(issuer.template, { ...fields, uri: order.id.uri });
  const token = lintLeaf(tbs, { ...fields, id: order.id, issuer: issuer.expected });
  return token.ok ? ok({ token: token.value, tbsHash: hash('sha256', tbs, 'buffer') }) : token;
}

/**
 * Step 4 for one leaf: signs what was linted, reads it back and compares. A signature from outside
 * this process was verified by its key before it came here (B4). Answers the certificate's DER.
 */
export async function signLeaf(
  { token, tbsHash }: DraftLeaf,
  issuer: LeafIssuer,
): Promise<Result<Uint8Array>> {
  const { key, template } = issuer;
  const scheme = certificateScheme(key.type);
  const signed = await key.sign(token, { hash: scheme.hash, encoding: 'der' });
  if (!signed.ok) return signed;
  const { body, signature } = signed.value;
  // What a key manager was handed is still what is on record; it is that which its key verified.
  if (!key.local && !equalBytes(hash('sha256', body, 'buffer'), tbsHash)) {
    return fail('ISSUANCE_MISMATCH', 'the body of a certificate changed while it was signed');
  }
  const { signatureAlgorithm } = template;
  const certificate = assembleCertificate(body, signatureAlgorithm, signature);
  return compareSigned(certificate, { tbs: body, signatureAlgorithm });
}

/** Takes the certificate apart again: its body must be, byte for byte, what was linted. */
function compareSigned(
  der: Uint8Array,
  linted: { readonly tbs: Uint8Array; readonly signatureAlgorithm: Uint8Array },
): Result<Uint8Array> {
  const same = readDer('certificate', der, (cursor) => {
    const outer = cursor.sequence('certificate');
    const tbs = outer.element('body', TAG.sequence);
    const algorithm = outer.element('signature algorithm', TAG.sequence);
    outer.octetsInBitString('signature');
    outer.finish('certificate');
    return equalBytes(tbs, linted.tbs) && equalBytes(algorithm, linted.signatureAlgorithm);
  });
  if (same.ok && same.value) return ok(der);
  return fail('ISSUANCE_MISMATCH', 'a signed certificate differs from what was linted', {
    cause: same.ok ? undefined : same.error,
  });
}
