import { createPublicKey } from 'node:crypto';
import type { Mechanism, PKCS11, Template } from 'pkcs11js';
import type { KeyType, SignOptions } from '../key-manager.ts';
import type { TokenKey, TokenPlace, TokenRequest } from './pkcs11-protocol.ts';

/** Numbers of PKCS#11 v2.40; named as the standard names them. */
const CK = {
  CKF_RW_SESSION: 0x2,
  CKF_SERIAL_SESSION: 0x4,
  CKF_OS_LOCKING_OK: 0x2,
  CKU_USER: 1,
  CKO_PUBLIC_KEY: 2,
  CKO_PRIVATE_KEY: 3,
  CKO_SECRET_KEY: 4,
  CKK_RSA: 0,
  CKK_GENERIC_SECRET: 0x10,
  CKA_CLASS: 0x0,
  CKA_TOKEN: 0x1,
  CKA_PRIVATE: 0x2,
  CKA_LABEL: 0x3,
  CKA_KEY_TYPE: 0x100,
  CKA_ID: 0x102,
  CKA_SENSITIVE: 0x103,
  CKA_SIGN: 0x108,
  CKA_VERIFY: 0x10a,
  CKA_MODULUS: 0x120,
  CKA_MODULUS_BITS: 0x121,
  CKA_PUBLIC_EXPONENT: 0x122,
  CKA_VALUE_LEN: 0x161,
  CKA_EXTRACTABLE: 0x162,
  CKA_EC_PARAMS: 0x180,
  CKA_EC_POINT: 0x181,
  CKM_RSA_PKCS_KEY_PAIR_GEN: 0x0,
  CKM_RSA_PKCS: 0x1,
  CKM_RSA_PKCS_PSS: 0xd,
  CKM_SHA256_HMAC: 0x251,
  CKM_GENERIC_SECRET_KEY_GEN: 0x350,
  CKM_EC_KEY_PAIR_GEN: 0x1040,
  CKM_ECDSA: 0x1041,
  CKS_RW_USER_FUNCTIONS: 3,
  CKR_KEY_HANDLE_INVALID: 0x60,
  CKR_OBJECT_HANDLE_INVALID: 0x82,
  CKR_ALREADY_INITIALIZED: 0x191,
  CKR_ALREADY_LOGGED_IN: 0x100,
  /** pkcs11js's mark of CK_RSA_PKCS_PSS_PARAMS. */
  PSS_PARAMS: 5,
} as const;

/** Object identifiers of the curves, DER. */
const CURVES: readonly (readonly [KeyType, string, string])[] = [
  ['ec-p256', 'P-256', '06082a8648ce3d030107'],
  ['ec-p384', 'P-384', '06052b81040022'],
];

/** What precedes a digest in an RSA PKCS#1 v1.5 signature (RFC 8017 §9.2, note 1). */
const DIGEST_INFO = {
  sha256: '3031300d060960864801650304020105000420',
  sha384: '3041300d060960864801650304020205000430',
  sha512: '3051300d060960864801650304020305000440',
} as const;

/** CKM_SHA…, CKG_MGF1_SHA… and the length of the salt. */
const PSS = { sha256: [0x250, 2, 32], sha384: [0x260, 3, 48], sha512: [0x270, 4, 64] } as const;

const MAX_SIGNATURE_BYTES = 512;

/** Bytes of an HMAC key, and of what it gives. */
const SECRET_BYTES = 32;

/** Number of a PKCS#11 refusal; undefined where something else was thrown. */
export function returnValueOf(thrown: unknown): number | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'number' ? thrown.code : undefined;
}

function tolerating(rv: number, work: () => void): void {
  try {
    work();
  } catch (thrown) {
    if (returnValueOf(thrown) !== rv) throw thrown;
  }
}

/** CKR_USER_NOT_LOGGED_IN. */
export const NOT_LOGGED_IN = 0x101;

/** Whether a return value says that there is no such object (any more). */
export function isGone(rv: number | undefined): boolean {
  return rv === CK.CKR_KEY_HANDLE_INVALID || rv === CK.CKR_OBJECT_HANDLE_INVALID;
}

/** Thrown for a key that is not in the token, in the form in which the library throws. */
class KeyGone extends TypeError {
  readonly code = CK.CKR_KEY_HANDLE_INVALID;

  constructor(id: string) {
    super(`no key of ours with CKA_ID ${id}`);
  }
}

/** A session with a token. Calls block; they are for a thread that has nothing else to do. */
export class Token {
  readonly #library: PKCS11;
  readonly #session: Buffer;
  readonly #handles = new Map<string, Buffer>();

  /** Opens and logs in. Throws what the library refuses, and TypeError where there is no such token. */
  constructor(library: PKCS11, place: TokenPlace) {
    this.#library = library;
    tolerating(CK.CKR_ALREADY_INITIALIZED, () =>
      library.C_Initialize({ flags: CK.CKF_OS_LOCKING_OK }),
    );
    this.#session = library.C_OpenSession(
      this.#slotOf(place),
      CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION,
    );
    // The login holds for the process, so that of another thread is ours too.
    tolerating(CK.CKR_ALREADY_LOGGED_IN, () =>
      library.C_Login(this.#session, CK.CKU_USER, place.pin),
    );
  }

  #slotOf({ slot, tokenLabel }: TokenPlace): Buffer {
    const slots = this.#library.C_GetSlotList(true);
    const fits = slots.filter((handle) => {
      if (slot !== undefined) return handle.readUInt32LE(0) === slot;
      if (tokenLabel === undefined) return true;
      return this.#library.C_GetTokenInfo(handle).label.trimEnd() === tokenLabel;
    });
    const [only] = fits;
    if (only !== undefined && fits.length === 1) return only;
    throw new TypeError(`${fits.length} tokens fit: name one by tokenLabel or slot`);
  }

  /** Every key pair of the token that signs. */
  find(): readonly TokenKey[] {
    const halves = this.#objects([{ type: CK.CKA_CLASS, value: CK.CKO_PRIVATE_KEY }]);
    return halves.flatMap((handle) => this.#describe(handle) ?? []);
  }

  #objects(template: Template): readonly Buffer[] {
    this.#library.C_FindObjectsInit(this.#session, template);
    try {
      const found: Buffer[] = [];
      for (let handle = this.#next(); handle !== null; handle = this.#next()) found.push(handle);
      return found;
    } finally {
      this.#library.C_FindObjectsFinal(this.#session);
    }
  }

  #next(): Buffer | null {
    return this.#library.C_FindObjects(this.#session);
  }

  #describe(handle: Buffer): TokenKey | undefined {
    const [label, id] = this.#read(handle, CK.CKA_LABEL, CK.CKA_ID);
    if (label === undefined || id === undefined || id.length === 0) return undefined;
    const [publicHandle] = this.#objects([
      { type: CK.CKA_CLASS, value: CK.CKO_PUBLIC_KEY },
      { type: CK.CKA_ID, value: id },
    ]);
    const half = publicHandle === undefined ? undefined : this.#publicKey(publicHandle);
    if (publicHandle === undefined || half === undefined) return undefined;
    return { label: label.toString('utf8'), id, handle, publicHandle, ...half };
  }

  #read(handle: Buffer, ...types: readonly number[]): readonly Buffer[] {
    const asked = types.map((type) => ({ type }));
    return this.#library
      .C_GetAttributeValue(this.#session, handle, asked)
      .map(({ value }) => Buffer.from(value));
  }

  #publicKey(handle: Buffer): Pick<TokenKey, 'type' | 'publicKeySpki'> | undefined {
    const [keyType] = this.#read(handle, CK.CKA_KEY_TYPE);
    return keyType?.readUInt32LE(0) === CK.CKK_RSA ? this.#rsaKey(handle) : this.#curveKey(handle);
  }

  #rsaKey(handle: Buffer): Pick<TokenKey, 'type' | 'publicKeySpki'> | undefined {
    const [n, e] = this.#read(handle, CK.CKA_MODULUS, CK.CKA_PUBLIC_EXPONENT);
    if (n === undefined || e === undefined) return undefined;
    const key = { kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') };
    const publicKeySpki = spkiOf(key);
    if (n.length === 256) return { type: 'rsa-2048', publicKeySpki };
    return n.length === 512 ? { type: 'rsa-4096', publicKeySpki } : undefined;
  }

  #curveKey(handle: Buffer): Pick<TokenKey, 'type' | 'publicKeySpki'> | undefined {
    const [parameters, octets] = this.#read(handle, CK.CKA_EC_PARAMS, CK.CKA_EC_POINT);
    const curve = CURVES.find(([, , der]) => parameters?.toString('hex') === der);
    if (curve === undefined || octets === undefined) return undefined;
    const [type, crv] = curve;
    const size = type === 'ec-p256' ? 32 : 48;
    // An OCTET STRING around 04, x and y; some libraries leave the wrapping out.
    const coordinates = octets.subarray(octets.length - 2 * size);
    const [x, y] = [coordinates.subarray(0, size), coordinates.subarray(size)];
    const key = { kty: 'EC', crv, x: x.toString('base64url'), y: y.toString('base64url') };
    return { type, publicKeySpki: spkiOf(key) };
  }

  /** Makes a key pair that never leaves the token. */
  generate(type: KeyType, label: string, id: Uint8Array): TokenKey {
    const name = nameOf(label, id);
    const { mechanism, parameters } = generationOf(type);
    const { privateKey } = this.#library.C_GenerateKeyPair(
      this.#session,
      { mechanism },
      [...name, ...parameters, { type: CK.CKA_VERIFY, value: true }],
      [...name, ...NEVER_LEAVES],
    );
    const made = this.#describe(privateKey);
    if (made === undefined) throw new TypeError('the token does not give the key it made');
    return made;
  }

  /** Whether the user is logged in; another program's part of this process may have logged out. */
  get loggedIn(): boolean {
    return this.#library.C_GetSessionInfo(this.#session).state === CK.CKS_RW_USER_FUNCTIONS;
  }

  /** Signs a digest: r and s in fixed length for curves. */
  sign(request: TokenRequest & { readonly kind: 'sign' }): Uint8Array {
    const { type, digest, options } = request;
    const curve = type === 'ec-p256' || type === 'ec-p384';
    const plain = curve || options.pss === true;
    const input = plain
      ? Buffer.from(digest)
      : Buffer.concat([Buffer.from(DIGEST_INFO[options.hash], 'hex'), digest]);
    this.#startSigning(request.id, curve ? { mechanism: CK.CKM_ECDSA } : rsaMechanism(options));
    const signature = this.#library.C_Sign(this.#session, input, Buffer.alloc(MAX_SIGNATURE_BYTES));
    return Uint8Array.from(signature);
  }

  /** With the handle known for the key, and where that is none any more, with the one it has now. */
  #startSigning(id: Uint8Array, mechanism: Mechanism): void {
    const name = Buffer.from(id).toString('hex');
    const known = this.#handles.get(name);
    try {
      if (known !== undefined) {
        this.#library.C_SignInit(this.#session, mechanism, known);
        return;
      }
    } catch (thrown) {
      if (!isGone(returnValueOf(thrown))) throw thrown;
    }
    const [handle] = this.#objects([
      { type: CK.CKA_CLASS, value: CK.CKO_PRIVATE_KEY },
      { type: CK.CKA_ID, value: Buffer.from(id) },
    ]);
    if (handle === undefined) throw new KeyGone(name);
    this.#handles.set(name, handle);
    this.#library.C_SignInit(this.#session, mechanism, handle);
  }

  /** CKA_IDs of the HMAC keys with a label. */
  findSecrets(label: string): readonly Uint8Array[] {
    return this.#objects([
      { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
      { type: CK.CKA_LABEL, value: label },
    ]).flatMap((handle) => this.#read(handle, CK.CKA_ID));
  }

  /** Makes an HMAC key that never leaves the token. */
  generateSecret(label: string, id: Uint8Array): void {
    this.#library.C_GenerateKey(this.#session, { mechanism: CK.CKM_GENERIC_SECRET_KEY_GEN }, [
      ...nameOf(label, id),
      ...NEVER_LEAVES,
      { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
      { type: CK.CKA_KEY_TYPE, value: CK.CKK_GENERIC_SECRET },
      { type: CK.CKA_VALUE_LEN, value: SECRET_BYTES },
    ]);
  }

  /** HMAC-SHA-256 by the key with this label and CKA_ID. */
  mac(label: string, id: Uint8Array, message: Uint8Array): Uint8Array {
    const [handle] = this.#objects([
      { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
      { type: CK.CKA_LABEL, value: label },
      { type: CK.CKA_ID, value: Buffer.from(id) },
    ]);
    if (handle === undefined) throw new KeyGone(Buffer.from(id).toString('hex'));
    this.#library.C_SignInit(this.#session, { mechanism: CK.CKM_SHA256_HMAC }, handle);
    const out = Buffer.alloc(SECRET_BYTES);
    return Uint8Array.from(this.#library.C_Sign(this.#session, Buffer.from(message), out));
  }

  destroy(handle: Uint8Array): void {
    this.#library.C_DestroyObject(this.#session, Buffer.from(handle));
  }

  close(): void {
    this.#library.C_CloseSession(this.#session);
  }
}

/** What every private half and every secret of ours is. */
const NEVER_LEAVES: Template = [
  { type: CK.CKA_PRIVATE, value: true },
  { type: CK.CKA_SENSITIVE, value: true },
  { type: CK.CKA_EXTRACTABLE, value: false },
  { type: CK.CKA_SIGN, value: true },
];

function nameOf(label: string, id: Uint8Array): Template {
  return [
    { type: CK.CKA_TOKEN, value: true },
    { type: CK.CKA_LABEL, value: label },
    { type: CK.CKA_ID, value: Buffer.from(id) },
  ];
}

function spkiOf(key: Record<string, string>): Uint8Array {
  return createPublicKey({ key, format: 'jwk' }).export({ format: 'der', type: 'spki' });
}

function generationOf(type: KeyType): {
  readonly mechanism: number;
  readonly parameters: Template;
} {
  const curve = CURVES.find(([each]) => each === type);
  if (curve !== undefined) {
    const value = Buffer.from(curve[2], 'hex');
    return { mechanism: CK.CKM_EC_KEY_PAIR_GEN, parameters: [{ type: CK.CKA_EC_PARAMS, value }] };
  }
  const parameters = [
    { type: CK.CKA_MODULUS_BITS, value: type === 'rsa-2048' ? 2048 : 4096 },
    { type: CK.CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1]) },
  ];
  return { mechanism: CK.CKM_RSA_PKCS_KEY_PAIR_GEN, parameters };
}

function rsaMechanism(options: SignOptions) {
  if (options.pss !== true) return { mechanism: CK.CKM_RSA_PKCS };
  const [hashAlg, mgf, saltLen] = PSS[options.hash];
  const parameter = { type: CK.PSS_PARAMS, hashAlg, mgf, saltLen };
  return { mechanism: CK.CKM_RSA_PKCS_PSS, parameter };
}
