import { toHex } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { parseCertificate } from '../../x509/certificate.ts';
import { nameAttributeOf } from '../../x509/common-name.ts';
import { OID } from '../../x509/oids.ts';
import { validatePath } from '../../x509/path.ts';
import { parsePublicKey } from '../../x509/public-key.ts';
import type { Certificate, PublicKey } from '../../x509/types.ts';
import { decodeX509PopResponse, MAX_X509POP_CERTIFICATES } from '../x509pop/payload.ts';
import { verifyProof } from '../x509pop/proof.ts';
import type { DpuAttestorParts } from './parts.ts';
import { type OwnKey, ownKeyChallenge } from './payload.ts';
import type { Session } from './session.ts';
import { sha256 } from './wire.ts';

/**
 * Possession of the agent's own key (dpu-attestation §7.2 D), proven over a binding nonce of its own
 * name. Where roots are configured, a certificate below one of them with the card's serial number as its
 * subject serialNumber (802.1AR); else the key that the first attestation in full pinned. Answers what
 * is to be pinned; undefined where nothing is. Fails with DPU_OWN_KEY and DPU_OWN_CERTIFICATE.
 */
export function checkOwnKey(
  parts: Pick<DpuAttestorParts, 'ownKeyRoots' | 'clock'>,
  { dpu, response: { ownKey }, nonceFor }: Session,
): Result<string | undefined> {
  if (ownKey === undefined) return ok(undefined);
  const key =
    parts.ownKeyRoots.length > 0
      ? certifiedKey(parts, dpu.serial, ownKey)
      : pinnedKey(dpu.ownKeySha256, ownKey);
  if (!key.ok) return fail(key.error.code, `DPU ${dpu.serial}: ${key.error.message}`);
  const proof = decodeX509PopResponse(ownKey.proof);
  const challenge = ownKeyChallenge(nonceFor('x509pop', ''));
  const proven = proof.ok ? verifyProof(key.value.publicKey, challenge, proof.value) : proof;
  if (!proven.ok) return fail('DPU_OWN_KEY', `DPU ${dpu.serial}: ${proven.error.message}`);
  return ok(key.value.pin);
}

interface JudgedKey {
  readonly publicKey: PublicKey;
  readonly pin: string | undefined;
}

function pinnedKey(pinned: string, { spki }: OwnKey): Result<JudgedKey> {
  if (spki === undefined)
    return fail('DPU_OWN_CERTIFICATE', 'no roots for certificates are configured');
  const publicKey = parsePublicKey(spki);
  if (!publicKey.ok) return fail('DPU_OWN_KEY', publicKey.error.message);
  const pin = toHex(sha256(spki));
  if (pinned !== '' && pinned !== pin)
    return fail('DPU_OWN_KEY', `key ${pin} is not the pinned one`);
  return ok({ publicKey: publicKey.value, pin });
}

function certifiedKey(
  { ownKeyRoots: roots, clock }: Pick<DpuAttestorParts, 'ownKeyRoots' | 'clock'>,
  serial: string,
  { certificates = [] }: OwnKey,
): Result<JudgedKey> {
  const chain: Certificate[] = [];
  for (const der of certificates) {
    const certificate = parseCertificate(der);
    if (!certificate.ok) return notHeld(certificate.error.message);
    chain.push(certificate.value);
  }
  const maxIntermediates = MAX_X509POP_CERTIFICATES - 1;
  const path = validatePath({ chain, roots, atMs: clock.nowMs(), maxIntermediates });
  if (!path.ok) return notHeld(path.error.message);
  const { leaf } = path.value;
  if (leaf.keyUsage?.digitalSignature !== true || leaf.basicConstraints?.ca === true) {
    return notHeld('the leaf is a CA, or its key usage does not allow digitalSignature');
  }
  const named = nameAttributeOf(leaf.subjectDer, OID.serialNumber);
  if (named !== serial) return notHeld(`its subject serialNumber is ${named ?? 'absent'}`);
  return ok({ publicKey: leaf.publicKey, pin: undefined });
}

function notHeld(why: string): Result<never> {
  return fail('DPU_OWN_CERTIFICATE', `certificate of its own: ${why}`);
}
