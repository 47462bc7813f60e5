import { equalBytes } from '../base/bytes.ts';
import type { SignetError } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { attempt } from '../der/refuse.ts';
import { checkNameConstraints } from './name-constraints.ts';
import {
  type CheckContext,
  checkAnywhere,
  checkExtendedKeyUsage,
  checkIssuer,
  checkSignature,
  isSelfIssued,
} from './path-checks.ts';
import { checkRevocation, type RevocationCheck } from './revocation.ts';
import type { SignatureMemo } from './signature-memo.ts';
import type { Certificate } from './types.ts';

/** What to validate, and against what. */
export interface PathRequest extends CheckContext {
  /** The leaf first, then intermediates in any order. */
  readonly chain: readonly Certificate[];
  /** Trust anchors; they too must be valid in time and fit to issue. */
  readonly roots: readonly Certificate[];
  /** Most intermediates in a path, self-issued ones not counted; 8 unless told. */
  readonly maxIntermediates?: number;
  /** Extended key usage (OID) that leaf and intermediates must allow; any unless told. */
  readonly extendedKeyUsage?: string;
  /** Revocation is not looked at unless told. */
  readonly revocation?: RevocationCheck;
  /** Signatures that need no second check; those of a path that holds are added. None unless told. */
  readonly signatures?: SignatureMemo;
}

/** A path that holds. */
export interface ValidatedPath {
  /** From the leaf to the root, both included. */
  readonly path: readonly Certificate[];
  readonly leaf: Certificate;
  readonly root: Certificate;
}

const DEFAULT_MAX_INTERMEDIATES = 8;

/** Most certificates that may be presented. */
const MAX_PRESENTED = 64;

/** Most issuers that one search tries; each may cost a signature check. */
const MAX_STEPS = 100;

/** One search: what is left of its budget, and the first refusal that a candidate met. */
interface Search {
  readonly request: PathRequest;
  readonly maxIntermediates: number;
  stepsLeft: number;
  refusal: SignetError | undefined;
}

/**
 * Issuers that a certificate may have. Names are compared byte for byte: an authority writes its name
 * into what it issues as it stands in its own certificate (RFC 5280 §4.1.2.6 demands the same
 * encoding), and a looser comparison could only accept more. Key identifiers are hints that put the
 * likely issuer first, roots before intermediates.
 */
function issuersOf(certificate: Certificate, among: readonly Certificate[]): Certificate[] {
  const { issuerDer, authorityKeyId } = certificate;
  const named = among.filter(({ subjectDer }) => equalBytes(subjectDer, issuerDer));
  if (authorityKeyId === undefined || named.length < 2) return named;
  const isLikely = ({ subjectKeyId }: Certificate): boolean =>
    subjectKeyId !== undefined && equalBytes(subjectKeyId, authorityKeyId);
  return [...named.filter(isLikely), ...named.filter((issuer) => !isLikely(issuer))];
}

/** Whether a path already has a certificate with this name and key: one more leads in a circle. */
function isRepeated(path: readonly Certificate[], candidate: Certificate): boolean {
  return path.some(
    ({ subjectDer, publicKey }) =>
      equalBytes(subjectDer, candidate.subjectDer) &&
      equalBytes(publicKey.spki, candidate.publicKey.spki),
  );
}

/** Intermediates in a path that starts with the leaf, self-issued ones not counted. */
function countIntermediates(path: readonly Certificate[]): number {
  return path.slice(1).filter((certificate) => !isSelfIssued(certificate)).length;
}

/** Checks one more issuer on top of a path: cheap rules first, the signature last. */
function checkStep(
  search: Search,
  path: readonly Certificate[],
  issuer: Certificate,
  isRoot: boolean,
): Result<void> {
  return attempt('path', () => {
    checkAnywhere(issuer, search.request, isRoot);
    checkIssuer(issuer, countIntermediates(path));
    const signed = path.at(-1);
    if (signed !== undefined) checkSignature(signed, issuer, search.request.signatures);
  });
}

/** Checks the rules that need the whole path. */
function checkWhole(search: Search, path: readonly Certificate[]): Result<void> {
  const { extendedKeyUsage: usage, revocation, atMs } = search.request;
  return attempt('path', () => {
    if (usage !== undefined) checkExtendedKeyUsage(path, usage);
    checkNameConstraints(path);
    if (revocation !== undefined) checkRevocation(path, revocation, atMs);
  });
}

/** Takes a step; keeps the first refusal, which is what an operator of a plain chain needs to see. */
function take(search: Search, result: Result<void>): boolean {
  if (!result.ok) search.refusal ??= result.error;
  return result.ok;
}

/** Tries to end a path at a root. */
function endAtRoot(search: Search, path: readonly Certificate[]): Certificate[] | undefined {
  const signed = path.at(-1);
  if (signed === undefined) return undefined;
  for (const root of issuersOf(signed, search.request.roots)) {
    if (search.stepsLeft-- <= 0) return undefined;
    if (!take(search, checkStep(search, path, root, true))) continue;
    const whole = [...path, root];
    if (take(search, checkWhole(search, whole))) return whole;
  }
  return undefined;
}

/** Depth-first search for a root above a path. */
function extend(search: Search, path: readonly Certificate[]): Certificate[] | undefined {
  const ended = endAtRoot(search, path);
  const signed = path.at(-1);
  if (ended !== undefined || signed === undefined) return ended;
  const intermediates = search.request.chain.slice(1);
  for (const issuer of issuersOf(signed, intermediates)) {
    if (isRepeated(path, issuer)) continue;
    if (search.stepsLeft-- <= 0) return undefined;
    const longer = [...path, issuer];
    if (countIntermediates(longer) > search.maxIntermediates) {
      const limit = `path: more than ${search.maxIntermediates} intermediates`;
      take(search, fail('PATH_LENGTH', limit));
      continue;
    }
    if (!take(search, checkStep(search, path, issuer, false))) continue;
    const found = extend(search, longer);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Keeps the signatures of a path that holds; others would let anybody fill the memo. */
function remember(path: readonly Certificate[], signatures: SignatureMemo): void {
  path.reduce((signed, issuer) => {
    signatures.add(signed, issuer);
    return issuer;
  });
}

function notFound(search: Search): Result<never> {
  if (search.stepsLeft < 0) {
    return fail('PATH_TOO_COSTLY', `path: not found after ${MAX_STEPS} issuers were tried`);
  }
  if (search.refusal !== undefined) return { ok: false, error: search.refusal };
  return fail('PATH_NOT_FOUND', 'path: no issuer leads from the certificate to a trusted root');
}

/**
 * Finds a path from the leaf to a root and validates it (RFC 5280 §6): signatures, names, dates, CA bit,
 * key usage, path length, name constraints, critical extensions, key strength. Certificate policies are
 * not processed: where one is critical, the path is refused. Revocation is judged by the CRLs given, and
 * none is ever fetched. Work is bounded:
 * at most 64 certificates presented, 100 issuers tried, 16,384 names compared. Errors: PATH_*.
 */
export function validatePath(request: PathRequest): Result<ValidatedPath> {
  const [leaf] = request.chain;
  if (leaf === undefined) return fail('PATH_EMPTY', 'path: no certificate was presented');
  if (request.chain.length > MAX_PRESENTED) {
    const count = request.chain.length;
    return fail('PATH_TOO_COSTLY', `path: ${count} certificates, limit ${MAX_PRESENTED}`);
  }
  const fit = attempt('path', () => checkAnywhere(leaf, request, false));
  if (!fit.ok) return fit;
  const maxIntermediates = request.maxIntermediates ?? DEFAULT_MAX_INTERMEDIATES;
  const search: Search = { request, maxIntermediates, stepsLeft: MAX_STEPS, refusal: undefined };
  const path = extend(search, [leaf]);
  const root = path?.at(-1);
  if (path === undefined || root === undefined) return notFound(search);
  if (request.signatures !== undefined) remember(path, request.signatures);
  return ok({ path, leaf, root });
}
