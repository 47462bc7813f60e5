import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Client } from '@grpc/grpc-js';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import {
  EntryService,
  type ListEntriesRequest,
  type SyncAuthorizedEntriesResponse,
} from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import type { Entry, EntryMask } from '../../src/gen/spire/api/types/entry.ts';
import {
  ask,
  assertStatus,
  open,
  TestServer,
  TRUST_DOMAIN,
  wireBundle,
  wireEntry,
} from '../support/server.ts';

const OFF = { perSecond: 0 };
let server: TestServer;
let admin: Client;

before(async () => {
  server = await TestServer.start({
    limits: { attestation: OFF, anonymousConnections: OFF, agentCalls: OFF, batchEntries: 2000 },
  });
  admin = server.admin();
  const bundle = [wireBundle('other.test')];
  await ask(admin, BundleService.batchSetFederatedBundle, { bundle, outputMask: undefined });
});

after(() => server.stop());

const td = (path: string) => ({ trustDomain: TRUST_DOMAIN, path });

const NO_FIELDS: EntryMask = {
  spiffeId: false,
  parentId: false,
  selectors: false,
  x509SvidTtl: false,
  federatesWith: false,
  admin: false,
  downstream: false,
  expiresAt: false,
  dnsNames: false,
  revisionNumber: false,
  storeSvid: false,
  jwtSvidTtl: false,
  hint: false,
  createdAt: false,
  additionalAttributes: false,
};

async function create(entry: Partial<Entry>, outputMask?: EntryMask) {
  const request = { entries: [wireEntry(entry)], outputMask };
  const { results } = await ask(admin, EntryService.batchCreateEntry, request);
  return results[0]!;
}

async function update(entry: Partial<Entry>, inputMask?: EntryMask) {
  const request = { entries: [wireEntry(entry)], inputMask, outputMask: undefined };
  const { results } = await ask(admin, EntryService.batchUpdateEntry, request);
  return results[0]!;
}

function list(request: Partial<ListEntriesRequest>) {
  return ask(admin, EntryService.listEntries, {
    filter: undefined,
    outputMask: undefined,
    pageSize: 0,
    pageToken: '',
    ...request,
  });
}

describe('BatchCreateEntry', () => {
  test('answers each item in order, with a status for every one, also for OK', async () => {
    const request = {
      entries: [
        wireEntry({ spiffeId: td('/order/1') }),
        wireEntry({ spiffeId: td('/spire/server') }),
        wireEntry({ spiffeId: td('/order/3') }),
      ],
      outputMask: undefined,
    };
    const { results } = await ask(admin, EntryService.batchCreateEntry, request);
    assert.deepEqual(
      results.map(({ status, entry }) => [status?.code, entry?.spiffeId?.path]),
      [
        [0, '/order/1'],
        [3, undefined],
        [0, '/order/3'],
      ],
    );
  });

  test('an entry with the same parent, SPIFFE ID and selectors answers AlreadyExists and the entry', async () => {
    const first = await create({ spiffeId: td('/same'), hint: 'first' });
    const second = await create({ spiffeId: td('/same'), hint: 'second' });
    assert.equal(second.status?.code, 6);
    assert.deepEqual(second.entry, first.entry);
  });

  test('keeps every field that was given', async () => {
    const given = wireEntry({
      id: 'chosen-id.1',
      spiffeId: td('/whole'),
      parentId: td('/spire/agent/x'),
      selectors: [
        { type: 'unix', value: 'uid:0' },
        { type: 'k8s', value: 'pod-label:a:b' },
      ],
      x509SvidTtl: 600,
      jwtSvidTtl: 60,
      federatesWith: ['other.test'],
      admin: true,
      downstream: false,
      expiresAt: 4102444800n,
      dnsNames: ['web.example.org'],
      storeSvid: true,
      hint: 'internal',
      additionalAttributes: { disableX509SvidPrefetch: true, jwtSvidIncludeJti: true },
    });
    const { entry } = await create(given);
    assert.ok(entry);
    assert.ok(entry.createdAt > 0n);
    assert.deepEqual({ ...entry, createdAt: 0n, revisionNumber: 0n }, given);
    assert.equal(
      (await ask(admin, EntryService.getEntry, { id: 'chosen-id.1', outputMask: undefined })).admin,
      true,
    );
  });

  test('the output mask leaves out what it does not name; the ID stays', async () => {
    const { entry } = await create({ spiffeId: td('/masked') }, { ...NO_FIELDS, spiffeId: true });
    assert.ok(entry && entry.id !== '');
    assert.deepEqual(entry, {
      ...wireEntry({ id: entry.id, spiffeId: td('/masked'), parentId: undefined, selectors: [] }),
    });
  });

  test('admin does not become downstream under any mask', async () => {
    const { entry } = await create(
      { spiffeId: td('/flags'), admin: true },
      { ...NO_FIELDS, downstream: true },
    );
    assert.equal(entry?.downstream, false);
    assert.equal(entry?.admin, false);
  });

  const selectors = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ type: 'unix', value: `uid:${index}` }));
  const hostile: readonly (readonly [string, Partial<Entry>, number])[] = [
    ['256 selectors', { selectors: selectors(256) }, 0],
    ['257 selectors', { selectors: selectors(257) }, 3],
    ['10,000 selectors', { selectors: selectors(10_000) }, 3],
    ['no selectors', { selectors: [] }, 3],
    ['a selector twice', { selectors: [...selectors(1), ...selectors(1)] }, 3],
    ['a selector with a NUL', { selectors: [{ type: 'unix', value: 'a\0' }] }, 3],
    ['a selector of SQL', { selectors: [{ type: 'unix', value: "'; DROP TABLE entries;--" }] }, 0],
    ['no SPIFFE ID', { spiffeId: undefined }, 3],
    ['no parent ID', { parentId: undefined }, 3],
    ['a SPIFFE ID of 2,048 bytes', { spiffeId: td(`/${'a'.repeat(2048 - 21)}`) }, 0],
    ['a SPIFFE ID of 2,049 bytes', { spiffeId: td(`/${'a'.repeat(2049 - 21)}`) }, 3],
    [
      'a SPIFFE ID of another trust domain',
      { spiffeId: { trustDomain: 'other.test', path: '/a' } },
      3,
    ],
    ['a SPIFFE ID with dot segments', { spiffeId: td('/a/../b') }, 3],
    ['a SPIFFE ID with percent-encoding', { spiffeId: td('/a%2fb') }, 3],
    ['an agent ID as SPIFFE ID', { spiffeId: td('/spire/agent/join_token/x') }, 3],
    ['a negative lifetime', { x509SvidTtl: -1 }, 3],
    ['a negative expiry', { expiresAt: -1n }, 3],
    ['a DNS name with a space', { dnsNames: ['a b'] }, 3],
    ['a hint of 1,024 bytes', { hint: 'h'.repeat(1024), spiffeId: td('/hint') }, 0],
    ['a hint of 1,025 bytes', { hint: 'h'.repeat(1025) }, 3],
    ['an ID with a slash', { id: 'a/b' }, 3],
    ['a federated trust domain without a bundle', { federatesWith: ['unknown.test'] }, 9],
    ['a federated trust domain with a path', { federatesWith: ['spiffe://other.test/x'] }, 3],
  ];
  for (const [name, fields, code] of hostile) {
    test(`${code === 0 ? 'takes' : 'refuses'} ${name}`, async () => {
      const result = await create({ spiffeId: td('/hostile'), ...fields });
      assert.equal(result.status?.code, code, result.status?.message ?? '');
      assert.equal(result.entry === undefined, code !== 0);
    });
  }

  test('takes 2,000 entries in a batch and refuses 2,001 as a whole', async () => {
    const entries = (count: number) =>
      Array.from({ length: count }, (_, index) => wireEntry({ spiffeId: td(`/bulk/${index}`) }));
    const before = (await ask(admin, EntryService.countEntries, { filter: undefined })).count;
    const batch = (count: number) =>
      ask(admin, EntryService.batchCreateEntry, { entries: entries(count), outputMask: NO_FIELDS });
    await assertStatus(batch(2001), 'BATCH_TOO_LARGE');
    const { count } = await ask(admin, EntryService.countEntries, { filter: undefined });
    assert.equal(count, before);
    const { results } = await batch(2000);
    assert.ok(results.length === 2000 && results.every(({ status }) => status?.code === 0));
    const ids = results.map(({ entry }) => entry!.id);
    const deleted = await ask(admin, EntryService.batchDeleteEntry, { ids });
    assert.deepEqual(
      deleted.results.map(({ id }) => id),
      ids,
    );
  });
});

describe('BatchUpdateEntry', () => {
  test('raises the revision and replaces what the mask names, nothing else', async () => {
    const { entry } = await create({ spiffeId: td('/update/1'), hint: 'one', admin: true });
    assert.ok(entry);
    const changed = await update(
      { ...entry, hint: 'two', admin: false, selectors: [] },
      { ...NO_FIELDS, hint: true },
    );
    assert.equal(changed.status?.code, 0);
    assert.deepEqual(changed.entry, {
      ...entry,
      hint: 'two',
      revisionNumber: entry.revisionNumber + 1n,
    });
  });

  test('without a mask every field is replaced', async () => {
    const { entry } = await create({ spiffeId: td('/update/2'), hint: 'one', admin: true });
    assert.ok(entry);
    const changed = await update({ id: entry.id, spiffeId: td('/update/2b') });
    assert.equal(changed.entry?.hint, '');
    assert.equal(changed.entry?.admin, false);
    assert.equal(changed.entry?.spiffeId?.path, '/update/2b');
  });

  test('two items of one batch for the same entry both take effect, in order', async () => {
    const { entry } = await create({ spiffeId: td('/update/3') });
    assert.ok(entry);
    const request = {
      entries: [wireEntry({ ...entry, hint: 'a' }), wireEntry({ ...entry, hint: 'b' })],
      inputMask: { ...NO_FIELDS, hint: true },
      outputMask: undefined,
    };
    const { results } = await ask(admin, EntryService.batchUpdateEntry, request);
    assert.deepEqual(
      results.map((result) => [result.status?.code, result.entry?.hint]),
      [
        [0, 'a'],
        [0, 'b'],
      ],
    );
  });

  test('concurrent updates of different fields do not undo each other', async () => {
    const { entry } = await create({ spiffeId: td('/update/4') });
    assert.ok(entry);
    const results = await Promise.all([
      update({ ...entry, hint: 'kept' }, { ...NO_FIELDS, hint: true }),
      update({ ...entry, x509SvidTtl: 77 }, { ...NO_FIELDS, x509SvidTtl: true }),
      update({ ...entry, dnsNames: ['a.test'] }, { ...NO_FIELDS, dnsNames: true }),
    ]);
    assert.ok(results.every(({ status }) => status?.code === 0));
    const now = await ask(admin, EntryService.getEntry, { id: entry.id, outputMask: undefined });
    assert.deepEqual([now.hint, now.x509SvidTtl, now.dnsNames], ['kept', 77, ['a.test']]);
    assert.equal(now.revisionNumber, entry.revisionNumber + 3n);
  });

  test('refuses an unknown ID, a bad value and a twin of another entry', async () => {
    const { entry } = await create({ spiffeId: td('/update/5') });
    const { entry: other } = await create({ spiffeId: td('/update/6') });
    assert.ok(entry && other);
    assert.equal((await update({ id: 'none' })).status?.code, 5);
    assert.equal((await update({ ...entry, spiffeId: td('/spire/server') })).status?.code, 3);
    const twin = await update({ ...entry, spiffeId: td('/update/6') });
    assert.equal(twin.status?.code, 6);
    assert.equal(twin.entry?.id, other.id);
  });
});

describe('deleting, getting, counting and listing entries', () => {
  test('deleting answers OK, NotFound and the IDs in order', async () => {
    const { entry } = await create({ spiffeId: td('/delete') });
    const ids = [entry!.id, 'none', entry!.id];
    const { results } = await ask(admin, EntryService.batchDeleteEntry, { ids });
    assert.deepEqual(
      results.map(({ status, id }) => [status?.code, id]),
      [
        [0, ids[0]],
        [5, 'none'],
        [5, ids[2]],
      ],
    );
    await assertStatus(
      ask(admin, EntryService.getEntry, { id: ids[0]!, outputMask: undefined }),
      'ENTRY_NOT_FOUND',
    );
  });

  test('pages hold every entry once, and a filter holds', async () => {
    for (let index = 0; index < 5; index++) {
      await create({ spiffeId: td('/paged'), selectors: [{ type: 'x', value: `${index}` }] });
    }
    const filter = {
      bySpiffeId: td('/paged'),
      byParentId: undefined,
      bySelectors: undefined,
      byFederatesWith: undefined,
      byHint: undefined,
      byDownstream: undefined,
    };
    const seen: string[] = [];
    let pageToken = '';
    do {
      const page = await list({ filter, pageSize: 2, pageToken });
      assert.ok(page.entries.length <= 2);
      seen.push(...page.entries.map(({ id }) => id));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    assert.equal(new Set(seen).size, 5);
    assert.equal((await ask(admin, EntryService.countEntries, { filter })).count, 5);
    const bySelectors = { selectors: [{ type: 'x', value: '3' }], match: 0 as const };
    const exact = await list({ filter: { ...filter, bySelectors } });
    assert.equal(exact.entries.length, 1);
  });

  test('refuses a page token that it did not make, and empty or undefined matches', async () => {
    const filter = {
      bySpiffeId: undefined,
      byParentId: undefined,
      bySelectors: { selectors: [], match: 0 as const },
      byFederatesWith: undefined,
      byHint: undefined,
      byDownstream: undefined,
    };
    await assertStatus(list({ pageSize: 2, pageToken: 'nonsense!' }), 'PAGE_TOKEN');
    await assertStatus(list({ filter }), 'FIELD_MISSING');
    const undefinedMatch = { selectors: [{ type: 'a', value: 'b' }], match: 9 as 0 };
    await assertStatus(
      list({ filter: { ...filter, bySelectors: undefinedMatch } }),
      'FIELD_INVALID',
    );
  });
});

describe('entries of the calling agent', () => {
  /** The stock agent's mask (A.3.8). */
  const agentMask: EntryMask = {
    ...NO_FIELDS,
    spiffeId: true,
    selectors: true,
    federatesWith: true,
    admin: true,
    downstream: true,
    revisionNumber: true,
    storeSvid: true,
    hint: true,
    additionalAttributes: true,
    createdAt: true,
  };

  async function sync(client: Client, ids: (first: SyncAuthorizedEntriesResponse[]) => string[][]) {
    const call = open(client, EntryService.syncAuthorizedEntries);
    const answers = call[Symbol.asyncIterator]();
    call.write({ outputMask: agentMask, ids: [] });
    const first: SyncAuthorizedEntriesResponse[] = [];
    for (;;) {
      const { value, done } = await answers.next();
      if (done) break;
      first.push(value);
      if (!value.more && value.entryRevisions.length > 0) break;
      if (value.entryRevisions.length === 0) break;
    }
    const later: SyncAuthorizedEntriesResponse[][] = [];
    for (const asked of ids(first)) {
      call.write({ outputMask: undefined, ids: asked });
      const pages: SyncAuthorizedEntriesResponse[] = [];
      do pages.push((await answers.next()).value);
      while (pages.at(-1)!.more);
      later.push(pages);
    }
    call.end();
    return { first, later };
  }

  test('A.3.8 are those under it, down the tree, and no others', async () => {
    const agent = await server.attest();
    const other = await server.attest();
    const own = await server.register({ spiffeId: td('/tree/a'), parentId: td(agent.path) });
    const nested = await server.register({ spiffeId: td('/tree/b'), parentId: td('/tree/a') });
    await server.register({ spiffeId: td('/tree/c'), parentId: td(other.path) });
    const client = await server.tcp(agent);
    const { entries } = await ask(client, EntryService.getAuthorizedEntries, {
      outputMask: undefined,
    });
    assert.deepEqual(entries.map(({ id }) => id).sort(), [own.id, nested.id].sort());
    const synced = await sync(client, () => []);
    assert.equal(synced.first.length, 1);
    const [whole] = synced.first;
    assert.deepEqual(whole?.entryRevisions, []);
    assert.equal(whole?.more, false);
    assert.deepEqual(
      whole?.entries.map(({ id, parentId }) => [id, parentId]).sort(),
      [
        [own.id, undefined],
        [nested.id, undefined],
      ].sort(),
    );
  });

  test('A.3.7 more than 500: pages of revisions, then what is asked for, whole, in pages', async () => {
    const agent = await server.attest();
    const entries = Array.from({ length: 1201 }, (_, index) =>
      wireEntry({ spiffeId: td(`/many/${index}`), parentId: td(agent.path) }),
    );
    const created = await ask(admin, EntryService.batchCreateEntry, {
      entries,
      outputMask: NO_FIELDS,
    });
    const ids = created.results.map(({ entry }) => entry!.id);
    const { first, later } = await sync(await server.tcp(agent), () => [
      ids.slice(0, 500),
      ids,
      ['unknown', ids[0]!, ids[0]!],
    ]);
    assert.deepEqual(
      first.map(({ entryRevisions, entries: whole, more }) => [
        entryRevisions.length,
        whole.length,
        more,
      ]),
      [
        [500, 0, true],
        [500, 0, true],
        [201, 0, false],
      ],
    );
    assert.deepEqual(
      first.flatMap(({ entryRevisions }) => entryRevisions.map(({ id }) => id)).sort(),
      [...ids].sort(),
    );
    assert.deepEqual(
      later.map((pages) => pages.map((page) => [page.entries.length, page.more])),
      [
        [[500, false]],
        [
          [500, true],
          [500, true],
          [201, false],
        ],
        [[1, false]],
      ],
    );
  });

  test('refuses IDs in the first request, and a mask without revisions', async () => {
    const client = await server.tcp(await server.attest());
    for (const request of [
      { outputMask: undefined, ids: ['x'] },
      { outputMask: NO_FIELDS, ids: [] },
    ]) {
      const call = open(client, EntryService.syncAuthorizedEntries);
      call.write(request);
      await assertStatus(call.toArray(), 'SYNC_PROTOCOL');
    }
  });

  test('refuses a mask in a later request', async () => {
    const agent = await server.attest();
    const entries = Array.from({ length: 501 }, (_, index) =>
      wireEntry({ spiffeId: td(`/later/${index}`), parentId: td(agent.path) }),
    );
    await ask(admin, EntryService.batchCreateEntry, { entries, outputMask: NO_FIELDS });
    const call = open(await server.tcp(agent), EntryService.syncAuthorizedEntries);
    call.write({ outputMask: undefined, ids: [] });
    call.write({ outputMask: agentMask, ids: [] });
    await assertStatus(call.toArray(), 'SYNC_PROTOCOL');
  });

  test('an agent that is banned meanwhile is told nothing more on a stream that is open', async () => {
    const agent = await server.attest();
    const entries = Array.from({ length: 501 }, (_, index) =>
      wireEntry({ spiffeId: td(`/banned/${index}`), parentId: td(agent.path) }),
    );
    await ask(admin, EntryService.batchCreateEntry, { entries, outputMask: NO_FIELDS });
    const client = await server.tcp(agent);
    const asking = open(client, EntryService.syncAuthorizedEntries);
    const answers = asking[Symbol.asyncIterator]();
    asking.write({ outputMask: undefined, ids: [] });
    const revisions: SyncAuthorizedEntriesResponse[] = [];
    do revisions.push((await answers.next()).value);
    while (revisions.at(-1)!.more);
    const ids = [revisions[0]!.entryRevisions[0]!.id];
    asking.write({ outputMask: undefined, ids });
    assert.equal((await answers.next()).value.entries.length, 1);
    await ask(admin, AgentService.banAgent, { id: td(agent.path) });
    asking.write({ outputMask: undefined, ids });
    await assertStatus(answers.next(), 'AGENT_BANNED');
  });
});
