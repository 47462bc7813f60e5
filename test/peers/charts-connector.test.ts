import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { commands } from '../../src/main/commands.ts';
import { cli } from '../support/cli.ts';
import { skipNow } from '../support/shared.ts';
import { type GoTool, goTool } from './go-tool.ts';
import { at, type Manifest, podOf, render } from './helm.ts';

const CHART = 'charts/signet-connector';
const VALUES = join(CHART, 'ci');
const CASES = readdirSync(VALUES).sort();
const MINIMAL = ['-f', join(VALUES, 'minimal-values.yaml')];

describe('the chart of connectors', () => {
  let helm3: GoTool;
  let helm4: GoTool;
  let dir: string;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sgn-charts-'));
    helm3 = await goTool('helm3', 'helm.sh/helm/v3/cmd/helm');
    helm4 = await goTool('helm4', 'helm.sh/helm/v4/cmd/helm');
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  const rendered = (name: string, more: readonly string[] = []): Promise<readonly Manifest[]> =>
    render(helm3, CHART, ['-f', join(VALUES, name), ...more]);

  const only = (manifests: readonly Manifest[], kind: string): Manifest => {
    const found = manifests.filter((one) => one.kind === kind);
    assert.equal(found.length, 1, kind);
    return found[0] ?? {};
  };

  it('passes lint --strict, renders the same by Helm 3, by Helm 4, and twice', async (t) => {
    for (const { missing } of [helm3, helm4]) if (missing !== undefined) return skipNow(t, missing);
    for (const name of CASES) {
      const file = ['-f', join(VALUES, name)];
      for (const helm of [helm3, helm4]) {
        const { code, stdout } = await helm.run(['lint', '--strict', CHART, ...file]);
        assert.equal(code, 0, `${name}: ${stdout}`);
      }
      const once = await rendered(name);
      assert.ok(isDeepStrictEqual(await rendered(name), once), `${name}, twice`);
      const other = await render(helm4, CHART, file);
      assert.ok(isDeepStrictEqual(other, once), `${name}, Helm 4`);
      assert.ok(!JSON.stringify(once).includes('helm.sh/hook'), name);
    }
  });

  it('renders a configuration that the companion takes, and calls commands that it has', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    for (const name of CASES) {
      const manifests = await rendered(name);
      const path = join(dir, `${name}-connector.yaml`);
      writeFileSync(path, String(at(only(manifests, 'ConfigMap'), 'data', 'connector.yaml')));
      const { code, out, err } = await cli(commands, ['connector', 'validate', '--config', path]);
      assert.equal(code, 0, `${name}: ${out}${err}`);
      const companion = at(podOf(manifests, 'Deployment'), 'initContainers', '0');
      const preStop = at(companion, 'lifecycle', 'preStop', 'exec', 'command') as readonly string[];
      for (const line of [at(companion, 'args') as readonly string[], preStop.slice(1)]) {
        const [first, second, ...args] = line;
        const command = commands.find((one) => one.path === `${first} ${second}`);
        const known = ((await command?.load())?.flags ?? []).map((flag) => `--${flag.name}`);
        const flags = args.filter((arg) => arg.startsWith('--'));
        assert.ok(flags.length > 0 && flags.every((flag) => known.includes(flag)), line.join(' '));
      }
    }
  });

  it('has the companion begin first and end last, and both wait for the drain', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const pod = podOf(await rendered('minimal-values.yaml'), 'Deployment');
    const companion = at(pod, 'initContainers', '0');
    assert.equal(at(companion, 'restartPolicy'), 'Always');
    assert.equal(at(companion, 'startupProbe', 'httpGet', 'path'), '/ready');
    assert.equal(at(companion, 'readinessProbe', 'httpGet', 'path'), '/ready');
    const connector = at(pod, 'containers', '0');
    assert.equal(at(connector, 'lifecycle', 'preStop', 'sleep', 'seconds'), 120);
    assert.ok(Number(at(pod, 'terminationGracePeriodSeconds')) > 120);
    const token = at(pod, 'volumes', '4', 'projected', 'sources', '0', 'serviceAccountToken');
    assert.equal(at(token, 'audience'), 'signet-connectors');
    assert.equal(at(pod, 'automountServiceAccountToken'), false);
    const mounts = (of: unknown) =>
      (at(of, 'volumeMounts') as readonly Manifest[]).map(({ name }) => name);
    // The connector sees its files, and neither the token nor what the companion keeps.
    assert.deepEqual(mounts(connector), ['shared']);
    for (const one of [companion, connector]) {
      assert.deepEqual(at(one, 'securityContext', 'capabilities'), { drop: ['ALL'] });
      assert.equal(at(one, 'securityContext', 'readOnlyRootFilesystem'), true);
    }
    assert.equal(at(pod, 'securityContext', 'runAsNonRoot'), true);
  });

  it('lets hooks reach the connector by signal where asked: one process tree, one user', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const user = (pod: unknown, ...path: readonly string[]) =>
      at(pod, ...path, '0', 'securityContext', 'runAsUser');
    const shared = podOf(await rendered('everything-values.yaml'), 'Deployment');
    assert.equal(at(shared, 'shareProcessNamespace'), true);
    assert.equal(user(shared, 'initContainers'), user(shared, 'containers'));
    const apart = podOf(await rendered('minimal-values.yaml'), 'Deployment');
    assert.equal(at(apart, 'shareProcessNamespace'), false);
    assert.notEqual(user(apart, 'initContainers'), user(apart, 'containers'));
  });

  it('lets pods reach their segments and what they need, and nothing else', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const policy = only(await rendered('everything-values.yaml'), 'NetworkPolicy');
    const egress = at(policy, 'spec', 'egress') as readonly Manifest[];
    const shown = egress.map(({ to, ports }) => {
      const peers = ((to ?? []) as readonly Manifest[]).map(
        (one) => at(one, 'ipBlock', 'cidr') ?? Object.keys(one).join(),
      );
      const open = (ports as readonly Manifest[]).map(
        ({ port, endPort, protocol }) => `${protocol}:${port}${endPort ? `-${endPort}` : ''}`,
      );
      return `${peers.join(' ')} > ${open.join(' ')}`;
    });
    assert.deepEqual(shown, [
      ' > UDP:53 TCP:53',
      '10.5.0.0/16 namespaceSelector > TCP:443',
      '10.1.0.0/24 10.9.0.1/32 fd00::/64 fd00::7/128 10.2.0.7/32 > TCP:5432 TCP:8000-8010',
      'podSelector > UDP:5353',
      '203.0.113.0/24 > TCP:443',
    ]);
    assert.ok(egress.slice(1).every(({ to }) => Array.isArray(to) && to.length > 0));
  });

  it('scales by flows and by CPU, one instance down at a time', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const all = await rendered('everything-values.yaml');
    assert.equal(at(only(all, 'Deployment'), 'spec', 'replicas'), undefined);
    const scaler = at(only(all, 'HorizontalPodAutoscaler'), 'spec');
    assert.equal(
      at(scaler, 'metrics', '0', 'pods', 'metric', 'name'),
      'signet_connector_active_flows',
    );
    assert.equal(at(scaler, 'metrics', '1', 'containerResource', 'name'), 'cpu');
    assert.equal(at(scaler, 'behavior', 'scaleDown', 'policies', '0', 'value'), 1);
    const off = ['--set', 'autoscaling.flowsPerInstance=0'];
    const cpu = only(await rendered('everything-values.yaml', off), 'HorizontalPodAutoscaler');
    assert.equal((at(cpu, 'spec', 'metrics') as readonly unknown[]).length, 1);
  });

  it('makes the objects of its group and segments where asked', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const all = await rendered('everything-values.yaml');
    const group = only(all, 'ConnectorGroup');
    assert.equal(at(group, 'metadata', 'name'), 'edge-eu');
    const account = at(only(all, 'ServiceAccount'), 'metadata', 'name');
    assert.deepEqual(at(group, 'spec', 'serviceAccounts'), [{ name: account }]);
    assert.equal(all.filter(({ kind }) => kind === 'ConnectorSegment').length, 2);
    const none = await rendered('minimal-values.yaml');
    assert.ok(!none.some(({ apiVersion }) => apiVersion === 'signet.dev/v1alpha1'));
  });

  const REFUSED: readonly (readonly [string, RegExp])[] = [
    ['trustDomain=', /trustDomain is required/],
    ['group=', /group is required/],
    ['group=a.b', /group/],
    ['server.address=', /server\.address is required/],
    ['connector.image=', /connector\.image is required/],
    ['companion.image.registry=', /containers\//],
    ['replica=3', /'replica' not allowed/],
    ['companion.config.dataDir=/x', /'dataDir' not allowed/],
    ['companion.config.frobnicate=1', /'frobnicate' not allowed/],
    ['companion.config.outputs.keyMode=0600', /'keyMode' not allowed/],
    ['connector.env[0].name=A', /env/],
    ['connector.env[0].name=A,connector.env[0].value=b,connector.env[0].secret=c', /env/],
    ['connector.runAsUser=0', /runAsUser/],
    ['connector.ports[0].name=m,connector.ports[0].port=9988', /port 9988 .* is taken/],
    ['drain.seconds=0', /drain/],
    ['networkPolicy.egress.serverNamespaces=null', /could not reach it/],
    ['segments.db.hosts={db.acme.io},segments.db.ports[0].port=1', /know: say in addresses/],
    ['segments.db.ports[0].port=1', /segments/],
    ['segments.db.hosts={10.0.0.1}', /ports/],
    ['segments.db.hosts={10.0.0.1},segments.db.ports[0].port=65536', /65[,']?535/],
    ['segments.db.hosts={a b},segments.db.ports[0].port=1', /hosts/],
    ['autoscaling.enabled=true,autoscaling.minReplicas=20', /more than maxReplicas/],
    [
      'autoscaling.enabled=true,autoscaling.flowsPerInstance=0,autoscaling.cpuPercent=0',
      /nothing to scale by/,
    ],
  ];

  it('refuses what is wrong, and says what to do', async (t) => {
    for (const { missing } of [helm3, helm4]) if (missing !== undefined) return skipNow(t, missing);
    for (const helm of [helm3, helm4]) {
      for (const [set, message] of REFUSED) {
        const args = ['template', 'r', CHART, '--kube-version', '1.37', ...MINIMAL, '--set', set];
        const { code, stderr } = await helm.run(args);
        assert.notEqual(code, 0, set);
        assert.match(stderr, message, set);
      }
    }
  });
});
