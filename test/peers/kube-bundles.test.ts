import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LocalAuthorityService } from '../../src/gen/spire/api/server/localauthority/v1/localauthority.ts';
import { parseSpiffeBundle } from '../../src/spiffe/bundle-document.ts';
import { parsePemBundle } from '../../src/spiffe/bundle-format.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { freePort, stopChild, waitForSocket } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import { ask, TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { needsShared } from '../support/shared.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';
import { spirePrograms } from './stock-agent.ts';
import { stockServerConfig } from './stock-server.ts';

const TD = assertValue(parseTrustDomain(TRUST_DOMAIN));
const SIGNER = 'example.org/spiffe';
const LINKED = 'example.org:spiffe:example.org';

/** Rights of a server that publishes, as docs/kubernetes-objects.md lists them. */
const OBJECTS = `
apiVersion: v1
kind: Namespace
metadata: { name: spire }
---
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { trust: "yes" } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: spire-bundle, namespace: spire, labels: { app: spire } }
data: { kept: by-others }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: signet-bundles }
rules:
- apiGroups: [certificates.k8s.io]
  resources: [clustertrustbundles]
  resourceNames: ["${LINKED}", signet-canary]
  verbs: [list, watch, create, patch]
- { apiGroups: [certificates.k8s.io], resources: [signers], resourceNames: [${SIGNER}], verbs: [attest] }
- { apiGroups: [""], resources: [configmaps], resourceNames: [spire-bundle, spiffe-bundle], verbs: [list, watch, create, patch] }
- { apiGroups: [""], resources: [namespaces], verbs: [list, watch] }
- { apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: signet-bundles }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: signet-bundles }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: User, name: signet }]
`;

const POD = `
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop }
spec:
  nodeName: node-a
  automountServiceAccountToken: false
  containers:
  - { name: c, image: none, volumeMounts: [{ name: trust, mountPath: /trust }] }
  volumes:
  - name: trust
    projected:
      sources:
      - clusterTrustBundle:
          signerName: ${SIGNER}
          labelSelector: { matchLabels: { signet.dev/canarying: live } }
          path: roots.pem
      - clusterTrustBundle: { name: signet-canary, path: canary.pem }
      - configMap: { name: spiffe-bundle }
`;

describe('bundles on a real API server', needsShared('rig/kube.sh'), () => {
  let rig: KubeRig;
  let server: TestServer;

  before(async () => {
    // Both versions are served.
    rig = await startKubeRig({ apiArgs: '--runtime-config=certificates.k8s.io/v1beta1=true' });
    await rig.kubectl(['apply', '-f', '-'], OBJECTS);
  });
  after(async () => {
    await server?.stop();
    await rig?.stop();
  });

  const read = (...path: readonly string[]): Promise<string> =>
    rig.kubectl(['get', ...path.slice(0, -1), '-o', `jsonpath={${path.at(-1)}}`]).catch(() => '');
  const spireMap = (path: string): Promise<string> =>
    read('configmap', '-n', 'spire', 'spire-bundle', path);
  const rootsIn = (pem: string): number => {
    const bundle = parsePemBundle(TD, pem);
    return bundle.ok ? bundle.value.x509Authorities.length : 0;
  };

  /** Asks until the answer is as it should be. */
  async function until(question: () => Promise<string> | string, is: (text: string) => boolean) {
    for (;;) {
      const answer = await question();
      if (is(answer)) return answer;
      await pause(50);
    }
  }

  /** What a stock SPIRE server writes by its plugins, into the same objects. */
  async function stockWrites(): Promise<{ notified: string; published: string }> {
    const dir = mkdtempSync(join(tmpdir(), 'sgn-stock-'));
    const bin = await spirePrograms();
    const socket = join(dir, 'server.sock');
    mkdirSync(join(dir, 'data'));
    const map = `configmap_name = "spiffe-bundle" configmap_key = "bundle.json" namespace = "spire"`;
    const plugins = `NodeAttestor "join_token" { plugin_data {} }
  Notifier "k8sbundle" { plugin_data { kube_config_file_path = "${rig.kubeconfig}" } }
  BundlePublisher "k8s_configmap" {
    plugin_data {
      clusters = { rig = { format = "spiffe" kubeconfig_path = "${rig.kubeconfig}" ${map} } }
    }
  }`;
    const parts = { dir: join(dir, 'data'), socket, trustDomain: TRUST_DOMAIN, plugins };
    writeFileSync(join(dir, 'conf'), stockServerConfig({ ...parts, port: await freePort() }));
    const log = openSync(join(dir, 'log'), 'a');
    const child = spawn(join(bin, 'spire-server'), ['run', '-config', join(dir, 'conf')], {
      stdio: ['ignore', log, log],
    });
    try {
      await waitForSocket(socket, child).catch((error: unknown) =>
        assert.fail(`${error}\n${readFileSync(join(dir, 'log'), 'utf8').slice(-2000)}`),
      );
      const document = ['configmap', '-n', 'spire', 'spiffe-bundle', '.data.bundle\\.json'];
      return {
        notified: await until(() => spireMap('.data.bundle\\.crt'), Boolean),
        published: await until(() => read(...document), Boolean),
      };
    } finally {
      await stopChild(child);
      rmSync(dir, { recursive: true, force: true });
    }
  }

  it('stand where stock SPIRE has put its own, and take their place', async () => {
    const stock = await stockWrites();
    assert.equal(rootsIn(stock.notified), 1);
    assert.ok(parseSpiffeBundle(TD, Buffer.from(stock.published)).ok);
    const cluster = {
      name: 'rack',
      kubeconfigPath: await rig.user('signet'),
      bundleLease: { namespace: 'spire' },
      bundleSettle: '1s',
      trustBundles: [
        { signerName: SIGNER },
        { name: 'signet-canary', channel: 'canary', draftLabels: true },
      ],
      configMaps: [
        { namespace: 'spire' },
        { namespace: 'spire', name: 'spiffe-bundle', key: 'bundle.json', format: 'spiffe' },
        { namespaceSelector: 'trust=yes', name: 'spiffe-bundle', labels: { source: 'signet' } },
      ],
    };
    server = await TestServer.start({ kubernetes: { clusters: [cluster] } });
    const changed = await until(
      () => spireMap('.data.bundle\\.crt'),
      (text) => text !== stock.notified && text !== '',
    );
    assert.equal(rootsIn(changed), 1);
    // The same PEM: certificates and nothing between them.
    const shape = (pem: string): string => pem.replaceAll(/^[A-Za-z0-9+/=]+$/gm, 'x');
    assert.equal(
      new Set([changed, stock.notified].map((pem) => shape(pem).replaceAll(/(x\n)+/g, 'x\n'))).size,
      1,
    );
    assert.equal(await spireMap('.data.kept'), 'by-others');
    assert.equal(await spireMap('.metadata.labels.app'), 'spire');
    const document = await until(
      () => read('configmap', '-n', 'spire', 'spiffe-bundle', '.data.bundle\\.json'),
      (text) => text !== stock.published,
    );
    const { bundle } = assertValue(parseSpiffeBundle(TD, Buffer.from(document)));
    assert.equal(bundle.x509Authorities.length, 1);
    const members = (text: string): string[] => Object.keys(JSON.parse(text)).sort();
    assert.deepEqual(
      members(document).filter((member) => member !== 'spiffe_refresh_hint'),
      members(stock.published).filter((member) => member !== 'spiffe_refresh_hint'),
    );
    assert.equal(
      await read('configmap', '-n', 'shop', 'spiffe-bundle', '.metadata.labels.source'),
      'signet',
    );
  });

  it('are ClusterTrustBundles of a signer and of none', async () => {
    const linked = (): Promise<string> => read('clustertrustbundle', LINKED, '.spec.trustBundle');
    assert.equal(rootsIn(await until(linked, Boolean)), 1);
    assert.equal(await read('clustertrustbundle', LINKED, '.spec.signerName'), SIGNER);
    const labels = await until(
      () => read('clustertrustbundle', 'signet-canary', '.metadata.labels'),
      Boolean,
    );
    assert.deepEqual(JSON.parse(labels), {
      'signet.dev/bundle': 'published',
      'signet.dev/canarying': 'canary',
      'k8s.spiffe.io/canarying': 'canary',
      'k8s.spiffe.io/workload-trust-domain': 'example.org',
    });
    const written = '.metadata.managedFields[*].apiVersion';
    assert.equal(await read('clustertrustbundle', LINKED, written), 'certificates.k8s.io/v1');
    assert.match(
      await read('clustertrustbundle', LINKED, '.metadata.managedFields[*].manager'),
      /^signet-bundle-publisher$/,
    );
  });

  it('are put back when they are edited or deleted', async () => {
    const bundle = await spireMap('.data.bundle\\.crt');
    const patch = ['patch', 'configmap', '-n', 'spire', 'spire-bundle', '-p'];
    await rig.kubectl([...patch, '{"data":{"bundle.crt":"x"}}']);
    await until(
      () => spireMap('.data.bundle\\.crt'),
      (text) => text === bundle,
    );
    const linked = await read('clustertrustbundle', LINKED, '.spec.trustBundle');
    await rig.kubectl(['delete', 'clustertrustbundle', LINKED]);
    await until(
      () => read('clustertrustbundle', LINKED, '.spec.trustBundle'),
      (text) => text === linked,
    );
    await rig.kubectl(['create', 'namespace', 'late']);
    await rig.kubectl(['label', 'namespace', 'late', 'trust=yes']);
    await until(
      () => read('configmap', '-n', 'late', 'spiffe-bundle', '.data.bundle\\.crt'),
      Boolean,
    );
  });

  it('are in the volumes of a pod, and new authorities before they sign', async () => {
    await rig.node('node-a');
    await until(() => read('serviceaccount', '-n', 'shop', 'default', '.metadata.name'), Boolean);
    await rig.kubectl(['apply', '-f', '-'], POD);
    const uid = await read('pod', '-n', 'shop', 'web', '.metadata.uid');
    const volume = join(rig.dir, 'node-node-a/pods', uid, 'volumes/kubernetes.io~projected/trust');
    const file = (name: string) => (): string => {
      try {
        return readFileSync(join(volume, name), 'utf8');
      } catch {
        return '';
      }
    };
    for (const name of ['roots.pem', 'canary.pem', 'bundle.crt']) {
      assert.equal(rootsIn(await until(file(name), Boolean)), 1);
    }
    const admin = server.admin();
    const { preparedAuthority } = await ask(admin, LocalAuthorityService.prepareX509Authority, {});
    const { authorityId = '' } = preparedAuthority ?? {};
    // Answered when every object has held it for as long as configured.
    await ask(admin, LocalAuthorityService.activateX509Authority, { authorityId, force: false });
    const linked = await read('clustertrustbundle', LINKED, '.spec.trustBundle');
    assert.equal(rootsIn(linked), 2, 'published before it was activated');
    assert.equal(rootsIn(await spireMap('.data.bundle\\.crt')), 2);
    // The kubelet looks again at once when the pod changes, else within a minute or two.
    await rig.kubectl(['annotate', 'pod', '-n', 'shop', 'web', 'now=look']);
    for (const name of ['roots.pem', 'canary.pem', 'bundle.crt']) {
      await until(file(name), (text) => rootsIn(text) === 2);
    }
  });
});
