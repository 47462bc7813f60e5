import { fail, ok, type Result } from '../base/result.ts';
import type {
  BatchUpdateEntryRequest,
  BatchUpdateEntryResponse_Result,
} from '../gen/spire/api/server/entry/v1/entry.ts';
import type { EntryMask, Entry as WireEntry } from '../gen/spire/api/types/entry.ts';
import type { CallContext } from '../rpc/service.ts';
import type { Entry } from '../rules/entry.ts';
import type { EntryUpdate, UpdatedEntry } from '../store/store.ts';
import { runBatch } from './batch.ts';
import { type ApiContext, audit } from './context.ts';
import { fromWireEntry, toWireEntry } from './convert/entries.ts';
import { maskEntry, mergeEntry } from './convert/masks.ts';
import { itemStatus, OK_STATUS } from './convert/status.ts';
import { entryFacts, refuseConnectorId, refuseDerived, unfederated } from './entry-facts.ts';

/** How often an item is merged anew when somebody else changed its entry in between. */
const MAX_TRIES = 4;

interface Pending {
  readonly index: number;
  readonly message: WireEntry;
}

/**
 * BatchUpdateEntry. Fields that the input mask leaves out keep the value that the entry has at the
 * moment of writing: an update from an older state is not written but merged again. Items of one
 * batch that name the same entry are applied in order.
 */
export async function updateEntries(
  api: ApiContext,
  request: BatchUpdateEntryRequest,
  context: CallContext,
): Promise<BatchUpdateEntryResponse_Result[]> {
  const results: BatchUpdateEntryResponse_Result[] = [];
  let pending: Pending[] = request.entries.map((message, index) => ({ index, message }));
  for (let tries = 0; pending.length > 0; tries++) {
    const round = firstOfEachEntry(pending);
    const later = pending.filter((item) => !round.includes(item));
    const outcomes = await writeRound(api, round, request.inputMask);
    const again: Pending[] = [];
    for (const [position, item] of round.entries()) {
      const outcome = outcomes[position];
      if (outcome?.ok && outcome.value.outcome === 'conflict' && tries < MAX_TRIES) {
        again.push(item);
        continue;
      }
      results[item.index] = resultOf(api, context, item, outcome, request.outputMask);
    }
    pending = [...again, ...later];
    // Progress of another kind than a conflict starts the count anew.
    if (again.length < round.length) tries = 0;
  }
  return results;
}

/** The items that can be written together: of several for one entry, the first. */
function firstOfEachEntry(pending: readonly Pending[]): Pending[] {
  const seen = new Set<string>();
  return pending.filter(({ message }) => {
    const first = !seen.has(message.id);
    seen.add(message.id);
    return first;
  });
}

function writeRound(
  api: ApiContext,
  round: readonly Pending[],
  inputMask: EntryMask | undefined,
): Promise<readonly Result<UpdatedEntry>[]> {
  const updates = round.map(({ message }) => mergedUpdate(api, message, inputMask));
  return runBatch(updates, (valid) => api.registry.updateEntries(valid));
}

function mergedUpdate(
  api: ApiContext,
  message: WireEntry,
  inputMask: EntryMask | undefined,
): Result<EntryUpdate> {
  const current = api.registry.entry(message.id);
  if (current === undefined) return missing(message.id);
  const own = refuseDerived(api, message.id);
  if (!own.ok) return own;
  const merged = mergeEntry(toWireEntry(current), message, inputMask);
  const read = fromWireEntry(merged, api.registry.trustDomain);
  const draft = read.ok ? refuseConnectorId(api, read.value) : read;
  if (!draft.ok) return draft;
  return ok({ id: message.id, draft: draft.value, expectedRevision: current.revision });
}

function resultOf(
  api: ApiContext,
  context: CallContext,
  item: Pending,
  outcome: Result<UpdatedEntry> | undefined,
  outputMask: EntryMask | undefined,
): BatchUpdateEntryResponse_Result {
  if (outcome === undefined) return refused(fail('INTERNAL', 'an update has no outcome'));
  if (!outcome.ok) return refused(outcome);
  const wire = (entry: Entry): WireEntry => maskEntry(toWireEntry(entry), outputMask);
  switch (outcome.value.outcome) {
    case 'updated':
      audit(api, context, entryFacts(outcome.value.entry));
      return { status: OK_STATUS, entry: wire(outcome.value.entry) };
    case 'missing':
      return refused(missing(item.message.id));
    case 'conflict':
      return refused(fail('ENTRY_CHANGED', `entry ${item.message.id} keeps changing`));
    case 'unfederated':
      return refused(unfederated(outcome.value));
    case 'exists': {
      const { entry } = outcome.value;
      const failed = fail(
        'ENTRY_EXISTS',
        `entry ${entry.id} has the same parent, ID and selectors`,
      );
      return { status: itemStatus(failed.error), entry: wire(entry) };
    }
  }
}

function refused({ error }: ReturnType<typeof fail>): BatchUpdateEntryResponse_Result {
  return { status: itemStatus(error), entry: undefined };
}

function missing(id: string): ReturnType<typeof fail> {
  return fail('ENTRY_NOT_FOUND', `no entry ${JSON.stringify(id.slice(0, 80))}`);
}
