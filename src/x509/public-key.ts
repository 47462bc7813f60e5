import type { KeyObject } from 'node:crypto';
import { fail, type Result } from '../base/result.ts';
import type { PublicKey } from './types.ts';

/** Reads a SubjectPublicKeyInfo. A well-formed key of an algorithm not known here has type `unknown`. */
export function parsePublicKey(_spki: Uint8Array): Result<PublicKey> {
  return fail('INTERNAL', 'not built yet');
}

/** The key as Node's crypto takes it, imported once per PublicKey; refuses points off their curve. */
export function toKeyObject(_publicKey: PublicKey): Result<KeyObject> {
  return fail('INTERNAL', 'not built yet');
}
