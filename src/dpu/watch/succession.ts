import { ok, type Result } from '../../base/result.ts';
import type { ManifestMark, Store } from '../../store/store.ts';
import { checkSuccession } from '../manifest/parse-manifest.ts';
import type { ReferenceManifest } from '../manifest/reference-manifest.ts';

/**
 * Takes manifests for the newest of their ids, durably and for all servers of a database: one that is older
 * than any that was ever in force keeps the whole set out, and nothing is marked. Fails with
 * MANIFEST_OLDER, or as the store does.
 */
export async function succeed(
  store: Pick<Store, 'raiseManifestMarks'>,
  manifests: readonly ReferenceManifest[],
): Promise<Result<void>> {
  const marks = manifests.map(
    ({ id, sequence, sha256 }): ManifestMark => ({ id, sequence, sha256 }),
  );
  const kept = await store.raiseManifestMarks(marks);
  if (!kept.ok) return kept;
  for (const [at, mark] of marks.entries()) {
    const before = kept.value[at];
    const follows = before === undefined ? ok(undefined) : checkSuccession(before, mark);
    if (!follows.ok) return follows;
  }
  return ok(undefined);
}
