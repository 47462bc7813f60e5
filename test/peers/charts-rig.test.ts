import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { needsShared, skipNow } from '../support/shared.ts';
import { makeRoot } from '../support/x509.ts';
import { type GoTool, goModule, goTool } from './go-tool.ts';
import { render, VALUES } from './helm.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';

const NAMESPACES = `
apiVersion: v1
kind: Namespace
metadata: { name: signet }
---
apiVersion: v1
kind: Namespace
metadata: { name: cert-manager }
---
apiVersion: v1
kind: Namespace
metadata: { name: spire }
---
apiVersion: v1
kind: Namespace
metadata: { name: server, labels: { pod-security.kubernetes.io/enforce: restricted } }
---
apiVersion: v1
kind: Namespace
metadata: { name: agents, labels: { pod-security.kubernetes.io/enforce: privileged } }
`;

/** Kinds of the Prometheus operator that the chart makes objects of, as it defines them itself. */
const OPERATOR = 'github.com/prometheus-operator/prometheus-operator';
const OPERATOR_KINDS = ['podmonitors', 'servicemonitors', 'prometheusrules'];

/** A volume for the server, which the rig has no provisioner for. */
const volume = (path: string): string => `
apiVersion: v1
kind: PersistentVolume
metadata: { name: server }
spec:
  capacity: { storage: 10Gi }
  accessModes: [ReadWriteOnce]
  hostPath: { path: ${path}, type: DirectoryOrCreate }
`;

const DRY_RUN = ['apply', '--dry-run=server', '--validate=strict', '--server-side', '-f', '-'];

const SERVER = 'system:serviceaccount:server:signet-server';
const AGENT = 'system:serviceaccount:agents:signet-agent';

describe('the charts on a real API server', needsShared('rig/kube.sh'), () => {
  let helm3: GoTool;
  let helm4: GoTool;
  let rig: KubeRig;
  let dir: string;

  before(async () => {
    helm3 = await goTool('helm3', 'helm.sh/helm/v3/cmd/helm');
    helm4 = await goTool('helm4', 'helm.sh/helm/v4/cmd/helm');
    dir = mkdtempSync(join(tmpdir(), 'sgn-charts-'));
    rig = await startKubeRig();
    await rig.kubectl(['apply', '-f', '-'], `${NAMESPACES}---${volume(join(dir, 'pv'))}`);
    const operator = await goModule('prometheus-operator', OPERATOR);
    assert.ok(operator, 'the sources of the Prometheus operator cannot be had');
    const kinds = OPERATOR_KINDS.flatMap((kind) => [
      '-f',
      join(operator, 'example/prometheus-operator-crd', `monitoring.coreos.com_${kind}.yaml`),
    ]);
    await rig.kubectl(['apply', '--server-side', ...kinds]);
    await rig.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  });
  after(async () => {
    await rig?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  it('are taken by strict validation, with every set of values', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const crds = await render(helm3, 'charts/signet-crds', []);
    await rig.kubectl(DRY_RUN, crds.map((each) => stringify(each)).join('---\n'));
    for (const name of readdirSync(VALUES).sort()) {
      const objects = await render(helm3, 'charts/signet', ['-f', join(VALUES, name)]);
      const texts = objects.map((each) => JSON.stringify(each));
      const said = await rig.kubectl(DRY_RUN, texts.join('\n---\n'));
      assert.equal(said.trim().split('\n').length, objects.length, name);
    }
  });

  async function install(helm: GoTool, args: readonly string[]): Promise<string> {
    const at = ['--kubeconfig', rig.kubeconfig];
    const { code, stdout, stderr } = await helm.run(['upgrade', '--install', ...args, ...at]);
    assert.equal(code, 0, stdout + stderr);
    assert.doesNotMatch(stderr, /would violate PodSecurity/);
    return stdout;
  }

  const common = ['charts/signet', '-f', join(VALUES, 'default-values.yaml')];

  it('are installed: server in a restricted namespace, agents in another', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    if (helm4.missing !== undefined) return skipNow(t, helm4.missing);
    await rig.node('node-a');
    await install(helm3, ['crds', 'charts/signet-crds', '-n', 'signet']);
    const agents = 'nodeAttestor.k8sPsat.serviceAccounts={agents:signet-agent}';
    const notes = await install(helm3, [
      ...['signet', ...common, '-n', 'server', '--set', `agent.enabled=false,${agents}`],
    ]);
    assert.match(notes, /kubectl -n server exec signet-server-0 -- signet agent list/);
    const bundle = {
      apiVersion: 'certificates.k8s.io/v1',
      kind: 'ClusterTrustBundle',
      metadata: { name: 'prod' },
      spec: { trustBundle: makeRoot().pem },
    };
    await rig.kubectl(['apply', '-f', '-'], JSON.stringify(bundle));
    const places = `agent.dataHostPath=${dir}/data,agent.socket.hostPath=${dir}/run`;
    await install(helm4, [
      ...['signet', ...common, '-n', 'agents', '--set', 'server.enabled=false'],
      ...['--set', `agent.serverAddress=signet-server.server.svc,${places}`],
      ...['--set', 'agent.bootstrap.clusterTrustBundle=prod'],
      // The rig's kubelet makes folders of the machine where they are asked for.
      ...['--set', 'agent.config.workloadAttestors.k8s.sources={api-server}'],
    ]);
    for (const [namespace, component] of [
      ['server', 'server'],
      ['agents', 'agent'],
    ] as const) {
      const selector = `app.kubernetes.io/component=${component}`;
      for (;;) {
        const pods = await rig.kubectl([
          'get',
          'pods',
          '-n',
          namespace,
          '-l',
          selector,
          '-o',
          'name',
        ]);
        if (pods !== '') break;
        await pause(100);
      }
      const running = ['wait', '--for=jsonpath={.status.phase}=Running', '--timeout=120s'];
      await rig.kubectl([...running, 'pod', '-n', namespace, '-l', selector]);
    }
  });

  it('of connectors are taken by strict validation, and installed in a restricted namespace', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const chart = 'charts/signet-connector';
    for (const name of readdirSync(join(chart, 'ci'))) {
      const objects = await render(helm3, chart, ['-f', join(chart, 'ci', name)]);
      const texts = objects.map((each) => JSON.stringify(each));
      const said = await rig.kubectl(DRY_RUN, texts.join('\n---\n'));
      assert.equal(said.trim().split('\n').length, objects.length, name);
    }
    const minimal = ['-f', join(chart, 'ci/minimal-values.yaml'), '-n', 'server'];
    const more = ['--set', 'autoscaling.enabled=true,objects.group.enabled=true'];
    const notes = await install(helm3, ['edge', chart, ...minimal, ...more]);
    const [rules] = /^ {2}rules:\n( {4}.*\n)+/m.exec(notes) ?? [];
    assert.match(JSON.stringify(parse(rules ?? '')), /"name":\{"matches":"\^\(\.\*\)\$"/);
    const names = ['get', 'cgroup,hpa,pdb,netpol', '-n', 'server', '-o', 'name'];
    assert.match(await rig.kubectl(names), /connectorgroup\.signet\.dev\/edge\n/);
    const gone = await helm3.run([
      ...['uninstall', 'edge', '-n', 'server', '--kubeconfig', rig.kubeconfig],
    ]);
    assert.equal(gone.code, 0, gone.stderr);
  });

  async function may(who: string, ...what: readonly string[]): Promise<boolean> {
    const review = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: {
        user: who,
        groups: ['system:serviceaccounts', 'system:authenticated'],
        resourceAttributes: {
          ...{ verb: what[0], group: what[1], resource: what[2], subresource: what[3] ?? '' },
          ...{ namespace: what[4] ?? '' },
        },
      },
    };
    const args = ['create', '-f', '-', '-o', 'jsonpath={.status.allowed}'];
    return (await rig.kubectl(args, JSON.stringify(review))) === 'true';
  }

  it('say how the token of a server elsewhere is made', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const elsewhere = ['-f', join(VALUES, 'account-only-values.yaml'), '-n', 'server', '--dry-run'];
    const { stdout } = await helm3.run([
      ...['install', 'signet', 'charts/signet', ...elsewhere, '--kubeconfig', rig.kubeconfig],
    ]);
    const [, said] = /^ {2}kubectl (.* create token .*)$/m.exec(stdout) ?? [];
    assert.ok(said, stdout);
    const { status } = parse(await rig.kubectl(said.split(' '))) as {
      readonly status: { readonly token: string; readonly expirationTimestamp: string };
    };
    const lifeMs = Date.parse(status.expirationTimestamp) - Date.now();
    assert.ok(lifeMs > 8759 * 3_600_000, status.expirationTimestamp);
    assert.match(status.token, /^ey/);
  });

  it('let the accounts do what they need, and nothing near to it', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    for (const [who, may1] of [
      [SERVER, ['create', 'authentication.k8s.io', 'tokenreviews']],
      [SERVER, ['watch', 'spire.spiffe.io', 'clusterspiffeids']],
      [AGENT, ['watch', '', 'pods']],
    ] as const) {
      assert.equal(await may(who, ...may1), true, `${who} ${may1.join(' ')}`);
    }
    for (const who of [SERVER, AGENT]) {
      for (const not of [
        ['get', '', 'secrets', '', 'server'],
        ['create', '', 'pods', 'exec'],
        ['create', '', 'serviceaccounts', 'token', 'agents'],
        ['update', 'spire.spiffe.io', 'clusterspiffeids'],
        ['create', '', 'pods', '', 'agents'],
        ['get', '', 'nodes', 'proxy'],
        ['sign', 'certificates.k8s.io', 'signers'],
        ['create', 'rbac.authorization.k8s.io', 'clusterroles'],
      ]) {
        assert.equal(await may(who, ...not), false, `${who} ${not.join(' ')}`);
      }
    }
    assert.equal(await may(AGENT, 'create', 'authentication.k8s.io', 'tokenreviews'), false);
  });

  it('keep the volume through an upgrade to all switches, and when uninstalled', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const claim = ['pvc', 'data-signet-server-0', '-n', 'server', '-o', 'jsonpath={.metadata.uid}'];
    const uid = await rig.kubectl(['get', ...claim]);
    // What a volume was made of cannot be changed afterwards.
    const volume = 'size: 10Gi, storageClass: "", accessMode: ReadWriteOnce';
    const same = join(dir, 'same.yaml');
    writeFileSync(same, `{ agent: { enabled: false }, server: { persistence: { ${volume} } } }`);
    const all = ['-f', join(VALUES, 'everything-values.yaml'), '-f', same];
    await install(helm3, ['signet', 'charts/signet', '-n', 'server', ...all]);
    const selector = 'jsonpath={.spec.template.spec.serviceAccountName}';
    const set = ['get', 'statefulset', 'signet-server', '-n', 'server', '-o', selector];
    assert.equal(await rig.kubectl(set), 'signer');
    assert.equal(await rig.kubectl(['get', ...claim]), uid);
    const at = ['--kubeconfig', rig.kubeconfig];
    const gone = await helm3.run(['uninstall', 'signet', '-n', 'server', ...at]);
    assert.equal(gone.code, 0, gone.stderr);
    assert.equal(await rig.kubectl(['get', ...claim]), uid);
  });

  it('leave the definitions of kinds when they are uninstalled', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const at = ['--kubeconfig', rig.kubeconfig];
    const { code, stderr } = await helm3.run(['uninstall', 'crds', '-n', 'signet', ...at]);
    assert.equal(code, 0, stderr);
    await rig.kubectl(['get', 'clusterspiffeids']);
  });
});
