import type { Clock } from '../base/clock.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type {
  AttestationOutcome,
  AttestationRequest,
  Challenge,
  NodeAttestor,
} from './attestor.ts';

/** Sends a challenge and waits at most so many milliseconds for its response. */
export type Exchange = (bytes: Uint8Array, waitMs: number) => Promise<Result<Uint8Array>>;

/**
 * Runs an attestor within its limits, so that no method has to count for itself: the payload's and each
 * response's size, the number of rounds, the time of one and of all. Fails with
 * ATTESTATION_TOO_LARGE, ATTESTATION_ROUNDS, ATTESTATION_DEADLINE, what the exchange fails with, or what
 * the attestor says.
 */
export async function attestWithin(
  attestor: NodeAttestor,
  request: AttestationRequest,
  { exchange, clock }: { readonly exchange: Exchange; readonly clock: Pick<Clock, 'nowMs'> },
): Promise<Result<AttestationOutcome>> {
  const { limits } = attestor;
  const payload = within('payload', request.payload, limits.payloadBytes);
  if (!payload.ok) return payload;
  const endMs = clock.nowMs() + limits.totalMs;
  let challenges = 0;
  const challenge: Challenge = async (bytes) => {
    if (++challenges > limits.challenges) {
      return fail('ATTESTATION_ROUNDS', `more than ${limits.challenges} challenges`);
    }
    const leftMs = endMs - clock.nowMs();
    if (leftMs <= 0) return late(limits.totalMs);
    const response = await exchange(bytes, Math.min(limits.responseMs, leftMs));
    if (!response.ok) return response;
    if (clock.nowMs() > endMs) return late(limits.totalMs);
    return within('response', response.value, limits.responseBytes);
  };
  return attestor.attest(request, challenge);
}

function within(what: string, bytes: Uint8Array, most: number): Result<Uint8Array> {
  if (bytes.length <= most) return ok(bytes);
  return fail('ATTESTATION_TOO_LARGE', `${what} of ${bytes.length} bytes is over ${most}`);
}

function late(totalMs: number): Result<never> {
  return fail('ATTESTATION_DEADLINE', `the attestation took longer than ${totalMs / 1000} s`);
}
