import { encode } from 'cborg';
import { fail, ok, type Result } from '../../base/result.ts';
import { type SignatureScheme, verifyWithScheme } from '../../x509/signature.ts';
import type { PublicKey, PublicKeyType } from '../../x509/types.ts';
import { type CborMap, type CborValue, decodeCbor, isCborList, isCborMap } from './cbor.ts';

/** Header labels (RFC 9052 §3.1). */
const LABEL = { algorithm: 1, critical: 2, contentType: 3 } as const;

/** Longest protected header, in bytes. */
const MAX_HEADER_BYTES = 65_536;

/** ECDSA by its algorithm number (RFC 9053 §2.1); each with the one curve that it is meant for. */
const ALGORITHMS: ReadonlyMap<CborValue | undefined, readonly [PublicKeyType, SignatureScheme]> =
  new Map([
    [-7, ['ec-p256', { kind: 'ecdsa', hash: 'sha256', encoding: 'p1363' }]],
    [-35, ['ec-p384', { kind: 'ecdsa', hash: 'sha384', encoding: 'p1363' }]],
    [-36, ['ec-p521', { kind: 'ecdsa', hash: 'sha512', encoding: 'p1363' }]],
  ]);

/** What a COSE_Sign1 message says once its signature holds. */
export interface OpenedSign1 {
  readonly headers: CborMap;
  readonly contentType: CborValue | undefined;
  readonly payload: Uint8Array;
}

/**
 * Checks a COSE_Sign1 message (RFC 9052 §4.4) under pinned keys: ES256, ES384 or ES512 by the protected
 * header, payload inside. Key ids and certificates in the headers are not looked at. Errors:
 * CORIM_MALFORMED, CORIM_UNSUPPORTED for another algorithm or a critical header, CORIM_UNSIGNED.
 */
export function openSign1(message: CborValue, keys: readonly PublicKey[]): Result<OpenedSign1> {
  const [protectedBytes, unprotected, payload, signature, ...rest] = isCborList(message)
    ? message
    : [];
  const isWhole =
    protectedBytes instanceof Uint8Array &&
    isCborMap(unprotected) &&
    payload instanceof Uint8Array &&
    signature instanceof Uint8Array &&
    rest.length === 0;
  if (!isWhole) return fail('CORIM_MALFORMED', 'CoRIM: not a COSE_Sign1 with its payload inside');
  const headers = decodeCbor('CoRIM header', protectedBytes, MAX_HEADER_BYTES);
  if (!headers.ok) return headers;
  if (!isCborMap(headers.value)) return fail('CORIM_MALFORMED', 'CoRIM: header is no map');
  const algorithm = ALGORITHMS.get(headers.value.get(LABEL.algorithm));
  if (algorithm === undefined || headers.value.has(LABEL.critical)) {
    return fail('CORIM_UNSUPPORTED', 'CoRIM: signature algorithm or critical header not known');
  }
  const [keyType, scheme] = algorithm;
  const signed = encode(['Signature1', protectedBytes, new Uint8Array(), payload]);
  const isSigned = keys.some(
    (key) => key.type === keyType && verifyWithScheme(key, scheme, signed, signature).ok,
  );
  if (!isSigned) return fail('CORIM_UNSIGNED', 'CoRIM: signed by no pinned key');
  return ok({ headers: headers.value, contentType: headers.value.get(LABEL.contentType), payload });
}
