import { fail, ok, type Result } from '../../base/result.ts';
import { readFileIfPresent, writeFileAtomic } from '../../runtime/atomic-file.ts';
import type { SealedStore } from './sealed-keys.ts';

const MAX_BYTES = 65_536;

/** A store of one slot in a file, for a key that is one server's own; nobody else writes there meanwhile. */
export function createSealedFile(path: string, slot: string): SealedStore {
  let version = 0n;
  return {
    async loadSealedKeys() {
      const bytes = await readFileIfPresent(path, MAX_BYTES);
      if (!bytes.ok) return bytes;
      if (bytes.value === undefined) return ok([]);
      version = version === 0n ? 1n : version;
      return ok([{ slot, version, sealed: bytes.value }]);
    },
    async writeSealedKey({ slot: asked, expectedVersion, sealed }): Promise<Result<bigint>> {
      if (asked !== slot || expectedVersion !== version || sealed === undefined) {
        return fail('STORE_CONFLICT', `${path} holds slot ${slot}, version ${version}`);
      }
      const written = await writeFileAtomic(path, sealed);
      if (!written.ok) return written;
      version += 1n;
      return ok(version);
    },
  };
}
