import { createHash, createPublicKey } from 'node:crypto';
import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { checkDeviceRevocation, type DeviceRevocation } from '../dice/device-revocation.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { validatePath } from '../x509/path.ts';
import type { Certificate } from '../x509/types.ts';
import { isEndorsementKey, type TpmPublic, tpmKeyObject } from './public-area.ts';

/** Which endorsement keys are good. */
export interface EndorsementTrust {
  /** Roots, and CAs below them, of manufacturers. */
  readonly roots: readonly Certificate[];
  readonly intermediates: readonly Certificate[];
  /** SHA-256, hex, of SubjectPublicKeyInfo of keys that were recorded at commissioning. */
  readonly knownKeys: ReadonlySet<string>;
  /** Whether keys that nobody knows pass as recorded: only where the caller pins the first. */
  readonly unknownKeys?: 'taken' | 'refused';
  /** CRLs of the CAs above endorsement keys; none are asked for where none were loaded. */
  readonly revocation?: DeviceRevocation;
  /** Unix milliseconds. */
  readonly atMs: number;
}

/** What is known of an endorsement key. */
export interface JudgedEndorsement {
  /** SHA-256 of its SubjectPublicKeyInfo, hex. */
  readonly sha256: string;
  /**
   * `manufacturer`: a pinned manufacturer certified it, so the TPM is one of his. `known`: it was recorded,
   * which says nothing of what guards it; a TPM in firmware is no better than that firmware.
   */
  readonly trust: 'manufacturer' | 'known';
  readonly certificate: Certificate | undefined;
}

/**
 * Judges an endorsement key by its certificate's chain to a pinned root, or else by the list of known keys.
 * Fails with TPM_KEY, TPM_EK, or what is wrong with the certificate.
 */
export function judgeEndorsement(
  area: TpmPublic,
  certificateDer: Uint8Array | undefined,
  trust: EndorsementTrust,
): Result<JudgedEndorsement> {
  if (!isEndorsementKey(area)) {
    return fail('TPM_KEY', 'the endorsement key has attributes that no endorsement key has');
  }
  const key = tpmKeyObject(area);
  if (!key.ok) return key;
  const spki = key.value.export({ type: 'spki', format: 'der' });
  const sha256 = createHash('sha256').update(spki).digest('hex');
  const isKnown = trust.knownKeys.has(sha256) || trust.unknownKeys === 'taken';
  if (certificateDer !== undefined && trust.roots.length > 0) {
    const certificate = judgeCertificate(certificateDer, spki, trust);
    if (certificate.ok)
      return ok({ sha256, trust: 'manufacturer', certificate: certificate.value });
    // That a key was recorded once does not outweigh what its maker took back.
    const revoked = certificate.error.code === 'DEVICE_REVOKED';
    if (revoked || !isKnown) return certificate;
  }
  if (isKnown) return ok({ sha256, trust: 'known', certificate: undefined });
  return fail('TPM_EK', `the endorsement key ${sha256} is not known`);
}

function judgeCertificate(
  der: Uint8Array,
  spki: Uint8Array,
  { roots, intermediates, atMs, revocation }: EndorsementTrust,
): Result<Certificate> {
  const certificate = parseCertificate(der);
  if (!certificate.ok) return certificate;
  // By the numbers: RSA keys may be written with other parameters in the certificate.
  const own = certifiedSpki(certificate.value);
  if (own === undefined || !equalBytes(own, spki)) {
    return fail('TPM_EK', 'the endorsement certificate is for another key');
  }
  if (!isEndorsementCertificate(certificate.value)) {
    return fail('TPM_EK', 'the certificate is for another purpose than an endorsement key');
  }
  const path = validatePath({ chain: [certificate.value, ...intermediates], roots, atMs });
  if (!path.ok) return path;
  const rules = { atMs, ...(revocation && { revocation }) };
  const clear = checkDeviceRevocation(path.value.path, rules);
  return clear.ok ? certificate : clear;
}

/** tcg-kp-EKCertificate (TCG EK Credential Profile, §3.2). */
const EK_CERTIFICATE = '2.23.133.8.1';

/**
 * Makers have certificates of other keys under the same roots, which may be in software and in anybody's
 * hands: one that says what it is for must be for decrypting, and for endorsement keys.
 */
function isEndorsementCertificate(certificate: Certificate): boolean {
  const { basicConstraints, keyUsage, extendedKeyUsage, publicKey } = certificate;
  const use = publicKey.type === 'rsa' ? 'keyEncipherment' : 'keyAgreement';
  return (
    basicConstraints?.ca !== true &&
    (keyUsage === undefined || keyUsage[use]) &&
    (extendedKeyUsage === undefined || extendedKeyUsage.includes(EK_CERTIFICATE))
  );
}

function certifiedSpki({ publicKey }: Certificate): Uint8Array | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey.spki), format: 'der', type: 'spki' });
    return key.export({ type: 'spki', format: 'der' });
  } catch {
    // A kind of key that Node.js does not take is not that of the public area.
    return undefined;
  }
}
