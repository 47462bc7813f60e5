import { fail, ok, type Result } from '../../base/result.ts';
import { findAgent } from './agents.ts';
import { findBundle } from './authorities.ts';
import { lastSequence } from './changes.ts';
import { findGroup, findSegment } from './connector-groups.ts';
import { findBoundKey, findProvisioningKey } from './connector-keys.ts';
import { findConnector } from './connectors.ts';
import type { Database } from './database.ts';
import { findDpu } from './dpus.ts';
import { findEntry } from './entries.ts';
import { findFederatedBundle } from './federated-bundles.ts';
import { findFederation } from './federations.ts';
import { findIssuingCa } from './issuing-cas.ts';
import type { ArgsOf, ChangeRow } from './protocol.ts';
import { findRevocation } from './revocations.ts';

/** Reads the feed after a point; every value is as it stands now. */
export function changesAfter(
  db: Database,
  { sequence, limit }: ArgsOf<'changesAfter'>,
): Result<readonly ChangeRow[]> {
  const { first, last } = feedBounds(db);
  if (sequence > last || sequence < first - 1) {
    return fail(
      'STORE_FEED_GAP',
      `changes ${first} to ${last} are kept, ${sequence} was asked for`,
    );
  }
  const lines = db.all<{ sequence: number; kind: ChangeRow['kind']; ref: string }>(
    'SELECT sequence, kind, ref FROM changes WHERE sequence > ? ORDER BY sequence LIMIT ?',
    sequence,
    limit,
  );
  return ok(lines.map((line) => withRow(db, line)));
}

/** Drops all but the newest `kept` changes. */
export function pruneChanges(db: Database, kept: number): void {
  db.run('DELETE FROM changes WHERE sequence <= ?', lastSequence(db) - kept);
}

/** The first change that is kept (one past the last when none is) and the last one ever made. */
function feedBounds(db: Database): { first: number; last: number } {
  const last = lastSequence(db);
  const oldest = db.get<{ first: number | null }>('SELECT min(sequence) AS first FROM changes');
  return { first: oldest?.first ?? last + 1, last };
}

function withRow(
  db: Database,
  { sequence, kind, ref }: { sequence: number; kind: ChangeRow['kind']; ref: string },
): ChangeRow {
  switch (kind) {
    case 'entry':
      return { kind, sequence, ref, row: findEntry(db, ref) };
    case 'agent':
      return { kind, sequence, ref, row: findAgent(db, ref) };
    case 'bundle':
      return { kind, sequence, ref, row: findBundle(db) };
    case 'revocation':
      return { kind, sequence, ref, row: findRevocation(db, ref) };
    case 'dpu':
      return { kind, sequence, ref, row: findDpu(db, ref) };
    case 'issuing-ca':
      return { kind, sequence, ref, row: findIssuingCa(db, ref) };
    case 'federation':
      return { kind, sequence, ref, row: findFederation(db, ref) };
    case 'federated-bundle':
      return { kind, sequence, ref, row: findFederatedBundle(db, ref) };
    case 'connector-group':
      return { kind, sequence, ref, row: findGroup(db, ref) };
    case 'connector-segment':
      return { kind, sequence, ref, row: findSegment(db, ref) };
    case 'connector':
      return { kind, sequence, ref, row: findConnector(db, ref) };
    case 'provisioning-key':
      return { kind, sequence, ref, row: findProvisioningKey(db, ref) };
    case 'bound-key':
      return { kind, sequence, ref, row: findBoundKey(db, ref) };
  }
}
