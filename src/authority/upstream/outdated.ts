import { equalBytes } from '../../base/bytes.ts';
import { fail, type Result } from '../../base/result.ts';
import type { AuthorityManagerOptions } from '../authority-options.ts';
import type { AuthorityRecord } from '../authority-record.ts';
import type { JournalEntry } from '../journal.ts';

/**
 * Tells which authorities are to be replaced before their time. X.509: those that sign themselves where
 * there is an upstream now, or the reverse, and those whose root the upstream has tainted. JWT: those
 * whose key is where keys were before the configuration changed.
 */
export function isOutdated(
  { bundle }: Pick<AuthorityRecord, 'bundle'>,
  options: Pick<AuthorityManagerOptions, 'upstream' | 'jwtKeys'>,
): (entry: JournalEntry) => boolean {
  return ({ kind, slot, upstream }) => {
    if (kind === 'jwt') return options.jwtKeys?.isFormer?.(slot) === true;
    if ((upstream !== undefined) !== (options.upstream !== undefined)) return true;
    if (upstream === undefined) return false;
    const root = Buffer.from(upstream.roots[0], 'base64');
    const held = bundle?.x509Authorities.find(({ certificate }) =>
      equalBytes(certificate.der, root),
    );
    return held?.tainted === true;
  };
}

/** Refuses an act on an authority whose root is not ours to take back: UPSTREAM_OWNS_ROOT. */
export function refuseForeign(entry: Result<JournalEntry>): Result<JournalEntry> {
  if (!entry.ok || entry.value.upstream === undefined) return entry;
  const { authorityId } = entry.value;
  return fail('UPSTREAM_OWNS_ROOT', `the upstream signed authority ${authorityId}`);
}
