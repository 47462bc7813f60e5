import { type Hello, ServerMessage } from '../gen/signet/agent/v1/agent.ts';
import type { Entry as WireEntry } from '../gen/spire/api/types/entry.ts';
import type { AgentUpdate, Registry } from '../registry/registry.ts';
import { Encoded } from '../rpc/service.ts';
import type { Entry } from '../rules/entry.ts';
import { isDpuAgentId } from '../rules/reserved-ids.ts';
import type { Revocation } from '../rules/revocation.ts';
import { taintedX509KeyIds } from '../spiffe/bundle.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { ApiContext } from './context.ts';
import { toWireBundle } from './convert/bundles.ts';
import { entrySizeBound, toWireEntry } from './convert/entries.ts';
import { federationMessages } from './push-federation.ts';

/** Most bytes of entries in one Snapshot or Delta; a longer entry goes alone. */
export const MAX_CHUNK_BYTES = 1024 * 1024;

/** Most serial numbers in one Revoke: some 400 KiB. */
const MAX_SERIALS = 10_000;

/** What one agent has to be told. */
export interface PushMessages {
  /** The messages that bring the agent from what it was last told to now, made one by one. */
  take(): Iterable<Encoded>;
  close(): void;
}

/**
 * Follows an agent's entries and the bundle from where its Hello says it stands. `wake` is called
 * when there may be something to take.
 */
export function pushMessages(
  api: Pick<ApiContext, 'registry' | 'clock' | 'crl'>,
  agentId: SpiffeId,
  hello: Hello,
  wake: () => void,
): PushMessages {
  const { registry, clock } = api;
  const standing = standingMessages(registry, agentId, hello.quarantined);
  const resume = { feedId: hello.feedId, revision: hello.revision };
  const subscription = registry.subscribe(agentId, wake, hello.feedId === '' ? undefined : resume);
  const federation = federationMessages(registry, agentId);
  let toldCrl = hello.crlNumber;
  const told = { begun: false, revision: hello.revision, bundleSequence: hello.bundleSequence };
  // All that are alive at the start of every stream: one that broke off, or a server that was killed
  // between writing and telling, leaves nothing unsaid. Told twice they mean the same.
  let revoked: ReadonlySet<string> = new Set();
  let distrusted: ReadonlySet<string> = new Set();
  function* take(): Iterable<Encoded> {
    // Before anything else: an agent that is to stop must not be told what to begin.
    yield* standing();
    const update = subscription.take();
    yield* federation.bundles();
    if (update?.kind === 'snapshot') {
      yield* snapshotMessages(update, registry.feedId, clock.nowMs());
    } else if (update !== undefined && (!told.begun || hasEntries(update))) {
      // The first one goes out even when empty: it tells the agent that it could resume.
      yield* deltaMessages(update, told.revision);
    }
    if (update !== undefined) {
      told.begun = true;
      told.revision = update.revision;
    }
    yield* federation.kept();
    // After the entries: what is to be replaced has to be there.
    const serials = new Set(serialsOf(registry.revocationsOf(agentId)));
    yield* revokeMessages([...serials.difference(revoked)]);
    revoked = serials;
    const cas = registry.distrustedIssuingCas;
    yield* taintMessages(cas.difference(distrusted));
    distrusted = cas;
    // An agent that holds one which nobody gives out any more gives it up.
    const crl = api.crl?.current;
    if ((crl?.number ?? 0n) !== toldCrl) {
      toldCrl = crl?.number ?? 0n;
      yield encode({ $case: 'crl', value: { der: Buffer.from(crl?.der ?? []), number: toldCrl } });
    }
    const { bundle } = registry;
    if (bundle !== undefined && bundle.sequence !== told.bundleSequence) {
      told.bundleSequence = bundle.sequence;
      yield* taintMessages(taintedX509KeyIds(bundle));
      yield encode({ $case: 'bundle', value: toWireBundle(bundle) });
    }
  }
  return { take, close: () => subscription.close() };
}

/** Tells an agent when its node goes into quarantine and out of it, and when it is to attest again. */
function standingMessages(
  registry: Pick<Registry, 'agent' | 'dpus'>,
  agentId: SpiffeId,
  toldBefore: boolean,
): () => Iterable<Encoded> {
  let told = toldBefore;
  let asked = false;
  let demanded = 0;
  return function* () {
    const agent = registry.agent(agentId);
    const reason = agent?.quarantine;
    if ((reason !== undefined) !== told) {
      told = reason !== undefined;
      yield encode({ $case: 'quarantine', value: { active: told, reason: reason ?? '' } });
    }
    const dpu = registry.dpus.ofAgent(agentId);
    const state = dpu?.state;
    const released = told && state !== 'quarantined' && state !== 'retired';
    if (released && !asked && agent?.canReattest === true) {
      yield encode({ $case: 'reattest', value: { reason: reason ?? '' } });
    }
    asked = released;
    // Told once for each demand; a stream that is opened while one stands hears of it first.
    const { attestDemand: demand } = dpu ?? {};
    if (demand === undefined || reason !== undefined || demand.sinceSeconds === demanded) return;
    demanded = demand.sinceSeconds;
    // Hosts are vouched for by their DPU: what they say proves nothing of it.
    if (agent?.canReattest !== true || !isDpuAgentId(agentId)) return;
    yield encode({ $case: 'reattest', value: { reason: demand.reason } });
  };
}

function* serialsOf(revocations: Iterable<Revocation>): Iterable<string> {
  for (const { serial } of revocations) yield serial;
}

function* revokeMessages(serials: readonly string[]): Iterable<Encoded> {
  for (let at = 0; at < serials.length; at += MAX_SERIALS) {
    const serialNumbers = serials.slice(at, at + MAX_SERIALS);
    yield encode({ $case: 'revoke', value: { serialNumbers } });
  }
}

/** The bundle says the same; an agent may know tainted authorities that no bundle holds. */
function* taintMessages(keyIds: ReadonlySet<string>): Iterable<Encoded> {
  if (keyIds.size === 0) return;
  const subjectKeyIds = [...keyIds].map((keyId) => Buffer.from(keyId, 'hex'));
  yield encode({ $case: 'taint', value: { subjectKeyIds } });
}

function hasEntries(update: AgentUpdate): boolean {
  return update.upserts.length > 0 || update.deletedIds.length > 0;
}

/** Chunks of a snapshot, of which the last says so; there is always one. */
function* snapshotMessages(
  update: AgentUpdate,
  feedId: string,
  serverTimeMs: number,
): Iterable<Encoded> {
  const { revision } = update;
  const time = BigInt(Math.floor(serverTimeMs));
  for (const { entries, last } of chunksOf(update.upserts)) {
    const value = { feedId, revision, entries, last, serverTimeMs: time };
    yield encode({ $case: 'snapshot', value });
  }
}

/**
 * Chunks of a delta. Only the last carries the new revision: an agent that lost the stream between
 * two of them asks again from where it was.
 */
function* deltaMessages(update: AgentUpdate, revisionBefore: bigint): Iterable<Encoded> {
  let deletedIds = [...update.deletedIds];
  for (const { entries, last } of chunksOf(update.upserts)) {
    const revision = last ? update.revision : revisionBefore;
    yield encode({ $case: 'delta', value: { upserts: entries, deletedIds, revision } });
    deletedIds = [];
  }
}

function* chunksOf(
  entries: readonly Entry[],
): Iterable<{ readonly entries: WireEntry[]; readonly last: boolean }> {
  let chunk: WireEntry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const size = entrySizeBound(entry);
    if (chunk.length > 0 && bytes + size > MAX_CHUNK_BYTES) {
      yield { entries: chunk, last: false };
      chunk = [];
      bytes = 0;
    }
    // The parent is the agent's own affair: it needs who may have the identity, not through whom.
    chunk.push({ ...toWireEntry(entry), parentId: undefined });
    bytes += size;
  }
  yield { entries: chunk, last: true };
}

function encode(kind: ServerMessage['kind']): Encoded {
  return new Encoded(Buffer.from(ServerMessage.encode({ kind }).finish()));
}
