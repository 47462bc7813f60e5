import { hash } from 'node:crypto';
import type { Result } from '../base/result.ts';
import { certificateScheme } from '../keys/scheme.ts';
import { lintEnrolmentCa } from '../lint/gate.ts';
import type { LintedKey } from '../lint/linted-key.ts';
import { buildEnrolmentTbs } from '../x509/enrolment-template.ts';
import { subjectKeyId } from '../x509/key-id.ts';
import { signatureAlgorithmDer } from '../x509/signature.ts';
import type { Certificate, PublicKey } from '../x509/types.ts';
import { signCertificate } from './sign-certificate.ts';
import type { RecordCa } from './x509-certificate.ts';

/** What a CA outside of SPIFFE is to be. */
export interface EnrolmentPlan {
  /** Big-endian. */
  readonly serial: Uint8Array;
  readonly publicKey: PublicKey;
  /** Name DER. */
  readonly subjectDer: Uint8Array;
  readonly notBeforeSeconds: number;
  readonly notAfterSeconds: number;
  /** The root, for a CA below it; the root signs itself. */
  readonly issuer: Certificate | undefined;
  /** Told before the signature is made; a refusal ends it. */
  readonly record: RecordCa | undefined;
  /** Who asked, as grants name callers. */
  readonly requestedBy: string;
  /** What it is for, as the ledger has it. */
  readonly purpose: string;
}

/**
 * Has the key of the enrolment root sign its own certificate, or that of a vendor's CA: linted, on
 * record before it is signed, read back and verified after.
 */
export async function signEnrolmentCa(
  key: LintedKey,
  plan: EnrolmentPlan,
): Promise<Result<Certificate>> {
  const { serial, publicKey, subjectDer, notBeforeSeconds, notAfterSeconds, issuer } = plan;
  const signatureAlgorithm = signatureAlgorithmDer(certificateScheme(key.type));
  const keyId = subjectKeyId(publicKey);
  const said = {
    serial,
    subjectDer,
    notBeforeMs: notBeforeSeconds * 1000,
    notAfterMs: notAfterSeconds * 1000,
    spki: publicKey.spki,
    keyId,
    signatureAlgorithm,
    pathLength: issuer === undefined ? 1 : 0,
  };
  const signer = issuer === undefined ? undefined : factsOf(issuer);
  const tbs = buildEnrolmentTbs({ ...said, issuer: signer });
  const token = lintEnrolmentCa(tbs, {
    ...said,
    selfSigned: issuer === undefined,
    issuer: { ...(signer ?? said), spki: key.publicKeySpki, signatureAlgorithm },
  });
  if (!token.ok) return token;
  const { requestedBy, purpose } = plan;
  // On record before it is signed, as everything is (I2).
  const recorded = await plan.record?.({
    trustDomain: undefined,
    serial,
    notBeforeSeconds,
    notAfterSeconds,
    keyId,
    tbsHash: hash('sha256', tbs, 'buffer'),
    requestedBy,
    purpose,
  });
  if (recorded?.ok === false) return recorded;
  return signCertificate(
    key,
    { tbs, token: token.value, signatureAlgorithm },
    { issuer: issuer?.publicKey, name: 'the new enrolment CA' },
  );
}

function factsOf({ subjectDer, notBeforeMs, notAfterMs, publicKey, ...issuer }: Certificate) {
  const keyId = issuer.subjectKeyId ?? subjectKeyId(publicKey);
  return { subjectDer, keyId, notBeforeMs, notAfterMs };
}
