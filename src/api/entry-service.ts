import { fail, ok, type Result } from '../base/result.ts';
import {
  type BatchCreateEntryRequest,
  type BatchCreateEntryResponse_Result,
  type BatchDeleteEntryRequest,
  type BatchDeleteEntryResponse_Result,
  type EntryService,
  type ListEntriesRequest,
  ListEntriesResponse,
} from '../gen/spire/api/server/entry/v1/entry.ts';
import type { Entry as WireEntry } from '../gen/spire/api/types/entry.ts';
import type { NewEntry } from '../registry/registry.ts';
import type { CallContext, Encoded, Handlers } from '../rpc/service.ts';
import { checkEntryId } from '../rules/entry-id.ts';
import { judgeAgent } from './agent-standing.ts';
import { answerAuthorizedEntries, syncAuthorizedEntries } from './authorized-entries.ts';
import { checkBatch, fitAnswer, runBatch } from './batch.ts';
import { type ApiContext, agentCaller, audit } from './context.ts';
import { fromWireEntry, fromWireEntryFilter, toWireEntry } from './convert/entries.ts';
import { maskEntry } from './convert/masks.ts';
import { itemStatus, OK_STATUS } from './convert/status.ts';
import { entryFacts, refuseConnectorId, refuseDerived, unfederated } from './entry-facts.ts';
import { updateEntries } from './entry-update.ts';
import { peerFacts } from './peer-facts.ts';

/** `spire.api.server.entry.v1.Entry`: registration, and the entries of the calling agent. */
export function createEntryService(api: ApiContext): Handlers<EntryService> {
  const fits = (count: number, field: string): Result<void> =>
    checkBatch(count, api.limits.maxBatchEntries, field);
  return {
    countEntries(request) {
      const filter = fromWireEntryFilter(request.filter);
      return filter.ok ? ok({ count: api.registry.countEntries(filter.value) }) : filter;
    },
    listEntries: (request) => listEntries(api, request),
    getEntry(request) {
      const entry = api.registry.entry(request.id);
      if (entry === undefined) return unknownEntry(request.id);
      return ok(maskEntry(toWireEntry(entry), request.outputMask));
    },
    async batchCreateEntry(request, context) {
      const checked = fits(request.entries.length, 'entries');
      return checked.ok ? ok({ results: await createEntries(api, request, context) }) : checked;
    },
    async batchUpdateEntry(request, context) {
      const checked = fits(request.entries.length, 'entries');
      return checked.ok ? ok({ results: await updateEntries(api, request, context) }) : checked;
    },
    async batchDeleteEntry(request, context) {
      const checked = fits(request.ids.length, 'ids');
      return checked.ok ? ok({ results: await deleteEntries(api, request, context) }) : checked;
    },
    getAuthorizedEntries(request, context) {
      const caller = agentCaller(context);
      return caller.ok ? answerAuthorizedEntries(api, caller.value, request) : caller;
    },
    async syncAuthorizedEntries(requests, stream, context) {
      const caller = agentCaller(context);
      if (!caller.ok) return caller;
      const facts = peerFacts(context.connection, false);
      const judge = (): Result<void> => judgeAgent(api, facts);
      return syncAuthorizedEntries(api, caller.value, requests, stream, judge);
    },
  };
}

function listEntries(api: ApiContext, request: ListEntriesRequest): Result<Encoded> {
  const filter = fromWireEntryFilter(request.filter);
  if (!filter.ok) return filter;
  const { pageSize, pageToken } = request;
  const page = api.registry.listEntries(filter.value, { pageSize, pageToken });
  if (!page.ok) return page;
  return fitAnswer(ListEntriesResponse, {
    entries: page.value.items.map((entry) => maskEntry(toWireEntry(entry), request.outputMask)),
    nextPageToken: page.value.nextPageToken,
  });
}

/** What is valid is written in one transaction; what is not has its own status. */
async function createEntries(
  api: ApiContext,
  request: BatchCreateEntryRequest,
  context: CallContext,
): Promise<BatchCreateEntryResponse_Result[]> {
  const items = request.entries.map((entry) => newEntry(api, entry));
  const outcomes = await runBatch(items, (valid) => api.registry.createEntries(valid));
  return outcomes.map((outcome) => {
    if (!outcome.ok) return { status: itemStatus(outcome.error), entry: undefined };
    if (outcome.value.outcome === 'unfederated') {
      return { status: itemStatus(unfederated(outcome.value).error), entry: undefined };
    }
    const { entry } = outcome.value;
    const answer = maskEntry(toWireEntry(entry), request.outputMask);
    if (outcome.value.outcome === 'exists') {
      const { error } = fail(
        'ENTRY_EXISTS',
        `entry ${entry.id} has the same ID, or the same identity, parent and selectors`,
      );
      return { status: itemStatus(error), entry: answer };
    }
    audit(api, context, entryFacts(entry));
    return { status: OK_STATUS, entry: answer };
  });
}

function newEntry(api: ApiContext, message: WireEntry): Result<NewEntry> {
  const read = fromWireEntry(message, api.registry.trustDomain);
  const draft = read.ok ? refuseConnectorId(api, read.value) : read;
  if (!draft.ok) return draft;
  if (message.id === '') return ok({ draft: draft.value });
  const id = checkEntryId(message.id);
  return id.ok ? ok({ id: id.value, draft: draft.value }) : id;
}

async function deleteEntries(
  api: ApiContext,
  request: BatchDeleteEntryRequest,
  context: CallContext,
): Promise<BatchDeleteEntryResponse_Result[]> {
  const items = request.ids.map((id) => refuseDerived(api, id));
  const outcomes = await runBatch(items, (ids) => api.registry.deleteEntries(ids));
  return outcomes.map((outcome, index) => {
    const id = request.ids[index] ?? '';
    if (!outcome.ok) return { status: itemStatus(outcome.error), id };
    if (!outcome.value) return { status: itemStatus(unknownEntry(id).error), id };
    audit(api, context, { entryId: id });
    return { status: OK_STATUS, id };
  });
}

function unknownEntry(id: string): ReturnType<typeof fail> {
  return fail('ENTRY_NOT_FOUND', `no entry ${JSON.stringify(id.slice(0, 80))}`);
}
