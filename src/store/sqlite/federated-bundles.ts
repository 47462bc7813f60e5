import { appendChange, nextRevision } from './changes.ts';
import type { Database } from './database.ts';
import type { ArgsOf, FederatedBundleWriteRow, WrittenRow } from './protocol.ts';
import { type FederatedBundleRow, federatedBundleChecksum } from './rows.ts';

const COLUMNS = `trust_domain AS trustDomain, revision, origin, sequence, refresh_hint AS refreshHint,
  body, checksum`;

/** The bundle of another trust domain. */
export function findFederatedBundle(db: Database, name: string): FederatedBundleRow | undefined {
  return db.get(`SELECT ${COLUMNS} FROM federated_bundles WHERE trust_domain = ?`, name);
}

/** All bundles of other trust domains, by name. */
export function allFederatedBundles(db: Database): readonly FederatedBundleRow[] {
  return db.all(`SELECT ${COLUMNS} FROM federated_bundles ORDER BY trust_domain`);
}

/** Whether entries may federate with a trust domain: its bundle is here, or it is the own one. */
export function hasBundleOf(db: Database, name: string): boolean {
  const found = db.get(
    `SELECT 1 FROM federated_bundles WHERE trust_domain = ?
      UNION ALL SELECT 1 FROM meta WHERE key = 'trust_domain' AND value = ?`,
    name,
    name,
  );
  return found !== undefined;
}

/** Makes or replaces bundles, each only where its mode and what it was made from allow. */
export function writeFederatedBundles(
  db: Database,
  { writes }: ArgsOf<'writeFederatedBundles'>,
): readonly WrittenRow<FederatedBundleRow>[] {
  return writes.map((write) => writeOne(db, write));
}

function writeOne(db: Database, write: FederatedBundleWriteRow): WrittenRow<FederatedBundleRow> {
  const { bundle, mode, expectedRevision, expectedFederation } = write;
  const before = findFederatedBundle(db, bundle.trustDomain);
  if (mode === 'create' && before !== undefined) return { outcome: 'exists', row: before };
  if (mode === 'update' && before === undefined) return { outcome: 'missing' };
  if (expectedRevision !== undefined && expectedRevision !== (before?.revision ?? 0)) {
    return { outcome: 'conflict' };
  }
  if (
    expectedFederation !== undefined &&
    expectedFederation !== federationRevision(db, bundle.trustDomain)
  ) {
    return { outcome: 'conflict' };
  }
  return { outcome: 'written', row: putFederatedBundle(db, bundle) };
}

function federationRevision(db: Database, name: string): number | undefined {
  const sql = 'SELECT revision FROM federations WHERE trust_domain = ?';
  return db.get<{ revision: number }>(sql, name)?.revision;
}

/** Writes a bundle over whatever is there. */
export function putFederatedBundle(
  db: Database,
  bundle: Omit<FederatedBundleRow, 'revision' | 'checksum'>,
): FederatedBundleRow {
  const revised = { ...bundle, revision: nextRevision(db) };
  const row = { ...revised, checksum: federatedBundleChecksum(revised) };
  db.run(
    'INSERT OR REPLACE INTO federated_bundles VALUES (?, ?, ?, ?, ?, ?, ?)',
    row.trustDomain,
    row.revision,
    row.origin,
    row.sequence,
    row.refreshHint,
    row.body,
    row.checksum,
  );
  appendChange(db, 'federated-bundle', row.trustDomain);
  return row;
}

/** Deletes a bundle that is there. */
export function dropFederatedBundle(db: Database, name: string): void {
  db.run('DELETE FROM federated_bundles WHERE trust_domain = ?', name);
  appendChange(db, 'federated-bundle', name);
}
