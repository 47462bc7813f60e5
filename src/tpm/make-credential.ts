import {
  constants,
  createCipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  publicEncrypt,
} from 'node:crypto';
import { concatBytes } from '../base/bytes.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { TPM_DIGEST_BYTES, type TpmHash } from './algorithms.ts';
import { type TpmPublic, tpmKeyObject } from './public-area.ts';
import { tpmSized, tpmU32 } from './tpm-writer.ts';

/** What only the TPM of an endorsement key can open, and only where it holds the named key. */
export interface TpmCredential {
  /** TPMS_ID_OBJECT: the HMAC with its size, then the encrypted secret. */
  readonly credential: Uint8Array;
  /** Content of the TPM2B_ENCRYPTED_SECRET. */
  readonly encryptedSeed: Uint8Array;
}

const IDENTITY = Buffer.from('IDENTITY\0', 'latin1');

/**
 * TPM2_MakeCredential without a TPM (TPM 2.0 Part 1, §24): encrypts a secret so that ActivateCredential
 * gives it out only where the TPM holds both the endorsement key and the key of this name. Fails with
 * TPM_KEY or TPM_STRUCTURE.
 *
 * @param name Name of the attestation key.
 * @param secret At most as long as a digest of the endorsement key's name algorithm.
 */
export function makeCredential(
  endorsementKey: TpmPublic,
  name: Uint8Array,
  secret: Uint8Array,
  random: Random,
): Result<TpmCredential> {
  const { nameHash: hash, symmetricBits } = endorsementKey;
  if (symmetricBits === undefined || secret.length > TPM_DIGEST_BYTES[hash]) {
    return fail('TPM_KEY', 'the endorsement key cannot encrypt a credential');
  }
  const shared = shareSeed(endorsementKey, random);
  if (!shared.ok) return shared;
  const { seed, encryptedSeed } = shared.value;
  const storageKey = kdfa({
    hash,
    key: seed,
    label: 'STORAGE',
    context: name,
    bits: symmetricBits,
  });
  // The seed is new each time, so that a zero IV meets no key twice (Part 1, §24.4).
  const cipher = createCipheriv(`aes-${symmetricBits}-cfb`, storageKey, Buffer.alloc(16));
  const encrypted = concatBytes([cipher.update(tpmSized(secret)), cipher.final()]);
  const bits = TPM_DIGEST_BYTES[hash] * 8;
  const macKey = kdfa({ hash, key: seed, label: 'INTEGRITY', context: Buffer.alloc(0), bits });
  const mac = createHmac(hash, macKey).update(encrypted).update(name).digest();
  return ok({ credential: concatBytes([tpmSized(mac), encrypted]), encryptedSeed });
}

/** What a derived key is made from. */
interface KdfInput {
  readonly hash: TpmHash;
  readonly key: Uint8Array;
  readonly label: string;
  readonly context: Uint8Array;
  readonly bits: number;
}

/** KDFa (TPM 2.0 Part 1, §11.4.10.2): SP 800-108 in counter mode; one round is enough for every use here. */
function kdfa({ hash, key, label, context, bits }: KdfInput): Uint8Array {
  return createHmac(hash, key)
    .update(tpmU32(1))
    .update(`${label}\0`, 'latin1')
    .update(context)
    .update(tpmU32(bits))
    .digest()
    .subarray(0, bits / 8);
}

interface SharedSeed {
  readonly seed: Uint8Array;
  readonly encryptedSeed: Uint8Array;
}

function shareSeed(endorsementKey: TpmPublic, random: Random): Result<SharedSeed> {
  return endorsementKey.key.kind === 'rsa'
    ? shareByRsa(endorsementKey, random)
    : shareByEcdh(endorsementKey);
}

/** Part 1, §B.10.4: OAEP with the label IDENTITY and its NUL. */
function shareByRsa(endorsementKey: TpmPublic, random: Random): Result<SharedSeed> {
  const key = tpmKeyObject(endorsementKey);
  if (!key.ok) return key;
  const { nameHash: oaepHash } = endorsementKey;
  const seed = random.bytes(TPM_DIGEST_BYTES[oaepHash]);
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  const encryptedSeed = publicEncrypt(
    { key: key.value, padding, oaepHash, oaepLabel: IDENTITY },
    seed,
  );
  return ok({ seed, encryptedSeed });
}

/** Part 1, §C.6.4: an ephemeral key, and KDFe over the shared point. */
function shareByEcdh(endorsementKey: TpmPublic): Result<SharedSeed> {
  const { key, nameHash } = endorsementKey;
  const publicKey = tpmKeyObject(endorsementKey);
  if (!publicKey.ok || key.kind !== 'ecc') return fail('TPM_KEY', 'the endorsement key is not ECC');
  const ephemeral = generateKeyPairSync('ec', { namedCurve: key.curve.name });
  const z = diffieHellman({ privateKey: ephemeral.privateKey, publicKey: publicKey.value });
  const own = createPublicKey(ephemeral.privateKey).export({ format: 'jwk' });
  const [x, y] = [own.x ?? '', own.y ?? ''].map((text) => Buffer.from(text, 'base64url'));
  if (x === undefined || y === undefined) return fail('TPM_KEY', 'no ephemeral key');
  const seed = createHash(nameHash)
    .update(tpmU32(1))
    .update(z)
    .update(IDENTITY)
    .update(x)
    .update(key.x)
    .digest();
  return ok({ seed, encryptedSeed: concatBytes([tpmSized(x), tpmSized(y)]) });
}
