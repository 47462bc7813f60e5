import { fail, type Result } from '../base/result.ts';
import type { PublicKey } from './types.ts';

/** Checks a workload's or agent's key: P-256, P-384 or RSA 2048, 3072, 4096 without known weakness. */
export function checkKeyPolicy(_publicKey: PublicKey): Result<PublicKey> {
  return fail('INTERNAL', 'not built yet');
}
