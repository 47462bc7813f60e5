import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type RunningAgent, startAgent } from '../../agent/agent.ts';
import { agentConfigSchema } from '../../agent/config.ts';
import { RevocationService } from '../../src/gen/signet/revocation/v1/revocation.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { commands } from '../../src/main/commands.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { cli } from '../support/cli.ts';
import { KubeFaultProxy, type ProxyFault } from '../support/kube-fault-proxy.ts';
import { soon } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import { ask, TestServer } from '../support/server.ts';
import { needsShared } from '../support/shared.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';
import {
  answered,
  certifiedPod,
  claimOf,
  outcomeOf,
  prepare,
  requestObject,
  running,
  verified,
} from './pod-requests.ts';

/** Beside what requests for certificates need: what agents attest with, and a node without a kubelet. */
const OBJECTS = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: signet-psat }
rules:
- { apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create] }
- { apiGroups: [""], resources: [pods, nodes], verbs: [get] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: signet-psat }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: signet-psat }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: User, name: signet }]
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: agent, namespace: signet }
---
apiVersion: v1
kind: Node
metadata: { name: node-bare }
`;

const AGENT_POD = `
apiVersion: v1
kind: Pod
metadata: { name: agent, namespace: signet }
spec:
  nodeName: node-a
  serviceAccountName: agent
  containers: [{ name: c, image: none }]
`;

const KEY = 'keyType: ECDSAP256';
const BARE = '  nodeName: node-bare';
const PODS = '/api/v1/pods';
const LEASE = ['lease', '-n', 'signet', 'signet-pod-certificates'];
const all = { filter: undefined, outputMask: undefined, pageSize: 0, pageToken: '' };

describe('with faults of a real API server,', needsShared('rig/kube.sh'), () => {
  let rig: KubeRig;
  let proxy: KubeFaultProxy;
  let server: TestServer;
  let dir: string;
  let agent: RunningAgent | undefined;
  const others: TestServer[] = [];

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sgn-kube-faults-'));
    rig = await startKubeRig();
    await prepare(rig);
    await rig.kubectl(['apply', '-f', '-'], OBJECTS);
    await rig.node('node-a');
    await rig.kubectl(['create', '-f', '-'], AGENT_POD);
    proxy = await KubeFaultProxy.start(await rig.user('signet'));
  });
  after(async () => {
    await agent?.stop('test is over');
    for (const one of [server, ...others]) await one?.stop();
    await proxy?.stop();
    await rig?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  function startServer(kubeconfigPath: string, requireAttestedNode = true): Promise<TestServer> {
    const cluster = {
      name: 'rack',
      kubeconfigPath,
      requireAttestedNode,
      podCertificates: { signerDomain: 'signet.test', leaseNamespace: 'signet', grace: '2s' },
    };
    const psat = { name: 'rack', kubeconfigPath, serviceAccounts: ['signet:agent'] };
    return TestServer.start({
      kubernetes: { clusters: [cluster] },
      attestation: { k8sPsat: { clusters: [psat] } },
      telemetry: { port: 0 },
      ledger: { checkpointInterval: '100ms' },
    });
  }

  /** Entries of the server, each by the pod's UID. */
  async function entries(of = server): Promise<ReadonlyMap<string, string>> {
    const { entries } = await ask(of.admin(), EntryService.listEntries, all);
    return new Map(entries.map(({ selectors: [first], id }) => [first?.value ?? '', id]));
  }

  async function hasEntry(podUid: string): Promise<boolean> {
    return (await entries()).has(`pod-uid:${podUid}`);
  }

  async function staleSeconds(): Promise<number> {
    const where = `http://127.0.0.1:${server.running.telemetryPort}/metrics`;
    const text = await (await fetch(where)).text();
    const line = /kube_watch_stale_seconds\{cluster="rack",resource="pods"\} (\S+)/.exec(text);
    return Number(line?.[1]);
  }

  async function isListening(): Promise<boolean> {
    return (await staleSeconds()) === 0;
  }

  /** Makes a pod on the node without a kubelet, so that nobody but we look at it; answers its UID. */
  function createPod(name: string, where = BARE): Promise<string> {
    const create = ['create', '-o', 'jsonpath={.metadata.uid}', '-f', '-'];
    return rig.kubectl(create, certifiedPod(name, KEY, undefined, where));
  }

  async function request(name: string, claim: object): Promise<void> {
    await rig.kubectl(['create', '-f', '-'], JSON.stringify(requestObject(name, { ...claim })));
  }

  /** Certificates that the ledger of a server has for a pod. */
  async function signedFor(of: TestServer, podUid = ''): Promise<number> {
    const argv = ['ledger', 'search', '--data-dir', join(of.dir, 'data'), '--pod-uid', podUid];
    const found = await cli(commands, [...argv, '-o', 'json'], { env: {} });
    assert.equal(found.code, 0, found.err);
    return JSON.parse(found.out).length;
  }

  function psatConfig(tokenPath: string) {
    return agentConfigSchema.parse({
      trustDomain: 'example.org',
      dataDir: join(dir, 'agent'),
      server: { address: '127.0.0.1', port: server.running.port },
      bootstrap: { bundlePath: join(dir, 'bundle.pem') },
      attestation: { k8sPsat: { cluster: 'rack', tokenPath } },
      workloadSocket: { path: join(dir, 'w/api.sock') },
    });
  }

  it('a server starts while it is away, and does what there is to do when it comes', async () => {
    proxy.down();
    const early = await createPod('early');
    server = await startServer(proxy.kubeconfigPath);
    assert.equal((await entries()).size, 0);
    await soon(async () => (await staleSeconds()) > 0);
    proxy.up();
    await soon(() => hasEntry(early));
    await soon(isListening);
  });

  it('a pod on an attested node has a certificate, and one on a node that is not has none', async () => {
    const token = await rig.kubectl([
      ...['create', 'token', 'agent', '-n', 'signet', '--audience', 'spire-server'],
      ...['--bound-object-kind', 'Pod', '--bound-object-name', 'agent'],
    ]);
    writeFileSync(join(dir, 'token'), token.trim());
    writeFileSync(join(dir, 'bundle.pem'), await server.bundlePem());
    agent = assertValue(
      await startAgent(psatConfig(join(dir, 'token')), { log: createLogger({ level: 'silent' }) }),
    );
    await soon(async () => agent?.health.report('ready').ok === true);
    await rig.kubectl(['create', '-f', '-'], certifiedPod('web', KEY));
    const { metadata } = await running(rig, 'web');
    const volume = `pods/${metadata.uid}/volumes/kubernetes.io~projected/id/bundle.pem`;
    const file = join(rig.dir, 'node-node-a', volume);
    await soon(async () => existsSync(file));
    const text = readFileSync(file, 'utf8');
    const leaf = await verified(server, text.slice(text.indexOf('-----BEGIN CERTIFICATE')));
    assert.equal(leaf.subjectAltName, 'URI:spiffe://example.org/ns/shop/sa/default');
  });

  it('what it is asked for with claims that do not hold is denied', async () => {
    const web = await claimOf(rig, 'web');
    const early = await claimOf(rig, 'early');
    const unbound = await createPod('unbound', '  schedulerName: none');
    await createPod('ended');
    const ended = await claimOf(rig, 'ended');
    const patch = ['patch', 'pod', 'ended', '-n', 'shop', '--subresource=status', '--type=merge'];
    await rig.kubectl([...patch, '-p', '{"status":{"phase":"Succeeded"}}']);
    const node = { nodeName: web.nodeName, nodeUID: web.nodeUID };
    const forged: readonly [string, object, string][] = [
      ['its-node', early, 'Denied PodNodeNotAttested'],
      ['attested-node', { ...early, ...node }, 'Denied PodMismatch'],
      ['attested-uid', { ...early, nodeUID: web.nodeUID }, 'Denied PodUnknown'],
      ['unbound', { ...web, podName: 'unbound', podUID: unbound }, 'Denied PodUnknown'],
      ['ended', ended, 'Denied PodUnknown'],
      ['other-pod', { ...web, podName: 'early' }, 'Denied PodUnknown'],
    ];
    for (const [name, claim] of forged) {
      await request(`forged-${name}`, claim);
    }
    for (const [name, , outcome] of forged) {
      assert.equal(`${name} ${await outcomeOf(rig, `forged-${name}`)}`, `${name} ${outcome}`);
    }
  });

  it('what was derived stays while it is away, and nothing is revoked', async () => {
    const known = await entries();
    proxy.down();
    await soon(async () => (await staleSeconds()) > 0);
    const meanwhile = await createPod('meanwhile');
    await rig.kubectl(['delete', 'pod', '-n', 'shop', 'early', '--force', '--grace-period=0']);
    assert.deepEqual(await entries(), known);
    assert.equal(agent?.health.report('ready').ok, true);
    const revoked = await ask(server.admin(), RevocationService.listRevokedX509SviDs, {
      pageSize: 0,
      pageToken: '',
    });
    assert.deepEqual(revoked.revoked, []);
    proxy.up();
    await soon(() => hasEntry(meanwhile));
    await soon(isListening);
    assert.equal((await entries()).size, known.size);
  });

  const faults: readonly [string, ProxyFault][] = [
    ['is slow', { lateMs: 700 }],
    ['breaks off in mid-event', 'half'],
    ['ends with half an event', 'half-whole'],
    ['answers 500', { status: 500 }],
    ['asks to wait (429)', { status: 429 }],
    // Last, since it is over with a list: the wait for the next try grows until a watch brings something.
    ['closes the watch with 410', 'gone'],
  ];
  for (const [index, [what, fault]] of faults.entries()) {
    it(`entries stay, and new pods get theirs, when it ${what}`, async () => {
      await soon(isListening);
      const known = (await entries()).size;
      let planted = 0;
      proxy.decide = ({ path }) => (path === PODS && planted++ < 2 ? fault : undefined);
      proxy.breakWatches();
      const uid = await createPod(`fault-${index}`);
      await soon(() => hasEntry(uid));
      assert.ok(planted > 0);
      assert.equal((await entries()).size, known + 1);
      proxy.decide = () => undefined;
    });
  }

  it('a token that was taken out of use is followed by the next one', async () => {
    const before = await createPod('not-rotated');
    await soon(() => hasEntry(before));
    await soon(isListening);
    await proxy.rotate('second', false);
    proxy.breakWatches();
    const uid = await createPod('rotated');
    await soon(async () => (await staleSeconds()) > 0);
    assert.equal(await hasEntry(uid), false);
    await proxy.rotate('second');
    await soon(() => hasEntry(uid));
  });

  it('a server that loses its lease in mid-sign answers no more, and another one does, once', async () => {
    await soon(isListening);
    // Nodes do not attest to it: what it signs shows by its authority that it did.
    const second = await startServer(rig.kubeconfig, false);
    others.push(second);
    const claim = await claimOf(rig, 'web');
    await request('with-two', claim);
    await verified(server, (await answered(rig, 'with-two')).status.certificateChain ?? '');
    // Before its containers started, and now.
    await soon(async () => (await signedFor(server, claim.podUID)) === 2);
    const { promise: held, resolve: hold } = Promise.withResolvers<void>();
    proxy.decide = ({ method, path }) => {
      if (method === 'PATCH' && path.endsWith('/taken/status')) {
        hold();
        return 'silence';
      }
      // It cannot take the lease back.
      return path.includes('/leases/') && method !== 'GET' ? 'reset' : undefined;
    };
    await request('taken', claim);
    await held;
    await rig.kubectl(['patch', ...LEASE, '--type=merge', '-p', '{"spec":{"holderIdentity":""}}']);
    const { status } = await answered(rig, 'taken');
    const leaf = await verified(second, status.certificateChain ?? '');
    assert.equal(leaf.subjectAltName, 'URI:spiffe://example.org/ns/shop/sa/default');
    // The ledger of the first has what nobody got, that of the second what was answered.
    await soon(async () => (await signedFor(server, claim.podUID)) === 3);
    await soon(async () => (await signedFor(second, claim.podUID)) === 1);
    await second.stop();
    proxy.decide = () => undefined;
  });

  it('a pod of a node whose agent is banned is denied', async () => {
    const claim = await claimOf(rig, 'web');
    const path = `/spire/agent/k8s_psat/rack/${claim.nodeUID}`;
    await ask(server.admin(), AgentService.banAgent, { id: { trustDomain: 'example.org', path } });
    await rig.kubectl(['create', '-f', '-'], certifiedPod('banned', KEY));
    assert.equal(await outcomeOf(rig, 'banned'), 'Denied AgentBanned');
  });
});
