import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { fail, ok } from '../../src/base/result.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import {
  EntryService,
  type SyncAuthorizedEntriesResponse,
} from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { Bundle as WireBundle } from '../../src/gen/spire/api/types/bundle.ts';
import type { Entry } from '../../src/gen/spire/api/types/entry.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { AGENT_TEST_DOMAIN, TestAgentCa, wireEntry } from '../../test/support/agent-ca.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { startScriptedServer } from '../../test/support/scripted-server.ts';
import type { AgentEntry } from './entry.ts';
import { readEntry } from './entry.ts';
import { EntrySet } from './entry-set.ts';
import { type PollTarget, pollOnce } from './poll-sync.ts';
import { storeBundle } from './trust-bundle.ts';

/**
 * A SPIRE server's side of SyncAuthorizedEntries (spire-compatibility A.3.7): all entries whole where
 * they fit a page, else pages of revisions and then of what is asked for.
 */
class StockServer {
  entries: Entry[] = [];
  pageSize = 500;
  bundle: WireBundle;
  readonly federated = new Map<string, WireBundle>();
  /** What each request asked for. */
  readonly asked: string[][] = [];
  /** Ends the stream after so many answers. */
  endAfter = Number.POSITIVE_INFINITY;

  constructor(bundle: WireBundle) {
    this.bundle = bundle;
  }

  async *answers(
    requests: AsyncIterable<{ ids: string[] }>,
  ): AsyncIterable<SyncAuthorizedEntriesResponse> {
    let first = true;
    for await (const { ids } of requests) {
      this.asked.push(ids);
      if (!first) {
        yield* this.#pages(
          this.entries.filter(({ id }) => ids.includes(id)),
          (entries) => ({
            entries,
          }),
        );
      } else if (this.entries.length <= this.pageSize) {
        yield { entryRevisions: [], entries: this.entries, more: false };
        return;
      } else {
        yield* this.#pages(this.entries, (page) => ({
          entryRevisions: page.map(({ id, revisionNumber, createdAt }) => ({
            id,
            revisionNumber,
            createdAt,
          })),
        }));
      }
      first = false;
    }
  }

  *#pages(
    entries: readonly Entry[],
    make: (page: Entry[]) => Partial<SyncAuthorizedEntriesResponse>,
  ): Iterable<SyncAuthorizedEntriesResponse> {
    for (let at = 0; at === 0 || at < entries.length; at += this.pageSize) {
      const more = at + this.pageSize < entries.length;
      yield {
        entryRevisions: [],
        entries: [],
        ...make(entries.slice(at, at + this.pageSize)),
        more,
      };
    }
  }
}

async function setUp(context: TestContext) {
  const ca = new TestAgentCa(() => Date.now());
  const server = new StockServer(WireBundle.decode(storeBundle(ca.bundle().bundle)));
  const scripted = await startScriptedServer(context);
  scripted.serve(EntryService, {
    syncAuthorizedEntries: async (requests, stream) => {
      let sent = 0;
      for await (const answer of server.answers(requests)) {
        if (sent++ >= server.endAfter) return ok(undefined);
        stream.write(answer);
      }
      return ok(undefined);
    },
  });
  scripted.serve(BundleService, {
    getBundle: () => ok(server.bundle),
    getFederatedBundle: ({ trustDomain }) => {
      const bundle = server.federated.get(trustDomain);
      return bundle === undefined ? fail('ENTRY_NOT_FOUND', 'none') : ok(bundle);
    },
  });
  return { server, clients: scripted.clients(), target: new Target() };
}

/** What an agent holds, as far as polling sees it. */
class Target implements PollTarget {
  readonly set = new EntrySet();
  readonly bundles: string[] = [];
  kept: string[] = [];
  federation = new Set<string>();

  get entryIds(): Iterable<string> {
    return this.set.ids();
  }
  entry(id: string): AgentEntry | undefined {
    return this.set.get(id);
  }
  replaceEntries(entries: readonly Entry[]): void {
    this.set.replaceAll(entries.map(readOne));
  }
  changeEntries(upserts: readonly Entry[], deletedIds: readonly string[]): void {
    this.set.apply(upserts.map(readOne), deletedIds);
  }
  setBundle({ trustDomain }: WireBundle): void {
    this.bundles.push(trustDomain);
  }
  keepFederated(names: ReadonlySet<string>): void {
    this.kept = [...names];
  }
}

function readOne(wire: Entry): AgentEntry {
  return assertValue(readEntry(wire, AGENT_TEST_DOMAIN));
}

test('entries that fit a page come whole, in one request', async (context) => {
  const { server, clients, target } = await setUp(context);
  server.entries = [wireEntry('a'), wireEntry('b')];
  assertValue(await pollOnce(clients, target));
  assert.deepEqual([...target.entryIds].sort(), ['a', 'b']);
  assert.deepEqual(server.asked, [[]]);
  assert.deepEqual(target.bundles, ['example.org']);
  server.entries = [];
  assertValue(await pollOnce(clients, target));
  assert.equal(target.set.size, 0);
});

test('of more entries only those that are new or different are asked for, a page at a time', async (context) => {
  const { server, clients, target } = await setUp(context);
  server.pageSize = 2;
  server.entries = ['a', 'b', 'c', 'd', 'e'].map((id) => wireEntry(id));
  assertValue(await pollOnce(clients, target));
  assert.equal(target.set.size, 5);
  assert.deepEqual(server.asked, [[], ['a', 'b'], ['c', 'd'], ['e']]);
  server.asked.length = 0;
  server.entries = [
    wireEntry('a'),
    wireEntry('b', { revisionNumber: 7n }),
    wireEntry('d', { createdAt: 9n }),
    wireEntry('e'),
  ];
  assertValue(await pollOnce(clients, target));
  assert.deepEqual(server.asked, [[], ['b', 'd']]);
  assert.deepEqual([...target.entryIds].sort(), ['a', 'b', 'd', 'e']);
  assert.equal(target.entry('b')?.revision, 7n);
});

test('a poll that breaks off takes nothing away', async (context) => {
  const { server, clients, target } = await setUp(context);
  server.pageSize = 2;
  server.entries = ['a', 'b', 'c'].map((id) => wireEntry(id));
  assertValue(await pollOnce(clients, target));
  server.entries = ['x', 'y', 'z'].map((id) => wireEntry(id));
  for (const endAfter of [0, 1, 2, 3]) {
    server.endAfter = endAfter;
    assertRefused(await pollOnce(clients, target), 'AGENT_SERVER_ANSWER');
    assert.deepEqual([...target.entryIds].sort(), ['a', 'b', 'c'], String(endAfter));
  }
});

test('a bundle that is another one than was asked for is refused, the own one too', async (context) => {
  const { server, clients, target } = await setUp(context);
  target.federation = new Set(['other.org']);
  server.federated.set('other.org', server.bundle);
  const polled = await pollOnce(clients, target);
  assert.equal(polled.ok ? '' : polled.error.code, 'AGENT_SERVER_ANSWER');
  assert.deepEqual(target.bundles, ['example.org']);
});

test('a federated bundle that is not there is left out, the others are kept', async (context) => {
  const { server, clients, target } = await setUp(context);
  const other = assertValue(parseTrustDomain('other.org'));
  const bundle = new TestAgentCa(() => Date.now(), other).bundle().bundle;
  server.federated.set('other.org', WireBundle.decode(storeBundle(bundle)));
  target.federation = new Set(['other.org', 'absent.org']);
  assertValue(await pollOnce(clients, target));
  assert.deepEqual(target.bundles, ['example.org', 'other.org']);
  assert.deepEqual(target.kept, ['other.org']);
});
