import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CustomObjectsApi, KubeConfig } from '@kubernetes/client-node';
import { createCertManagerUpstream } from '../../src/authority/upstream/cert-manager.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { Result } from '../../src/base/result.ts';
import { encodePem } from '../../src/der/pem.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { lazyKubeObjects } from '../../src/kube/kube-objects.ts';
import { FakeCa } from '../support/fake-ca.ts';
import { type FakeRequest, signedStatus } from '../support/fake-cert-manager.ts';
import { TRUST_DOMAIN as DOMAIN } from '../support/issuance.ts';
import { ask, TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { needsShared } from '../support/shared.ts';
import { testUpstream } from '../support/upstream-suite.ts';
import { makeCsr, makeKey } from '../support/x509.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';

const PLACE = {
  group: 'cert-manager.io',
  version: 'v1',
  namespace: 'spiffe',
  plural: 'certificaterequests',
} as const;
const ISSUER = { name: 'root', kind: 'Issuer', group: 'issuers.example.org' } as const;

const RBAC = `
apiVersion: v1
kind: Namespace
metadata: { name: spiffe }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: signet-upstream, namespace: spiffe }
rules:
- { apiGroups: [cert-manager.io], resources: [certificaterequests], verbs: [create, get, delete] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: signet-upstream, namespace: spiffe }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: signet-upstream }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: User, name: signet }]
`;

type Listed = FakeRequest & {
  status?: { conditions?: { type: string; status: string }[]; certificate?: string };
};

/** An issuer of another group, as an admin: signs what cert-manager's own approver approved. */
class ExternalIssuer {
  ca = new FakeCa();
  readonly #api: CustomObjectsApi;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(kubeconfig: string) {
    const config = new KubeConfig();
    config.loadFromFile(kubeconfig);
    this.#api = config.makeApiClient(CustomObjectsApi);
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async names(): Promise<readonly string[]> {
    return (await this.#list()).map(({ metadata }) => metadata.name);
  }

  async #list(): Promise<readonly Listed[]> {
    const list = (await this.#api.listNamespacedCustomObject(PLACE)) as { items: Listed[] };
    return list.items;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      for (const request of await this.#list()) await this.#look(request);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async #look(request: Listed): Promise<void> {
    const { conditions = [], certificate } = request.status ?? {};
    const approved = conditions.some(
      ({ type, status }) => type === 'Approved' && status === 'True',
    );
    if (!approved || certificate !== undefined) return;
    const body = { ...request, status: signedStatus(this.ca, request) };
    const { name } = request.metadata;
    const replaced = this.#api.replaceNamespacedCustomObjectStatus({ ...PLACE, name, body });
    // Whoever changed it in between, it is looked at again.
    await replaced.catch(() => {});
  }
}

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

describe('cert-manager on a real API server', needsShared('rig/kube.sh'), () => {
  let rig: KubeRig;
  let issuer: ExternalIssuer;
  let kubeconfigPath: string;
  before(async () => {
    rig = await startKubeRig({ certManager: true });
    await rig.kubectl(['apply', '-f', '-'], RBAC);
    kubeconfigPath = await rig.user('signet');
    issuer = new ExternalIssuer(rig.kubeconfig);
    issuer.start();
  });
  after(async () => {
    await issuer?.stop();
    await rig?.stop();
  });

  const upstreamOf = (path: string) =>
    createCertManagerUpstream({
      trustDomain: DOMAIN,
      open: lazyKubeObjects({ kubeconfigPath: path }, { clock: systemClock }),
      namespace: 'spiffe',
      issuerRef: ISSUER,
      bundlePath: undefined,
      clock: systemClock,
    });

  testUpstream('cert-manager', async () => {
    issuer.ca = new FakeCa();
    return { authority: upstreamOf(kubeconfigPath), ca: issuer.ca };
  });

  test('leaves no request behind', async () => {
    assert.deepEqual(await issuer.names(), []);
  });

  test('is refused what its role does not allow', async () => {
    const key = makeKey();
    const csr = makeCsr({ key, uris: [DOMAIN.id] });
    const order = { csr, spki: key.spki, ttlSeconds: 3600 };
    const stranger = upstreamOf(await rig.user('stranger'));
    assert.equal(code(await stranger.certify(order)), 'UPSTREAM_PERMISSION');
  });

  test('is the upstream of a whole server by its configuration', async () => {
    issuer.ca = new FakeCa();
    const certManager = { namespace: 'spiffe', issuer: ISSUER, kubeconfigPath };
    const server = await TestServer.start({ upstream: { certManager } });
    const key = makeKey();
    const csr = Buffer.from(makeCsr({ key, uris: [`spiffe://${TRUST_DOMAIN}/web`] }));
    const { svid } = await ask(server.admin(), SVIDService.mintX509Svid, { csr, ttl: 0 });
    assert.equal(svid?.certChain.length, 3);
    assert.equal(await server.bundlePem(), encodePem('CERTIFICATE', issuer.ca.root.der));
    await server.stop();
  });
});
