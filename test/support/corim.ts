import { encode, Tagged } from 'cborg';
import { signWith, type TestKey } from './x509.ts';

/** Anything that CBOR can hold; maps as `Map`, tags as `Tagged`. */
export type Cbor = unknown;

/** CBOR in the deterministic form of RFC 8949. */
export function cbor(value: Cbor): Uint8Array {
  return encode(value, { useMaps: true } as Parameters<typeof encode>[1]);
}

/** A map with numbers as keys; members that are undefined are left out. */
export function numbered(members: Readonly<Record<number, Cbor>>): Map<number, Cbor> {
  const present = Object.entries(members).filter(([, value]) => value !== undefined);
  return new Map(present.map(([key, value]) => [Number(key), value]));
}

/** A value under a tag. */
export function tagged(tag: number, value: Cbor): Cbor {
  return new Tagged(tag, value);
}

/** A measurement with digests: algorithm number and bytes. */
export function digestMeasurement(
  index: Cbor,
  digests: readonly (readonly [Cbor, Uint8Array])[],
): Cbor {
  return numbered({ 0: index, 1: numbered({ 2: digests }) });
}

/** A measurement with a raw value. */
export function rawMeasurement(index: Cbor, bytes: Uint8Array): Cbor {
  return numbered({ 0: index, 1: numbered({ 4: tagged(560, bytes) }) });
}

/** The environment of NVIDIA-like CoMIDs: vendor and model of a class. */
export function environment(model: string, more: Readonly<Record<number, Cbor>> = {}): Cbor {
  return numbered({ 0: numbered({ 1: 'NVIDIA', 2: model, ...more }) });
}

/** A CoMID with reference triples. */
export function comid(triples: readonly Cbor[]): Cbor {
  const identity = numbered({ 0: 'test CoMID' });
  return tagged(506, cbor(numbered({ 1: identity, 4: numbered({ 0: triples }) })));
}

/** A CoRIM that is not signed. */
export function unsignedCorim(
  tags: readonly Cbor[],
  more: Readonly<Record<number, Cbor>> = {},
): Uint8Array {
  return cbor(tagged(501, numbered({ 0: 'test CoRIM', 1: tags, ...more })));
}

/** What may be changed in a COSE_Sign1. */
export interface Sign1Options {
  readonly algorithm?: number;
  readonly headers?: Readonly<Record<number, Cbor>>;
  readonly unprotected?: Cbor;
  readonly externalData?: Uint8Array;
}

const ALGORITHM: Readonly<Record<string, number>> = {
  'ec-p256': -7,
  'ec-p384': -35,
  'ec-p521': -36,
};
const HASH: Readonly<Record<number, 'sha256' | 'sha384' | 'sha512'>> = {
  [-7]: 'sha256',
  [-35]: 'sha384',
  [-36]: 'sha512',
};

/** The four parts of a COSE_Sign1 over a payload. */
export function sign1Parts(payload: Uint8Array, key: TestKey, options: Sign1Options = {}): Cbor[] {
  const algorithm = options.algorithm ?? ALGORITHM[key.publicKey.type] ?? 0;
  const headers = numbered({ 1: algorithm, 3: 'application/rim+cbor', ...options.headers });
  const protectedBytes = cbor(headers);
  const external = options.externalData ?? new Uint8Array();
  const signed = cbor(['Signature1', protectedBytes, external, payload]);
  const hash = HASH[algorithm] ?? 'sha256';
  const der = signWith(key, signed, { kind: 'ecdsa', hash });
  const unprotected = options.unprotected ?? new Map();
  return [protectedBytes, unprotected, payload, rawSignature(der, key)];
}

/** A signed CoRIM. */
export function signCorim(payload: Uint8Array, key: TestKey, options?: Sign1Options): Uint8Array {
  return cbor(tagged(18, sign1Parts(payload, key, options)));
}

/** r and s next to each other, each as long as the field. */
function rawSignature(der: Uint8Array, key: TestKey): Uint8Array {
  const fieldBytes = Math.ceil(key.publicKey.bits / 8);
  const numbers: Uint8Array[] = [];
  // SEQUENCE, length of one octet or two, then two INTEGERs of less than 128 octets.
  let at = (der[1] ?? 0) === 0x81 ? 3 : 2;
  while (numbers.length < 2) {
    const length = der[at + 1] ?? 0;
    const magnitude = Buffer.from(der.subarray(at + 2, at + 2 + length));
    const out = Buffer.alloc(fieldBytes);
    const trimmed = magnitude.subarray(Math.max(0, magnitude.length - fieldBytes));
    trimmed.copy(out, fieldBytes - trimmed.length);
    numbers.push(out);
    at += 2 + length;
  }
  return Buffer.concat(numbers);
}
