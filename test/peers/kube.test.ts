import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startAgent } from '../../agent/agent.ts';
import { agentConfigSchema } from '../../agent/config.ts';
import { encodeK8sPsatPayload } from '../../src/attestation/k8s_psat/payload.ts';
import { createK8sPsatAttestor } from '../../src/attestation/k8s_psat/server.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { fail, type Result } from '../../src/base/result.ts';
import { type KubeApi, openKubeApi } from '../../src/kube/kube-api.ts';
import { startLeaderElection } from '../../src/kube/leader.ts';
import { textAt } from '../../src/kube/objects.ts';
import { pathOf } from '../../src/kube/resource.ts';
import { reviewToken } from '../../src/kube/token-review.ts';
import { type KubeWatch, watchKube } from '../../src/kube/watch.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { AGENT_TEST_DOMAIN } from '../support/agent-ca.ts';
import { testRequest } from '../support/attestor-suite.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, run, soon, stopChild, waitForSocket } from '../support/processes.ts';
import { assertRefused, assertValue } from '../support/refused.ts';
import { needsShared } from '../support/shared.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';
import { spirePrograms, startStockAgent } from './stock-agent.ts';

const LOG = createLogger({ level: 'silent' });
const CONFIG_MAPS = { group: '', version: 'v1', plural: 'configmaps', namespace: 'spire' };

/** Rights of a server, as docs/attestation.md and the controllers need them. */
const OBJECTS = `
apiVersion: v1
kind: Namespace
metadata: { name: spire }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: spire-agent, namespace: spire }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: other, namespace: spire }
---
apiVersion: v1
kind: Node
metadata: { name: node-a, labels: { topology.kubernetes.io/zone: z1, secret: x } }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: signet }
rules:
- { apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create] }
- { apiGroups: [""], resources: [pods, nodes], verbs: [get] }
- { apiGroups: [""], resources: [configmaps], verbs: [get, list, watch] }
- { apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: signet }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: signet }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: User, name: signet }]
`;

function podYaml(name: string, serviceAccount = 'spire-agent'): string {
  return `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: spire, labels: { app: agent, secret: x } }
spec:
  nodeName: node-a
  serviceAccountName: ${serviceAccount}
  terminationGracePeriodSeconds: 0
  containers: [{ name: c, image: example.org/agent }]
`;
}

describe('a real API server', needsShared('rig/kube.sh'), () => {
  let rig: KubeRig;
  let dir: string;
  let kubeconfigPath: string;
  let api: KubeApi;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sgn-kube-peer-'));
    // It forgets old versions each second, not each five minutes.
    process.env.RIG_API_ARGS = '--etcd-compaction-interval=1s';
    rig = await startKubeRig().finally(() => delete process.env.RIG_API_ARGS);
    await rig.kubectl(['apply', '-f', '-'], OBJECTS);
    await rig.kubectl(['create', '-f', '-'], podYaml('agent-x'));
    kubeconfigPath = await rig.user('signet');
    api = assertValue(await openKubeApi({ kubeconfigPath }, { clock: systemClock }));
  });
  after(async () => {
    api?.close();
    await rig?.stop();
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  });

  /** A token as the kubelet would ask for it, bound to a pod. */
  const tokenOf = async (pod: string, audience = 'spire-server', account = 'spire-agent') =>
    (
      await rig.kubectl([
        ...['create', 'token', account, '-n', 'spire', '--audience', audience],
        ...['--bound-object-kind', 'Pod', '--bound-object-name', pod],
      ])
    ).trim();

  const uidOf = async (kind: string, name: string): Promise<string> =>
    rig.kubectl(['get', kind, name, '-n', 'spire', '-o', 'jsonpath={.metadata.uid}']);

  function watchOf(of: KubeApi): KubeWatch<string> {
    return watchKube<string>({
      api: of,
      resource: CONFIG_MAPS,
      labelSelector: 'watched=yes',
      project: (object) => textAt(object, 'data', 'note'),
      pageSize: 2,
      clock: systemClock,
      random: systemRandom,
      log: LOG,
    });
  }

  const note = (name: string, text: string): Promise<string> =>
    rig.kubectl(
      ['apply', '-f', '-'],
      `{apiVersion: v1, kind: ConfigMap, data: {note: "${text}"},
        metadata: {name: ${name}, namespace: spire, labels: {watched: "yes"}}}`,
    );

  test('is listed by pages and watched', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) await note(name, '1');
    const watch = watchOf(api);
    try {
      await watch.whenSynced();
      assert.equal(watch.size, 5);
      await note('a', '2');
      await note('f', '3');
      await rig.kubectl(['delete', 'configmap', 'b', '-n', 'spire']);
      // It leaves what is selected, which is told as a deletion.
      await rig.kubectl(['label', 'configmap', 'c', '-n', 'spire', 'watched-']);
      await soon(async () => watch.get('spire/c') === undefined);
      assert.deepEqual([...watch.entries()].sort(), [
        ['spire/a', '2'],
        ['spire/d', '1'],
        ['spire/e', '1'],
        ['spire/f', '3'],
      ]);
      assert.equal(watch.problem, undefined);
    } finally {
      await watch.stop();
    }
  });

  test('says 410 of a page that it can no longer give', async () => {
    for (const name of ['u', 'v', 'w']) await note(name, '1');
    const list = { verb: 'list', path: assertValue(pathOf(CONFIG_MAPS)) } as const;
    const page = assertValue(await api.request({ ...list, query: { limit: '2' } }));
    const next = textAt(page, 'metadata', 'continue') ?? '';
    const query = { limit: '2', continue: next };
    assertValue(await api.request({ ...list, query }));
    // Something has to happen, for what was before to be forgotten.
    let count = 0;
    await soon(async () => {
      await note('w', String(count++));
      const answer = await api.request({ ...list, query });
      return !answer.ok && answer.error.code === 'KUBE_GONE';
    });
  });

  test('is asked in vain by somebody without the right, and by nobody it knows', async () => {
    const stranger = { kubeconfigPath: await rig.user('stranger') };
    const theirs = assertValue(await openKubeApi(stranger, { clock: systemClock }));
    const watch = watchOf(theirs);
    await soon(async () => watch.problem?.code === 'KUBE_FORBIDDEN');
    assert.equal(watch.synced, false);
    await watch.stop();
    const token = await tokenOf('agent-x');
    assertRefused(await reviewToken(theirs, token, ['spire-server']), 'KUBE_FORBIDDEN');
    theirs.close();
  });

  test('says whose a token is, for its audience only', async () => {
    const token = await tokenOf('agent-x');
    const reviewed = assertValue(await reviewToken(api, token, ['other', 'spire-server']));
    assert.deepEqual(reviewed.audiences, ['spire-server']);
    assert.deepEqual(reviewed.serviceAccount, { namespace: 'spire', name: 'spire-agent' });
    assert.deepEqual(
      [reviewed.podName, reviewed.podUid, reviewed.nodeName, reviewed.nodeUid],
      ['agent-x', await uidOf('pod', 'agent-x'), 'node-a', await uidOf('node', 'node-a')],
    );
    assert.match(reviewed.credentialId ?? '', /^JTI=/);
    assertRefused(await reviewToken(api, token, ['other']), 'KUBE_TOKEN');
    const [header = '', claims = '', signature = ''] = token.split('.');
    const forged = [
      header,
      claims,
      `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`,
    ];
    assertRefused(await reviewToken(api, forged.join('.'), ['spire-server']), 'KUBE_TOKEN');
  });

  test('has one leader of a lease, and another when that gives it back', async () => {
    const stand = (identity: string) =>
      startLeaderElection({
        ...{ api, namespace: 'spire', name: 'test', identity },
        ...{ clock: systemClock, random: systemRandom, log: LOG },
      });
    const [a, b] = [stand('a'), stand('b')];
    await soon(async () => a.isLeader() || b.isLeader());
    assert.equal(Number(a.isLeader()) + Number(b.isLeader()), 1);
    const [first, second] = a.isLeader() ? [a, b] : [b, a];
    await first.stop();
    await soon(async () => second.isLeader());
    assert.equal(first.isLeader(), false);
    await second.stop();
  });

  describe('k8s_psat', () => {
    const attest = (
      payload: { cluster?: string; token: string },
      of = api,
    ): Promise<Result<unknown>> =>
      createK8sPsatAttestor({
        trustDomain: AGENT_TEST_DOMAIN,
        clusters: [
          {
            name: 'east',
            api: of,
            serviceAccounts: new Set(['spire:spire-agent']),
            audiences: ['spire-server'],
            nodeLabelKeys: new Set(['topology.kubernetes.io/zone']),
            podLabelKeys: new Set(['app']),
          },
        ],
      }).attest(
        { ...testRequest(), payload: encodeK8sPsatPayload({ cluster: 'east', ...payload }) },
        async () => fail('ATTESTATION_ROUNDS', 'no challenge'),
      );

    /** The token's file of an agent, in a folder of its own. */
    const tokenFile = async (): Promise<string> => {
      const path = join(mkdtempSync(join(dir, 'token-')), 'token');
      writeFileSync(path, await tokenOf('agent-x'));
      return path;
    };

    const serverYaml = (): string => `attestation:
  k8sPsat:
    clusters:
      - name: east
        kubeconfigPath: "${kubeconfigPath}"
        serviceAccounts: ["spire:spire-agent"]
        nodeLabelKeys: [topology.kubernetes.io/zone]
        podLabelKeys: [app]
`;

    async function assertShown(fleet: Fleet): Promise<void> {
      const nodeUid = await uidOf('node', 'node-a');
      const podUid = await uidOf('pod', 'agent-x');
      const id = `spiffe://example.org/spire/agent/k8s_psat/east/${nodeUid}`;
      const shown = (await fleet.json('agent', 'show', '--spiffe-id', id)) as {
        selectors: { type: string; value: string }[];
        assurance: { method: string; binding: string };
      };
      assert.deepEqual(shown.selectors.map(({ type, value }) => `${type}:${value}`).sort(), [
        'k8s_psat:agent_node_label:topology.kubernetes.io/zone:z1',
        'k8s_psat:agent_node_name:node-a',
        `k8s_psat:agent_node_uid:${nodeUid}`,
        'k8s_psat:agent_ns:spire',
        'k8s_psat:agent_pod_label:app:agent',
        'k8s_psat:agent_pod_name:agent-x',
        `k8s_psat:agent_pod_uid:${podUid}`,
        'k8s_psat:agent_sa:spire-agent',
        'k8s_psat:cluster:east',
      ]);
      assert.deepEqual([shown.assurance.method, shown.assurance.binding], ['k8s_psat', 'bearer']);
    }

    function agentConfig(home: string, port: number, tokenPath: string) {
      return agentConfigSchema.parse({
        trustDomain: 'example.org',
        dataDir: `${home}/agent`,
        server: { address: '127.0.0.1', port },
        bootstrap: { bundlePath: `${home}/bundle.pem` },
        attestation: { k8sPsat: { cluster: 'east', tokenPath } },
        workloadSocket: { path: `${home}/w/api.sock` },
      });
    }

    test('this agent attests to this server', async () => {
      const fleet = await Fleet.start({ serverOnly: true, serverYaml: serverYaml() });
      try {
        const home = mkdtempSync(join(dir, 'own-'));
        writeFileSync(join(home, 'bundle.pem'), (await fleet.cli('bundle', 'show')).stdout);
        const config = agentConfig(home, fleet.port, await tokenFile());
        const agent = assertValue(await startAgent(config, { log: LOG }));
        try {
          await soon(async () => {
            const { agents } = (await fleet.json('agent', 'list')) as { agents: unknown[] };
            return agents.length === 1;
          });
          await assertShown(fleet);
        } finally {
          await agent.stop('test is over');
        }
      } finally {
        await fleet.stop();
      }
    });

    test('a stock agent attests to this server', needsShared('rig/spire/spire.sh'), async () => {
      const programs = await spirePrograms();
      const fleet = await Fleet.start({ serverOnly: true, serverYaml: serverYaml() });
      let child: ChildProcess | undefined;
      try {
        const tokenPath = await tokenFile();
        const agent = await startStockAgent(
          fleet,
          programs,
          `NodeAttestor "k8s_psat" { plugin_data { cluster = "east" token_path = "${tokenPath}" } }`,
        );
        child = agent.child;
        await assertShown(fleet);
      } finally {
        if (child !== undefined) await stopChild(child);
        await fleet.stop();
      }
    });

    test('this agent attests to a stock server', needsShared('rig/spire/spire.sh'), async () => {
      const programs = await spirePrograms();
      const home = mkdtempSync(join(dir, 'spire-'));
      const port = await freePort();
      mkdirSync(join(home, 'server'));
      writeFileSync(join(home, 'server.conf'), spireServer(home, port, kubeconfigPath));
      const out = openSync(join(home, 'server.log'), 'a');
      const argv = ['run', '-config', join(home, 'server.conf')];
      const server = spawn(join(programs, 'spire-server'), argv, { stdio: ['ignore', out, out] });
      const spire = async (...args: string[]): Promise<string> => {
        const socket = ['-socketPath', `${home}/server.sock`];
        const done = await run(join(programs, 'spire-server'), [...args, ...socket]);
        assert.equal(done.code, 0, done.stderr);
        return done.stdout;
      };
      try {
        await waitForSocket(join(home, 'server.sock'), server);
        writeFileSync(join(home, 'bundle.pem'), await spire('bundle', 'show'));
        const config = agentConfig(home, port, await tokenFile());
        const agent = assertValue(await startAgent(config, { log: LOG }));
        const nodeUid = await uidOf('node', 'node-a');
        try {
          await soon(async () =>
            (await spire('agent', 'list')).includes(`k8s_psat/east/${nodeUid}`),
          );
        } finally {
          await agent.stop('test is over');
        }
      } finally {
        await stopChild(server);
      }
    });

    test('refuses what is not the token of an agent for this server', async () => {
      const unbound = ['create', 'token', 'spire-agent', '-n', 'spire'];
      await rig.kubectl(['create', '-f', '-'], podYaml('other', 'other'));
      const tokens = [
        [await tokenOf('agent-x', 'https://kubernetes.default.svc'), 'KUBE_TOKEN'],
        [await tokenOf('agent-x', 'another-server'), 'KUBE_TOKEN'],
        [await tokenOf('other', 'spire-server', 'other'), 'K8S_PSAT_SERVICE_ACCOUNT'],
        [await rig.kubectl([...unbound, '--audience', 'spire-server']), 'K8S_PSAT_UNBOUND'],
        ['rig-admin', 'K8S_PSAT_SERVICE_ACCOUNT'],
        ['x'.repeat(8_000), 'KUBE_TOKEN'],
      ] as const;
      for (const [token, code] of tokens) {
        const result = await attest({ token: token.trim() });
        // The rig's static token is for every audience, or for the API server's alone.
        if (token === 'rig-admin') assert.equal(result.ok, false);
        else assertRefused(result, code);
      }
    });

    test('refuses the token of a pod that has gone, and of one of the same name before it', async () => {
      await rig.kubectl(['create', '-f', '-'], podYaml('agent-y'));
      const token = await tokenOf('agent-y');
      assertValue(await attest({ token }));
      // For some seconds the review still says yes, of what it remembers: then the pod decides.
      const refused = async (): Promise<void> => {
        const result = await attest({ token });
        assert.ok(!result.ok && ['KUBE_TOKEN', 'K8S_PSAT_POD'].includes(result.error.code));
      };
      await rig.kubectl(['delete', 'pod', 'agent-y', '-n', 'spire', '--force', '--grace-period=0']);
      await refused();
      await rig.kubectl(['create', '-f', '-'], podYaml('agent-y'));
      await refused();
      assertValue(await attest({ token: await tokenOf('agent-y') }));
    });

    test('refuses the token of a pod that has ended', async () => {
      await rig.kubectl(['create', '-f', '-'], podYaml('agent-z'));
      const token = await tokenOf('agent-z');
      const patch = ['patch', 'pod', 'agent-z', '-n', 'spire', '--subresource=status'];
      await rig.kubectl([...patch, '--type=merge', '-p', '{"status":{"phase":"Succeeded"}}']);
      assertRefused(await attest({ token }), 'K8S_PSAT_POD');
    });

    test('refuses a token of before its node was made anew', async () => {
      const token = await tokenOf('agent-x');
      assertValue(await attest({ token }));
      await rig.kubectl(['delete', 'node', 'node-a']);
      const result = await attest({ token });
      assert.ok(!result.ok && ['KUBE_TOKEN', 'K8S_PSAT_NODE'].includes(result.error.code));
      await rig.kubectl(['apply', '-f', '-'], OBJECTS);
      const again = await attest({ token });
      assert.ok(!again.ok && !again.error.retryable, again.ok ? 'attested' : again.error.code);
    });

    test('decides nothing where it has no right to ask, or nobody is there', async () => {
      const token = await tokenOf('agent-x').catch(() => 'a.b.c');
      const place = { kubeconfigPath: await rig.user('stranger') };
      const stranger = assertValue(await openKubeApi(place, { clock: systemClock }));
      assertRefused(await attest({ token }, stranger), 'K8S_PSAT_API');
      stranger.close();
      await rig.stop();
      assertRefused(await attest({ token }), 'K8S_PSAT_API');
      rig = { ...rig, stop: async () => {} };
    });
  });
});

function spireServer(dir: string, port: number, kubeconfig: string): string {
  return `server {
  bind_address = "127.0.0.1"
  bind_port = "${port}"
  socket_path = "${dir}/server.sock"
  trust_domain = "example.org"
  data_dir = "${dir}/server"
  log_level = "DEBUG"
  ca_key_type = "ec-p256"
}
plugins {
  DataStore "sql" {
    plugin_data { database_type = "sqlite3" connection_string = "${dir}/server/data.sqlite3" }
  }
  KeyManager "memory" { plugin_data {} }
  NodeAttestor "k8s_psat" { plugin_data { clusters = {
    "east" = {
      service_account_allow_list = ["spire:spire-agent"]
      kube_config_file = "${kubeconfig}"
    }
  } } }
}
`;
}
