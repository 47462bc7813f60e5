import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { unwrap } from '../../src/base/result.ts';
import { TrustDomainService } from '../../src/gen/spire/api/server/trustdomain/v1/trustdomain.ts';
import { emptyBundle } from '../../src/spiffe/bundle.ts';
import { formatSpiffeBundle } from '../../src/spiffe/bundle-format.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { soon } from '../support/processes.ts';
import { ask, TestServer } from '../support/server.ts';
import { needsShared } from '../support/shared.ts';
import { makeRoot } from '../support/x509.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';

const CRDS = 'charts/signet-crds/files';
const KIND = 'clusterfederatedtrustdomain';
/** As SPIRE's own definition has it: a status without fields. */
const STOCK_STATUS = JSON.stringify([
  {
    op: 'replace',
    path: '/spec/versions/0/schema/openAPIV3Schema/properties/status',
    value: { type: 'object' },
  },
]);

const ROOTS = new Map(['a.test', 'b.test'].map((name) => [name, makeRoot(name)]));

function object(name: string, trustDomain: string, profile = '{ type: https_web }'): string {
  const { certificate } = ROOTS.get(trustDomain) ?? makeRoot(trustDomain);
  const bundle = formatSpiffeBundle({
    ...emptyBundle(unwrap(parseTrustDomain(trustDomain))),
    x509Authorities: [{ certificate, tainted: false }],
    sequence: 7n,
  });
  return `
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterFederatedTrustDomain
metadata: { name: ${name} }
spec:
  trustDomain: ${trustDomain}
  bundleEndpointURL: https://127.0.0.1:1/
  bundleEndpointProfile: ${profile}
  trustDomainBundle: '${Buffer.from(unwrap(bundle)).toString()}'
---
`;
}

describe('federation on a real API server', needsShared('rig/kube.sh'), () => {
  let rig: KubeRig;
  let server: TestServer;

  before(async () => {
    rig = await startKubeRig();
    for (const file of readdirSync(CRDS)) {
      await rig.kubectl(['apply', '-f', '-'], readFileSync(join(CRDS, file), 'utf8'));
    }
    await rig.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
    await rig.kubectl(['create', 'namespace', 'signet']);
    const status = { leaseNamespace: 'signet' };
    const cluster = {
      name: 'rack',
      kubeconfigPath: rig.kubeconfig,
      rules: { status },
      bundleLease: { namespace: 'signet' },
      trustBundles: [{ signerName: 'example.org/spiffe', federated: true }],
      configMaps: [{ namespace: 'signet', federated: true }],
    };
    server = await TestServer.start({ kubernetes: { clusters: [cluster] } });
  });
  after(async () => {
    await server?.stop();
    await rig?.stop();
  });

  async function relationships(): Promise<string> {
    const page = { outputMask: undefined, pageSize: 0, pageToken: '' };
    const listed = await ask(server.admin(), TrustDomainService.listFederationRelationships, page);
    return listed.federationRelationships.map(({ trustDomain }) => trustDomain).join(' ');
  }

  const status = (name: string): Promise<string> =>
    rig.kubectl(['get', KIND, name, '-o', 'jsonpath={.status}']);

  it('objects make relationships, say how they stand, and end with them', async () => {
    await rig.kubectl(
      ['apply', '-f', '-'],
      object('a', 'a.test') +
        object('own', 'example.org') +
        object('web', 'b.test', '{ type: https_web, endpointSPIFFEID: "spiffe://b.test/x" }'),
    );
    await soon(async () => (await relationships()) === 'a.test');
    await soon(async () => (await status('a')).includes('FEDERATION_ENDPOINT_UNREACHABLE'));
    assert.match(await status('a'), /"bundleSequence":"7".*"reason":"InForce"/);
    await soon(async () => (await status('own')).includes('FEDERATION_OWN_DOMAIN'));
    await soon(async () => (await status('web')).includes('FEDERATION_PROFILE'));
    await rig.kubectl(['apply', '-f', '-'], object('b', 'b.test') + object('second', 'a.test'));
    await soon(async () => (await relationships()) === 'a.test b.test');
    await soon(async () => (await status('second')).includes('FEDERATION_CLAIMED'));
    await rig.kubectl(['delete', KIND, 'a', 'b']);
    await soon(async () => (await relationships()) === 'a.test');
    await soon(async () => (await status('second')).includes('InForce'));
    await rig.kubectl(['delete', KIND, '--all']);
    await soon(async () => (await relationships()) === '');
  });

  it('their bundles are published, and removed with them', async () => {
    const published = (): Promise<string> =>
      rig.kubectl([
        ...['get', 'clustertrustbundles,configmaps', '-n', 'signet', '-o', 'name'],
        ...['-l', 'signet.dev/bundle=published'],
      ]);
    const own = [
      'clustertrustbundle.certificates.k8s.io/example.org:spiffe:example.org',
      'configmap/spire-bundle',
    ];
    const theirs = [
      'clustertrustbundle.certificates.k8s.io/example.org:spiffe:a.test',
      'configmap/spire-bundle.a.test',
    ];
    const are = async (...names: readonly string[]): Promise<boolean> =>
      (await published()).trim().split('\n').sort().join() === [...names].sort().join();
    await soon(() => are(...own));
    await rig.kubectl(['apply', '-f', '-'], object('a', 'a.test'));
    await soon(() => are(...own, ...theirs));
    const key = '-o=jsonpath={.spec.trustBundle}';
    const pem = await rig.kubectl(['get', 'clustertrustbundle', 'example.org:spiffe:a.test', key]);
    assert.equal(pem.trim(), ROOTS.get('a.test')?.pem.trim());
    await rig.kubectl(['delete', KIND, 'a']);
    await soon(() => are(...own));
  });

  it('events say it where the status has no fields', async () => {
    const crd = `${KIND}s.spire.spiffe.io`;
    await rig.kubectl(['patch', 'crd', crd, '--type=json', '-p', STOCK_STATUS]);
    await rig.kubectl(['apply', '-f', '-'], object('own', 'example.org'));
    const told = (): Promise<string> =>
      rig.kubectl(['get', 'events', '-o', 'jsonpath={.items[*].message}']);
    await soon(async () => (await told()).includes('FEDERATION_OWN_DOMAIN'));
    assert.equal((await status('own')).includes('conditions'), false);
  });
});
