import { fail, ok, type Result } from '../../base/result.ts';
import type { TpmClockMark } from '../../rules/assurance.ts';
import type { TpmClock } from '../../tpm/attest.ts';

/**
 * Compares the clock of a quote with that of the agent's last attestation (TPM 2.0 Part 1, §36): a TPM
 * that goes on counts forward. One whose state was restored from a copy, or that is another with the same
 * endorsement key, falls behind; so does one that was cleared, which only an operator can tell apart.
 * After a boot the clock may be lower where the TPM says that it is not safe: the boots are counted all
 * the same. Fails with TPM_CLOCK.
 *
 * @param unsafe Whether a clock is taken that the TPM does not call safe.
 */
export function advanceClock(
  { clock, resetCount, restartCount, safe }: TpmClock,
  last: TpmClockMark | undefined,
  unsafe: 'accepted' | 'refused',
): Result<TpmClockMark> {
  if (clock > BigInt(Number.MAX_SAFE_INTEGER))
    return fail('TPM_CLOCK', 'the clock is out of range');
  const mark = { resetCount, restartCount, clockMs: Number(clock) };
  if (!safe && unsafe === 'refused') return fail('TPM_CLOCK', 'the clock is not safe');
  if (last === undefined) return ok(mark);
  if (resetCount < last.resetCount) return wentBack('boots', resetCount, last.resetCount);
  const sameBoot = resetCount === last.resetCount;
  if (sameBoot && restartCount < last.restartCount) {
    return wentBack('restarts', restartCount, last.restartCount);
  }
  const sameRun = sameBoot && restartCount === last.restartCount;
  if ((safe || sameRun) && mark.clockMs < last.clockMs) {
    return wentBack('milliseconds', mark.clockMs, last.clockMs);
  }
  return ok(mark);
}

function wentBack(what: string, now: number, before: number): Result<never> {
  return fail('TPM_CLOCK', `${what} went back from ${before} to ${now}`);
}
