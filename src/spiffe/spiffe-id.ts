import { type Failed, fail, ok, type Result } from '../base/result.ts';
import { parseTrustDomain, type TrustDomain } from './trust-domain.ts';

declare const brand: unique symbol;

/** A SPIFFE ID, checked: exists only through this module's functions. */
export interface SpiffeId {
  /** Canonical text: the key of maps and the bytes of SANs and claims. */
  readonly uri: string;
  readonly trustDomain: TrustDomain;
  /** Empty, or segments each with a leading slash. */
  readonly path: string;
  readonly [brand]: true;
}

/** Longest SPIFFE ID in bytes (SPIFFE-ID §2.3). */
export const MAX_SPIFFE_ID_BYTES = 2048;

const SCHEME = /^spiffe:\/\//i;
const PATH = /^(\/[a-zA-Z0-9._-]+)*$/;

/**
 * Reads a SPIFFE ID (SPIFFE-ID §2). Never with `URL`, which resolves dot segments and drops parts.
 * Scheme and trust domain are folded to lower case (§2.4); the path is taken byte for byte.
 */
export function parseSpiffeId(text: string): Result<SpiffeId> {
  if (text === '') return fail('SPIFFE_ID_EMPTY', 'SPIFFE ID is empty');
  if (text.length > MAX_SPIFFE_ID_BYTES) {
    return fail('SPIFFE_ID_TOO_LONG', `SPIFFE ID is longer than ${MAX_SPIFFE_ID_BYTES} bytes`);
  }
  if (!SCHEME.test(text)) {
    return fail('SPIFFE_ID_SCHEME', 'SPIFFE ID must start with "spiffe://"');
  }
  const slash = text.indexOf('/', 9);
  const authority = slash === -1 ? text.slice(9) : text.slice(9, slash);
  const trustDomain = parseTrustDomain(foldAscii(authority));
  if (!trustDomain.ok) return trustDomain;
  return spiffeIdFromPath(trustDomain.value, slash === -1 ? '' : text.slice(slash));
}

/** Folds A–Z alone: `toLowerCase` would also turn a Kelvin sign into an allowed "k". */
function foldAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** The SPIFFE ID with this path in a trust domain; the path is empty or starts with a slash. */
export function spiffeIdFromPath(trustDomain: TrustDomain, path: string): Result<SpiffeId> {
  const uri = trustDomain.id + path;
  if (uri.length > MAX_SPIFFE_ID_BYTES) {
    return fail('SPIFFE_ID_TOO_LONG', `SPIFFE ID is longer than ${MAX_SPIFFE_ID_BYTES} bytes`);
  }
  const problem = pathProblem(path);
  if (problem !== undefined) return problem;
  // The brand exists for the compiler only.
  return ok(Object.freeze({ uri, trustDomain, path }) as SpiffeId);
}

function pathProblem(path: string): Failed | undefined {
  if (path === '') return undefined;
  if (!path.startsWith('/')) return fail('SPIFFE_ID_PATH_NO_SLASH', 'path must start with a slash');
  if (path.endsWith('/')) {
    return fail('SPIFFE_ID_TRAILING_SLASH', 'SPIFFE ID must not end with a slash');
  }
  if (path.includes('//')) return fail('SPIFFE_ID_EMPTY_SEGMENT', 'path has an empty segment');
  if (/\/\.{1,2}(\/|$)/.test(path)) {
    return fail('SPIFFE_ID_DOT_SEGMENT', 'path has a "." or ".." segment');
  }
  if (!PATH.test(path)) {
    return fail(
      'SPIFFE_ID_PATH_CHARACTER',
      'path may hold only letters, digits, dots, dashes and underscores between slashes',
    );
  }
  return undefined;
}

/** Whether two IDs name the same thing. */
export function sameSpiffeId(a: SpiffeId, b: SpiffeId): boolean {
  return a.uri === b.uri;
}

/** Whether the ID is in the trust domain. */
export function isMemberOf(id: SpiffeId, trustDomain: TrustDomain): boolean {
  return id.trustDomain.name === trustDomain.name;
}
