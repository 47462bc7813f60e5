import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { parse, parseDocument } from 'yaml';
import { commands } from '../../src/main/commands.ts';
import { cli } from '../support/cli.ts';
import { skipNow } from '../support/shared.ts';
import { type GoTool, goTool } from './go-tool.ts';
import { at, type Manifest, podOf, render, textOf, VALUES } from './helm.ts';

const CHART = 'charts/signet';
const DEFAULT = join(VALUES, 'default-values.yaml');
const CASES = readdirSync(VALUES).sort();

describe('the charts', () => {
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

  it('pass lint --strict of Helm 3 and 4, with every set of values', async (t) => {
    for (const helm of [helm3, helm4]) {
      if (helm.missing !== undefined) return skipNow(t, helm.missing);
      const crds = await helm.run(['lint', '--strict', 'charts/signet-crds']);
      assert.equal(crds.code, 0, crds.stdout + crds.stderr);
      for (const name of CASES) {
        const { code, stdout } = await helm.run([
          'lint',
          '--strict',
          CHART,
          '-f',
          join(VALUES, name),
        ]);
        assert.equal(code, 0, `${name}: ${stdout}`);
      }
    }
  });

  it('render the same by Helm 3, by Helm 4, and twice', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    for (const name of CASES) {
      const once = await rendered(name);
      assert.ok(isDeepStrictEqual(await rendered(name), once), `${name}, twice`);
      if (helm4.missing !== undefined) return skipNow(t, helm4.missing);
      const other = await render(helm4, CHART, ['-f', join(VALUES, name)]);
      assert.ok(isDeepStrictEqual(other, once), `${name}, Helm 4`);
    }
  });

  it('render configurations that server and agent take, and no hooks', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    for (const name of CASES) {
      const manifests = await rendered(name);
      assert.ok(!JSON.stringify(manifests).includes('helm.sh/hook'), name);
      for (const kind of ['server', 'agent']) {
        const config = manifests.map((each) => at(each, 'data', `${kind}.yaml`)).find(Boolean);
        const absent =
          name === (kind === 'server' ? 'dpu-agents-values.yaml' : 'server-only-values.yaml');
        assert.equal(config === undefined, absent, `${name}: ${kind}`);
        if (config === undefined) continue;
        const path = join(dir, `${name}-${kind}.yaml`);
        writeFileSync(path, String(config));
        const { code, out, err } = await cli(commands, [kind, 'validate', '--config', path]);
        assert.equal(code, 0, `${name}: ${kind}: ${out}${err}`);
      }
    }
  });

  it('hold their pods to the restricted profile, but the agent where it cannot be', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const manifests = await rendered('everything-values.yaml');
    const server = podOf(manifests, 'StatefulSet');
    assert.deepEqual(at(server, 'containers', '0', 'securityContext'), {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    assert.equal(at(server, 'securityContext', 'runAsNonRoot'), true);
    assert.equal(at(server, 'hostPID'), undefined);
    assert.ok(!JSON.stringify(server).includes('hostPath'));
    const agent = podOf(manifests, 'DaemonSet');
    assert.equal(at(agent, 'hostPID'), true);
    assert.equal(at(agent, 'hostNetwork'), undefined);
    assert.deepEqual(at(agent, 'containers', '0', 'securityContext', 'capabilities'), {
      drop: ['ALL'],
      add: ['SYS_PTRACE', 'DAC_READ_SEARCH'],
    });
    for (const pod of [server, agent]) {
      assert.equal(at(pod, 'automountServiceAccountToken'), false);
      assert.equal(at(pod, 'securityContext', 'seccompProfile', 'type'), 'RuntimeDefault');
    }
  });

  it('run the driver beside the agent, privileged and with nothing of its, where asked', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const manifests = await rendered('everything-values.yaml');
    const csi = at(podOf(manifests, 'DaemonSet'), 'containers', '1');
    assert.equal(at(csi, 'securityContext', 'privileged'), true);
    assert.equal(at(csi, 'securityContext', 'readOnlyRootFilesystem'), true);
    const mounts = (at(csi, 'volumeMounts') as readonly Manifest[]).map(
      ({ mountPath }) => mountPath,
    );
    assert.deepEqual(mounts, [
      '/run/signet/agent',
      '/data/kubelet/pods',
      '/data/kubelet/plugins/csi.acme.io',
      '/data/kubelet/plugins_registry',
    ]);
    const flags = (await commands.find(({ path }) => path === 'csi run')?.load())?.flags ?? [];
    const [first, second, ...args] = at(csi, 'args') as readonly string[];
    assert.deepEqual([first, second], ['csi', 'run']);
    const known = flags.map(({ name }) => `--${name}`);
    for (const arg of args) assert.ok(known.includes(arg.split('=')[0] ?? ''), arg);
    const driver = manifests.find(({ kind }) => kind === 'CSIDriver');
    assert.equal(at(driver ?? {}, 'metadata', 'name'), 'csi.acme.io');
    const without = await rendered('default-values.yaml');
    assert.ok(!without.some(({ kind }) => kind === 'CSIDriver'));
    assert.equal(at(podOf(without, 'DaemonSet'), 'containers', '1'), undefined);
  });

  /** Rights as `group/resource verb`, of all roles. */
  const rights = (manifests: readonly Manifest[], suffix: string): readonly string[] =>
    manifests
      .filter(
        ({ kind, metadata }) =>
          /Role$/.test(String(kind)) && textOf(metadata, 'name').endsWith(suffix),
      )
      .flatMap((role) => (role.rules ?? []) as readonly Record<string, readonly string[]>[])
      .flatMap(({ apiGroups, resources, verbs }) =>
        (resources ?? []).map((each) => `${apiGroups?.[0]}/${each} ${verbs?.join(',')}`),
      );

  it('give rights for what is switched on alone', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    assert.deepEqual(rights(await rendered('server-only-values.yaml'), ''), []);
    assert.deepEqual(rights(await rendered('minimal-values.yaml'), ''), [
      'authentication.k8s.io/tokenreviews create',
      '/pods get',
      '/nodes get',
    ]);
    const noStatus = await rendered('default-values.yaml', ['--set', 'rules.status.enabled=false']);
    assert.ok(!rights(noStatus, '').some((right) => /leases|patch/.test(right)));
    const byToken = 'nodeAttestor.k8sPsat.enabled=false,agent.enabled=false';
    const noPsat = await rendered('default-values.yaml', ['--set', byToken]);
    assert.ok(!rights(noPsat, '').some((right) => /tokenreviews| get$/.test(right)));
    const all = await rendered('everything-values.yaml');
    assert.deepEqual(rights(all, '-agent'), [
      '/nodes/pods get',
      '/pods get,list,watch',
      '/namespaces get',
    ]);
    assert.deepEqual(rights(all, '-upstream'), [
      'cert-manager.io/certificaterequests create,get,delete',
    ]);
    assert.ok(!rights(all, '').some((right) => /\*|secrets|escalate|impersonate/.test(right)));
    const old = await render(helm3, CHART, [
      '-f',
      join(VALUES, 'everything-values.yaml'),
      '--kube-version',
      '1.35',
    ]);
    assert.ok(rights(old, '-agent').includes('/nodes/proxy get'));
  });

  it('keep the definitions of kinds when the release goes, unchanged but for that', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const sources = 'charts/signet-crds/files';
    const manifests = await render(helm3, 'charts/signet-crds', []);
    assert.equal(manifests.length, readdirSync(sources).length);
    for (const file of readdirSync(sources)) {
      const source = parse(readFileSync(join(sources, file), 'utf8')) as Manifest;
      const name = textOf(source.metadata, 'name');
      const found = manifests.find(({ metadata }) => textOf(metadata, 'name') === name);
      const annotations = { 'helm.sh/resource-policy': 'keep' };
      assert.deepEqual(found, { ...source, metadata: { ...Object(source.metadata), annotations } });
    }
    const ours = await render(helm3, 'charts/signet-crds', ['--set', 'spire.enabled=false']);
    assert.ok(ours.length > 0 && ours.every(({ spec }) => textOf(spec, 'group') === 'signet.dev'));
  });

  const REFUSED: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['no trust domain', ['--set', 'trustDomain='], /trustDomain is not set/],
    ['no cluster name', ['--set', 'clusterName='], /clusterName is not set/],
    ['no registry', ['--set', 'image.registry='], /containers\//],
    ['nothing to install', ['--set', 'server.enabled=false,agent.enabled=false'], /both false/],
    ...['example.org', 'prod.example.com', 'example', 'a.test', 'cluster.local'].map(
      (name) =>
        [`trust domain ${name}`, ['--set', `trustDomain=${name}`], /is an example/] as const,
    ),
    ['an example of a cluster', ['--set', 'clusterName=example-cluster'], /is an example/],
    ['a blind first bundle', ['--set', 'agent.bootstrap.insecure=true'], /from whoever answers/],
    [
      'agents without a server',
      ['--set', 'server.enabled=false'],
      /agent\.serverAddress is not set/,
    ],
    [
      'agents that cannot attest',
      ['--set', 'nodeAttestor.k8sPsat.enabled=false'],
      /another method/,
    ],
    [
      'a voucher off the network',
      ['--set-json', 'agent.config.voucher={"listen":{"address":"fe80::1%a","port":1}}'],
      /hostNetwork/,
    ],
    ['a library that is not there', ['--set', 'server.config.keys.manager=pkcs11'], /pkcs11/],
    ['a file of nothing', ['--set', 'server.files[0].name=a'], /exactly one/],
    ['an unknown key', ['--set', 'replicas=3'], /additional properties 'replicas' not allowed/],
    ['an unknown key below', ['--set', 'server.persistence.seize=1'], /'seize' not allowed/],
    [
      'a setting that does not exist',
      ['--set', 'server.config.frobnicate=1'],
      /'frobnicate' not allowed/,
    ],
    [
      "a setting of the chart's own",
      ['--set', 'server.config.dataDir=/x'],
      /'dataDir' not allowed/,
    ],
    [
      'a setting that does not work here',
      ['--set', 'agent.config.workloadAttestors.systemd.busAddress=x'],
      /'systemd' not allowed/,
    ],
    ['a malformed duration', ['--set-string', 'server.config.svid.x509Ttl=1 hour'], /x509Ttl/],
    [
      'a switch that is text',
      ['--set-string', 'rules.enabled=no'],
      /rules\/enabled|rules\.enabled/,
    ],
    ['a port past the last', ['--set', 'metrics.port=65536'], /65[,']?535/],
    ['a trust domain in capitals', ['--set', 'trustDomain=Prod'], /trustDomain/],
    ['a folder that is relative', ['--set', 'agent.socket.hostPath=run'], /hostPath/],
    ['a driver of a name that is none', ['--set', 'agent.socket.csi.driver=a/b'], /driver/],
    [
      'two drivers',
      ['--set', 'agent.socket.mode=csi,agent.socket.csiDriver=csi.acme.io'],
      /agent\.socket\.csiDriver/,
    ],
    [
      'two processes on one port',
      ['--set', 'agent.socket.mode=csi,metrics.port=9989'],
      /metricsPort/,
    ],
    ['an image by a broken digest', ['--set', 'server.image.digest=sha256:00'], /digest/],
  ];

  it('refuse what is wrong, and say what to do', async (t) => {
    for (const helm of [helm3, helm4]) {
      if (helm.missing !== undefined) return skipNow(t, helm.missing);
      for (const [what, args, message] of REFUSED) {
        const full = ['template', 'r', CHART, '--kube-version', '1.37', '-f', DEFAULT, ...args];
        const { code, stderr } = await helm.run(full);
        assert.notEqual(code, 0, what);
        assert.match(stderr, message, what);
      }
    }
  });
});

const AGENT_ENDS = `
rule_files: [alerts.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'signet_server_agents', values: '3x60' }
      - { series: 'signet_server_svids_total{svid="x509",code="ok"}', values: '0+90x60' }
      - { series: 'signet_server_svids_total{svid="x509",code="KEY_BLOCKED"}', values: '0+10x60' }
      - { series: 'signet_server_svids_total{svid="jwt",code="ok"}', values: '0+90x60' }
      - { series: 'signet_server_svids_total{svid="jwt",code="KEY_BLOCKED"}', values: '0+1x60' }
      - { series: 'signet_server_crl_next_update_seconds', values: '0x60' }
      - { series: 'signet_agent_pod_source{pod="a",source="kubelet"}', values: '0x60' }
      - { series: 'signet_agent_pod_source{pod="a",source="api-server"}', values: '0x60' }
      - { series: 'signet_agent_pod_source{pod="b",source="kubelet"}', values: '0x60' }
      - { series: 'signet_agent_pod_source{pod="b",source="api-server"}', values: '1x60' }
      - { series: 'signet_agent_svid_seconds_left{pod="a"}', values: '599x60' }
      - { series: 'signet_agent_svid_seconds_left{pod="b"}', values: '600x60' }
    promql_expr_test:
      - expr: 'count by (alertname, pod, svid) (ALERTS{alertstate="firing"})'
        eval_time: 45m
        exp_samples:
          - { labels: '{alertname="SignetAgentSvidEnds",pod="a"}', value: 1 }
          - { labels: '{alertname="SignetAgentWithoutPods",pod="a"}', value: 1 }
          - { labels: '{alertname="SignetIssuanceFails",svid="x509"}', value: 1 }
  - interval: 1m
    input_series: []
    promql_expr_test:
      - expr: 'count by (alertname) (ALERTS{alertstate="firing"})'
        eval_time: 10m
        exp_samples: [{ labels: '{alertname="SignetServerAbsent"}', value: 1 }]
`;

describe('alert rules and dashboards', () => {
  let promtool: GoTool;
  let dir: string;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sgn-charts-'));
    const program = 'github.com/prometheus/prometheus/cmd/promtool';
    promtool = await goTool('promtool', program, ['remove_all_sd']);
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  it('are what Prometheus takes, and fire when they should', async (t) => {
    if (promtool.missing !== undefined) return skipNow(t, promtool.missing);
    const rules = readFileSync(join(CHART, 'files/alerts.yaml'), 'utf8');
    writeFileSync(join(dir, 'alerts.yaml'), rules);
    writeFileSync(join(dir, 'test.yaml'), AGENT_ENDS);
    for (const args of [
      ['check', 'rules', '--lint=all', '--lint-fatal', join(dir, 'alerts.yaml')],
      ['test', 'rules', join(dir, 'test.yaml')],
    ]) {
      const { code, stdout, stderr } = await promtool.run(args);
      assert.equal(code, 0, stdout + stderr);
    }
  });

  it('of dashboards are queries that Prometheus takes', async (t) => {
    if (promtool.missing !== undefined) return skipNow(t, promtool.missing);
    const board = parseDocument(readFileSync(join(CHART, 'files/dashboards/signet.json'), 'utf8'));
    const { panels } = board.toJS() as {
      panels: readonly { targets: readonly { expr: string }[] }[];
    };
    const queries = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    const rules = queries.map((query, index) => ({
      record: `query:${index}`,
      expr: query.replaceAll('$__rate_interval', '5m'),
    }));
    const path = join(dir, 'queries.yaml');
    writeFileSync(path, JSON.stringify({ groups: [{ name: 'queries', rules }] }));
    const { code, stdout, stderr } = await promtool.run(['check', 'rules', path]);
    assert.equal(code, 0, stdout + stderr);
  });
});
