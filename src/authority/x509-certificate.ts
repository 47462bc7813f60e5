import { hash } from 'node:crypto';
import { ok, type Result } from '../base/result.ts';
import { certificateScheme } from '../keys/scheme.ts';
import { lintCa } from '../lint/gate.ts';
import type { LintedKey } from '../lint/linted-key.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { buildCaTbs, type CaSubject, caSubjectDer } from '../x509/ca-template.ts';
import { subjectKeyId } from '../x509/key-id.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import { signatureAlgorithmDer } from '../x509/signature.ts';
import type { Certificate } from '../x509/types.ts';
import { type CertificatePlan, signCertificate } from './sign-certificate.ts';

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
  /** Whose authority it is; undefined for one that is outside of SPIFFE. */
  readonly trustDomain: TrustDomain | undefined;
  /** Subject key identifier: the authority's name. */
  readonly keyId: Uint8Array;
  /** Big-endian. */
  readonly serial: Uint8Array;
  readonly notBeforeSeconds: number;
  readonly notAfterSeconds: number;
  /** SHA-256 of the TBSCertificate. */
  readonly tbsHash: Uint8Array;
  /** Who asked for it, as grants name callers; `self` unless given. */
  readonly requestedBy?: string;
  /** What it is for, where that is not SVIDs. */
  readonly purpose?: string;
}

/** Makes intent to sign a CA certificate durable; nothing is signed unless it answers ok. */
export type RecordCa = (record: CaRecord) => Promise<Result<void>>;

/** Subject of CA certificates, SPIRE's, where the configuration says nothing. */
export const DEFAULT_CA_SUBJECT: CaSubject = { country: 'US', organization: 'SPIFFE' };

/** The authority above an issuing CA, and what the certificate says beside {@link RootFields}. */
export interface BelowRoot {
  /** SubjectPublicKeyInfo DER of the issuing CA. */
  readonly spki: Uint8Array;
  /** Certificate of the authority whose key signs. */
  readonly issuer: Certificate;
  /** Value DER; undefined for none. */
  readonly nameConstraints: Uint8Array | undefined;
}

/**
 * Makes the self-signed certificate of an X.509 authority (X509-SVID §3.2, §4: a SPIFFE ID without
 * a path, keyCertSign and cRLSign). It leaves only when it reads back as what was signed and its own
 * key verifies it, wherever that key lives.
 */
export function signRoot(key: LintedKey, fields: RootFields): Promise<Result<Certificate>> {
  return signCa(key, fields, undefined);
}

/**
 * The same for an issuing CA below an authority, signed by the authority's key. Only leaves may follow
 * (RFC 5280 §4.2.1.9: path length 0), and it lives inside the authority's life (X509-26).
 */
export function signIssuingCa(
  key: LintedKey,
  fields: RootFields,
  below: BelowRoot,
): Promise<Result<Certificate>> {
  return signCa(key, fields, { ...below, pathLength: 0 });
}

/** The same for the CA of a server below this one, with what may follow it. */
export function signDownstreamCa(
  key: LintedKey,
  fields: RootFields & { readonly requestedBy: string },
  below: BelowRoot & { readonly pathLength: number | undefined },
): Promise<Result<Certificate>> {
  return signCa(key, fields, below);
}

/** Writes down a CA certificate of ours that an upstream signed, before our key signs by it. */
export async function recordForeignCa(
  record: RecordCa | undefined,
  certificate: Certificate,
  { trustDomain, requestedBy }: { readonly trustDomain: TrustDomain; readonly requestedBy: string },
): Promise<Result<void>> {
  const recorded = await record?.({
    trustDomain,
    keyId: certificate.subjectKeyId ?? subjectKeyId(certificate.publicKey),
    serial: certificate.serial,
    notBeforeSeconds: certificate.notBeforeMs / 1000,
    notAfterSeconds: certificate.notAfterMs / 1000,
    tbsHash: hash('sha256', certificate.tbs, 'buffer'),
    requestedBy,
  });
  return recorded ?? ok(undefined);
}

type Below = BelowRoot & { readonly pathLength: number | undefined };

async function signCa(
  key: LintedKey,
  fields: RootFields & { readonly requestedBy?: string },
  below: Below | undefined,
): Promise<Result<Certificate>> {
  const plan = planCa(key, fields, below);
  if (!plan.ok) return plan;
  const { tbs, keyId } = plan.value;
  const { trustDomain, serial, notBeforeSeconds, notAfterSeconds } = fields;
  // On record before it is signed, as every leaf is (I2).
  const recorded = await fields.record?.({
    trustDomain,
    serial,
    notBeforeSeconds,
    notAfterSeconds,
    keyId,
    tbsHash: hash('sha256', tbs, 'buffer'),
    ...(fields.requestedBy === undefined ? {} : { requestedBy: fields.requestedBy }),
  });
  if (recorded?.ok === false) return recorded;
  return signCertificate(key, plan.value, {
    issuer: below?.issuer.publicKey,
    name: 'the new CA certificate',
  });
}

interface CaPlan extends CertificatePlan {
  readonly keyId: Uint8Array;
}

function planCa(key: LintedKey, fields: RootFields, below: Below | undefined): Result<CaPlan> {
  const spki = below?.spki ?? key.publicKeySpki;
  const publicKey = parsePublicKey(spki);
  if (!publicKey.ok) return publicKey;
  const signatureAlgorithm = signatureAlgorithmDer(certificateScheme(key.type));
  const keyId = subjectKeyId(publicKey.value);
  const { trustDomain, subject, serial, notBeforeSeconds, notAfterSeconds } = fields;
  const said = {
    serial,
    notBeforeMs: notBeforeSeconds * 1000,
    notAfterMs: notAfterSeconds * 1000,
    spki,
    keyId,
    subject,
    signatureAlgorithm,
    pathLength: below?.pathLength,
    nameConstraints: below?.nameConstraints,
  };
  const signer = below === undefined ? undefined : signerFacts(below.issuer);
  const tbs = buildCaTbs({ ...said, uri: trustDomain.id, issuer: signer });
  const token = lintCa(tbs, {
    ...said,
    trustDomain,
    selfSigned: below === undefined,
    issuer: {
      ...(signer ?? { ...said, subjectDer: caSubjectDer(serial, subject) }),
      spki: key.publicKeySpki,
      signatureAlgorithm,
    },
  });
  return token.ok ? ok({ tbs, token: token.value, keyId, signatureAlgorithm }) : token;
}

function signerFacts(issuer: Certificate) {
  const { subjectDer, notBeforeMs, notAfterMs, publicKey } = issuer;
  const keyId = issuer.subjectKeyId ?? subjectKeyId(publicKey);
  return { subjectDer, keyId, notBeforeMs, notAfterMs };
}
