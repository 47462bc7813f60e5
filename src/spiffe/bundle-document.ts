import { equalBytes } from '../base/bytes.ts';
import type { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { parseCertificate } from '../x509/certificate.ts';
import type { Certificate } from '../x509/types.ts';
import { decodeBase64 } from './base64.ts';
import { type Bundle, type BundleJwtAuthority, emptyBundle } from './bundle.ts';
import { MAX_BUNDLE_CERTIFICATES, MAX_BUNDLE_JWT_KEYS } from './bundle-format.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from './json.ts';
import { type ParsedJwk, parseJwk } from './jwk.ts';
import { parseTrustDomain, type TrustDomain } from './trust-domain.ts';

/** Longest bundle document in bytes. */
export const MAX_BUNDLE_BYTES = 1_048_576;
/** Most elements of a document, also of those that are not read: each takes time to judge. */
const MAX_ELEMENTS = 1024;
const MAX_SEQUENCE = 2n ** 64n - 1n;

/** A key of a document that was left out, and why: for a log line. */
export interface IgnoredKey {
  /** Its place in `keys`. */
  readonly index: number;
  readonly reason: SignetError;
}

/** What a document says, and what it says in vain. */
export interface ParsedBundle {
  readonly bundle: Bundle;
  readonly ignored: readonly IgnoredKey[];
}

/** A key that was understood. */
type ReadKey =
  | { readonly kind: 'x509'; readonly certificate: Certificate }
  | { readonly kind: 'jwt'; readonly authority: BundleJwtAuthority };

type KeyReader = (element: JsonObject) => Result<ReadKey>;

/**
 * Reads a SPIFFE bundle document (Trust Domain and Bundle §4). An element of a type or use that is
 * not known, or that is malformed, is left out alone (RFC 7517 §5); two different keys with one id
 * refuse the whole, since no reader could tell them apart. An empty set is a bundle that trusts
 * nothing.
 */
export function parseSpiffeBundle(
  trustDomain: TrustDomain,
  document: Uint8Array,
): Result<ParsedBundle> {
  const set = parseJsonObject(document, { maxBytes: MAX_BUNDLE_BYTES });
  return set.ok ? readSpiffeBundle(trustDomain, set.value) : set;
}

/** Reads the JWK Set of the Workload API: JWT keys, `use` absent (or `jwt-svid`, or `sig`). */
export function parseJwtBundle(
  trustDomain: TrustDomain,
  document: Uint8Array,
): Result<ParsedBundle> {
  const set = parseJsonObject(document, { maxBytes: MAX_BUNDLE_BYTES });
  return set.ok ? readKeys(emptyBundle(trustDomain), set.value, readWorkloadApiKey) : set;
}

/**
 * Reads a bundle map (Trust Domain and Bundle §5): all or nothing, a trust domain once, refresh
 * hints of single bundles not believed.
 */
export function parseBundleMap(document: Uint8Array): Result<readonly ParsedBundle[]> {
  const map = parseJsonObject(document, { maxBytes: MAX_BUNDLE_BYTES });
  if (!map.ok) return map;
  const members = map.value.get('trust_domains');
  if (!isJsonObject(members)) {
    return fail('BUNDLE_MALFORMED', 'bundle map has no "trust_domains" object');
  }
  const bundles: ParsedBundle[] = [];
  for (const [name, set] of members) {
    const trustDomain = parseTrustDomain(name);
    if (!trustDomain.ok) return trustDomain;
    if (trustDomain.value.name !== name || !isJsonObject(set)) {
      return fail('BUNDLE_MALFORMED', 'bundle map has a member that is no name with a bundle');
    }
    const read = readSpiffeBundle(trustDomain.value, set);
    if (!read.ok) return read;
    bundles.push({ ...read.value, bundle: { ...read.value.bundle, refreshHintSeconds: 0 } });
  }
  return ok(bundles);
}

function readSpiffeBundle(trustDomain: TrustDomain, set: JsonObject): Result<ParsedBundle> {
  const sequence = readSequence(set.get('spiffe_sequence'));
  const hint = readRefreshHint(set.get('spiffe_refresh_hint'));
  if (sequence === undefined || hint === undefined) {
    const what = sequence === undefined ? 'spiffe_sequence' : 'spiffe_refresh_hint';
    return fail('BUNDLE_MALFORMED', `bundle of "${trustDomain.name}" has a malformed "${what}"`);
  }
  const start = { ...emptyBundle(trustDomain), sequence, refreshHintSeconds: hint };
  return readKeys(start, set, readSpiffeKey);
}

/** Unsigned 64 bits, exactly (§4.1.1); absent counts as 0. */
function readSequence(value: JsonValue | undefined): bigint | undefined {
  if (value === undefined) return 0n;
  if (typeof value === 'number' && !Number.isSafeInteger(value)) return undefined;
  if (typeof value !== 'number' && typeof value !== 'bigint') return undefined;
  const sequence = BigInt(value);
  return sequence >= 0n && sequence <= MAX_SEQUENCE ? sequence : undefined;
}

/** Whole seconds (§4.1.2); absent counts as 0. */
function readRefreshHint(value: JsonValue | undefined): number | undefined {
  if (value === undefined) return 0;
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function readKeys(start: Bundle, set: JsonObject, read: KeyReader): Result<ParsedBundle> {
  const elements = set.get('keys');
  const name = start.trustDomain.name;
  if (!Array.isArray(elements)) {
    return fail('BUNDLE_MALFORMED', `bundle of "${name}" has no "keys" array`);
  }
  if (elements.length > MAX_ELEMENTS) {
    return fail('BUNDLE_MALFORMED', `bundle of "${name}" has over ${MAX_ELEMENTS} elements`);
  }
  const certificates: Certificate[] = [];
  const jwtAuthorities = new Map<string, BundleJwtAuthority>();
  const ignored: IgnoredKey[] = [];
  for (const [index, element] of elements.entries()) {
    const key = isJsonObject(element)
      ? read(element)
      : fail('JWK_MEMBER', 'element of "keys" is not an object');
    if (!key.ok) {
      ignored.push({ index, reason: key.error });
    } else if (key.value.kind === 'x509') {
      addCertificate(certificates, key.value.certificate);
    } else if (!addJwtAuthority(jwtAuthorities, key.value.authority)) {
      return fail('BUNDLE_DUPLICATE_KEY_ID', `bundle of "${name}" has two keys with one id`);
    }
  }
  const tooMany =
    certificates.length > MAX_BUNDLE_CERTIFICATES || jwtAuthorities.size > MAX_BUNDLE_JWT_KEYS;
  if (tooMany) return fail('BUNDLE_MALFORMED', `bundle of "${name}" has too many authorities`);
  const x509Authorities = certificates.map((certificate) => ({ certificate, tainted: false }));
  const bundle = { ...start, x509Authorities, jwtAuthorities: [...jwtAuthorities.values()] };
  return ok({ bundle, ignored });
}

function addCertificate(certificates: Certificate[], certificate: Certificate): void {
  if (certificates.some(({ der }) => equalBytes(der, certificate.der))) return;
  certificates.push(certificate);
}

function addJwtAuthority(
  authorities: Map<string, BundleJwtAuthority>,
  authority: BundleJwtAuthority,
): boolean {
  const known = authorities.get(authority.keyId);
  if (known !== undefined) return equalBytes(known.publicKeySpki, authority.publicKeySpki);
  authorities.set(authority.keyId, authority);
  return true;
}

/** §4.2.2: `use` decides, case counts, and a key is never used across types of SVID. */
function readSpiffeKey(element: JsonObject): Result<ReadKey> {
  switch (element.get('use')) {
    case 'x509-svid':
      return readX509Key(element);
    case 'jwt-svid':
      return readJwtKey(element);
    default:
      return fail('JWK_USE', 'JWK has no "use" of x509-svid or jwt-svid');
  }
}

function readWorkloadApiKey(element: JsonObject): Result<ReadKey> {
  const use = element.get('use');
  if (use === undefined || use === 'jwt-svid' || use === 'sig') return readJwtKey(element);
  return fail('JWK_USE', 'JWK has another "use" than for JWT-SVIDs');
}

/** X509-SVID §6.2: without `x5c` the element is left out, of several certificates the first counts. */
function readX509Key(element: JsonObject): Result<ReadKey> {
  const chain = element.get('x5c');
  const first: JsonValue | undefined = Array.isArray(chain) ? chain[0] : undefined;
  const der = typeof first === 'string' && first !== '' ? decodeBase64(first) : undefined;
  if (der === undefined) return fail('JWK_MEMBER', 'JWK has no certificate in "x5c"');
  const jwk = parseJwk(element);
  if (!jwk.ok) return jwk;
  const certificate = parseCertificate(der);
  if (!certificate.ok) return certificate;
  // RFC 7517 §4.7: the key of the first certificate is the key of the JWK.
  if (equalBytes(certificate.value.publicKey.spki, jwk.value.publicKey.spki)) {
    return ok({ kind: 'x509', certificate: certificate.value });
  }
  return fail('JWK_MEMBER', 'JWK is another key than that of its certificate');
}

/** JWT-SVID §6.1: an element without `kid` cannot be chosen by any token. */
function readJwtKey(element: JsonObject): Result<ReadKey> {
  const jwk = parseJwk(element);
  if (!jwk.ok) return jwk;
  const authority = jwtAuthorityOf(jwk.value);
  if (authority === undefined) return fail('JWK_MEMBER', 'JWK of a JWT authority has no "kid"');
  return ok({ kind: 'jwt', authority });
}

function jwtAuthorityOf({
  keyId,
  publicKey,
  algorithm,
}: ParsedJwk): BundleJwtAuthority | undefined {
  if (keyId === undefined || keyId === '') return undefined;
  return {
    keyId,
    publicKeySpki: publicKey.spki,
    expiresAtSeconds: 0,
    tainted: false,
    publicKey,
    ...(algorithm === undefined ? {} : { algorithm }),
  };
}
