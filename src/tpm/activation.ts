import { timingSafeEqual } from 'node:crypto';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { TPM_DIGEST_BYTES } from './algorithms.ts';
import { makeCredential, type TpmCredential } from './make-credential.ts';
import { type TpmPublic, tpmName } from './public-area.ts';

/** A secret under way to a TPM. */
export interface Activation {
  readonly credential: TpmCredential;
  /** Fails with TPM_ACTIVATION unless it is the secret: then both keys are in one TPM. */
  check(opened: Uint8Array): Result<void>;
}

/** Encrypts a secret that only a TPM with both keys can open. Fails as {@link makeCredential} does. */
export function startActivation(
  endorsementKey: TpmPublic,
  attestationKey: TpmPublic,
  random: Random,
): Result<Activation> {
  const secret = random.bytes(TPM_DIGEST_BYTES[endorsementKey.nameHash]);
  const credential = makeCredential(endorsementKey, tpmName(attestationKey), secret, random);
  if (!credential.ok) return credential;
  return ok({
    credential: credential.value,
    check: (opened) =>
      opened.length === secret.length && timingSafeEqual(opened, secret)
        ? ok(undefined)
        : fail('TPM_ACTIVATION', 'the credential was not opened'),
  });
}
