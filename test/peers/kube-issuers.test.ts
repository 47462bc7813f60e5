import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { encodePem } from '../../src/der/pem.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { ask, TestServer } from '../support/server.ts';
import { needsShared } from '../support/shared.ts';
import { makeCsr, makeKey, type TestCsrOptions } from '../support/x509.ts';
import {
  askedBy,
  auditArgs,
  kubeconfigOf,
  type Right,
  rightsOf,
  untilBound,
  useUp,
} from './chart-rights.ts';
import { type GoTool, goTool } from './go-tool.ts';
import { at, type Manifest, render, textOf } from './helm.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';

const CRDS = 'charts/signet-crds/files';

/** Of the chart, whose rights alone the server has. */
const VALUES = {
  trustDomain: 'example.org',
  strictMode: false,
  clusterName: 'rack',
  image: { registry: 'registry.acme.io' },
  agent: { enabled: false },
  nodeAttestor: { k8sPsat: { enabled: false } },
  rules: { status: { enabled: false } },
  issuers: {
    enabled: true,
    podRequests: true,
    signingRequests: true,
    approve: true,
    retryFor: '2s',
  },
};
const SERVER = 'system:serviceaccount:signet:r-signet-server';

const ACCOUNTS = `
apiVersion: v1
kind: Namespace
metadata: { name: signet }
---
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: asks }
rules:
- { apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests], verbs: [create] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: asks }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: asks }
subjects: [{ kind: ServiceAccount, name: default, namespace: shop }]
`;

const OBJECTS = `
apiVersion: spire.spiffe.io/v1alpha1
kind: ClusterSPIFFEID
metadata: { name: all }
spec:
  spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}"
  dnsNameTemplates: ["{{ .PodMeta.Name }}.example.com"]
---
apiVersion: signet.dev/v1alpha1
kind: WorkloadIdentityGrant
metadata: { name: tenants }
spec: { pathPrefix: "/tenant/{{ .PodMeta.Namespace }}" }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop }
spec: { containers: [{ name: c, image: none }] }
---
apiVersion: signet.dev/v1alpha1
kind: SignetIssuer
metadata: { name: ca, namespace: shop }
spec:
  certificates:
  - { pathPrefix: /tenant/shop, dnsNames: ["*.shop.svc"], ttl: 3h }
---
apiVersion: signet.dev/v1alpha1
kind: SignetClusterIssuer
metadata: { name: edge }
spec:
  certificates:
  - { pathPrefix: "/edge/{{ .PodMeta.Namespace }}", dnsNames: ["*.{{ .PodMeta.Namespace }}.example.com"] }
---
apiVersion: signet.dev/v1alpha1
kind: SignetClusterIssuer
metadata: { name: broken }
spec: { certificates: [{ pathPrefix: "{{ nonsense" }] }
`;

const ID = 'spiffe://example.org/tenant/shop/web';
const POD_ID = 'spiffe://example.org/ns/shop/sa/default';

function certificate(name: string, issuerName: string): string {
  return `
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: { name: ${name}, namespace: shop }
spec:
  secretName: ${name}
  uris: ["${ID}"]
  dnsNames: [web.shop.svc]
  duration: 2h
  renewBefore: 1h
  usages: [digital signature, server auth, client auth]
  privateKey: { algorithm: ECDSA, rotationPolicy: Always }
  issuerRef: { group: signet.dev, kind: SignetIssuer, name: ${issuerName} }
`;
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
}

interface Request {
  readonly metadata: { readonly name: string; readonly generation: number; readonly uid: string };
  readonly spec: { readonly issuerRef: { readonly name: string } };
  readonly status?: {
    readonly conditions?: readonly Condition[];
    readonly certificate?: string;
    readonly ca?: string;
    readonly failureTime?: string;
  };
}

interface Secret {
  readonly data: { readonly 'tls.crt'?: string; readonly 'ca.crt'?: string };
}

const ready = ({ status }: Request) => status?.conditions?.find(({ type }) => type === 'Ready');
const listOf = (items: readonly object[]) => ({ apiVersion: 'v1', kind: 'List', items });
const csrText = (options: TestCsrOptions) =>
  Buffer.from(encodePem('CERTIFICATE REQUEST', makeCsr(options))).toString('base64');
const decode = (text = '') => Buffer.from(text, 'base64').toString();

describe(
  'issuers on a real API server with a real cert-manager',
  needsShared('rig/kube.sh'),
  () => {
    let helm: GoTool;
    let dir: string;
    let rig: KubeRig;
    let rights: readonly Right[];
    let server: TestServer;
    let podUid: string;

    before(async () => {
      helm = await goTool('helm3', 'helm.sh/helm/v3/cmd/helm');
      assert.equal(helm.missing, undefined);
      dir = mkdtempSync(join(tmpdir(), 'sgn-issuers-'));
      rig = await startKubeRig({ certManager: true, apiArgs: auditArgs(dir) });
      const crds = readdirSync(CRDS).map((file) => readFileSync(join(CRDS, file), 'utf8'));
      await rig.kubectl(['apply', '-f', '-'], crds.join('\n---\n'));
      await rig.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
      await rig.kubectl(['apply', '-f', '-'], ACCOUNTS);
      const cluster = await fromChart();
      await rig.node('node-a');
      await rig.kubectl(['apply', '-f', '-'], OBJECTS);
      server = await TestServer.start({ kubernetes: { clusters: [cluster] } });
      await rig.kubectl([
        'wait',
        '--for=condition=Ready',
        '-n',
        'shop',
        'pod/web',
        '--timeout=60s',
      ]);
      const pod = await read<Request>('pod', 'web');
      podUid = pod.metadata.uid;
    });
    after(async () => {
      await server?.stop();
      await rig?.stop();
      rmSync(dir, { recursive: true, force: true });
    });

    /** Gives the chart's rights to its account, and answers what the server is told of the cluster. */
    async function fromChart(): Promise<object> {
      const values = join(dir, 'values.yaml');
      writeFileSync(values, stringify(VALUES));
      const objects = await render(helm, 'charts/signet', ['-f', values]);
      const accounts = objects.filter(({ kind }) => /Role|ServiceAccount/.test(String(kind)));
      await rig.kubectl(['apply', '-f', '-'], JSON.stringify(listOf(accounts)));
      const isOurs = ({ metadata }: Manifest) => textOf(metadata, 'name').endsWith('-server');
      const ours = objects.filter(isOurs);
      rights = rightsOf(ours);
      await untilBound(rig, ours, () => SERVER);
      const token = await rig.kubectl(['create', 'token', 'r-signet-server', '-n', 'signet']);
      const path = join(dir, 'server.kubeconfig');
      const config = parse(
        textOf(
          ours.find(({ kind }) => kind === 'ConfigMap'),
          'data',
          'server.yaml',
        ),
      );
      const kubeconfigPath = kubeconfigOf(rig.kubeconfig, token.trim(), path);
      return { ...Object(at(config, 'kubernetes', 'clusters', '0')), kubeconfigPath };
    }

    async function read<T>(...args: readonly string[]): Promise<T> {
      return JSON.parse(await rig.kubectl(['get', '-o', 'json', '-n', 'shop', ...args])) as T;
    }

    async function until<T>(ask: () => Promise<T | undefined>): Promise<T> {
      for (let tries = 0; tries < 300; tries += 1) {
        const found = await ask();
        if (found !== undefined) return found;
        await pause(100);
      }
      assert.fail('what was waited for never came');
    }

    /** Requests once the condition Ready of each says something of these. */
    function toldAll(
      names: readonly string[],
      ...reasons: readonly string[]
    ): Promise<readonly Request[]> {
      return until(async () => {
        const { items } = await read<{ items: readonly Request[] }>('certificaterequests');
        const found = names.flatMap(
          (name) => items.find(({ metadata }) => metadata.name === name) ?? [],
        );
        const isTold = found.every((one) => reasons.includes(ready(one)?.reason ?? ''));
        return isTold && found.length === names.length ? found : undefined;
      });
    }

    async function told(name: string, ...reasons: readonly string[]): Promise<Request> {
      const [found] = await toldAll([name], ...reasons);
      return found ?? assert.fail(`there is no request ${name}`);
    }

    function secret(name: string, isNews = (_: Secret) => true): Promise<Secret> {
      return until(async () => {
        const list = await read<{ items: readonly (Secret & Request)[] }>('secrets');
        const found = list.items.find(({ metadata }) => metadata.name === name);
        return found?.data['tls.crt'] !== undefined && isNews(found) ? found : undefined;
      });
    }

    type Asked = readonly [name: string, names: TestCsrOptions, spec?: Record<string, unknown>];

    /** Makes requests as an admin, who may say of them what he likes. */
    async function request(...asked: readonly Asked[]): Promise<void> {
      const items = asked.map(([name, names, spec]) => ({
        apiVersion: 'cert-manager.io/v1',
        kind: 'CertificateRequest',
        metadata: { name, namespace: 'shop' },
        spec: {
          request: csrText({ uris: [ID], ...names }),
          issuerRef: { group: 'signet.dev', kind: 'SignetIssuer', name: 'ca' },
          ...spec,
        },
      }));
      await rig.kubectl(['create', '-f', '-'], JSON.stringify(listOf(items)));
    }

    /** Of somebody who has nothing but a token. */
    async function podKubeconfig(token: string): Promise<string> {
      const config = JSON.parse(
        await rig.kubectl(['config', 'view', '--raw', '--flatten', '-o', 'json']),
      ) as { users: readonly { user: object }[] };
      const path = join(rig.dir, 'pod.kubeconfig');
      const users = config.users.map((one) => ({ ...one, user: { token } }));
      writeFileSync(path, JSON.stringify({ ...config, users }));
      return path;
    }

    function madeBy(pod: string, uid: string, namespace = 'shop'): Record<string, unknown> {
      const said = 'authentication.kubernetes.io';
      return {
        username: `system:serviceaccount:${namespace}:default`,
        groups: ['system:serviceaccounts'],
        extra: {
          [`${said}/pod-name`]: [pod],
          [`${said}/pod-uid`]: [uid],
          [`${said}/node-name`]: ['node-a'],
        },
      };
    }

    async function verifies(chain: string, ca: string): Promise<X509Certificate> {
      const split = (text: string) =>
        text
          .split(/(?<=-----END CERTIFICATE-----\n)/)
          .filter((part) => part.includes('BEGIN CERTIFICATE'))
          .map((part) => new X509Certificate(part));
      const bundle = await ask(server.admin(), BundleService.getBundle, { outputMask: undefined });
      const roots = bundle.x509Authorities.map(({ asn1 }) => new X509Certificate(asn1));
      assert.deepEqual(
        split(ca).map(({ fingerprint256 }) => fingerprint256),
        roots.map(({ fingerprint256 }) => fingerprint256),
      );
      const [leaf, ...above] = split(chain);
      assert.ok(leaf !== undefined);
      let last = leaf;
      for (const next of above) {
        assert.ok(last.verify(next.publicKey));
        last = next;
      }
      assert.ok(roots.some((root) => last.verify(root.publicKey)));
      return leaf;
    }

    it('say whether they are ready, of which generation, and what is wrong', async () => {
      const ca = await until(async () => {
        const found = await read<Request>('signetissuer', 'ca');
        return ready(found)?.status === 'True' ? found : undefined;
      });
      assert.deepEqual(
        [ready(ca)?.reason, ready(ca)?.observedGeneration],
        ['Checked', ca.metadata.generation],
      );
      const broken = await until(async () => {
        const found = await read<Request>('signetclusterissuer', 'broken');
        return ready(found) === undefined ? undefined : found;
      });
      assert.deepEqual([ready(broken)?.status, ready(broken)?.reason], ['False', 'Failed']);
      assert.match(ready(broken)?.message ?? '', /TEMPLATE_/);
    });

    it('give a Certificate its Secret, and another when it is renewed', async () => {
      await rig.kubectl(['apply', '-f', '-'], certificate('web', 'ca'));
      const { data } = await secret('web');
      const leaf = await verifies(decode(data['tls.crt']), decode(data['ca.crt']));
      assert.equal(leaf.subjectAltName, `URI:${ID}, DNS:web.shop.svc`);
      assert.equal(leaf.ca, false);
      const lifeMs = leaf.validToDate.getTime() - leaf.validFromDate.getTime();
      assert.equal(lifeMs, 2 * 3600 * 1000);
      await rig.kubectl([
        ...[
          'patch',
          'certificate',
          'web',
          '-n',
          'shop',
          '--subresource=status',
          '--type=json',
          '-p',
        ],
        JSON.stringify([
          {
            op: 'add',
            path: '/status/conditions/-',
            value: {
              type: 'Issuing',
              status: 'True',
              reason: 'ManuallyTriggered',
              message: 'as cmctl renew does',
              lastTransitionTime: new Date().toISOString(),
            },
          },
        ]),
      ]);
      const next = await secret('web', (now) => now.data['tls.crt'] !== data['tls.crt']);
      const renewed = await verifies(decode(next.data['tls.crt']), decode(next.data['ca.crt']));
      assert.notEqual(renewed.serialNumber, leaf.serialNumber);
    });

    it('are waited for where they are not there, and answer when they are', async () => {
      await rig.kubectl(['apply', '-f', '-'], certificate('late', 'late'));
      const waiting = await until(async () => {
        const { items } = await read<{ items: readonly Request[] }>('certificaterequests');
        return items.find(
          (one) => one.spec.issuerRef.name === 'late' && ready(one)?.reason === 'Pending',
        );
      });
      assert.match(ready(waiting)?.message ?? '', /ISSUER_UNKNOWN/);
      assert.equal(waiting.status?.failureTime, undefined);
      // Longer than anything is tried that is not an issuer's fault.
      await pause(3_000);
      await rig.kubectl(
        ['apply', '-f', '-'],
        `
apiVersion: signet.dev/v1alpha1
kind: SignetIssuer
metadata: { name: late, namespace: shop }
spec: { certificates: [{ pathPrefix: /tenant/shop/web, dnsNames: [web.shop.svc] }] }
`,
      );
      await secret('late');
    });

    it('say that a request is denied, and leave alone what is none of theirs', async () => {
      const foreign = { group: 'other.example', kind: 'SignetIssuer', name: 'ca' };
      const missing = { group: 'signet.dev', kind: 'SignetIssuer', name: 'missing' };
      await request(
        ['foreign', {}, { issuerRef: foreign }],
        ['denied', {}, { issuerRef: missing }],
      );
      await told('denied', 'Pending');
      const condition = {
        type: 'Denied',
        status: 'True',
        reason: 'Test',
        message: 'no',
        lastTransitionTime: new Date().toISOString(),
      };
      const target = ['certificaterequest', 'denied', '-n', 'shop', '--subresource=status'];
      await rig.kubectl([
        ...['patch', ...target, '--type=json', '-p'],
        JSON.stringify([{ op: 'add', path: '/status/conditions/-', value: condition }]),
      ]);
      const denied = await told('denied', 'Denied');
      assert.equal(ready(denied)?.status, 'False');
      assert.ok(denied.status?.failureTime);
      assert.equal(ready(await read<Request>('certificaterequest', 'foreign')), undefined);
    });

    it('refuse at once, and for good, what is not given', async () => {
      const cluster = { group: 'signet.dev', kind: 'SignetClusterIssuer', name: 'edge' };
      const cases: readonly (readonly [string, TestCsrOptions, Record<string, unknown>, RegExp])[] =
        [
          ['is-ca', {}, { isCA: true }, /ISSUER_CA/],
          ['cert-sign', {}, { usages: ['cert sign'] }, /ISSUER_CA/],
          ['code-signing', {}, { usages: ['code signing'] }, /ISSUER_USAGE/],
          ['short', {}, { duration: '599s' }, /ISSUER_LIFE/],
          ['no-uri', { uris: [] }, {}, /ISSUER_NAMES/],
          ['two-uris', { uris: [ID, `${ID}/2`] }, {}, /ISSUER_NAMES/],
          ['other-domain', { uris: ['spiffe://example.com/tenant/shop/web'] }, {}, /ISSUER_NAMES/],
          [
            'other-id',
            { uris: ['spiffe://example.org/tenant/bank/web'] },
            {},
            /ISSUER_NOT_ALLOWED/,
          ],
          ['other-dns', { dnsNames: ['web.bank.svc'] }, {}, /ISSUER_NOT_ALLOWED/],
          ['edge-id', {}, { issuerRef: cluster }, /ISSUER_NOT_ALLOWED/],
          ['ed25519', { key: makeKey('ed25519') }, {}, /KEY_/],
          ['p521', { key: makeKey('ec-p521') }, {}, /KEY_/],
          ['garbage', {}, { request: Buffer.from('garbage').toString('base64') }, /ISSUER_REQUEST/],
          [
            'long',
            {},
            { request: Buffer.alloc(65 * 1024, 'A').toString('base64') },
            /ISSUER_REQUEST/,
          ],
          ['other-namespace', {}, madeBy('web', podUid, 'default'), /ISSUER_REQUESTER/],
          ['broken-issuer', {}, { issuerRef: { ...cluster, name: 'broken' } }, /ISSUER_NOT_READY/],
        ];
      await request(...cases.map(([name, names, spec]) => [name, names, spec] as const));
      const names = cases.map(([name]) => name);
      const answers = await toldAll(names, 'Failed', 'Pending');
      for (const [index, [name, , , message]] of cases.entries()) {
        const answered = answers[index] ?? assert.fail(name);
        assert.match(ready(answered)?.message ?? '', message);
        assert.equal(
          ready(answered)?.reason,
          name === 'broken-issuer' ? 'Pending' : 'Failed',
          name,
        );
        assert.equal(answered.status?.certificate, undefined);
        if (name !== 'broken-issuer') assert.ok(answered.status?.failureTime);
      }
    });

    /** Waits for an event about somebody of this kind. */
    function event(kind: string, reason: string, namespace: string): Promise<unknown> {
      interface Events {
        readonly items: readonly { reason: string; involvedObject: { kind: string } }[];
      }
      return until(async () => {
        const { items } = await read<Events>('events', '-n', namespace);
        return items.find((one) => one.reason === reason && one.involvedObject.kind === kind);
      });
    }

    it('shorten what is asked for too long, and do not touch what is answered', async () => {
      const before = await told('is-ca', 'Failed');
      await rig.kubectl(['annotate', '-n', 'shop', 'certificaterequest', 'is-ca', 'a=b']);
      await request(['longest', {}, { duration: '87600h' }]);
      const { status } = await told('longest', 'Issued');
      const leaf = await verifies(decode(status?.certificate), decode(status?.ca));
      const lifeMs = leaf.validToDate.getTime() - leaf.validFromDate.getTime();
      assert.equal(lifeMs, (3 * 3600 + 60) * 1000);
      assert.deepEqual((await told('is-ca', 'Failed')).status, before.status);
      await event('CertificateRequest', 'CertificateIssued', 'shop');
      await event('CertificateRequest', 'CertificateFailed', 'shop');
    });

    it('give a pod its own identity, and nothing to who is not as he says', async () => {
      const own = { uris: [POD_ID] };
      await request(
        ['pod', { ...own, dnsNames: ['web.example.com'] }, madeBy('web', podUid)],
        ['pod-other-id', {}, madeBy('web', podUid)],
        ['pod-other-uid', own, madeBy('web', 'x')],
        ['pod-gone', own, madeBy('gone', podUid)],
        ['pod-dns', { ...own, dnsNames: ['bank.example.com'] }, madeBy('web', podUid)],
      );
      const { status } = await told('pod', 'Issued');
      const leaf = await verifies(decode(status?.certificate), decode(status?.ca));
      assert.equal(leaf.subjectAltName, `URI:${POD_ID}, DNS:web.example.com`);
      const reasons = {
        'pod-other-id': /POD_CHOICE/,
        'pod-other-uid': /POD_UNKNOWN/,
        'pod-gone': /POD_UNKNOWN/,
        'pod-dns': /POD_DNS_NAMES/,
      };
      for (const [name, message] of Object.entries(reasons)) {
        const answered = await told(name, 'Failed');
        assert.match(ready(answered)?.message ?? '', message);
      }
    });

    it('answer signing requests of Kubernetes, by who the API server says has made them', async () => {
      const token = await rig.kubectl([
        ...['create', 'token', 'default', '-n', 'shop'],
        ...[
          '--bound-object-kind',
          'Pod',
          '--bound-object-name',
          'web',
          '--bound-object-uid',
          podUid,
        ],
      ]);
      const make = (name: string, uri: string, signerName: string) => ({
        apiVersion: 'certificates.k8s.io/v1',
        kind: 'CertificateSigningRequest',
        metadata: { name },
        spec: {
          request: csrText({ uris: [uri] }),
          signerName,
          expirationSeconds: 1200,
          usages: ['digital signature', 'client auth'],
        },
      });
      const items = [
        make('own', POD_ID, 'signetissuers.signet.dev/shop.ca'),
        make('not-approved', POD_ID, 'signetissuers.signet.dev/shop.ca'),
        make('foreign-id', ID, 'signetclusterissuers.signet.dev/edge'),
      ];
      const as = await podKubeconfig(token.trim());
      await rig.kubectl(['--kubeconfig', as, 'create', '-f', '-'], JSON.stringify(listOf(items)));
      await rig.kubectl(['certificate', 'approve', 'own', 'foreign-id']);
      const { status } = await until(async () => {
        const found = await read<Request>('csr', 'own');
        return found.status?.certificate === undefined ? undefined : found;
      });
      const bundle = await ask(server.admin(), BundleService.getBundle, { outputMask: undefined });
      const pem = bundle.x509Authorities.map(({ asn1 }) => encodePem('CERTIFICATE', asn1)).join('');
      const leaf = await verifies(decode(status?.certificate), pem);
      assert.equal(leaf.subjectAltName, `URI:${POD_ID}`);
      assert.equal(leaf.validToDate.getTime() - leaf.validFromDate.getTime(), 1_200_000);
      const failed = await until(async () => {
        const found = await read<Request>('csr', 'foreign-id');
        return found.status?.conditions?.find(({ type }) => type === 'Failed');
      });
      assert.match(failed.message, /POD_CHOICE/);
      await event('CertificateSigningRequest', 'CertificateIssued', 'default');
      const { status: untouched } = await read<Request>('csr', 'not-approved');
      assert.deepEqual([untouched?.certificate, untouched?.conditions], [undefined, undefined]);
    });

    it('had of the chart each right that was needed for that, and no other', async () => {
      const asked = () => askedBy(dir, SERVER);
      await useUp(rights, asked);
      assert.deepEqual(
        asked().filter(({ status }) => status === 403),
        [],
      );
    });

    // The webhook asks so, with the names of all issuers first; the rig has none.
    it('let cert-manager approve requests to them where the chart says so', async () => {
      const may = async (name: string): Promise<string> => {
        const review = {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SubjectAccessReview',
          spec: {
            user: 'system:serviceaccount:cert-manager:cert-manager',
            resourceAttributes: {
              verb: 'approve',
              group: 'cert-manager.io',
              resource: 'signers',
              name,
            },
          },
        };
        const create = ['create', '-f', '-', '-o', 'jsonpath={.status.allowed}'];
        return rig.kubectl(create, JSON.stringify(review));
      };
      assert.equal(await may('signetissuers.signet.dev/*'), 'true');
      assert.equal(await may('signetclusterissuers.signet.dev/*'), 'true');
      assert.equal(await may('issuers.cert-manager.io/*'), 'false');
    });
  },
);
