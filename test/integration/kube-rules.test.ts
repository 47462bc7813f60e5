import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { RuleService } from '../../src/gen/signet/rule/v1/rule.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { commands } from '../../src/main/commands.ts';
import { cli } from '../support/cli.ts';
import { FakeKube } from '../support/fake-kube.ts';
import { ask, assertStatus, type TestAgent, TestServer } from '../support/server.ts';
import { makeCsr, makeKey } from '../support/x509.ts';

const PODS = '/api/v1/pods';
const RULES = '/apis/spire.spiffe.io/v1alpha1/clusterspiffeids';
const TEMPLATE = 'spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/{{ .PodMeta.Name }}';
const all = { filter: undefined, outputMask: undefined, pageSize: 0, pageToken: '' };

function pod(name: string, nodeName = 'node-a'): object {
  return { metadata: { name, namespace: 'shop', labels: { app: name } }, spec: { nodeName } };
}

/** A fake cluster with a node, a namespace, a rule and a pod. */
async function cluster(context: TestContext): Promise<FakeKube> {
  const fake = await FakeKube.start();
  context.after(() => fake.stop());
  fake.put('/api/v1/nodes', { metadata: { name: 'node-a' }, spec: {} });
  fake.put('/api/v1/namespaces', { metadata: { name: 'shop', labels: {} } });
  fake.put(RULES, { metadata: { name: 'all' }, spec: { spiffeIDTemplate: TEMPLATE } });
  fake.put(PODS, pod('web'));
  return fake;
}

/** A server whose agent, by its token, is that of every node. */
async function serverOf(fake: FakeKube, parentIdTemplate?: string): Promise<TestServer> {
  const rules = parentIdTemplate === undefined ? {} : { parentIdTemplate };
  const clusters = [{ name: 'rack', kubeconfigPath: fake.kubeconfigPath, rules }];
  return TestServer.start({ kubernetes: { clusters } });
}

async function until(server: TestServer, paths: readonly string[]): Promise<void> {
  for (;;) {
    const { entries } = await ask(server.admin(), EntryService.listEntries, all);
    const now = entries.map(({ spiffeId }) => spiffeId?.path).sort();
    if (JSON.stringify(now) === JSON.stringify(paths)) return;
    await pause(20);
  }
}

async function authorized(server: TestServer, agent: TestAgent): Promise<readonly string[]> {
  const client = await server.tcp(agent);
  const answer = await ask(client, EntryService.getAuthorizedEntries, { outputMask: undefined });
  return answer.entries.map(({ spiffeId }) => spiffeId?.path ?? '');
}

test('an agent waits for its derived entries rather than lose them, and gets SVIDs of them', async (context) => {
  const fake = await cluster(context);
  const { promise: listed, resolve: list } = Promise.withResolvers<void>();
  fake.fault = ({ path, query }) =>
    path === PODS && !query.has('watch') ? { after: listed } : undefined;
  const server = await serverOf(fake, 'spiffe://example.org/spire/agent/{{ .NodeMeta.Name }}');
  const agent = await server.attest();
  const csr = Buffer.from(makeCsr({ key: makeKey() }));
  const signed = async (entryId: string) => {
    const request = { params: [{ entryId, csr }] };
    return ask(await server.tcp(agent), SVIDService.batchNewX509Svid, request);
  };
  await assertStatus(authorized(server, agent), 'ENTRIES_PENDING');
  const early = await signed('derived.0');
  assert.equal(early.results[0]?.status?.code, 14, 'not found would make it drop what it has');
  const request = { cluster: '', namespace: 'shop', name: 'web' };
  await assertStatus(ask(server.admin(), RuleService.explainPod, request), 'RULES_PENDING');
  list();
  fake.fault = () => undefined;
  await until(server, ['/ns/shop/web']);
  assert.deepEqual(await authorized(server, agent), []);
  await server.stop();
});

test('the agent of a node has the entries of its pods, and no others', async (context) => {
  const fake = await cluster(context);
  const server = await serverOf(
    fake,
    'spiffe://example.org/spire/agent/join_token/{{ index .NodeMeta.Labels "token" }}',
  );
  const agent = await server.attest();
  const other = await server.attest();
  for (const [name, { token }] of Object.entries({ 'node-a': agent, 'node-b': other })) {
    fake.put('/api/v1/nodes', { metadata: { name, labels: { token } }, spec: {} });
  }
  fake.put(PODS, pod('db', 'node-b'));
  await until(server, ['/ns/shop/db', '/ns/shop/web']);
  const { entries } = await ask(server.admin(), EntryService.listEntries, all);
  const idOf = (path: string): string =>
    entries.find(({ spiffeId }) => spiffeId?.path === path)?.id ?? '';
  for (;;) {
    if ((await authorized(server, agent)).includes('/ns/shop/web')) break;
    await pause(20);
  }
  assert.deepEqual(await authorized(server, agent), ['/ns/shop/web']);
  assert.deepEqual(await authorized(server, other), ['/ns/shop/db']);
  const csr = Buffer.from(makeCsr({ key: makeKey() }));
  const params = [idOf('/ns/shop/web'), idOf('/ns/shop/db')].map((entryId) => ({ entryId, csr }));
  const client = await server.tcp(agent);
  const { results } = await ask(client, SVIDService.batchNewX509Svid, { params });
  assert.deepEqual(
    results.map(({ status }) => status?.code),
    [0, 5],
  );
  fake.remove(PODS, 'shop/web');
  await until(server, ['/ns/shop/db']);
  const again = await ask(client, SVIDService.batchNewX509Svid, { params });
  assert.equal(again.results[0]?.status?.code, 5);
  await server.stop();
});

test('what happened while a watch was away is made up for', async (context) => {
  const fake = await cluster(context);
  const server = await serverOf(fake);
  await until(server, ['/ns/shop/web']);
  await fake.whenWatching(8);
  fake.fault = ({ query }) => (query.has('watch') ? { status: 503 } : undefined);
  fake.endWatches('reset');
  fake.remove(PODS, 'shop/web');
  fake.put(PODS, pod('db'));
  fake.compact();
  fake.fault = () => undefined;
  await until(server, ['/ns/shop/db']);
  await server.stop();
});

test('a cluster that knows none of our kinds keeps nobody waiting', async (context) => {
  const fake = await cluster(context);
  fake.fault = ({ path }) => (path.startsWith('/apis/signet.dev/') ? { status: 404 } : undefined);
  const server = await serverOf(fake);
  await until(server, ['/ns/shop/web']);
  await server.stop();
});

test('of very many rules, those that are about a pod are told', async (context) => {
  const fake = await cluster(context);
  for (let index = 0; index < 1500; index += 1) {
    const podSelector = { matchLabels: { app: `x${index}` } };
    const spec = { spiffeIDTemplate: TEMPLATE, podSelector };
    fake.put(RULES, { metadata: { name: `r${index}` }, spec });
  }
  const server = await serverOf(fake);
  await until(server, ['/ns/shop/web']);
  const request = { cluster: 'rack', namespace: 'shop', name: 'web' };
  const { rules, leftOut } = await ask(server.admin(), RuleService.explainPod, request);
  assert.deepEqual([rules.length, leftOut], [1000, 501]);
  assert.equal(rules[0]?.verdict, 'in-force');
  await server.stop();
});

test('a pod is explained to people and to programs', async (context) => {
  const fake = await cluster(context);
  fake.put(RULES, {
    metadata: { name: 'gold' },
    spec: {
      spiffeIDTemplate: TEMPLATE,
      podSelector: { matchExpressions: [{ key: 'tier', operator: 'In', values: ['gold'] }] },
    },
  });
  fake.put(RULES, { metadata: { name: 'bad' }, spec: { spiffeIDTemplate: '{{ .Nope }}' } });
  const server = await serverOf(fake);
  await until(server, ['/ns/shop/web']);
  const env = { SIGNET_SERVER_SOCKET: server.config.adminSocket.path };
  const explain = (...argv: string[]) => cli(commands, ['rule', 'explain', ...argv], { env });
  const text = await explain('pod/shop/web');
  assert.equal(text.code, 0, text.err);
  for (const said of [
    /Rule +: ClusterSPIFFEID\/all\n *Verdict +: in-force/,
    /But +: no agent spiffe:\/\/example\.org\/spire\/agent\/k8s_psat\/rack\/\S+ has attested/,
    /Verdict +: failed\n *Why +: TEMPLATE_VALUE: spec\.spiffeIDTemplate: line 1/,
    /pod: label tier is not there: In \(gold\)/,
  ]) {
    assert.match(text.out, said);
  }
  const json = await explain('shop/web', '-o', 'json', '--cluster', 'rack');
  const verdicts = JSON.parse(json.out).rules.map(({ verdict }: { verdict: string }) => verdict);
  assert.deepEqual(verdicts, ['in-force', 'failed', 'not-selected']);
  const shown = await cli(commands, ['entry', 'show'], { env });
  assert.match(shown.out, /Derived from +: ClusterSPIFFEID\/all, pod shop\/web/);
  assert.equal((await explain('pod/shop/gone')).code, 1);
  assert.equal((await explain('shop/web', '--cluster', 'other')).code, 1);
  for (const wrong of [[], ['web'], ['pod/shop/'], ['a/b', 'c/d']]) {
    assert.equal((await explain(...wrong)).code, 2, wrong.join(' '));
  }
  const { entries } = await ask(server.admin(), EntryService.listEntries, all);
  const ids = entries.map(({ id }) => id);
  const removed = await ask(server.admin(), EntryService.batchDeleteEntry, { ids });
  assert.equal(removed.results[0]?.status?.code, 9);
  await server.stop();
});

test('a stored entry and a derived one that say the same are both served, each until it is gone', async (context) => {
  const fake = await cluster(context);
  const server = await serverOf(
    fake,
    'spiffe://example.org/spire/agent/join_token/{{ index .NodeMeta.Labels "token" }}',
  );
  const agent = await server.attest();
  fake.put('/api/v1/nodes', { metadata: { name: 'node-a', labels: { token: agent.token } } });
  await until(server, ['/ns/shop/web']);
  const served = async (paths: readonly string[]): Promise<void> => {
    while (JSON.stringify(await authorized(server, agent)) !== JSON.stringify(paths)) {
      await pause(20);
    }
  };
  await served(['/ns/shop/web']);
  const { entries } = await ask(server.admin(), EntryService.listEntries, all);
  const [derived = assert.fail()] = entries;
  const { spiffeId, parentId, selectors } = derived;
  const stored = await server.register({ spiffeId, parentId, selectors });
  assert.notEqual(stored.id, derived.id);
  await served(['/ns/shop/web', '/ns/shop/web']);
  // The rule takes its own away, and no other.
  fake.remove(RULES, 'all');
  await served(['/ns/shop/web']);
  const left = await ask(server.admin(), EntryService.listEntries, all);
  assert.deepEqual(
    left.entries.map(({ id }) => id),
    [stored.id],
  );
  fake.put(RULES, { metadata: { name: 'all' }, spec: { spiffeIDTemplate: TEMPLATE } });
  await served(['/ns/shop/web', '/ns/shop/web']);
  await ask(server.admin(), EntryService.batchDeleteEntry, { ids: [stored.id] });
  await served(['/ns/shop/web']);
  const last = await ask(server.admin(), EntryService.listEntries, all);
  assert.deepEqual(
    last.entries.map(({ id }) => id),
    [derived.id],
  );
  await server.stop();
});

test('what is explained cannot steer a terminal, whoever wrote the rule or asks', async (context) => {
  const fake = await cluster(context);
  const hostile = 'x\u001b]0;owned\u0007\u202e\r\nVerdict : in-force';
  fake.put(RULES, { metadata: { name: hostile }, spec: { spiffeIDTemplate: '{{ nope }}' } });
  fake.put(RULES, { metadata: { name: 'text' }, spec: { spiffeIDTemplate: `{{ "${hostile}` } });
  fake.put(RULES, { metadata: { name: 'class' }, spec: { className: hostile } });
  const server = await serverOf(fake);
  await until(server, ['/ns/shop/web']);
  const env = { SIGNET_SERVER_SOCKET: server.config.adminSocket.path };
  const explain = (...argv: string[]) => cli(commands, ['rule', 'explain', ...argv], { env });
  // Controls but the end of a line, and what turns the order of characters.
  const steering = /(?!\n)[\p{Cc}\p{Bidi_Control}]/u;
  assert.match(hostile, steering);
  for (const argv of [['shop/web'], ['shop/web', '-o', 'json']]) {
    const shown = await explain(...argv);
    assert.equal(shown.code, 0, shown.err);
    assert.match(shown.out, /owned/);
    assert.doesNotMatch(shown.out, steering);
    assert.doesNotMatch(shown.out, /^Verdict : in-force$/m);
  }
  const names = [
    hostile,
    '__proto__',
    'constructor',
    '..',
    'a'.repeat(100_000),
    '%2e%2e',
    '\ud800',
  ];
  for (const name of names) {
    const shown = await explain(`pod/shop/${name}`);
    assert.ok(shown.code === 1 || shown.code === 2, name.slice(0, 40));
    assert.doesNotMatch(shown.err, steering);
    assert.ok(shown.err.length < 2_000, `${shown.err.length}`);
  }
  await server.stop();
});
