import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { commands } from '../../src/main/commands.ts';
import { cli } from '../support/cli.ts';
import { skipNow } from '../support/shared.ts';
import { rightsOf } from './chart-rights.ts';
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
        const configs = manifests.map((each) => at(each, 'data', `${kind}.yaml`)).filter(Boolean);
        const absent = kind === 'server' ? /^(dpu-agents|account-only)-/ : /^server-only-/;
        assert.equal(configs.length === 0, absent.test(name), `${name}: ${kind}`);
        for (const config of configs) {
          const path = join(dir, `${name}-${kind}.yaml`);
          writeFileSync(path, String(config));
          const { code, out, err } = await cli(commands, [kind, 'validate', '--config', path]);
          assert.equal(code, 0, `${name}: ${kind}: ${out}${err}`);
        }
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
    const agent = podOf(manifests, 'DaemonSet', 'r-signet-agent');
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
    const csi = at(podOf(manifests, 'DaemonSet', 'r-signet-agent'), 'containers', '1');
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

  /** Rights as `group/resource verb`, of all roles whose name ends so. */
  const rights = (manifests: readonly Manifest[], suffix: string): readonly string[] =>
    rightsOf(manifests.filter(({ metadata }) => textOf(metadata, 'name').endsWith(suffix))).map(
      ({ verb, what, name }) => [what, verb, ...(name === undefined ? [] : [name])].join(' '),
    );

  // That each of them is needed, and none is missing: charts-rights.test.ts.
  it('give rights for what is switched on alone', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    assert.deepEqual(rights(await rendered('server-only-values.yaml'), ''), []);
    const minimal = ['agent.bootstrap.publish=false'];
    const psat = rights(await rendered('minimal-values.yaml', ['--set', minimal.join()]), '');
    assert.deepEqual(psat, [
      'authentication.k8s.io/tokenreviews create',
      '/pods get',
      '/nodes get',
    ]);
    const all = await rendered('everything-values.yaml');
    for (const [off, gone] of [
      [
        'nodeAttestor.k8sPsat.enabled=false,agent.enabled=false,connectors.kubernetesTokens=false',
        /(pods|nodes) get$/,
      ],
      ['rules.status.enabled=false', /clusterspiffeids.status|-rules$/],
      ['connectors.enabled=false', /connector(group|segment)s|-connectors$/],
      ['connectors.enabled=false,podCertificates.enabled=false', /services /],
      ['podCertificates.enabled=false', /podcertificate|sign signet\.acme|-certificates$/],
      ['issuers.enabled=false', /signetissuers|certificatesigning|-issuers$/],
      ['trustBundles=null', /clustertrustbundles|attest/],
      ['configMaps=null,agent.bootstrap.publish=false', /configmaps/],
      [
        'server.config.upstream.certManager.kubeconfigPath=/k',
        /certificaterequests (create|get|delete)/,
      ],
    ] as const) {
      const left = await rendered('everything-values.yaml', ['--set', off]);
      assert.deepEqual(
        rights(left, '-server').filter((right) => gone.test(right)),
        [],
        off,
      );
      assert.ok(
        rights(all, '-server').some((right) => gone.test(right)),
        off,
      );
    }
    assert.deepEqual(rights(all, '-agent'), [
      '/nodes/pods get',
      '/pods list',
      '/pods watch',
      '/namespaces get',
    ]);
    assert.ok(!rights(all, '').some((right) => /^\*|\* |secrets|escalate|impersonate/.test(right)));
    const signers = rights(all, '').filter((right) => /signers/.test(right));
    const ours =
      / (signet\.acme\.io\/(spiffe|service-dns)|signet(cluster)?issuers\.signet\.dev\/\*)$/;
    assert.ok(signers.every((right) => ours.test(right)));
    const version = ['-f', join(VALUES, 'everything-values.yaml'), '--kube-version', '1.35'];
    const old = await render(helm3, CHART, version);
    assert.ok(rights(old, '-agent').includes('/nodes/proxy get'));
    const accountOnly = await rendered('account-only-values.yaml');
    assert.ok(rights(accountOnly, '-server').includes('/pods watch'));
    assert.ok(!accountOnly.some(({ kind }) => kind === 'StatefulSet'));
  });

  it('begin by a ClusterTrustBundle where one is named, which the server publishes', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const name = 'signet.acme.io:spiffe:prod';
    const objects = await rendered('endpoints-values.yaml');
    const volumes = at(podOf(objects, 'DaemonSet'), 'volumes') as readonly Manifest[];
    const bundle = volumes.find((one) => one.name === 'bundle');
    const sources = [{ clusterTrustBundle: { name, path: 'bundle.pem' } }];
    assert.deepEqual(bundle, { name: 'bundle', projected: { sources } });
    const config = objects.map((one) => at(one, 'data', 'server.yaml')).find(Boolean);
    const cluster = at(parse(String(config)), 'kubernetes', 'clusters', '0');
    const signerName = 'signet.acme.io/spiffe';
    assert.deepEqual(at(cluster, 'trustBundles'), [{ signerName, name: 'prod' }]);
    assert.equal(at(cluster, 'configMaps'), undefined);
    assert.deepEqual(at(cluster, 'rules', 'pathPrefixes'), ['/rack-1', '/shared']);
    const given = rights(objects, '-server');
    assert.ok(given.includes(`certificates.k8s.io/clustertrustbundles create ${name}`));
    assert.ok(given.includes(`certificates.k8s.io/signers attest ${signerName}`));
    // Off where IDs are held to paths (rules.federatedTrustDomains).
    assert.ok(!given.some((right) => right.includes('clusterfederatedtrustdomains')));
    for (const once of ['publish=false', 'publish=true']) {
      const set = ['--set', `agent.bootstrap.${once}`];
      const listed = [
        '--set-json',
        `trustBundles=${JSON.stringify([{ signerName, name: 'prod' }])}`,
      ];
      const found = rights(await rendered('endpoints-values.yaml', [...set, ...listed]), '-server');
      const creates = found.filter((right) => right.includes('clustertrustbundles create'));
      assert.equal(creates.length, 1, once);
    }
  });

  it('give each node the agents of one pool', async (t) => {
    if (helm3.missing !== undefined) return skipNow(t, helm3.missing);
    const all = await rendered('everything-values.yaml');
    const expressions = at(
      podOf(all, 'DaemonSet', 'r-signet-agent'),
      ...['affinity', 'nodeAffinity', 'requiredDuringSchedulingIgnoredDuringExecution'],
      ...['nodeSelectorTerms', '0', 'matchExpressions'],
    );
    const key = 'signet.dev/agent-pool';
    assert.deepEqual(expressions, [{ key, operator: 'NotIn', values: ['dpu-host', 'slow'] }]);
    const host = podOf(all, 'DaemonSet', 'r-signet-agent-dpu-host');
    assert.equal(at(host, 'nodeSelector', key), 'dpu-host');
    assert.equal(at(host, 'hostNetwork'), true);
    const config = (name: string): unknown => {
      const found = all.find((each) => at(each, 'metadata', 'name') === name && 'data' in each);
      return parse(textOf(found, 'data', 'agent.yaml'));
    };
    const attestation = (name: string): readonly string[] =>
      Object.keys(Object(at(config(name), 'attestation')));
    assert.deepEqual(attestation('r-signet-agent'), ['k8sPsat']);
    assert.deepEqual(attestation('r-signet-agent-dpu-host'), ['dpuHost']);
    assert.deepEqual(attestation('r-signet-agent-slow'), ['k8sPsat']);
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
    ['a signer of nobody', ['--set', 'podCertificates.enabled=true'], /signerDomain is not set/],
    [
      "somebody else's signer",
      ['--set', 'podCertificates.enabled=true,podCertificates.signerDomain=signet.example.com'],
      /is an example/,
    ],
    [
      'certificates for pods that nobody knows',
      [
        '--set',
        'podCertificates.enabled=true,podCertificates.signerDomain=s.acme.io,rules.enabled=false',
      ],
      /need rules\.enabled/,
    ],
    [
      'a bundle of two places',
      ['--set-json', 'configMaps=[{"namespace":"a","nowhere":"b"}]'],
      /'nowhere' not allowed/,
    ],
    [
      'egress without an API server',
      ['--set', 'networkPolicy.egress.enabled=true'],
      /apiServerCidrs is not set/,
    ],
    [
      'everything counted twice',
      ['--set', 'metrics.podMonitor.enabled=true,metrics.serviceMonitor.enabled=true'],
      /both enabled/,
    ],
    ['a pool that is all nodes', ['--set', 'agent.pools.default.hostNetwork=true'], /default/],
    [
      'a pool with a server of its own',
      ['--set', 'agent.pools.a.serverAddress=x'],
      /serverAddress/,
    ],
    [
      'a pool that listens off the network',
      ['--set-json', 'agent.pools.a.config.voucher={"listen":{"address":"fe80::1%a","port":1}}'],
      /agent\.pools\.a\.hostNetwork/,
    ],
    ['rules below a folder', ['--set', 'rules.pathPrefixes={/a/}'], /pathPrefixes/],
    [
      'a ClusterTrustBundle in another form',
      ['--set', 'agent.bootstrap.clusterTrustBundle=a,agent.bootstrap.format=spiffe'],
      /holds nothing else/,
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
    for (const { missing } of [helm3, helm4]) if (missing !== undefined) return skipNow(t, missing);
    const refuses = async (helm: GoTool): Promise<void> => {
      for (const [what, args, message] of REFUSED) {
        const full = ['template', 'r', CHART, '--kube-version', '1.37', '-f', DEFAULT, ...args];
        const { code, stderr } = await helm.run(full);
        assert.notEqual(code, 0, what);
        assert.match(stderr, message, what);
      }
    };
    await Promise.all([refuses(helm3), refuses(helm4)]);
  });
});
