import { hash } from 'node:crypto';
import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { certificateScheme } from '../keys/scheme.ts';
import { lintCa } from '../lint/gate.ts';
import type { LintedKey } from '../lint/linted-key.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { buildCaTbs, type CaSubject, caSubjectDer } from '../x509/ca-template.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { subjectKeyId } from '../x509/key-id.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import { signatureAlgorithmDer, verifySignature } from '../x509/signature.ts';
import { assembleCertificate } from '../x509/template.ts';
import type { Certificate } from '../x509/types.ts';

/** What a self-signed CA certificate says. */
export interface RootFields {
  readonly trustDomain: TrustDomain;
  readonly subject: CaSubject;
  readonly serial: Uint8Array;
  readonly notBeforeSeconds: number;
  readonly notAfterSeconds: number;
  /** Told before the signature is made; a refusal ends it. */
  readonly record?: RecordCa | undefined;
}

/** A CA certificate that is about to be signed. */
export interface CaRecord {
  readonly trustDomain: TrustDomain;
  /** Subject key identifier: the authority's name. */
  readonly keyId: Uint8Array;
  /** Big-endian. */
  readonly serial: Uint8Array;
  readonly notBeforeSeconds: number;
  readonly notAfterSeconds: number;
  /** SHA-256 of the TBSCertificate. */
  readonly tbsHash: Uint8Array;
}

/** Makes intent to sign a CA certificate durable; nothing is signed unless it answers ok. */
export type RecordCa = (record: CaRecord) => Promise<Result<void>>;

/** Subject of CA certificates, SPIRE's, where the configuration says nothing. */
export const DEFAULT_CA_SUBJECT: CaSubject = { country: 'US', organization: 'SPIFFE' };

/**
 * Makes the self-signed certificate of an X.509 authority (X509-SVID §3.2, §4: a SPIFFE ID without
 * a path, keyCertSign and cRLSign). It leaves only when it reads back as what was signed and its own
 * key verifies it, wherever that key lives.
 */
export async function signRoot(key: LintedKey, fields: RootFields): Promise<Result<Certificate>> {
  const publicKey = parsePublicKey(key.publicKeySpki);
  if (!publicKey.ok) return publicKey;
  const scheme = certificateScheme(key.type);
  const signatureAlgorithm = signatureAlgorithmDer(scheme);
  const keyId = subjectKeyId(publicKey.value);
  const { trustDomain, subject, serial, notBeforeSeconds, notAfterSeconds } = fields;
  const said = {
    serial,
    notBeforeMs: notBeforeSeconds * 1000,
    notAfterMs: notAfterSeconds * 1000,
    spki: key.publicKeySpki,
    keyId,
    subject,
    signatureAlgorithm,
  };
  const tbs = buildCaTbs({ ...said, uri: trustDomain.id });
  const token = lintCa(tbs, {
    ...said,
    trustDomain,
    selfSigned: true,
    pathLength: undefined,
    nameConstraints: undefined,
    issuer: { ...said, subjectDer: caSubjectDer(serial, subject) },
  });
  if (!token.ok) return token;
  // On record before it is signed, as every leaf is (I2).
  const facts = { trustDomain, serial, notBeforeSeconds, notAfterSeconds };
  const recorded = await fields.record?.({
    ...facts,
    keyId,
    tbsHash: hash('sha256', tbs, 'buffer'),
  });
  if (recorded?.ok === false) return recorded;
  const signed = await key.sign(token.value, { hash: scheme.hash, encoding: 'der' });
  if (!signed.ok) return signed;
  const { body, signature } = signed.value;
  const read = parseCertificate(assembleCertificate(body, signatureAlgorithm, signature));
  if (!read.ok) return invalid('is not readable', read.error);
  const certificate = read.value;
  if (!equalBytes(certificate.tbs, tbs)) return invalid('reads back as another');
  const { signature: bits } = certificate;
  const verified = verifySignature(publicKey.value, signatureAlgorithm, tbs, bits);
  return verified.ok ? ok(certificate) : invalid('is not signed by its own key', verified.error);
}

function invalid(what: string, cause?: unknown): ReturnType<typeof fail> {
  return fail('AUTHORITY_CERTIFICATE_INVALID', `the new CA certificate ${what}`, { cause });
}
