import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { RuleService } from '../../src/gen/signet/rule/v1/rule.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import type { Entry as WireEntry } from '../../src/gen/spire/api/types/entry.ts';
import { commands } from '../../src/main/commands.ts';
import { cli } from '../support/cli.ts';
import { ask, assertStatus, TestServer, wireEntry } from '../support/server.ts';
import { needsShared } from '../support/shared.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';

const CRDS = 'charts/signet-crds/files';

const OBJECTS = `
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { team: shop } }
---
apiVersion: v1
kind: Namespace
metadata: { name: signet }
---
apiVersion: v1
kind: Node
metadata: { name: node-a }
---
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterSPIFFEID
metadata: { name: all }
spec:
  spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}"
  namespaceSelector: { matchLabels: { team: shop } }
  ttl: 1h
---
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterSPIFFEID
metadata: { name: broken }
spec: { spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ index .PodMeta.Finalizers 0 }}" }
---
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterSPIFFEID
metadata: { name: theirs }
spec: { spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/x", className: theirs }
---
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterStaticEntry
metadata: { name: tool }
spec:
  spiffeID: spiffe://example.org/tool
  parentID: spiffe://example.org/spire/agent/x
  selectors: ["unix:uid:0"]
---
apiVersion: signet.dev/v1alpha1
kind: WorkloadIdentityGrant
metadata: { name: tenants }
spec: { pathPrefix: "/tenant/{{ .PodMeta.Namespace }}", namespaceSelector: { matchLabels: { team: shop } } }
---
apiVersion: signet.dev/v1alpha1
kind: WorkloadIdentity
metadata: { name: web, namespace: shop }
spec: { spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/tenant/shop/web", podSelector: { matchLabels: { app: web } } }
`;

const pod = (name: string, labels = '{}'): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: ${labels} }
spec:
  nodeName: node-a
  automountServiceAccountToken: false
  containers: [{ name: c, image: none }]
`;

describe('rules on a real API server', needsShared('rig/kube.sh'), () => {
  let rig: KubeRig;
  let server: TestServer;

  before(async () => {
    rig = await startKubeRig();
    for (const file of readdirSync(CRDS)) {
      await rig.kubectl(['apply', '-f', '-'], readFileSync(join(CRDS, file), 'utf8'));
    }
    await rig.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
    await rig.kubectl(['apply', '-f', '-'], OBJECTS);
    const status = { leaseNamespace: 'signet' };
    const cluster = { name: 'rack', kubeconfigPath: rig.kubeconfig, rules: { status } };
    server = await TestServer.start({ kubernetes: { clusters: [cluster] } });
  });
  after(async () => {
    await server?.stop();
    await rig?.stop();
  });

  async function entries(): Promise<readonly WireEntry[]> {
    const request = { filter: undefined, outputMask: undefined, pageSize: 0, pageToken: '' };
    return (await ask(server.admin(), EntryService.listEntries, request)).entries;
  }

  /** The entries, once their paths are these. */
  async function until(paths: readonly string[]): Promise<readonly WireEntry[]> {
    for (;;) {
      const found = await entries();
      const now = found.map(({ spiffeId }) => spiffeId?.path).sort();
      if (JSON.stringify(now) === JSON.stringify(paths)) return found;
      await pause(50);
    }
  }

  it('give pods their entries, and take them back with the pod', async () => {
    await until(['/tool']);
    await rig.kubectl(['apply', '-f', '-'], pod('web', '{ app: web }'));
    const found = await until(['/ns/shop/sa/default', '/tenant/shop/web', '/tool']);
    const uid = await rig.kubectl([
      'get',
      'pod',
      '-n',
      'shop',
      'web',
      '-o',
      'jsonpath={.metadata.uid}',
    ]);
    const node = await rig.kubectl(['get', 'node', 'node-a', '-o', 'jsonpath={.metadata.uid}']);
    const entry = found.find(({ spiffeId }) => spiffeId?.path === '/ns/shop/sa/default');
    assert.deepEqual(entry?.selectors, [{ type: 'k8s', value: `pod-uid:${uid}` }]);
    assert.equal(entry.parentId?.path, `/spire/agent/k8s_psat/rack/${node}`);
    assert.equal(entry.x509SvidTtl, 3600);
    await rig.kubectl(['delete', 'pod', '-n', 'shop', 'web', '--force', '--grace-period=0']);
    await until(['/tool']);
  });

  it('follow labels of pods and namespaces, and changes of rules', async () => {
    await rig.kubectl(['apply', '-f', '-'], pod('web'));
    await until(['/ns/shop/sa/default', '/tool']);
    await rig.kubectl(['label', 'pod', '-n', 'shop', 'web', 'app=web']);
    await until(['/ns/shop/sa/default', '/tenant/shop/web', '/tool']);
    await rig.kubectl(['label', 'namespace', 'shop', 'team-']);
    await until(['/tool']);
    await rig.kubectl(['label', 'namespace', 'shop', 'team=shop']);
    await until(['/ns/shop/sa/default', '/tenant/shop/web', '/tool']);
    const patch = '{"spec":{"spiffeIDTemplate":"spiffe://example.org/new"}}';
    await rig.kubectl(['patch', 'clusterspiffeid', 'all', '--type=merge', '-p', patch]);
    await until(['/new', '/tenant/shop/web', '/tool']);
    await rig.kubectl(['delete', 'clusterspiffeid', 'all']);
    await until(['/tenant/shop/web', '/tool']);
    await rig.kubectl(['apply', '-f', '-'], OBJECTS);
    await until(['/ns/shop/sa/default', '/tenant/shop/web', '/tool']);
  });

  it('are explained, to the CLI too', async () => {
    const request = { cluster: '', namespace: 'shop', name: 'web' };
    const { rules } = await ask(server.admin(), RuleService.explainPod, request);
    const verdicts = rules.map(({ rule, verdict }) => `${rule?.name} ${verdict}`);
    assert.deepEqual(verdicts, [
      'all in-force',
      'web in-force',
      'broken failed',
      'theirs other-class',
    ]);
    assert.match(rules[0]?.obstacles[0] ?? '', /no agent .* has attested/);
    assert.match(rules[2]?.reason ?? '', /TEMPLATE_VALUE: spec\.spiffeIDTemplate: line 1/);
    const env = { SIGNET_SERVER_SOCKET: server.config.adminSocket.path };
    const shown = await cli(commands, ['rule', 'explain', 'pod/shop/web'], { env });
    assert.equal(shown.code, 0, shown.err);
    assert.match(shown.out, /ClusterSPIFFEID\/all/);
    assert.match(shown.out, /spiffe:\/\/example\.org\/ns\/shop\/sa\/default/);
    assert.match(shown.out, /className is "theirs"/);
    const json = await cli(commands, ['rule', 'explain', 'shop/web', '-o', 'json'], { env });
    assert.equal(JSON.parse(json.out).rules.length, 4);
    const list = await cli(commands, ['entry', 'show'], { env });
    assert.match(list.out, /Derived from +: ClusterSPIFFEID\/all, pod shop\/web/);
    await assertStatus(
      ask(server.admin(), RuleService.explainPod, { ...request, name: 'gone' }),
      'POD_NOT_FOUND',
    );
    await assertStatus(
      ask(server.admin(), RuleService.explainPod, { ...request, cluster: 'other' }),
      'RULE_CLUSTER',
    );
  });

  it('give entries that operators cannot change', async () => {
    const [entry] = (await entries()).filter(({ id }) => id.startsWith('derived.'));
    assert.ok(entry);
    const masks = { inputMask: undefined, outputMask: undefined };
    const updated = await ask(server.admin(), EntryService.batchUpdateEntry, {
      entries: [wireEntry(entry)],
      ...masks,
    });
    assert.match(updated.results[0]?.status?.message ?? '', /is derived from/);
    const { results } = await ask(server.admin(), EntryService.batchDeleteEntry, {
      ids: [entry.id],
    });
    assert.equal(results[0]?.status?.code, 9);
  });

  it('have a status that says what they do, and which goes wrong', async () => {
    const field = async (kind: string, name: string, path: string): Promise<string> =>
      rig.kubectl(['get', kind, '-n', 'shop', name, '-o', `jsonpath={${path}}`]);
    const settled = async (
      kind: string,
      name: string,
      path: string,
      wanted: RegExp,
    ): Promise<void> => {
      while (!wanted.test(await field(kind, name, path))) await pause(200);
    };
    await settled('clusterspiffeid', 'all', '.status.stats.entriesToSet', /^1$/);
    await settled('clusterspiffeid', 'broken', '.status.stats.podEntryRenderFailures', /^[1-9]/);
    await settled(
      'clusterspiffeid',
      'broken',
      '.status.conditions[0].message',
      /index out of range/,
    );
    await settled('clusterstaticentry', 'tool', '.status', /"set":true/);
    await settled('workloadidentity', 'web', '.status.conditions[0].status', /^True$/);
    assert.equal(await field('clusterspiffeid', 'theirs', '.status'), '');
  });

  it('are the same after a restart of the server, IDs and revisions too', async () => {
    const key = ({ id, revisionNumber }: WireEntry): string => `${id} ${revisionNumber}`;
    const paths = ['/ns/shop/sa/default', '/tenant/shop/web', '/tool'];
    const earlier = (await until(paths)).map(key);
    await server.restart();
    assert.deepEqual((await until(paths)).map(key), earlier);
  });
});
