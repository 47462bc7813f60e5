import type {
  DeletedFederatedBundle,
  FederatedBundleDelete,
  FederationDelete,
} from '../federation.ts';
import { appendChange, nextRevision } from './changes.ts';
import type { Database } from './database.ts';
import { deleteEntries, dissociateEntries, entriesFederatedWith } from './entries.ts';
import {
  dropFederatedBundle,
  findFederatedBundle,
  putFederatedBundle,
} from './federated-bundles.ts';
import type { ArgsOf, FederationWriteRow, WrittenRow } from './protocol.ts';
import { type FederationRow, federationChecksum } from './rows.ts';

const COLUMNS =
  'trust_domain AS trustDomain, revision, origin, url, endpoint_id AS endpointId, checksum';

/** The relationship with a trust domain. */
export function findFederation(db: Database, name: string): FederationRow | undefined {
  return db.get(`SELECT ${COLUMNS} FROM federations WHERE trust_domain = ?`, name);
}

/** All relationships, by the name of the trust domain. */
export function allFederations(db: Database): readonly FederationRow[] {
  return db.all(`SELECT ${COLUMNS} FROM federations ORDER BY trust_domain`);
}

/** Makes or changes relationships, each with the bundle that came with it. */
export function writeFederations(
  db: Database,
  { writes }: ArgsOf<'writeFederations'>,
): readonly WrittenRow<FederationRow>[] {
  return writes.map((write) => writeOne(db, write));
}

function writeOne(db: Database, write: FederationWriteRow): WrittenRow<FederationRow> {
  const { federation, mode, expectedRevision, expectedBundle, bundle } = write;
  const before = findFederation(db, federation.trustDomain);
  const held = findFederatedBundle(db, federation.trustDomain);
  if (mode === 'create' && before !== undefined) return { outcome: 'exists', row: before };
  if (mode === 'update' && before === undefined) return { outcome: 'missing' };
  if (expectedRevision !== undefined && expectedRevision !== (before?.revision ?? 0)) {
    return { outcome: 'conflict' };
  }
  if (expectedBundle !== undefined && expectedBundle !== (held?.revision ?? 0)) {
    return { outcome: 'conflict' };
  }
  if (bundle !== undefined) putFederatedBundle(db, bundle);
  else if (held !== undefined && passes(before, federation) && held.origin === before?.origin) {
    putFederatedBundle(db, { ...held, origin: federation.origin });
  }
  const revised = { ...federation, revision: nextRevision(db) };
  const row = { ...revised, checksum: federationChecksum(revised) };
  db.run(
    'INSERT OR REPLACE INTO federations VALUES (?, ?, ?, ?, ?, ?)',
    row.trustDomain,
    row.revision,
    row.origin,
    row.url,
    row.endpointId,
    row.checksum,
  );
  appendChange(db, 'federation', row.trustDomain);
  return { outcome: 'written', row };
}

/** Whether what one origin made becomes that of another. */
function passes(
  before: FederationRow | undefined,
  { origin }: FederationWriteRow['federation'],
): boolean {
  return before !== undefined && before.origin !== '' && before.origin !== origin;
}

/** Ends relationships. */
export function deleteFederations(
  db: Database,
  { deletes }: ArgsOf<'deleteFederations'>,
): readonly boolean[] {
  return deletes.map((one) => deleteFederation(db, one));
}

function deleteFederation(db: Database, { trustDomain, origin }: FederationDelete): boolean {
  const row = findFederation(db, trustDomain);
  if (row === undefined || (origin !== undefined && origin !== row.origin)) return false;
  db.run('DELETE FROM federations WHERE trust_domain = ?', trustDomain);
  appendChange(db, 'federation', trustDomain);
  if (origin === undefined || findFederatedBundle(db, trustDomain)?.origin !== origin) return true;
  dissociateEntries(db, entriesFederatedWith(db, trustDomain), trustDomain);
  dropFederatedBundle(db, trustDomain);
  return true;
}

/** Deletes bundles of other trust domains, and does with the entries what the mode says. */
export function deleteFederatedBundles(
  db: Database,
  { deletes }: ArgsOf<'deleteFederatedBundles'>,
): readonly DeletedFederatedBundle[] {
  return deletes.map((one) => deleteFederatedBundle(db, one));
}

function deleteFederatedBundle(
  db: Database,
  { trustDomain, mode }: FederatedBundleDelete,
): DeletedFederatedBundle {
  if (findFederatedBundle(db, trustDomain) === undefined) return { outcome: 'missing', entries: 0 };
  const entries = entriesFederatedWith(db, trustDomain);
  if (mode === 'restrict' && entries.length > 0) {
    return { outcome: 'in-use', entries: entries.length };
  }
  if (mode === 'delete') deleteEntries(db, { ids: entries.map(({ id }) => id) });
  else dissociateEntries(db, entries, trustDomain);
  dropFederatedBundle(db, trustDomain);
  return { outcome: 'deleted', entries: entries.length };
}
