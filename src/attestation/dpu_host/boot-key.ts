import { fail, ok, type Result } from '../../base/result.ts';

/** The key that a host asked with in a boot, as one side remembers or is shown it. */
export interface BootKey {
  /** SHA-256 of its SubjectPublicKeyInfo, hex. */
  readonly anchor: string;
  /** Boot id that the host states: anybody on the host can invent one. */
  readonly boot: string;
  /** What the DPU itself saw of that boot; empty where it sees nothing. */
  readonly witness: string;
}

/**
 * One key for each boot of a host (design §5). Whoever holds the first key may ask again, whatever boot
 * it states. Another key is taken only where the DPU saw by itself that the host was booted since and the
 * host states another boot; a new boot id alone proves nothing, since a pod on the host network can
 * invent one. Fails with VOUCHER_SECOND_KEY or VOUCHER_BOOT_UNCONFIRMED: both are alarms.
 */
export function judgeBootKey(known: BootKey | undefined, shown: BootKey): Result<void> {
  if (known === undefined || known.anchor === shown.anchor) return ok(undefined);
  if (known.boot === shown.boot) {
    return fail('VOUCHER_SECOND_KEY', `a second key in the boot ${known.boot}`);
  }
  // From nothing to something is a setting that was changed, not a boot that was seen.
  const seen = known.witness !== '' && shown.witness !== '' && known.witness !== shown.witness;
  if (seen) return ok(undefined);
  return fail(
    'VOUCHER_BOOT_UNCONFIRMED',
    `another key, for the boot ${shown.boot} that nobody saw`,
  );
}

/** Whether what is remembered has to be written anew. */
export function bootKeyChanged(known: BootKey | undefined, shown: BootKey): boolean {
  const { anchor, boot, witness } = shown;
  return known?.anchor !== anchor || known.boot !== boot || known.witness !== witness;
}
