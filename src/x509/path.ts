import { fail, type Result } from '../base/result.ts';
import type { Certificate } from './types.ts';

/** What to validate, and against what. */
export interface PathRequest {
  /** The leaf first, then intermediates in any order. */
  readonly chain: readonly Certificate[];
  /** Trust anchors. */
  readonly roots: readonly Certificate[];
  /** Unix milliseconds that validity is judged at. */
  readonly atMs: number;
  /** Most intermediates in a path, self-issued ones not counted; 8 unless told. */
  readonly maxIntermediates?: number;
  /** Extended key usage (OID) that the path must allow; any unless told. */
  readonly extendedKeyUsage?: string;
}

/** A path that holds. */
export interface ValidatedPath {
  /** From the leaf to the root, both included. */
  readonly path: readonly Certificate[];
  readonly leaf: Certificate;
  readonly root: Certificate;
}

/** Finds a path from the leaf to a root and validates it (RFC 5280 §6). */
export function validatePath(_request: PathRequest): Result<ValidatedPath> {
  return fail('INTERNAL', 'not built yet');
}
