import type { ErrorCode } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { LiveConnectors } from '../connectors/live.ts';
import type { RecordedAct } from '../issuance/ledger-recorder.ts';
import type { CallContext } from '../rpc/service.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import type { WrittenConnectorValue } from '../store/connectors.ts';
import { type ApiContext, audit, noteAct } from './context.ts';

/** How often a write is tried anew when something else wrote in between. */
const MAX_TRIES = 4;

/** What the service stands on. */
export interface ConnectorAdminContext {
  readonly api: Pick<ApiContext, 'registry' | 'clock' | 'random' | 'log' | 'limits' | 'recordAct'>;
  readonly live: LiveConnectors;
  /** Takes a connector back for good: its record, its SVIDs. */
  readonly revoke: (connector: ConnectorRecord, reason: string) => Promise<Result<void>>;
}

/** One group or segment to be put. */
export interface PutValue<T> {
  /** For messages: `group db`. */
  readonly what: string;
  readonly existsCode: ErrorCode;
  /** As stated: 0 for a new one, undefined for whatever is there. */
  readonly expectedRevision: bigint | undefined;
  readonly current: () => T | undefined;
  readonly write: (
    expectedRevision: bigint,
  ) => Promise<Result<readonly WrittenConnectorValue<T>[]>>;
}

/**
 * Writes a group or a segment by compare-and-swap, so that one that an object of Kubernetes made
 * meanwhile is not written over. Fails with CONNECTOR_FOLLOWS_OBJECT, the code for one that exists, or
 * CONNECTOR_CHANGED.
 */
export async function putValue<T extends { readonly revision: bigint; readonly origin: string }>(
  put: PutValue<T>,
): Promise<Result<T>> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const current = put.current();
    if (put.expectedRevision === 0n && current !== undefined) {
      return fail(put.existsCode, `there is a ${put.what} already`);
    }
    if (current !== undefined && current.origin !== '') {
      return followed(put.what, current.origin);
    }
    const stated = put.expectedRevision ?? current?.revision ?? 0n;
    if (stated !== (current?.revision ?? 0n)) return changed(put.what);
    const written = await put.write(stated);
    if (!written.ok) return written;
    const [outcome] = written.value;
    if (outcome?.outcome === 'written') return ok(outcome.value);
  }
  return changed(put.what);
}

/** Writes down who did what to connectors: into the log, and into the ledger where there is one. */
export async function noteConnectorAct(
  { api }: ConnectorAdminContext,
  context: CallContext,
  act: Omit<RecordedAct, 'requestedBy'>,
): Promise<void> {
  audit(api, context, { ...act });
  await noteAct(api, context, act);
}

/** Refuses to change what follows an object of Kubernetes, which would change it back. */
export function followed(what: string, origin: string): Result<never> {
  return fail('CONNECTOR_FOLLOWS_OBJECT', `${what} follows ${origin}`);
}

function changed(what: string): Result<never> {
  return fail('CONNECTOR_CHANGED', `${what} is not at the revision that the change was made from`);
}
