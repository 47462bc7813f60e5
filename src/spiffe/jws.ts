import { fail, ok, type Result } from '../base/result.ts';
import { type SignatureScheme, verifyWithScheme } from '../x509/signature.ts';
import type { PublicKey, PublicKeyType } from '../x509/types.ts';
import { decodeBase64Url } from './base64.ts';
import { type JsonObject, parseJsonObject } from './json.ts';

/** The signature algorithms of JWT-SVID §2.1; every other is refused. */
export type JwsAlgorithm =
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'PS256'
  | 'PS384'
  | 'PS512';

interface AlgorithmRow {
  readonly keyType: PublicKeyType;
  readonly scheme: SignatureScheme;
}

const ALGORITHMS: ReadonlyMap<string, AlgorithmRow> = new Map<JwsAlgorithm, AlgorithmRow>([
  ['RS256', { keyType: 'rsa', scheme: { kind: 'rsa', hash: 'sha256' } }],
  ['RS384', { keyType: 'rsa', scheme: { kind: 'rsa', hash: 'sha384' } }],
  ['RS512', { keyType: 'rsa', scheme: { kind: 'rsa', hash: 'sha512' } }],
  ['ES256', { keyType: 'ec-p256', scheme: ecdsa('sha256') }],
  ['ES384', { keyType: 'ec-p384', scheme: ecdsa('sha384') }],
  ['ES512', { keyType: 'ec-p521', scheme: ecdsa('sha512') }],
  ['PS256', { keyType: 'rsa', scheme: { kind: 'rsa-pss', hash: 'sha256' } }],
  ['PS384', { keyType: 'rsa', scheme: { kind: 'rsa-pss', hash: 'sha384' } }],
  ['PS512', { keyType: 'rsa', scheme: { kind: 'rsa-pss', hash: 'sha512' } }],
]);

function ecdsa(hash: SignatureScheme['hash']): SignatureScheme {
  return { kind: 'ecdsa', hash, encoding: 'p1363' };
}

/** The header of a token, accepted. */
interface JwsHeader {
  readonly algorithm: JwsAlgorithm;
  readonly keyId: string | undefined;
  readonly header: JsonObject;
}

/** A token in JWS compact form, taken apart; its signature is not checked. */
export interface CompactJws extends JwsHeader {
  readonly payload: Uint8Array;
  /** The ASCII text that is signed. */
  readonly signingInput: string;
  readonly signature: Uint8Array;
}

/** Headers that bring a key along (RFC 7515 §4.1.2–4.1.6): the classic way to forge a token. */
const KEY_HEADERS = ['jku', 'jwk', 'x5u', 'x5c'];

/** Whether the name is one of the nine algorithms. Case counts. */
export function isJwsAlgorithm(name: string): name is JwsAlgorithm {
  return ALGORITHMS.has(name);
}

/** Whether the key's type and curve are those of the algorithm (RFC 7518 §3). */
export function algorithmFitsKey(algorithm: JwsAlgorithm, type: PublicKeyType): boolean {
  return ALGORITHMS.get(algorithm)?.keyType === type;
}

/** The algorithm that a key signs with unless told otherwise; none for keys that cannot sign JWTs. */
export function defaultJwsAlgorithm(type: PublicKeyType): JwsAlgorithm | undefined {
  for (const [name, row] of ALGORITHMS) {
    if (row.keyType === type && isJwsAlgorithm(name)) return name;
  }
  return undefined;
}

/**
 * Takes a token in JWS compact form apart (RFC 7515 §7.1). Everything is refused here that needs no
 * key: part counts, base64url that is not exact, other algorithms (`none` and HMAC among them),
 * critical headers, and headers that carry or point to a key.
 */
export function parseCompactJws(token: string, maxBytes: number): Result<CompactJws> {
  if (token.length > maxBytes) {
    return fail('JWT_SVID_TOO_LARGE', `token is longer than ${maxBytes} bytes`);
  }
  const parts = token.split('.', 4);
  const [headerText, payloadText, signatureText] = parts;
  if (parts.length !== 3 || !headerText || payloadText === undefined || !signatureText) {
    return fail('JWT_SVID_MALFORMED', 'token is not three parts with a header and a signature');
  }
  const header = readHeader(headerText, maxBytes);
  if (!header.ok) return header;
  const payload = decodeBase64Url(payloadText);
  const signature = decodeBase64Url(signatureText);
  if (payload === undefined || signature === undefined) return fail(...NOT_BASE64URL);
  const { algorithm, keyId } = header.value;
  const signingInput = token.slice(0, token.lastIndexOf('.'));
  return ok({ algorithm, keyId, header: header.value.header, payload, signingInput, signature });
}

const NOT_BASE64URL = [
  'JWT_SVID_MALFORMED',
  'token is not exact base64url without padding',
] as const;

/** Headers kept by their text: all the tokens of a key share one. */
const KEPT_HEADERS = 32;
/** Longest text of a header that is kept. */
const KEPT_HEADER_LENGTH = 512;
const keptHeaders = new Map<string, Result<JwsHeader>>();

/** The header that a text says. Depends on the text alone, so what was read once need not be again. */
function readHeader(text: string, maxBytes: number): Result<JwsHeader> {
  const kept = keptHeaders.get(text);
  if (kept !== undefined) return kept;
  const bytes = decodeBase64Url(text);
  if (bytes === undefined) return fail(...NOT_BASE64URL);
  const json = parseJsonObject(bytes, { maxBytes });
  if (!json.ok) return json;
  const header = checkHeader(json.value);
  if (header.ok && text.length <= KEPT_HEADER_LENGTH) {
    if (keptHeaders.size === KEPT_HEADERS) keptHeaders.clear();
    keptHeaders.set(text, header);
  }
  return header;
}

function checkHeader(header: JsonObject): Result<JwsHeader> {
  const algorithm = header.get('alg');
  if (typeof algorithm !== 'string' || !isJwsAlgorithm(algorithm)) {
    return fail('JWT_SVID_ALGORITHM', 'token header has no allowed signature algorithm');
  }
  // RFC 7515 §4.1.11: a critical header that is not understood; none is understood here.
  if (header.has('crit')) {
    return fail('JWT_SVID_HEADER', 'token header has critical extensions, none is understood');
  }
  const carrier = KEY_HEADERS.find((name) => header.has(name));
  if (carrier !== undefined) {
    return fail('JWT_SVID_HEADER', `token header brings its own key in "${carrier}"`);
  }
  const keyId = header.get('kid');
  if (keyId !== undefined && typeof keyId !== 'string') {
    return fail('JWT_SVID_HEADER', 'token header has a key id that is not a string');
  }
  return ok({ algorithm, keyId, header });
}

/** Checks the signature with a key; the algorithm must be one that fits it. */
export function verifyCompactJws(jws: CompactJws, key: PublicKey): Result<void> {
  const row = ALGORITHMS.get(jws.algorithm);
  if (row === undefined || row.keyType !== key.type) {
    return fail('JWT_SVID_KEY', `a key of type ${key.type} does not fit ${jws.algorithm}`);
  }
  const input = Buffer.from(jws.signingInput, 'latin1');
  const verified = verifyWithScheme(key, row.scheme, input, jws.signature);
  if (verified.ok) return ok(undefined);
  return fail('JWT_SVID_SIGNATURE', 'token signature does not verify', { cause: verified.error });
}
