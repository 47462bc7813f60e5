import { hash } from 'node:crypto';
import type { Random } from '../base/random.ts';
import { ok, type Result } from '../base/result.ts';
import { generateLocalKey } from '../keys/local-key.ts';
import { certificateScheme } from '../keys/scheme.ts';
import { lintCrlSigner } from '../lint/gate.ts';
import { type LintedKey, onlyLinted } from '../lint/linted-key.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { buildCrlSignerTbs, type CrlSignerFields } from '../x509/crl-signer-template.ts';
import { subjectKeyId } from '../x509/key-id.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import { drawSerial } from '../x509/serial.ts';
import { signatureAlgorithmDer } from '../x509/signature.ts';
import type { Certificate } from '../x509/types.ts';
import type { X509Authority } from './authority.ts';
import { type CertificatePlan, signCertificate } from './sign-certificate.ts';
import type { RecordCa } from './x509-certificate.ts';

/** A key that is in no key manager has this name in logs. */
const SLOT = 'CRL-signer';

/** Longest life of a signer, in seconds: the root is asked for another twice a week. */
const TTL_SECONDS = 7 * 86_400;

/** Who signs the CRL: a key in this process with a certificate from the root. */
export interface CrlSigner {
  readonly key: LintedKey;
  readonly certificate: Certificate;
  /** The root that made it. */
  readonly rootId: string;
}

/** What a signer is made from. */
export interface CrlSignerRequest {
  readonly root: X509Authority;
  readonly trustDomain: TrustDomain;
  readonly random: Random;
  readonly nowSeconds: number;
  readonly backdateSeconds: number;
  /** Told before the certificate is signed. */
  readonly record?: RecordCa | undefined;
  /** The key below a root, by the root's authority id; one that dies with this process unless given. */
  readonly signerKey?: ((rootId: string) => Promise<Result<LintedKey>>) | undefined;
}

/**
 * Makes a CRL signer below a root. A CRL brings its signer's certificate with it, so another server, and
 * the next process, may have another; with sealed keys all have the same key.
 */
export async function makeCrlSigner(request: CrlSignerRequest): Promise<Result<CrlSigner>> {
  const { root, trustDomain } = request;
  const key = await (request.signerKey?.(root.authorityId) ?? ownKey());
  if (!key.ok) return key;
  const plan = planSigner(request, key.value.publicKeySpki);
  if (!plan.ok) return plan;
  const { tbs, said } = plan.value;
  // On record before it is signed, as everything the root signs (I2).
  const recorded = await request.record?.({
    trustDomain,
    keyId: said.keyId,
    serial: said.serial,
    notBeforeSeconds: said.notBeforeMs / 1000,
    notAfterSeconds: said.notAfterMs / 1000,
    tbsHash: hash('sha256', tbs, 'buffer'),
  });
  if (recorded?.ok === false) return recorded;
  const certificate = await signCertificate(root.key, plan.value, {
    issuer: root.certificate.publicKey,
    name: "the CRL signer's certificate",
  });
  if (!certificate.ok) return certificate;
  return ok({
    key: key.value,
    certificate: certificate.value,
    rootId: root.authorityId,
  });
}

async function ownKey(): Promise<Result<LintedKey>> {
  const made = await generateLocalKey(SLOT, 'ec-p256');
  return made.ok ? ok(onlyLinted(made.value)) : made;
}

interface SignerPlan extends CertificatePlan {
  readonly said: Omit<CrlSignerFields, 'issuer' | 'signatureAlgorithm'>;
}

function planSigner(
  { root, random, nowSeconds, backdateSeconds }: CrlSignerRequest,
  spki: Uint8Array,
): Result<SignerPlan> {
  const publicKey = parsePublicKey(spki);
  if (!publicKey.ok) return publicKey;
  const { subjectDer, notBeforeMs, notAfterMs, ...issuer } = root.certificate;
  const signatureAlgorithm = signatureAlgorithmDer(certificateScheme(root.key.type));
  const keyId = issuer.subjectKeyId ?? subjectKeyId(issuer.publicKey);
  const said = {
    serial: drawSerial(random),
    // X509-26 for what is no SVID too: inside the life of the root.
    notBeforeMs: Math.max((nowSeconds - backdateSeconds) * 1000, notBeforeMs),
    notAfterMs: Math.min((nowSeconds + TTL_SECONDS) * 1000, notAfterMs),
    spki,
    keyId: subjectKeyId(publicKey.value),
  };
  const signer = { subjectDer, keyId };
  const tbs = buildCrlSignerTbs({ ...said, signatureAlgorithm, issuer: signer });
  const { publicKeySpki } = root.key;
  const facts = { ...signer, spki: publicKeySpki, signatureAlgorithm, notBeforeMs, notAfterMs };
  const token = lintCrlSigner(tbs, { ...said, issuer: facts });
  return token.ok ? ok({ tbs, token: token.value, said, signatureAlgorithm }) : token;
}
