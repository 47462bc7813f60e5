import { fail, ok, type Result } from '../base/result.ts';
import {
  type GetAuthorizedEntriesRequest,
  GetAuthorizedEntriesResponse,
  type SyncAuthorizedEntriesRequest,
  SyncAuthorizedEntriesResponse,
} from '../gen/spire/api/server/entry/v1/entry.ts';
import type { EntryMask, Entry as WireEntry } from '../gen/spire/api/types/entry.ts';
import type { AgentCaller } from '../policy/grant.ts';
import { Encoded, type ResponseStream } from '../rpc/service.ts';
import type { Entry } from '../rules/entry.ts';
import { fitAnswer } from './batch.ts';
import type { ApiContext } from './context.ts';
import { entrySizeBound, toWireEntry } from './convert/entries.ts';
import { maskEntry } from './convert/masks.ts';

/** Entries, or revisions, in one message of SyncAuthorizedEntries; stock agents take it from there. */
export const SYNC_PAGE_SIZE = 500;

/** Bytes of whole entries after which a page ends early: a message must stay below 4 MiB. */
const MAX_PAGE_BYTES = 2 * 1024 * 1024;

/** GetAuthorizedEntries: everything the agent serves, in one message. */
export function answerAuthorizedEntries(
  api: ApiContext,
  caller: AgentCaller,
  request: GetAuthorizedEntriesRequest,
): Result<Encoded> {
  const known = checkKnown(api, caller);
  if (!known.ok) return known;
  const entries = api.registry.authorizedEntries(caller.id);
  return fitAnswer(GetAuthorizedEntriesResponse, {
    entries: entries.map((entry) => maskEntry(toWireEntry(entry), request.outputMask)),
  });
}

/**
 * SyncAuthorizedEntries, as polling agents speak it. Up to a page of entries go whole in the first
 * answer and the stream ends. More: first the revisions of all, in pages, then whole the entries that
 * the agent asks for. The entries are those of the moment the stream began, also for later questions;
 * the caller is judged anew at each, since a stream may outlive its agent's standing.
 */
export async function syncAuthorizedEntries(
  api: ApiContext,
  caller: AgentCaller,
  requests: AsyncIterable<SyncAuthorizedEntriesRequest>,
  stream: ResponseStream<SyncAuthorizedEntriesResponse>,
  judge: () => Result<void>,
): Promise<Result<void>> {
  const reader = requests[Symbol.asyncIterator]();
  const first = await reader.next();
  if (first.done) return ok(undefined);
  const judged = judge();
  if (!judged.ok) return judged;
  const checked = checkFirst(first.value);
  if (!checked.ok) return checked;
  const known = checkKnown(api, caller);
  if (!known.ok) return known;
  const mask = first.value.outputMask;
  const entries = api.registry.authorizedEntries(caller.id);
  if (entries.length <= SYNC_PAGE_SIZE) {
    const whole = wholePage(entries, mask);
    if (whole !== undefined) {
      stream.write(whole);
      return ok(undefined);
    }
  }
  await writeRevisions(entries, stream);
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  for (let next = await reader.next(); !next.done; next = await reader.next()) {
    const asked = next.value;
    const still = judge();
    if (!still.ok) return still;
    if (asked.outputMask !== undefined) {
      return fail('SYNC_PROTOCOL', 'only the first request of a stream may have an output mask');
    }
    // Each once: a repeated ID must not multiply the answer.
    const wanted = [...new Set(asked.ids)].flatMap((id) => byId.get(id) ?? []);
    await writeEntries(wanted, mask, stream);
  }
  return ok(undefined);
}

/** An agent that polls keeps what it has when it is told to come again. */
function checkKnown(api: ApiContext, caller: AgentCaller): Result<void> {
  if (!api.registry.derived.isHeld(caller.id)) return ok(undefined);
  return fail('ENTRIES_PENDING', 'the entries of this agent are not known yet');
}

function checkFirst(request: SyncAuthorizedEntriesRequest): Result<void> {
  if (request.ids.length > 0) {
    return fail('SYNC_PROTOCOL', 'the first request of a stream must not ask for IDs');
  }
  // Without revisions the agent could not tell what it lacks.
  if (request.outputMask !== undefined && !request.outputMask.revisionNumber) {
    return fail('SYNC_PROTOCOL', 'the output mask must not leave out revision_number');
  }
  return ok(undefined);
}

const wholePages = new WeakMap<
  readonly Entry[],
  { readonly key: string; readonly page: Encoded }
>();

/**
 * All entries in one encoded message; undefined when it would be too long. The registry answers with
 * the same array until something changes, and agents ask every five seconds with the same mask, so
 * the last page of each array is kept.
 */
function wholePage(entries: readonly Entry[], mask: EntryMask | undefined): Encoded | undefined {
  const key = mask === undefined ? '' : JSON.stringify(mask);
  const known = wholePages.get(entries);
  if (known?.key === key) return known.page;
  const message = { entryRevisions: [], entries: wire(entries, mask), more: false };
  const bytes = SyncAuthorizedEntriesResponse.encode(message).finish();
  if (bytes.length > MAX_PAGE_BYTES) return undefined;
  const page = new Encoded(Buffer.from(bytes));
  wholePages.set(entries, { key, page });
  return page;
}

async function writeRevisions(
  entries: readonly Entry[],
  stream: ResponseStream<SyncAuthorizedEntriesResponse>,
): Promise<void> {
  for (let start = 0; start < entries.length; start += SYNC_PAGE_SIZE) {
    const page = entries.slice(start, start + SYNC_PAGE_SIZE);
    const revisions = page.map((entry) => ({
      id: entry.id,
      revisionNumber: entry.revision,
      createdAt: BigInt(entry.createdAtSeconds),
    }));
    const more = start + SYNC_PAGE_SIZE < entries.length;
    await send(stream, { entryRevisions: revisions, entries: [], more });
  }
}

/** Answers one question: pages of whole entries, all but the last with `more`; at least one. */
async function writeEntries(
  entries: readonly Entry[],
  mask: EntryMask | undefined,
  stream: ResponseStream<SyncAuthorizedEntriesResponse>,
): Promise<void> {
  let page: WireEntry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const size = entrySizeBound(entry);
    if (page.length === SYNC_PAGE_SIZE || (page.length > 0 && bytes + size > MAX_PAGE_BYTES)) {
      await send(stream, { entryRevisions: [], entries: page, more: true });
      page = [];
      bytes = 0;
    }
    page.push(maskEntry(toWireEntry(entry), mask));
    bytes += size;
  }
  await send(stream, { entryRevisions: [], entries: page, more: false });
}

async function send(
  stream: ResponseStream<SyncAuthorizedEntriesResponse>,
  message: SyncAuthorizedEntriesResponse,
): Promise<void> {
  if (!stream.write(message)) await stream.drained();
}

function wire(entries: readonly Entry[], mask: EntryMask | undefined): WireEntry[] {
  return entries.map((entry) => maskEntry(toWireEntry(entry), mask));
}
