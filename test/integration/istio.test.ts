import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type Client, Metadata } from '@grpc/grpc-js';
import { pino } from 'pino';
import { GRPC_STATUS, type GrpcStatusName } from '../../src/base/errors/define.ts';
import type { ErrorCode } from '../../src/base/errors.ts';
import { encodePem } from '../../src/der/pem.ts';
import { TAG } from '../../src/der/tags.ts';
import { derAscii, derOid, derSequence, derSetOf } from '../../src/der/writer.ts';
import {
  IstioCertificateServiceService as Istio,
  type IstioCertificateRequest,
  type IstioCertificateResponse,
} from '../../src/gen/istio/v1/auth/ca.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { FakeKube } from '../support/fake-kube.ts';
import { soon } from '../support/processes.ts';
import { ask, refusal, type TestAgent, TestServer } from '../support/server.ts';
import { makeCsr, makeKey } from '../support/x509.ts';

const PODS = '/api/v1/pods';
const ACCOUNTS = '/api/v1/serviceaccounts';
const RULES = '/apis/spire.spiffe.io/v1alpha1/clusterspiffeids';
const TEMPLATE =
  'spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}';
const EXTRA = 'authentication.kubernetes.io/';
const idOf = (namespace: string, account: string): string =>
  `spiffe://example.org/ns/${namespace}/sa/${account}`;
const WEB = idOf('shop', 'web');
const DB = idOf('shop', 'db');

interface Named {
  readonly namespace: string;
  readonly account: string;
  readonly pod: string;
  readonly node: string;
}

const WEB_POD: Named = { namespace: 'shop', account: 'web', pod: 'web-0', node: 'node-a' };
const ZTUNNEL: Named = { namespace: 'mesh', account: 'ztunnel', pod: 'zt-a', node: 'node-a' };

/** What the API server says of the token of a pod. */
function review({ namespace, account, pod, node }: Named, changes: object = {}): object {
  return {
    authenticated: true,
    audiences: ['istio-ca'],
    user: {
      username: `system:serviceaccount:${namespace}:${account}`,
      uid: `uid-${namespace}-${account}`,
      extra: {
        [`${EXTRA}pod-name`]: [pod],
        [`${EXTRA}pod-uid`]: [`uid-${pod}`],
        [`${EXTRA}node-name`]: [node],
        [`${EXTRA}node-uid`]: [`uid-${node}`],
        [`${EXTRA}credential-id`]: ['JTI=7'],
        ...changes,
      },
    },
  };
}

const REVIEWS = new Map<string, object>([
  ['web', review(WEB_POD)],
  ['zt', review(ZTUNNEL)],
  ['zt-moved', review({ ...ZTUNNEL, node: 'node-b' })],
  ['db', review({ ...WEB_POD, account: 'db', pod: 'db-0' })],
  ['far', review({ ...WEB_POD, account: 'far', pod: 'far-0', node: 'node-b' })],
  ['odd', review({ ...WEB_POD, account: 'odd', pod: 'odd-0' })],
  ['bare', review({ ...WEB_POD, account: 'bare', pod: 'bare-0' })],
  ['api', { ...review(WEB_POD), audiences: ['https://kubernetes.default.svc'] }],
  ['no-pod', review(WEB_POD, { [`${EXTRA}pod-name`]: [], [`${EXTRA}pod-uid`]: [] })],
  ['no-node', review(WEB_POD, { [`${EXTRA}node-name`]: [] })],
  ['user', { ...review(WEB_POD), user: { username: 'admin', uid: 'x' } }],
  ['other-uid', review(WEB_POD, { [`${EXTRA}pod-uid`]: ['uid-gone'] })],
  ['other-node', review(WEB_POD, { [`${EXTRA}node-name`]: ['node-b'] })],
  ['other-node-uid', review(WEB_POD, { [`${EXTRA}node-uid`]: ['uid-gone'] })],
  ['other-account', review({ ...WEB_POD, account: 'db' })],
]);

function podObject({ namespace, account, pod, node }: Named, labels: object = {}): object {
  return {
    metadata: { name: pod, namespace, uid: `uid-${pod}`, labels: { id: 'yes', ...labels } },
    spec: { nodeName: node, serviceAccountName: account },
  };
}

function csrOf(uris: readonly string[], more: Parameters<typeof makeCsr>[0] = {}): string {
  return encodePem('CERTIFICATE REQUEST', makeCsr({ uris, ...more }));
}

function impersonating(uri: string): IstioCertificateRequest['metadata'] {
  return { fields: [{ key: 'ImpersonatedIdentity', value: { stringValue: uri } }] };
}

interface Ask extends Partial<IstioCertificateRequest> {
  readonly token?: string;
  readonly headers?: readonly (readonly [string, string])[];
}

async function create(client: Client, asked: Ask): Promise<IstioCertificateResponse> {
  const { token = 'web', headers = [['authorization', `Bearer ${token}`]] } = asked;
  const metadata = new Metadata();
  for (const [key, value] of headers) metadata.add(key, value);
  const request = { csr: csrOf([WEB]), validityDuration: 0n, metadata: undefined, ...asked };
  const { path, requestSerialize, responseDeserialize } = Istio.createCertificate;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      (value: IstioCertificateRequest) => requestSerialize(value),
      (bytes: Buffer) => responseDeserialize(bytes),
      request,
      metadata,
      (error, answer) => {
        if (answer === undefined) reject(error);
        else resolve(answer);
      },
    );
  });
}

describe('certificates for the workloads of a mesh', () => {
  let fake: FakeKube;
  let server: TestServer;
  let agent: TestAgent;
  let anonymous: Client;
  const lines: string[] = [];

  before(async () => {
    fake = await FakeKube.start();
    fake.review = (token) => REVIEWS.get(token) ?? { authenticated: false };
    for (const name of ['shop', 'mesh']) fake.put('/api/v1/namespaces', { metadata: { name } });
    const pods = ['db', 'far', 'odd', 'bare'].map((account) => ({
      ...WEB_POD,
      account,
      pod: `${account}-0`,
      node: account === 'far' ? 'node-b' : 'node-a',
    }));
    for (const pod of [WEB_POD, ZTUNNEL, ...pods]) {
      const { namespace, account } = pod;
      const uid = `uid-${namespace}-${account}`;
      fake.put(ACCOUNTS, { metadata: { name: account, namespace, uid } });
      const kind = account === 'odd' ? 'odd' : account === 'bare' ? 'none' : 'usual';
      fake.put(PODS, podObject(pod, { kind }));
    }
    const rule = (name: string, spiffeIDTemplate: string): object => ({
      metadata: { name },
      spec: { spiffeIDTemplate, podSelector: { matchLabels: { kind: name } } },
    });
    fake.put(RULES, {
      metadata: { name: 'usual' },
      spec: {
        spiffeIDTemplate: TEMPLATE,
        dnsNameTemplates: ['{{ .PodMeta.Name }}.test'],
        podSelector: { matchLabels: { kind: 'usual' } },
      },
    });
    fake.put(RULES, rule('odd', 'spiffe://{{ .TrustDomain }}/odd'));
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    const cluster = {
      name: 'rack',
      kubeconfigPath: fake.kubeconfigPath,
      istio: { trustedNodeAccounts: ['mesh/ztunnel'] },
      requireAttestedNode: true,
      rules: {
        parentIdTemplate:
          'spiffe://example.org/spire/agent/join_token/{{ index .NodeMeta.Labels "token" }}',
      },
    };
    server = await TestServer.start(
      { kubernetes: { clusters: [cluster] }, listen: { port: 0, dnsNames: ['ca.mesh.test'] } },
      { log },
    );
    agent = await server.attest();
    for (const name of ['node-a', 'node-b']) {
      const labels = { token: name === 'node-a' ? agent.token : 'none' };
      fake.put('/api/v1/nodes', { metadata: { name, uid: `uid-${name}`, labels }, spec: {} });
    }
    anonymous = await server.tcp();
    await soon(() =>
      create(anonymous, {}).then(
        () => true,
        () => false,
      ),
    );
  });
  after(async () => {
    await server?.stop();
    await fake?.stop();
  });

  async function refused(asked: Ask, code: ErrorCode, status: GrpcStatusName): Promise<string> {
    const error = await refusal(create(anonymous, asked));
    const told = [error.metadata?.get('signet-error-code')[0], error.code, error.message];
    assert.deepEqual(told.slice(0, 2), [code, GRPC_STATUS[status]], error.message);
    return error.message;
  }

  test('are for whom the token is of, with the roots last and all that Istio expects', async () => {
    const key = makeKey('rsa-2048');
    const request = { csr: csrOf([WEB], { key }), validityDuration: 86_400n };
    const { certChain } = await create(anonymous, request);
    assert.ok(certChain.length >= 2);
    for (const pem of certChain) assert.match(pem, /-----END CERTIFICATE-----\n$/);
    const [leaf, ...above] = certChain.map((pem) => new X509Certificate(pem));
    assert.ok(leaf !== undefined);
    assert.equal(
      leaf.subjectAltName,
      `URI:${WEB}`,
      'no DNS names of the rule: none were asked for',
    );
    assert.ok(leaf.publicKey.equals(key.publicKey.keyObject ?? leaf.publicKey));
    const chain = [leaf, ...above];
    for (const [index, upper] of above.entries()) {
      assert.ok(chain[index]?.verify(upper.publicKey), `element ${index} by the next`);
    }
    assert.equal(above.at(-1)?.ca, true);
    assert.equal(certChain.at(-1), await server.bundlePem());
    const lifeMs = leaf.validToDate.getTime() - leaf.validFromDate.getTime();
    assert.ok(lifeMs <= 3_660_000, 'policy bounds what is asked for');
    const audited = lines.filter((line) => line.includes('"audit":"/istio'));
    assert.match(audited.at(-1) ?? '', /"podUid":"uid-web-0","credentialId":"JTI=7"/);
  });

  test('live no longer than asked for', async () => {
    const { certChain } = await create(anonymous, { validityDuration: 300n });
    const { validFromDate, validToDate } = new X509Certificate(certChain[0] ?? '');
    assert.equal(validToDate.getTime() - validFromDate.getTime(), 300_000);
    await refused({ validityDuration: 299n }, 'FIELD_INVALID', 'InvalidArgument');
    await create(anonymous, { validityDuration: -1n });
    await create(anonymous, { validityDuration: 2n ** 62n });
  });

  test('are asked for under the DNS name of the server, whatever the cluster is called', async () => {
    const headers = [
      ['authorization', 'bearer web'],
      ['clusterid', 'Kubernetes'],
    ] as const;
    await create(anonymous, { headers });
    const { certificate } = await new Promise<{ certificate: X509Certificate }>((resolve, reject) =>
      import('node:tls').then(({ connect }) => {
        const options = { port: server.running.port, host: '127.0.0.1', rejectUnauthorized: false };
        const socket = connect({ ...options, ALPNProtocols: ['h2'] }, () => {
          const certificate = socket.getPeerX509Certificate();
          socket.destroy();
          if (certificate === undefined) reject(new TypeError('no certificate'));
          else resolve({ certificate });
        }).on('error', reject);
      }),
    );
    assert.match(certificate.subjectAltName ?? '', /DNS:ca\.mesh\.test/);
  });

  const commonName = derSequence(
    derSetOf(derSequence(derOid('2.5.4.3'), derAscii(TAG.printableString, 'web'))),
  );
  const emptyOrganization = derSequence(
    derSetOf(derSequence(derOid('2.5.4.10'), derAscii(TAG.printableString, ''))),
  );
  const twoBlocks = csrOf([WEB]) + csrOf([WEB]);
  const twoNames = {
    fields: ['x', WEB].flatMap((uri) => impersonating(uri)?.fields ?? []),
  };
  const REFUSED: readonly (readonly [string, Ask, ErrorCode, GrpcStatusName])[] = [
    ['no token', { headers: [] }, 'ISTIO_TOKEN', 'Unauthenticated'],
    [
      'another scheme',
      { headers: [['authorization', 'Basic d2Vi']] },
      'ISTIO_TOKEN',
      'Unauthenticated',
    ],
    [
      'a token of two words',
      { headers: [['authorization', 'Bearer web db']] },
      'ISTIO_TOKEN',
      'Unauthenticated',
    ],
    ["nobody's token", { token: 'nobody' }, 'ISTIO_TOKEN', 'Unauthenticated'],
    ['a token for the API server', { token: 'api' }, 'ISTIO_TOKEN', 'Unauthenticated'],
    ["a user's token", { token: 'user' }, 'ISTIO_TOKEN', 'Unauthenticated'],
    ['a token without a pod', { token: 'no-pod' }, 'ISTIO_TOKEN_UNBOUND', 'PermissionDenied'],
    ['a token without a node', { token: 'no-node' }, 'ISTIO_TOKEN_UNBOUND', 'PermissionDenied'],
    ['a token of a pod that is no more', { token: 'other-uid' }, 'POD_UNKNOWN', 'Unavailable'],
    ['a token of another node', { token: 'other-node' }, 'POD_MISMATCH', 'PermissionDenied'],
    ['a token of a node before', { token: 'other-node-uid' }, 'POD_UNKNOWN', 'Unavailable'],
    ['a token of another account', { token: 'other-account' }, 'POD_MISMATCH', 'PermissionDenied'],
    [
      'a pod without a rule',
      { token: 'bare', csr: csrOf([idOf('shop', 'bare')]) },
      'POD_NO_IDENTITY',
      'Unavailable',
    ],
    [
      'a node that is not attested',
      { token: 'far', csr: csrOf([idOf('shop', 'far')]) },
      'POD_NODE_NOT_ATTESTED',
      'Unavailable',
    ],
    ['the identity of another', { csr: csrOf([DB]) }, 'ISTIO_IDENTITY', 'PermissionDenied'],
    ['no request', { csr: '' }, 'ISTIO_CSR', 'InvalidArgument'],
    [
      'a certificate',
      { csr: encodePem('CERTIFICATE', makeCsr({ uris: [WEB] })) },
      'ISTIO_CSR',
      'InvalidArgument',
    ],
    ['two requests', { csr: twoBlocks }, 'PEM_TOO_LARGE', 'InvalidArgument'],
    ['no name', { csr: csrOf([]) }, 'ISTIO_CSR', 'InvalidArgument'],
    ['two URIs', { csr: csrOf([WEB, DB]) }, 'ISTIO_CSR', 'InvalidArgument'],
    [
      'a DNS name too',
      { csr: csrOf([WEB], { dnsNames: ['web.test'] }) },
      'ISTIO_CSR',
      'InvalidArgument',
    ],
    [
      'an address too',
      { csr: csrOf([WEB], { ips: [Uint8Array.of(10, 0, 0, 1)] }) },
      'ISTIO_CSR',
      'InvalidArgument',
    ],
    [
      'an e-mail too',
      { csr: csrOf([WEB], { emails: ['a@b.test'] }) },
      'ISTIO_CSR',
      'InvalidArgument',
    ],
    [
      'a common name',
      { csr: csrOf([WEB], { subject: commonName }) },
      'ISTIO_CSR',
      'InvalidArgument',
    ],
    [
      'a key that nothing is issued for',
      { csr: csrOf([WEB], { key: makeKey('ec-p521') }) },
      'KEY_ALGORITHM',
      'InvalidArgument',
    ],
    [
      'a workload, from who may not',
      { metadata: impersonating(WEB) },
      'ISTIO_IMPERSONATION',
      'PermissionDenied',
    ],
    [
      'another workload than the request',
      { token: 'zt', metadata: impersonating(DB) },
      'ISTIO_CSR',
      'InvalidArgument',
    ],
    ['two workloads', { token: 'zt', metadata: twoNames }, 'ISTIO_CSR', 'InvalidArgument'],
    [
      'a workload of another node',
      {
        token: 'zt',
        csr: csrOf([idOf('shop', 'far')]),
        metadata: impersonating(idOf('shop', 'far')),
      },
      'ISTIO_IMPERSONATION',
      'Unavailable',
    ],
    [
      'a workload, as a proxy of another node',
      { token: 'zt-moved', metadata: impersonating(WEB) },
      'POD_MISMATCH',
      'PermissionDenied',
    ],
    [
      'a workload by what only Istio calls it',
      {
        token: 'zt',
        csr: csrOf([idOf('shop', 'odd')]),
        metadata: impersonating(idOf('shop', 'odd')),
      },
      'ISTIO_IDENTITY',
      'PermissionDenied',
    ],
    [
      'a workload by what is no name of Istio',
      {
        token: 'zt',
        csr: csrOf(['spiffe://example.org/odd']),
        metadata: impersonating('spiffe://example.org/odd'),
      },
      'ISTIO_IMPERSONATION',
      'Unavailable',
    ],
    [
      'a workload as itself',
      { token: 'zt', csr: csrOf([WEB]) },
      'ISTIO_IDENTITY',
      'PermissionDenied',
    ],
  ];
  for (const [what, asked, code, status] of REFUSED) {
    test(`are refused for ${what}`, async () => {
      await refused(asked, code, status);
    });
  }

  test('are refused with the rule that gives the pod another identity', async () => {
    const asked = { token: 'odd', csr: csrOf([idOf('shop', 'odd')]) };
    const message = await refused(asked, 'ISTIO_IDENTITY', 'PermissionDenied');
    assert.match(message, /spiffe:\/\/example\.org\/odd by ClusterSPIFFEID\/odd/);
  });

  test('are given to subjects as Go writes them', async () => {
    await create(anonymous, { csr: csrOf([WEB], { subject: emptyOrganization }) });
  });

  test("are given to a node's proxy for the pods of its node", async () => {
    const asked = { token: 'zt', metadata: impersonating(WEB) };
    const { certChain } = await create(anonymous, asked);
    assert.equal(new X509Certificate(certChain[0] ?? '').subjectAltName, `URI:${WEB}`);
    const audited = lines.filter((line) => line.includes('"audit":"/istio'));
    assert.match(audited.at(-1) ?? '', /"pod":"shop\/web-0".*"callerPod":"mesh\/zt-a"/);
    const own = idOf('mesh', 'ztunnel');
    await create(anonymous, { token: 'zt', csr: csrOf([own]) });
  });

  test('are to be asked for again while the API server does not answer', async () => {
    fake.fault = ({ path }) => (path.endsWith('/tokenreviews') ? { status: 503 } : undefined);
    await refused({}, 'ISTIO_API', 'Unavailable');
    fake.fault = ({ path }) => (path.endsWith('/tokenreviews') ? { status: 403 } : undefined);
    await refused({}, 'ISTIO_API', 'Unavailable');
    fake.fault = () => undefined;
  });

  test('wait for the API server in bounded number', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    fake.fault = ({ path }) => (path.endsWith('/tokenreviews') ? { after: promise } : undefined);
    const clients = await Promise.all(Array.from({ length: 5 }, () => server.tcp()));
    const calls = Array.from({ length: 80 }, (_, index) =>
      create(clients[index % 5] ?? anonymous, {}),
    );
    const outcomes = Promise.allSettled(calls);
    const { promise: full, resolve: fill } = Promise.withResolvers<void>();
    let refusals = 0;
    for (const call of calls) {
      call.catch(() => {
        refusals += 1;
        if (refusals === 16) fill();
      });
    }
    await full;
    resolve();
    const settled = await outcomes;
    const busy = settled.filter(({ status }) => status === 'rejected');
    assert.equal(busy.length, 16);
    for (const { reason } of busy as PromiseRejectedResult[]) {
      assert.equal(reason.code, GRPC_STATUS.ResourceExhausted);
    }
    fake.fault = () => undefined;
  });

  test('are not served on the admin socket', async () => {
    const error = await refusal(create(server.admin(), {}));
    assert.equal(error.code, GRPC_STATUS.Unimplemented);
  });

  test('are refused once the agent of the node is banned', async () => {
    const id = { trustDomain: 'example.org', path: agent.path };
    await ask(server.admin(), AgentService.banAgent, { id });
    await refused({}, 'AGENT_BANNED', 'PermissionDenied');
    await refused(
      { token: 'zt', metadata: impersonating(WEB) },
      'AGENT_BANNED',
      'PermissionDenied',
    );
  });
});

test('several clusters are told apart by what clients call them', async () => {
  const fakes = await Promise.all([FakeKube.start(), FakeKube.start()]);
  const clusters = fakes.map((fake, index) => ({
    name: `rack-${index}`,
    kubeconfigPath: fake.kubeconfigPath,
    istio: index === 0 ? {} : { clusterIds: ['west'] },
  }));
  const server = await TestServer.start({ kubernetes: { clusters } });
  const client = await server.tcp();
  const outcomes: unknown[] = [];
  for (const id of ['rack-0', 'rack-1', 'west', 'Kubernetes', '']) {
    const headers = [['authorization', 'Bearer t'] as const, ['clusterid', id] as const];
    const error = await refusal(create(client, { headers }));
    outcomes.push([id, error.metadata.get('signet-error-code')[0]]);
  }
  assert.deepEqual(outcomes, [
    ['rack-0', 'ISTIO_TOKEN'],
    ['rack-1', 'ISTIO_TOKEN'],
    ['west', 'ISTIO_TOKEN'],
    ['Kubernetes', 'ISTIO_CLUSTER'],
    ['', 'ISTIO_CLUSTER'],
  ]);
  const asked = fakes.map(({ calls }) => calls.filter(({ path }) => path.endsWith('tokenreviews')));
  assert.deepEqual(
    asked.map(({ length }) => length),
    [1, 2],
  );
  await server.stop();
  await Promise.all(fakes.map((fake) => fake.stop()));
});
