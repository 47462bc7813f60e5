import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startAgent } from '../../agent/agent.ts';
import { agentConfigSchema } from '../../agent/config.ts';
import { RuleService } from '../../src/gen/signet/rule/v1/rule.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import type { X509SVIDResponse } from '../../src/gen/workload.ts';
import { numberAt, textAt } from '../../src/kube/objects.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { FakeKube } from '../support/fake-kube.ts';
import { assertValue } from '../support/refused.ts';
import { ask, TestServer } from '../support/server.ts';
import { Reading, securityHeader, testFolder, workloadClient } from '../support/workload-api.ts';

const PODS = '/api/v1/pods';
const RULES = '/apis/spire.spiffe.io/v1alpha1/clusterspiffeids';
const OWNED = '/apis/signet.dev/v1alpha1/workloadidentities';
const GRANTS = '/apis/signet.dev/v1alpha1/workloadidentitygrants';
const TEMPLATE = 'spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/{{ .PodMeta.Name }}';
const NODES = 50;

function pod(name: string, index: number): object {
  const labels = { app: name, 'kueue.x-k8s.io/queue-name': `q${index % 10}` };
  return {
    metadata: { name, namespace: 'shop', labels },
    spec: { nodeName: `node-${index % NODES}`, serviceAccountName: 'default' },
    status: { phase: 'Pending' },
  };
}

/** As long as it takes: much is done by one process. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await pause(50);
}

/** A fake cluster with nodes, a namespace and a rule for all pods, and a server that watches it. */
async function field(context: TestContext, prepare: (fake: FakeKube) => void = () => {}) {
  const fake = await FakeKube.start();
  context.after(() => fake.stop());
  for (let index = 0; index < NODES; index += 1) {
    fake.put('/api/v1/nodes', { metadata: { name: `node-${index}` }, spec: {} });
  }
  fake.put('/api/v1/namespaces', { metadata: { name: 'shop', labels: { team: 'shop' } } });
  fake.put(RULES, { metadata: { name: 'all' }, spec: { spiffeIDTemplate: TEMPLATE } });
  prepare(fake);
  const rules = { status: { leaseNamespace: 'signet' } };
  const cluster = { name: 'rack', kubeconfigPath: fake.kubeconfigPath, rules };
  const server = await TestServer.start({ kubernetes: { clusters: [cluster] } });
  const admin = server.admin();
  const count = async (): Promise<number> =>
    (await ask(admin, EntryService.countEntries, { filter: undefined })).count;
  return { fake, server, admin, count };
}

/** An agent of the server with one workload: us. Answers a way to ask it for an SVID. */
async function startedAgent(context: TestContext, server: TestServer) {
  const dir = testFolder(context);
  mkdirSync(join(dir, 'w'));
  writeFileSync(join(dir, 'bundle.pem'), await server.bundlePem());
  const token = await server.token();
  const config = agentConfigSchema.parse({
    trustDomain: 'example.org',
    dataDir: join(dir, 'agent'),
    server: { address: '127.0.0.1', port: server.running.port },
    bootstrap: { bundlePath: join(dir, 'bundle.pem') },
    join: { token },
    startupGrace: '2m',
    workloadSocket: { path: join(dir, 'w/api.sock') },
  });
  await server.register({
    parentId: { trustDomain: 'example.org', path: `/spire/agent/join_token/${token}` },
    spiffeId: { trustDomain: 'example.org', path: '/tool' },
    selectors: [{ type: 'unix', value: `uid:${process.geteuid?.()}` }],
  });
  const agent = assertValue(await startAgent(config, { log: createLogger({ level: 'silent' }) }));
  context.after(() => agent.stop('test is over'));
  const { api } = workloadClient(context, config.workloadSocket.path);
  return async (): Promise<string> => {
    const stream = new Reading<X509SVIDResponse>(api.fetchX509Svid({}, securityHeader()));
    const message = await stream.message(1);
    stream.cancel();
    return message.svids[0]?.spiffeId ?? '';
  };
}

test('5,000 pods that appear at once get their entries, and others are answered meanwhile', async (context) => {
  const { fake, server, count } = await field(context);
  const fetch = await startedAgent(context, server);
  assert.equal(await fetch(), 'spiffe://example.org/tool');
  const before = await count();
  await fake.whenWatching(8);
  const total = 5_000;
  for (let index = 0; index < total; index += 1) fake.put(PODS, pod(`p${index}`, index));
  const seen: number[] = [];
  let fetched = 0;
  for (;;) {
    const made = (await count()) - before;
    seen.push(made);
    if (made === total) break;
    assert.equal(await fetch(), 'spiffe://example.org/tool');
    fetched += 1;
  }
  const between = seen.filter((made) => made > 0 && made < total).length;
  context.diagnostic(`${seen.length} counts, ${between} of them in between, ${fetched} SVIDs`);
  assert.ok(between > 0, 'nobody was answered while entries were made');
  // They go at once, too.
  for (let index = 0; index < total; index += 1) fake.remove(PODS, `shop/p${index}`);
  await until(async () => (await count()) === before);
  const { agents } = await ask(server.admin(), AgentService.listAgents, {
    filter: undefined,
    outputMask: undefined,
    pageSize: 0,
    pageToken: '',
  });
  assert.equal(agents.length, 1);
  await server.stop();
});

test('of 10,000 objects of rules each does what it says, and a broken one says what is wrong', async (context) => {
  const { fake, server, count } = await field(context, (kube) => {
    const broken = 'spiffe://{{ .TrustDomain }}/{{ index .PodMeta.Finalizers 0 }}';
    kube.put(RULES, { metadata: { name: 'broken' }, spec: { spiffeIDTemplate: broken } });
    for (let index = 0; index < 4_000; index += 1) {
      const podSelector = { matchLabels: { app: `p${index}` } };
      const spiffeIDTemplate = `spiffe://example.org/by-rule/${index}`;
      kube.put(RULES, { metadata: { name: `r${index}` }, spec: { spiffeIDTemplate, podSelector } });
    }
    for (let index = 0; index < 4_000; index += 1) {
      const podSelector = { matchLabels: { app: `p${index}` } };
      const spiffeIDTemplate = `spiffe://example.org/tenant/shop/${index}`;
      const metadata = { name: `w${index}`, namespace: 'shop' };
      kube.put(OWNED, { metadata, spec: { spiffeIDTemplate, podSelector } });
    }
    for (let index = 0; index < 2_000; index += 1) {
      const namespaceSelector = { matchLabels: { team: index === 7 ? 'shop' : `team-${index}` } };
      const spec = { pathPrefix: '/tenant/{{ .PodMeta.Namespace }}', namespaceSelector };
      kube.put(GRANTS, { metadata: { name: `g${index}` }, spec });
    }
    for (let index = 0; index < 100; index += 1) kube.put(PODS, pod(`p${index}`, index));
  });
  // Each pod has an entry of the rule for all, one of its own rule, one of its WorkloadIdentity.
  await until(async () => (await count()) === 300);
  const request = { cluster: '', namespace: 'shop', name: 'p42' };
  const { rules } = await ask(server.admin(), RuleService.explainPod, request);
  assert.deepEqual(
    rules.slice(0, 4).map(({ rule, verdict }) => `${rule?.name} ${verdict}`),
    ['all in-force', 'r42 in-force', 'w42 in-force', 'broken failed'],
  );
  const broken = () => fake.object(RULES, 'broken') ?? {};
  await until(async () => numberAt(broken(), 'status', 'stats', 'podEntryRenderFailures') === 100);
  assert.match(JSON.stringify(broken().status), /index out of range/);
  assert.equal(textAt(fake.object(RULES, 'r42') ?? {}, 'metadata', 'name'), 'r42');
  await server.stop();
});
