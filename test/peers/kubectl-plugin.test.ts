import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { kubectlCommands, kubectlProgram } from '../../src/kubectl/commands.ts';
import { emptyBundle } from '../../src/spiffe/bundle.ts';
import { formatSpiffeBundle } from '../../src/spiffe/bundle-format.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { type CliOutcome, cli } from '../support/cli.ts';
import { type Finished, run, soon } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import { needsShared } from '../support/shared.ts';
import { fleetNamespace, type TrustFleet, trustFleet } from '../support/trust-fleet.ts';
import {
  makeCertificate,
  makeIntermediate,
  makeLeaf,
  makeRoot,
  type TestCertificate,
} from '../support/x509.ts';
import { type KubeRig, startKubeRig } from './kube-rig.ts';

const NAMESPACES = 50;
/** The one namespace that Jane may not read. */
const HIDDEN = fleetNamespace(NAMESPACES - 1);

/** Jane sees namespaces and ClusterTrustBundles, and the ConfigMaps of all namespaces but one. */
function rights(): string {
  const role = (name: string, group: string, resource: string): object => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name },
    rules: [{ apiGroups: [group], resources: [resource], verbs: ['get', 'list'] }],
  });
  const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'jane' }];
  const binding = (kind: string, name: string, namespace?: string): object => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind,
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects,
  });
  const items = [
    role('see-namespaces', '', 'namespaces'),
    role('see-maps', '', 'configmaps'),
    role('see-bundles', 'certificates.k8s.io', 'clustertrustbundles'),
    binding('ClusterRoleBinding', 'see-namespaces'),
    binding('ClusterRoleBinding', 'see-bundles'),
    ...Array.from({ length: NAMESPACES - 1 }, (_, index) =>
      binding('RoleBinding', 'see-maps', fleetNamespace(index)),
    ),
  ];
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
}

const FEDERATION_CRD = 'clusterfederatedtrustdomains.spire.spiffe.io';
/** As spire-controller-manager brings it, without its schema. */
const FEDERATION_KIND = JSON.stringify({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: FEDERATION_CRD },
  spec: {
    group: 'spire.spiffe.io',
    scope: 'Cluster',
    names: {
      kind: 'ClusterFederatedTrustDomain',
      listKind: 'ClusterFederatedTrustDomainList',
      plural: 'clusterfederatedtrustdomains',
      singular: 'clusterfederatedtrustdomain',
    },
    versions: [
      {
        name: 'v1alpha1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
        },
      },
    ],
  },
});

describe('kubectl signet', needsShared('rig/kube.sh'), () => {
  let rig: KubeRig;
  let fleet: TrustFleet;
  let dir: string;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sgn-plugin-'));
    rig = await startKubeRig();
    fleet = trustFleet(NAMESPACES);
    // Not by apply: its annotation would double every object.
    await rig.kubectl(['create', '-f', '-'], fleet.manifest);
    await rig.kubectl(['create', '-f', '-'], rights());
  });
  after(async () => {
    await rig?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  /** As a user runs it: kubectl finds the plugin of this checkout on PATH. */
  function signet(args: readonly string[], more: Record<string, string> = {}): Promise<Finished> {
    const env = {
      ...process.env,
      PATH: `${resolve('bin')}:${rig.bin}:${process.env.PATH}`,
      KUBECONFIG: rig.kubeconfig,
      ...more,
    };
    return run(join(rig.bin, 'kubectl'), ['signet', ...args], { env });
  }
  /** The same within this process, where a start for each of many questions would take too long. */
  function within(args: readonly string[]): Promise<CliOutcome> {
    const env = { KUBECONFIG: rig.kubeconfig };
    return cli(kubectlCommands, args, { env }, kubectlProgram);
  }
  async function json(args: readonly string[], code: number, more = {}): Promise<PrintedList> {
    const { stdout, ...finished } = await signet([...args, '-o', 'json'], more);
    assert.equal(finished.code, code, finished.stderr);
    return JSON.parse(stdout);
  }
  interface PrintedList {
    readonly kind: string;
    readonly apiVersion: string;
    readonly items: readonly {
      readonly source: string;
      readonly namespace: string;
      readonly name: string;
      readonly context: string;
      readonly state: string;
      readonly states: readonly string[];
      readonly extra: readonly string[];
      readonly error?: { readonly code: string };
    }[];
  }
  const statesOf = ({ items }: PrintedList): Record<string, string> =>
    Object.fromEntries(
      items
        .filter(({ state }) => state !== 'InSync')
        .map(({ namespace, name, state }) => [`${namespace}/${name}`, state]),
    );
  const lines = (text: string): string[] => text.trimEnd().split('\n');

  it('is a plugin that kubectl lists without a warning', async () => {
    const env = { ...process.env, PATH: `${resolve('bin')}:${process.env.PATH}` };
    const { code, stdout, stderr } = await run(join(rig.bin, 'kubectl'), ['plugin', 'list'], {
      env,
    });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /\/bin\/kubectl-signet$/m);
    assert.doesNotMatch(stderr, /warning/i);
  });

  it('lists every copy with its state, as a table of 80 columns and as JSON', async () => {
    const listed = await json(['-A'], 0);
    assert.deepEqual([listed.apiVersion, listed.kind], ['kubectl.signet.dev/v1', 'BundleList']);
    assert.equal(listed.items.length, fleet.copies);
    assert.deepEqual(statesOf(listed), Object.fromEntries(fleet.states));
    const { stdout } = await signet(['list', '-A']);
    const [head = '', ...rows] = lines(stdout);
    assert.deepEqual(head.split(/ {2,}/).slice(0, 3), ['TRUST DOMAIN', 'SOURCE', 'NAMESPACE/NAME']);
    assert.equal(rows.length, fleet.copies);
    assert.ok(
      lines(stdout).every((line) => line.length <= 80),
      stdout,
    );
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not reach a terminal.
    assert.doesNotMatch(stdout, /[\u0000-\u0009\u001b\u202e]/);
    const wide = lines((await signet(['list', '-A', '-owide'])).stdout)[0] ?? '';
    const heads =
      'CONTEXT|TRUST DOMAIN|SOURCE|NAMESPACE/NAME|X509|JWT|MIN EXPIRY|FINGERPRINT|SEQ|REFRESH|STATE';
    assert.equal(wide.split(/ {2,}/).join('|'), heads);
  });

  it('looks into one namespace unless told otherwise, and chooses by labels', async () => {
    const one = await json(['-n', fleetNamespace(3)], 0);
    assert.deepEqual(
      one.items.map(({ source, name, state }) => [source, name, state]),
      [
        ['ctb', 'example.org', 'InSync'],
        ['cm', 'spiffe-bundle', 'Stale'],
      ],
    );
    const chosen = await json(['-A', '-l', 'trust.cert-manager.io/bundle=targets'], 0);
    assert.deepEqual(
      chosen.items.map(({ name }) => name),
      ['targets'],
    );
    const names = await signet(['-n', fleetNamespace(3), '-o', 'name']);
    assert.equal(names.stdout, `ctb/example.org\ncm/${fleetNamespace(3)}/spiffe-bundle\n`);
  });

  it('drift names what differs, and ends with 1', async () => {
    const drift = await json(['drift', '-A'], 1);
    const differing = [...fleet.states].filter(
      ([, state]) => !['Expired', 'Reissued'].includes(state),
    );
    assert.deepEqual(statesOf(drift), Object.fromEntries(differing));
    const extra = drift.items.find(({ state }) => state === 'Extra')?.extra;
    const { stdout: shown } = await signet(['show', 'example.org', '-A']);
    assert.match(shown, new RegExp(`X\\.509 +: CN=foreign\nSHA-256 +: ${extra?.[0]}\n`));
    assert.match(shown, new RegExp(`CN=foreign[^]*Held by +: 1 of ${fleet.copies - 2}\n`));
    const quiet = await signet(['drift', '-n', fleetNamespace(5)]);
    assert.deepEqual([quiet.code, quiet.stdout], [0, '2 copies, none differs\n'], quiet.stderr);
    assert.equal((await signet(['drift', '-n', fleetNamespace(7)])).code, 1);
  });

  it('ends with 1 for the states that it is told, and with 2 where it cannot look', async () => {
    const expired = ['-n', fleetNamespace(0), '--fail-on', 'Expired'];
    assert.equal((await signet(expired)).code, 1);
    assert.equal((await signet(['-n', fleetNamespace(0), '--fail-on', 'drift'])).code, 0);
    assert.equal((await signet(['--context', 'absent'])).code, 2);
    assert.equal((await signet(['frobnicate'])).code, 2);
    assert.equal(
      (await signet(['-n', fleetNamespace(0), '--server', 'https://127.0.0.1:1'])).code,
      2,
    );
    const none = await signet(['list', '-A', '--trust-domain', 'nobody.example']);
    assert.equal(none.code, 2);
    assert.match(none.stderr, /code: TRUST_NOT_FOUND/);
  });

  it('tells a namespace that the user may not read, and shows the others', async () => {
    const jane = await json(['-A', '--as', 'jane'], 0);
    const hidden = jane.items.find(({ namespace }) => namespace === HIDDEN);
    assert.deepEqual(
      [hidden?.name, hidden?.state, hidden?.error?.code],
      ['*', 'Unreadable', 'KUBE_FORBIDDEN'],
    );
    assert.equal(
      jane.items.filter(({ state }) => state === 'InSync').length,
      fleet.copies - fleet.states.size - 1,
    );
    const nobody = await signet(['-A', '--as', 'nobody', '--as-group', 'a', '--as-group', 'b']);
    assert.match(nobody.stdout, /^- +ctb +\* .*Unreadable$/m);
  });

  it('looks into several contexts at once', async () => {
    const other = await rig.user('jane');
    const path = join(dir, 'jane');
    writeFileSync(path, (await run('cat', [other])).stdout.replaceAll('rig', 'jane'));
    await rig.kubectl(['--kubeconfig', path, 'version']);
    const contexts = ['--context', 'rig', '--context', 'jane', '-n', fleetNamespace(8)];
    const both = await json(contexts, 0, { KUBECONFIG: `${rig.kubeconfig}:/absent:${path}` });
    assert.deepEqual(
      both.items.map(({ context, name, state }) => [context, name, state]),
      ['rig', 'jane'].flatMap((context) => [
        [context, 'example.org', 'InSync'],
        [context, 'spiffe-bundle', 'Missing'],
      ]),
    );
  });

  it('diff names the authorities that only one side has', async () => {
    const [a, b] = [
      `cm/${fleetNamespace(7)}/spiffe-bundle`,
      `cm/${fleetNamespace(8)}/spiffe-bundle`,
    ];
    const { code, stdout } = await signet(['diff', a, b]);
    assert.equal(code, 1);
    assert.deepEqual(
      lines(stdout)
        .slice(1)
        .map((line) => [line.slice(0, 1), line.split(/ +/).at(-1)]),
      [
        ['<', 'CN=second'],
        ['<', 'CN=foreign'],
      ],
    );
    assert.equal((await signet(['diff', 'ctb/example.org', a.replace('07', '05')])).code, 0);
    assert.equal((await signet(['diff', 'ctb/example.org', 'ctb/absent'])).code, 2);
  });

  it('export prints the bundle of the reference', async () => {
    const { stdout } = await signet(['export', 'example.org', '-A']);
    const { first, second } = fleet.roots;
    assert.equal(stdout, first.pem + second.pem);
    const spiffe = JSON.parse(
      (await signet(['export', 'example.org', '-A', '--format', 'spiffe'])).stdout,
    );
    assert.deepEqual([spiffe.keys.length, spiffe.spiffe_sequence], [2, SEQUENCE]);
    assert.equal((await signet(['export', '-A'])).code, 2);
  });

  it('expiring tells what is past and what is near', async () => {
    const { code, stdout } = await signet(['expiring', '-A']);
    assert.equal(code, 1);
    assert.match(
      lines(stdout)[1] ?? '',
      /^-\d+d +x509 +\w{8} +CN=past +cm\/ns-00\/spire-bundle +Expired$/,
    );
    assert.equal(lines(stdout).length, 2);
  });

  const SEQUENCE = 7;

  it('verify says of each chain why it holds or does not', async () => {
    const { first, foreign } = fleet.roots;
    const now = Date.now();
    const hour = 3_600_000;
    const sub = makeIntermediate(first);
    const leaf = (issuer: TestCertificate, more = {}): TestCertificate =>
      makeLeaf(issuer, 'spiffe://example.org/web', { notAfterMs: now + hour, ...more });
    const cases: readonly (readonly [string, readonly TestCertificate[], string | undefined])[] = [
      ['good', [leaf(first)], undefined],
      ['below', [leaf(sub), sub], undefined],
      ['gap', [leaf(sub)], 'PATH_NOT_FOUND'],
      ['other', [leaf(foreign)], 'PATH_NOT_FOUND'],
      ['past', [leaf(first, { notAfterMs: now - hour })], 'PATH_EXPIRED'],
      [
        'early',
        [leaf(first, { notBeforeMs: now + hour, notAfterMs: now + 2 * hour })],
        'PATH_NOT_YET_VALID',
      ],
      [
        'two-ids',
        [leaf(first, { uris: ['spiffe://example.org/a', 'spiffe://example.org/b'] })],
        'X509_SVID_URI_SAN',
      ],
      ['no-id', [makeCertificate({ issuer: first })], 'X509_SVID_URI_SAN'],
      ['a-ca', [leaf(first, { ca: true })], 'X509_SVID_CA'],
      ['stranger', [makeLeaf(first, 'spiffe://nobody.example/web')], 'X509_SVID_TRUST_DOMAIN'],
    ];
    const items = cases.map(([name, chain]) => ({
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'kubernetes.io/tls',
      metadata: { name: `tls-${name}`, namespace: fleetNamespace(0) },
      stringData: {
        'tls.crt': chain.map(({ pem }) => pem).join(''),
        'tls.key': chain[0]?.key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      },
    }));
    await rig.kubectl(
      ['create', '-f', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
    );
    for (const [name, chain, code] of cases) {
      const secret = `secret/${fleetNamespace(0)}/tls-${name}`;
      const done = await within(['verify', secret, '-o', 'json']);
      assert.equal(done.code, code === undefined ? 0 : 1, `${name}: ${done.err}`);
      const { checks, valid } = JSON.parse(done.out);
      const codes = checks.flatMap(({ code }: { code?: string }) => code ?? []);
      assert.equal(valid, code === undefined, name);
      assert.ok(
        code === undefined ? codes.length === 0 : codes.includes(code),
        `${name}: ${codes}`,
      );
      const key = String(chain[0]?.key.privateKey.export({ type: 'pkcs8', format: 'pem' }));
      assert.ok(!done.out.includes(key.slice(40, 90)));
    }
    const text = await signet(['svid', `secret/${fleetNamespace(0)}/tls-good`]);
    assert.match(text.stdout, /^URI +: spiffe:\/\/example\.org\/web$/m);
    const keyed = await signet(['svid', `secret/${fleetNamespace(0)}/tls-good:tls.key`]);
    assert.deepEqual([keyed.code, keyed.stdout], [2, '']);
    assert.doesNotMatch(keyed.stderr, /PRIVATE|MIG|MC4/);
    const soon = await signet(['expiring', '-n', fleetNamespace(1), '--secrets', '-A']);
    assert.match(
      soon.stdout,
      /^\d+m +leaf +\w{8} +spiffe:\/\/example\.org\/web +secret\/ns-00\/tls-below +Expiring$/m,
    );
  });

  it('federation asks live endpoints, and knows them by their SPIFFE ID', async () => {
    const root = makeRoot('partner.example');
    const key = makeLeaf(root, 'spiffe://partner.example/spire/server');
    const trustDomain = assertValue(parseTrustDomain('partner.example'));
    const document = assertValue(
      formatSpiffeBundle({
        ...emptyBundle(trustDomain),
        x509Authorities: [{ certificate: root.certificate, tainted: false }],
        sequence: 3n,
        refreshHintSeconds: 300,
      }),
    );
    const pem = key.key.privateKey.export({ type: 'pkcs8', format: 'pem' });
    const endpoint = createServer({ cert: key.pem, key: pem }, (_, answer) => answer.end(document));
    await once(endpoint.listen(0, '127.0.0.1'), 'listening');
    try {
      const { port } = endpoint.address() as AddressInfo;
      const relationship = (name: string, id: string, more: object): object => ({
        apiVersion: 'spire.spiffe.io/v1alpha1',
        kind: 'ClusterFederatedTrustDomain',
        metadata: { name },
        spec: {
          trustDomain: 'partner.example',
          bundleEndpointURL: `https://127.0.0.1:${port}/`,
          bundleEndpointProfile: { type: 'https_spiffe', endpointSPIFFEID: id },
          ...more,
        },
      });
      await rig.kubectl(['create', '-f', '-'], FEDERATION_KIND);
      await rig.kubectl(['wait', '--for=condition=Established', 'crd', FEDERATION_CRD]);
      const server = 'spiffe://partner.example/spire/server';
      const trustDomainBundle = Buffer.from(document).toString();
      const items = [
        relationship('a-known', server, { trustDomainBundle }),
        relationship('b-other', 'spiffe://partner.example/else', { trustDomainBundle }),
        relationship('c-unknown', server, {}),
        relationship('d-gone', server, {
          trustDomainBundle,
          bundleEndpointURL: 'https://127.0.0.1:1/',
        }),
      ];
      await rig.kubectl(
        ['create', '-f', '-'],
        JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
      );
      const ask = async () => {
        const { code, out, err } = await within(['federation', '-o', 'json']);
        assert.equal(code, 1, err);
        return JSON.parse(out).items.map((one: { name: string; state: string; error?: string }) => [
          one.name,
          one.state,
          one.error?.split(':')[0],
        ]);
      };
      assert.deepEqual(await ask(), [
        ['a-known', 'Missing', undefined],
        ['b-other', 'Failed', 'FEDERATION_ENDPOINT_UNTRUSTED'],
        ['c-unknown', 'Failed', 'FEDERATION_ENDPOINT_BUNDLE'],
        ['d-gone', 'Failed', 'FEDERATION_ENDPOINT_UNREACHABLE'],
      ]);
      const held = {
        apiVersion: 'certificates.k8s.io/v1',
        kind: 'ClusterTrustBundle',
        metadata: { name: 'partner.example' },
        spec: { trustBundle: root.pem },
      };
      await rig.kubectl(['create', '-f', '-'], JSON.stringify(held));
      assert.deepEqual((await ask()).slice(0, 3), [
        ['a-known', 'InSync', undefined],
        ['b-other', 'Failed', 'FEDERATION_ENDPOINT_UNTRUSTED'],
        ['c-unknown', 'InSync', undefined],
      ]);
      const now = ['diff', 'federation/c-unknown', 'ctb/partner.example'];
      assert.equal((await within(now)).code, 0);
      const gone = await within(['diff', 'federation/d-gone', 'ctb/partner.example']);
      assert.deepEqual([gone.code, gone.out], [2, ''], gone.err);
      assert.equal((await within(['diff', 'federation/absent', 'ctb/partner.example'])).code, 2);
    } finally {
      endpoint.close();
      endpoint.closeAllConnections();
    }
  });

  it('connectors tells of groups and segments by their objects', async () => {
    const none = await signet(['connectors', '-A']);
    assert.deepEqual([none.code, none.stdout], [0, 'no connector groups\n'], none.stderr);
    const kinds = ['connectorgroups', 'connectorsegments'];
    for (const kind of kinds) {
      await rig.kubectl(['create', '-f', `charts/signet-crds/files/signet.dev_${kind}.yaml`]);
      const crd = `crd/${kind}.signet.dev`;
      await rig.kubectl(['wait', '--for=condition=Established', crd]);
    }
    const apiVersion = 'signet.dev/v1alpha1';
    const group = {
      ...{ apiVersion, kind: 'ConnectorGroup' },
      metadata: { name: 'edge', namespace: fleetNamespace(0) },
      spec: { proofs: ['provisioning-key'], minInstances: 1 },
    };
    await rig.kubectl(['create', '-f', '-'], JSON.stringify(group));
    const fresh = await signet(['connectors', '-n', fleetNamespace(0)]);
    assert.equal(fresh.code, 1, fresh.stdout);
    const accepted = { type: 'Accepted', status: 'True', reason: 'Accepted', message: '' };
    const status = {
      conditions: [{ ...accepted, lastTransitionTime: new Date().toISOString() }],
      ...{ connectors: { active: 2 }, segments: 1, thinSegments: 0 },
      oldestCertificateExpiresAt: new Date(Date.now() + 3_600_000).toISOString(),
    };
    const patch = ['patch', 'connectorgroup', 'edge', '-n', fleetNamespace(0), '--type=merge'];
    await rig.kubectl([...patch, '--subresource=status', '-p', JSON.stringify({ status })]);
    const well = await signet(['connectors', '-A']);
    assert.equal(well.code, 0, well.stderr);
    assert.match(well.stdout, /^GROUP +CONNECTORS +CERT +SEGMENTS +THIN +STATE$/m);
    assert.match(well.stdout, /^ns-00\/edge +2 active +(59m\d+s|1h) +1 +0 +Ok$/m);
    const lost = { status: { connectors: { active: 1, lost: 1 } } };
    await rig.kubectl([...patch, '--subresource=status', '-p', JSON.stringify(lost)]);
    const found = await signet(['connectors', '-A', '-o', 'json']);
    assert.equal(found.code, 1, found.stderr);
    assert.equal(JSON.parse(found.stdout).groups[0].state, 'Lost');
    // Without the right to look it is no good news.
    assert.equal((await signet(['connectors', '-A', '--as', 'nobody'])).code, 2);
  });

  it('signs in by a program that the kubeconfig names', async () => {
    const config = parse(readFileSync(await rig.user('jane'), 'utf8'));
    const { user } = config.users[0];
    const [clientCertificateData, clientKeyData] = ['client-certificate', 'client-key'].map(
      (name) => readFileSync(user[name], 'utf8'),
    );
    const credential = {
      ...{ apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential' },
      status: { clientCertificateData, clientKeyData },
    };
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: 'printf',
      args: ['%s', JSON.stringify(credential)],
      interactiveMode: 'Never',
    };
    config.users[0].user = { exec };
    const path = join(dir, 'exec');
    writeFileSync(path, JSON.stringify(config));
    const done = await signet(['list', '-n', fleetNamespace(8)], { KUBECONFIG: path });
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, /^example\.org +cm +ns-08\/spiffe-bundle .*Missing$/m);
  });

  it('watch prints what comes, goes and changes, until it is interrupted', async () => {
    const args = [
      'watch',
      '-n',
      fleetNamespace(20),
      '--trust-domain',
      'example.org',
      '--interval',
      '1s',
    ];
    const env = { ...process.env, KUBECONFIG: rig.kubeconfig };
    const child = spawn('bin/kubectl-signet', args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const ended = once(child, 'exit');
    try {
      await soon(async () => said.includes('watching 2 copies'));
      const patch = JSON.stringify({ data: { 'bundle.crt': fleet.roots.first.pem } });
      const object = ['-n', fleetNamespace(20), 'configmap', 'spiffe-bundle'];
      await rig.kubectl(['patch', ...object, '--type=merge', '-p', patch]);
      await soon(async () => said.includes('Missing'));
      await rig.kubectl(['delete', ...object]);
      await soon(async () => said.includes('gone'));
      const what = lines(said).map((line) => line.replace(/^\S+ +(\w+@)?\S+ +/, ''));
      assert.match(what[1] ?? '', /^-\w{8} {2}InSync > Missing$/);
      assert.equal(what[2], 'gone');
    } finally {
      child.kill('SIGINT');
    }
    assert.deepEqual(await ended, [0, null]);
  });

  it('doctor names the rights that lack, and what to do', async () => {
    const well = await within(['doctor', '-n', fleetNamespace(5)]);
    assert.equal(well.code, 0, well.out + well.err);
    assert.match(well.out, /^ClusterTrustBundles +served as v1 +Ok$/m);
    const jane = await within(['doctor', '-A', '--as', 'jane']);
    assert.equal(jane.code, 1);
    assert.match(jane.out, /^may list configmaps +no +Failed$/m);
    assert.match(jane.out, /^may list clustertrustbundles +yes +Ok$/m);
    assert.match(jane.out, /^may list configmaps: bind a role with get and list on configmaps/m);
    assert.match(jane.out, /^who may write +KUBE_FORBIDDEN +Hint$/m);
  });

  it('doctor names the copies in trouble, and who may write what identities come from', async () => {
    interface Told {
      readonly check: string;
      readonly found: string;
      readonly result: string;
      readonly details: readonly string[];
    }
    const ask = async (): Promise<ReadonlyMap<string, Told>> => {
      const { code, out, err } = await within(['doctor', '-A', '-o', 'json']);
      assert.equal(code, 1, err);
      return new Map(JSON.parse(out).items.map((one: Told) => [one.check, one]));
    };
    const told = await ask();
    assert.match(told.get('PodCertificateRequests')?.found ?? '', /^served as v1/);
    assert.deepEqual(told.get('state Extra')?.details, [
      `cm/${fleetNamespace(7)}/spiffe-bundle:bundle.crt`,
    ]);
    assert.deepEqual(told.get('state Expired')?.details, [
      `cm/${fleetNamespace(0)}/spire-bundle:bundle.crt`,
    ]);
    // As Kubernetes comes, nobody may but kubelets, by no role, and those who may do everything.
    for (const check of ['create pod certificates', 'write ClusterSPIFFEIDs']) {
      const { found, result, details } = told.get(check) ?? {};
      assert.deepEqual([result, details], ['Ok', []], check);
      assert.match(found ?? '', /^[1-9][0-9]* superusers? alone$/);
    }
    const rights = ['--verb=create', '--resource=podcertificaterequests.certificates.k8s.io'];
    await rig.kubectl(['create', 'clusterrole', 'ask-certificates', ...rights]);
    const namespace = ['-n', fleetNamespace(4)];
    await rig.kubectl([
      'create',
      'rolebinding',
      'ci',
      '--clusterrole=ask-certificates',
      ...namespace,
      `--serviceaccount=${fleetNamespace(4)}:ci`,
    ]);
    const writes = ['--verb=patch', '--resource=configmaps', '--resource-name=spiffe-bundle'];
    await rig.kubectl(['create', 'role', 'write-bundle', ...writes, ...namespace]);
    await rig.kubectl([
      'create',
      'rolebinding',
      'all',
      '--role=write-bundle',
      ...namespace,
      '--group=system:authenticated',
    ]);
    const then = await ask();
    const requests = then.get('create pod certificates');
    assert.deepEqual(
      [requests?.result, requests?.details],
      ['Failed', [`account ${fleetNamespace(4)}/ci`]],
    );
    const maps = then.get('write published maps');
    assert.deepEqual([maps?.result, maps?.details], ['Failed', ['group system:authenticated']]);
    // What it says is what the API server does.
    const can = await rig.kubectl([
      'auth',
      'can-i',
      'patch',
      'configmap/spiffe-bundle',
      ...namespace,
      '--as=anybody',
      '--as-group=system:authenticated',
    ]);
    assert.match(String(can), /yes/);
  });

  it('is one file beside Node.js too, and says the same', async () => {
    const args = ['bin/run.mjs', 'build', '--kubectl', '--target', 'any', '--out', dir];
    const built = await run(process.execPath, args);
    assert.equal(built.code, 0, built.stderr);
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
    const folder = join(dir, `kubectl-signet-${version}-any`);
    const path = `${folder}:${dirname(process.execPath)}:/usr/bin:/bin`;
    const env = { PATH: path, KUBECONFIG: rig.kubeconfig };
    const listed = await run(join(rig.bin, 'kubectl'), ['signet', '-A', '-o', 'name'], { env });
    assert.deepEqual(listed, await signet(['-A', '-o', 'name']));
    const asked = await run(join(rig.bin, 'kubectl'), ['__complete', 'signet', 'dr'], { env });
    assert.match(asked.stdout, /^drift\t/);
    const manifest = readFileSync(join(dir, 'kubectl-signet.krew.yaml'), 'utf8');
    const short = /shortDescription: (.*)/.exec(manifest)?.[1] ?? '';
    assert.ok(short.length > 0 && short.length <= 50);
  });

  it('completes commands, flags and their values, as kubectl asks', async () => {
    const ask = async (...words: string[]): Promise<string[]> => {
      const env = { ...process.env, PATH: `${resolve('bin')}:${process.env.PATH}` };
      const { stdout } = await run(join(rig.bin, 'kubectl'), ['__complete', 'signet', ...words], {
        env,
      });
      return lines(stdout).map((line) => line.split('\t')[0] ?? '');
    };
    assert.deepEqual(await ask('dr'), ['drift', ':4']);
    assert.deepEqual(await ask('list', '-o', 'j'), ['json', 'jwks', ':4']);
    assert.deepEqual(await ask('list', '--all'), ['--all-namespaces', ':4']);
    assert.deepEqual(await ask('diff', 'ct'), ['ctb/', ':0']);
  });
});
