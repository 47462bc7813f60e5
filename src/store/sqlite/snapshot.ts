import { fail, ok, type Result } from '../../base/result.ts';
import { allAgents } from './agents.ts';
import { findBundle } from './authorities.ts';
import { lastSequence } from './changes.ts';
import { allGroups, allSegments } from './connector-groups.ts';
import { allBoundKeys, allProvisioningKeys } from './connector-keys.ts';
import { allConnectors } from './connectors.ts';
import { type Database, openReader } from './database.ts';
import { allDpus } from './dpus.ts';
import { ALL_ENTRIES } from './entries.ts';
import { allFederatedBundles } from './federated-bundles.ts';
import { allFederations } from './federations.ts';
import { allIssuingCas } from './issuing-cas.ts';
import type { AnswerOf } from './protocol.ts';
import { allRevocations } from './revocations.ts';
import type { EntryRow } from './rows.ts';

/** Reads all state at one point, page by page, while writes go on beside it. One at a time. */
export class SnapshotReader {
  readonly #path: string;
  #reader: Database | undefined;
  #entries: Iterator<EntryRow> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Fixes the point in time: the transaction sees nothing that is committed later. */
  start(): Result<AnswerOf<'snapshotStart'>> {
    this.end();
    const reader = openReader(this.#path);
    if (!reader.ok) return reader;
    this.#reader = reader.value;
    reader.value.run('BEGIN');
    this.#entries = reader.value.iterate<EntryRow>(ALL_ENTRIES);
    return ok({
      sequence: lastSequence(reader.value),
      agents: allAgents(reader.value),
      bundle: findBundle(reader.value),
      revocations: allRevocations(reader.value),
      dpus: allDpus(reader.value),
      issuingCas: allIssuingCas(reader.value),
      federations: allFederations(reader.value),
      federatedBundles: allFederatedBundles(reader.value),
      connectors: {
        groups: allGroups(reader.value),
        segments: allSegments(reader.value),
        connectors: allConnectors(reader.value),
        provisioningKeys: allProvisioningKeys(reader.value),
        boundKeys: allBoundKeys(reader.value),
      },
    });
  }

  /** The next entries; none ends the snapshot. */
  next(limit: number): Result<readonly EntryRow[]> {
    if (this.#entries === undefined) return fail('STORE_FAILED', 'no snapshot is open');
    const page: EntryRow[] = [];
    while (page.length < limit) {
      const { done, value } = this.#entries.next();
      if (done) break;
      page.push(value);
    }
    if (page.length === 0) this.end();
    return ok(page);
  }

  /** Lets the reader go, wherever it stands. */
  end(): void {
    this.#entries = undefined;
    this.#reader?.close();
    this.#reader = undefined;
  }
}
