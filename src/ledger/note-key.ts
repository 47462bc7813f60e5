import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto';
import { concatBytes, toHex, utf8 } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { decodeBase64 } from './base64.ts';

/** Signature types of C2SP signed-note that are spoken here. */
export const NOTE_ALGORITHMS = { ed25519: 0x01, ecdsa: 0x02, cosignature: 0x04 } as const;

/** What a key signs: plain notes by Ed25519 or ECDSA, or checkpoints as a witness. */
export type NoteAlgorithm = keyof typeof NOTE_ALGORITHMS;

/** A public key that notes are verified with. */
export interface NoteVerifier {
  readonly name: string;
  readonly algorithm: NoteAlgorithm;
  /** First four bytes of what C2SP signed-note hashes; an identifier, no proof. */
  readonly keyId: Uint8Array;
  /** 32 bytes for Ed25519, SubjectPublicKeyInfo DER for ECDSA. */
  readonly publicKey: Uint8Array;
  readonly key: KeyObject;
}

/** Signs checkpoints; handed in, so that the key may live anywhere. */
export interface NoteSigner {
  readonly algorithm: 'ed25519' | 'ecdsa';
  /** SubjectPublicKeyInfo DER. */
  readonly publicKeySpki: Uint8Array;
  /** Ed25519, or ECDSA over the SHA-256 hash in DER. */
  sign(message: Uint8Array): Promise<Result<Uint8Array>>;
}

const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1'];

/** Whether a text may name a key: no space and no plus (C2SP signed-note). */
export function isKeyName(name: string): boolean {
  return name !== '' && name.length <= 255 && !/[\s+\p{Cc}\p{Z}]/u.test(name);
}

/** A verifier from a public key (SubjectPublicKeyInfo DER); fails with LEDGER_NOTE_INVALID. */
export function createNoteVerifier(
  name: string,
  algorithm: NoteAlgorithm,
  spki: Uint8Array,
): Result<NoteVerifier> {
  if (!isKeyName(name)) return invalid('the name of a key is empty or has a space or a plus');
  const key = importSpki(spki);
  if (key === undefined) return invalid('is no public key');
  const publicKey = publicBytes(algorithm, key, spki);
  if (publicKey === undefined) return invalid(`the key is not one for ${algorithm}`);
  return ok({ name, algorithm, keyId: keyIdOf(name, algorithm, publicKey), publicKey, key });
}

/** Reads a verifier key `name+id+key` (C2SP signed-note); fails with LEDGER_NOTE_INVALID. */
export function parseVerifierKey(text: string): Result<NoteVerifier> {
  const match = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/su.exec(text);
  const bytes = decodeBase64(match?.[3] ?? '');
  const algorithm = Object.keys(NOTE_ALGORITHMS)
    .filter((name): name is NoteAlgorithm => Object.hasOwn(NOTE_ALGORITHMS, name))
    .find((name) => NOTE_ALGORITHMS[name] === bytes?.[0]);
  if (match?.[1] === undefined || bytes === undefined || algorithm === undefined) {
    return invalid('a verifier key is written name+id+key');
  }
  const raw = bytes.subarray(1);
  const spki = algorithm === 'ecdsa' ? raw : concatBytes([ED25519_SPKI_PREFIX, raw]);
  const verifier = createNoteVerifier(match[1], algorithm, spki);
  if (verifier.ok && toHex(verifier.value.keyId) !== match[2]) {
    return invalid('the id in a verifier key belongs to another key');
  }
  return verifier;
}

/** The verifier key as text: `name+id+key`. */
export function formatVerifierKey({ name, algorithm, keyId, publicKey }: NoteVerifier): string {
  const type = Uint8Array.of(NOTE_ALGORITHMS[algorithm]);
  const key = Buffer.from(concatBytes([type, publicKey])).toString('base64');
  return `${name}+${toHex(keyId)}+${key}`;
}

/** Whether a signature over a message is the verifier's. Never throws, whatever the bytes are. */
export function isSignatureOf(
  { algorithm, key }: NoteVerifier,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  try {
    return verify(algorithm === 'ecdsa' ? 'sha256' : null, message, key, signature);
  } catch {
    return false;
  }
}

function keyIdOf(name: string, algorithm: NoteAlgorithm, publicKey: Uint8Array): Uint8Array {
  // ECDSA keys are named by the hash of the key alone (C2SP signed-note, type 0x02).
  const hashed =
    algorithm === 'ecdsa'
      ? publicKey
      : concatBytes([utf8(`${name}\n`), Uint8Array.of(NOTE_ALGORITHMS[algorithm]), publicKey]);
  return hash('sha256', hashed, 'buffer').subarray(0, 4);
}

function publicBytes(
  algorithm: NoteAlgorithm,
  key: KeyObject,
  spki: Uint8Array,
): Uint8Array | undefined {
  if (algorithm === 'ecdsa') {
    const curve = key.asymmetricKeyDetails?.namedCurve ?? '';
    return key.asymmetricKeyType === 'ec' && CURVES.includes(curve) ? spki : undefined;
  }
  if (key.asymmetricKeyType !== 'ed25519') return undefined;
  return key.export({ type: 'spki', format: 'der' }).subarray(ED25519_SPKI_PREFIX.length);
}

function importSpki(spki: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.from(spki), type: 'spki', format: 'der' });
  } catch {
    return undefined; // The caller refuses with what it knows of where the bytes came from.
  }
}

function invalid(what: string): Result<never> {
  return fail('LEDGER_NOTE_INVALID', what);
}
