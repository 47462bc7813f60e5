import { concatBytes } from '../../../src/base/bytes.ts';
import { TPM_ALG, TPM_ATTRIBUTE } from '../../../src/tpm/algorithms.ts';
import { tpmSized, tpmU16, tpmU32 } from '../../../src/tpm/tpm-writer.ts';

const { fixedTpm, fixedParent, sensitiveDataOrigin, userWithAuth } = TPM_ATTRIBUTE;
const { adminWithPolicy, noDictionaryAttack, restricted, decrypt, sign } = TPM_ATTRIBUTE;

const LOCAL = fixedTpm | fixedParent | sensitiveDataOrigin;

/** PolicySecret of the endorsement hierarchy (TCG EK Credential Profile, policy A). */
const EK_POLICY = Buffer.from(
  '837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa',
  'hex',
);

const CURVE_P256 = 0x0003;

/** What a template says beside the kind of key. */
interface TemplateParts {
  readonly attributes: number;
  readonly policy?: Uint8Array;
  /** Whether the key encrypts with AES-128 in CFB mode. */
  readonly storage?: boolean;
  readonly scheme?: number;
  /** Size of the zeros that stand for the key's numbers. */
  readonly unique?: number;
}

/** Default EK of RSA 2048 (EK Credential Profile, L-1). */
export const RSA_EK_TEMPLATE: Uint8Array = rsaTemplate({
  attributes: LOCAL | adminWithPolicy | restricted | decrypt,
  policy: EK_POLICY,
  storage: true,
  unique: 256,
});

/** Default EK on P-256 (EK Credential Profile, L-2). */
export const ECC_EK_TEMPLATE: Uint8Array = eccTemplate({
  attributes: LOCAL | adminWithPolicy | restricted | decrypt,
  policy: EK_POLICY,
  storage: true,
  unique: 32,
});

/** An attestation key on P-256. */
export const ECC_AK_TEMPLATE: Uint8Array = eccTemplate({
  attributes: LOCAL | userWithAuth | restricted | sign,
  scheme: TPM_ALG.ecdsa,
});

/** An attestation key of RSA 2048, which SPIRE's servers need. */
export const RSA_AK_TEMPLATE: Uint8Array = rsaTemplate({
  attributes: LOCAL | userWithAuth | restricted | sign,
  scheme: TPM_ALG.rsassa,
});

/** Storage root key of RSA 2048 (TCG Provisioning Guidance, H-1): the parent of RSA DevID keys. */
export const RSA_SRK_TEMPLATE: Uint8Array = rsaTemplate({
  attributes: LOCAL | userWithAuth | noDictionaryAttack | restricted | decrypt,
  storage: true,
});

/** Storage root key on P-256 (TCG Provisioning Guidance, H-2): the parent of ECC DevID keys. */
export const ECC_SRK_TEMPLATE: Uint8Array = eccTemplate({
  attributes: LOCAL | userWithAuth | noDictionaryAttack | restricted | decrypt,
  storage: true,
});

function rsaTemplate(parts: TemplateParts): Uint8Array {
  return concatBytes([
    ...head(TPM_ALG.rsa, parts),
    ...scheme(parts),
    tpmU16(2048),
    tpmU32(0),
    tpmSized(new Uint8Array(parts.unique ?? 0)),
  ]);
}

function eccTemplate(parts: TemplateParts): Uint8Array {
  const number = tpmSized(new Uint8Array(parts.unique ?? 0));
  return concatBytes([
    ...head(TPM_ALG.ecc, parts),
    ...scheme(parts),
    tpmU16(CURVE_P256),
    tpmU16(TPM_ALG.null),
    number,
    number,
  ]);
}

function head(type: number, { attributes, policy, storage }: TemplateParts): Uint8Array[] {
  return [
    tpmU16(type),
    tpmU16(TPM_ALG.sha256),
    tpmU32(attributes),
    tpmSized(policy ?? new Uint8Array(0)),
    storage === true
      ? concatBytes([tpmU16(TPM_ALG.aes), tpmU16(128), tpmU16(TPM_ALG.cfb)])
      : tpmU16(TPM_ALG.null),
  ];
}

function scheme({ scheme: algorithm }: TemplateParts): Uint8Array[] {
  if (algorithm === undefined) return [tpmU16(TPM_ALG.null)];
  return [tpmU16(algorithm), tpmU16(TPM_ALG.sha256)];
}
