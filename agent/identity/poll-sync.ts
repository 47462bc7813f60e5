import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type {
  SyncAuthorizedEntriesRequest,
  SyncAuthorizedEntriesResponse,
} from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import type { Entry, EntryMask } from '../../src/gen/spire/api/types/entry.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { beginCall, callServer, serverError } from '../attestation/server-call.ts';
import type { ServerClients } from '../attestation/server-clients.ts';
import type { Identities } from './identities.ts';

/** Longest wait for one poll, in milliseconds. */
const POLL_TIMEOUT_MS = 30_000;

/** What a stock SPIRE server is asked for (spire-compatibility A.3.8). */
const OUTPUT_MASK: EntryMask = {
  spiffeId: true,
  parentId: false,
  selectors: true,
  x509SvidTtl: false,
  federatesWith: true,
  admin: false,
  downstream: false,
  expiresAt: false,
  dnsNames: false,
  revisionNumber: true,
  storeSvid: true,
  jwtSvidTtl: false,
  hint: true,
  createdAt: true,
  additionalAttributes: true,
};

/** gRPC's number of NotFound. */
const NOT_FOUND = 5;

/** The part of the identities that polling changes and compares with. */
export type PollTarget = Pick<
  Identities,
  'entry' | 'federation' | 'changeEntries' | 'replaceEntries' | 'setBundle' | 'keepFederated'
> & { readonly entryIds: Iterable<string> };

/**
 * Asks a server that does not push for what changed: entries, the own bundle, federated bundles.
 * Nothing is applied in part: a poll that fails changes nothing but what its earlier steps brought.
 */
export async function pollOnce(
  clients: Pick<ServerClients, 'entry' | 'bundle'>,
  target: PollTarget,
): Promise<Result<void>> {
  const { bundle: client } = clients;
  const own = await callServer(
    client.getBundle.bind(client),
    { outputMask: undefined },
    POLL_TIMEOUT_MS,
  );
  if (!own.ok) return own;
  // Before the entries, so that no SVID is served whose authority workloads do not have.
  target.setBundle(own.value);
  const entries = await pollEntries(clients, target);
  if (!entries.ok) return entries;
  return pollFederated(clients, target);
}

async function pollFederated(
  { bundle: client }: Pick<ServerClients, 'bundle'>,
  target: PollTarget,
): Promise<Result<void>> {
  const names = target.federation;
  const kept = new Set(names);
  for (const trustDomain of names) {
    const bundle = await callServer(
      client.getFederatedBundle.bind(client),
      { trustDomain, outputMask: undefined },
      POLL_TIMEOUT_MS,
    );
    if (bundle.ok) {
      // It is kept by what it says of itself: of another trust domain it would take that one's place.
      const named = parseTrustDomain(bundle.value.trustDomain);
      if (!named.ok || named.value.name !== trustDomain) {
        return fail(
          'AGENT_SERVER_ANSWER',
          `the bundle of ${trustDomain} is of another trust domain`,
        );
      }
      target.setBundle(bundle.value);
    } else if (bundle.error.details.grpcStatus === NOT_FOUND) kept.delete(trustDomain);
    else return bundle;
  }
  target.keepFederated(kept);
  return ok(undefined);
}

/**
 * SyncAuthorizedEntries (spire-compatibility A.3.7): the first answer is either all entries, or the
 * first page of revisions; of those, entries that are new or different are asked for, a page at a
 * time.
 */
async function pollEntries(
  { entry: client }: Pick<ServerClients, 'entry'>,
  target: PollTarget,
): Promise<Result<void>> {
  const begun = beginCall(() =>
    client.syncAuthorizedEntries({ deadline: Date.now() + POLL_TIMEOUT_MS }),
  );
  if (!begun.ok) return begun;
  const stream = begun.value;
  const answers = new Answers(stream);
  try {
    stream.write({ outputMask: OUTPUT_MASK, ids: [] });
    const first = await answers.next();
    if (!first.ok) return first;
    if (first.value.entryRevisions.length === 0) {
      target.replaceEntries(first.value.entries);
      return ok(undefined);
    }
    return await pollByRevision(stream, answers, first.value, target);
  } finally {
    stream.end();
  }
}

async function pollByRevision(
  stream: ClientDuplexStream<SyncAuthorizedEntriesRequest, SyncAuthorizedEntriesResponse>,
  answers: Answers,
  first: SyncAuthorizedEntriesResponse,
  target: PollTarget,
): Promise<Result<void>> {
  const pageSize = first.entryRevisions.length;
  const authorised = new Set<string>();
  const stale: string[] = [];
  for (let page = first; ; ) {
    for (const { id, revisionNumber, createdAt } of page.entryRevisions) {
      authorised.add(id);
      const held = target.entry(id);
      const same = held?.revision === revisionNumber && held.createdAtSeconds === createdAt;
      if (!same) stale.push(id);
    }
    if (!page.more) break;
    const next = await answers.next();
    if (!next.ok) return next;
    page = next.value;
  }
  const upserts: Entry[] = [];
  for (let at = 0; at < stale.length; at += pageSize) {
    stream.write({ outputMask: undefined, ids: stale.slice(at, at + pageSize) });
    for (let more = true; more; ) {
      const answer = await answers.next();
      if (!answer.ok) return answer;
      upserts.push(...answer.value.entries);
      more = answer.value.more;
    }
  }
  const gone = [...target.entryIds].filter((id) => !authorised.has(id));
  target.changeEntries(upserts, gone);
  return ok(undefined);
}

/** The answers of a stream, one at a time. */
class Answers {
  readonly #ready: Result<SyncAuthorizedEntriesResponse>[] = [];
  #waiting: ((answer: Result<SyncAuthorizedEntriesResponse>) => void) | undefined;

  constructor(
    stream: ClientDuplexStream<SyncAuthorizedEntriesRequest, SyncAuthorizedEntriesResponse>,
  ) {
    stream.on('data', (response: SyncAuthorizedEntriesResponse) => this.#put(ok(response)));
    stream.on('error', (error: ServiceError) =>
      this.#put({ ok: false, error: serverError(error) }),
    );
    stream.on('end', () =>
      this.#put(fail('AGENT_SERVER_ANSWER', 'the server ended the list of entries early')),
    );
  }

  next(): Promise<Result<SyncAuthorizedEntriesResponse>> {
    const ready = this.#ready.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  #put(answer: Result<SyncAuthorizedEntriesResponse>): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#ready.push(answer);
    else waiting(answer);
  }
}
