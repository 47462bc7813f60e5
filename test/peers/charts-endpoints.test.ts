import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { callHttp } from '../../src/runtime/http-call.ts';
import { TestServer } from '../support/server.ts';
import { skipNow } from '../support/shared.ts';
import { makeCertificate, makeRoot } from '../support/x509.ts';
import { type GoTool, goTool } from './go-tool.ts';
import { at, type Manifest, podOf, render, textOf, VALUES } from './helm.ts';

const CHART = 'charts/signet';
const ENDPOINTS = ['oidc', 'federation'] as const;

interface Started {
  readonly server: TestServer;
  /** PEM that the certificate of each leads to. */
  readonly roots: Readonly<Record<(typeof ENDPOINTS)[number], string>>;
}

describe('what the chart has the server serve beside agents', () => {
  let helm: GoTool;
  let dir: string;

  before(async () => {
    helm = await goTool('helm3', 'helm.sh/helm/v3/cmd/helm');
    dir = mkdtempSync(join(tmpdir(), 'sgn-charts-'));
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  const known = new Map<string, Promise<readonly Manifest[]>>();
  function rendered(name: string): Promise<readonly Manifest[]> {
    const found = known.get(name) ?? render(helm, CHART, ['-f', join(VALUES, name)]);
    known.set(name, found);
    return found;
  }

  const of = (objects: readonly Manifest[], kind: string, name: string): Manifest | undefined =>
    objects.find((one) => one.kind === kind && at(one, 'metadata', 'name') === name);

  const configOf = (objects: readonly Manifest[]): unknown =>
    parse(textOf(of(objects, 'ConfigMap', 'r-signet-server'), 'data', 'server.yaml'));

  const listAt = (value: unknown, ...path: readonly string[]): readonly Manifest[] => {
    const found = at(value, ...path);
    assert.ok(Array.isArray(found), path.join('.'));
    return found;
  };

  const settings = (config: unknown, endpoint: string): unknown =>
    endpoint === 'oidc' ? at(config, 'oidc') : at(config, 'federation', 'bundleEndpoint');

  for (const name of ['endpoints-values.yaml', 'everything-values.yaml']) {
    it(`leads from a Service of its own to the port that is listened on: ${name}`, async (t) => {
      if (helm.missing !== undefined) return skipNow(t, helm.missing);
      const objects = await rendered(name);
      const container = at(podOf(objects, 'StatefulSet'), 'containers', '0');
      const policy = of(objects, 'NetworkPolicy', 'r-signet-server');
      for (const endpoint of ENDPOINTS) {
        const service = of(objects, 'Service', `r-signet-${endpoint}`);
        assert.equal(at(service, 'spec', 'ports', '0', 'targetPort'), endpoint);
        const port = listAt(container, 'ports').find((one) => one.name === endpoint);
        assert.ok(port);
        assert.equal(at(settings(configOf(objects), endpoint), 'port'), port.containerPort);
        const open = listAt(policy, 'spec', 'ingress').filter((rule) =>
          listAt(rule, 'ports').some((one) => one.port === endpoint),
        );
        assert.deepEqual(
          open.map((rule) => Object.keys(rule)),
          [['ports']],
        );
      }
      assert.equal(listAt(of(objects, 'Service', 'r-signet-server'), 'spec', 'ports').length, 1);
    });

    it(`mounts the folder of each Secret that the configuration names: ${name}`, async (t) => {
      if (helm.missing !== undefined) return skipNow(t, helm.missing);
      const objects = await rendered(name);
      const pod = podOf(objects, 'StatefulSet');
      for (const endpoint of ENDPOINTS) {
        const path = at(settings(configOf(objects), endpoint), 'certificatePath');
        const mount = listAt(pod, 'containers', '0', 'volumeMounts').find(
          (one) => one.name === `${endpoint}-tls`,
        );
        assert.equal(mount?.mountPath, path === undefined ? undefined : dirname(String(path)));
        assert.equal(mount?.subPath, undefined);
        const volume = listAt(pod, 'volumes').find((one) => one.name === `${endpoint}-tls`);
        assert.equal(volume === undefined, path === undefined);
      }
    });
  }

  it('is nothing unless switched on', async (t) => {
    if (helm.missing !== undefined) return skipNow(t, helm.missing);
    const objects = await rendered('default-values.yaml');
    const config = configOf(objects);
    assert.deepEqual([at(config, 'oidc'), at(config, 'federation')], [undefined, undefined]);
    const servers = objects.filter(({ kind }) => kind === 'Service' || kind === 'Ingress');
    assert.deepEqual(
      servers.map(({ metadata }) => textOf(metadata, 'name')),
      ['r-signet-server'],
    );
    const names = listAt(podOf(objects, 'StatefulSet'), 'containers', '0', 'ports').map(
      ({ name }) => name,
    );
    assert.deepEqual(names, ['agents', 'metrics']);
  });

  /** The configuration as rendered, with free ports and files of here. */
  async function startAs(config: unknown): Promise<Started> {
    const root = makeRoot();
    const files = (endpoint: string): object => {
      const { certificatePath, keyPath, ...kept } = Object(settings(config, endpoint));
      if (certificatePath === undefined) return { ...kept, port: 0 };
      const { pem, key } = makeCertificate({ issuer: root, dnsNames: ['id.acme.io'] });
      const here = { certificatePath: join(dir, 'tls.crt'), keyPath: join(dir, 'tls.key') };
      writeFileSync(here.certificatePath, pem);
      writeFileSync(here.keyPath, key.privateKey.export({ type: 'pkcs8', format: 'pem' }));
      return { ...kept, ...here, port: 0 };
    };
    const { trustDomain, jwt, federation } = Object(config);
    const own = { ...federation, bundleEndpoint: files('federation') };
    const server = await TestServer.start({
      trustDomain,
      jwt,
      oidc: files('oidc'),
      federation: own,
    });
    return { server, roots: { oidc: root.pem, federation: await server.bundlePem() } };
  }

  it('answers at the paths of the Ingress, by the certificate that is shown', async (t) => {
    if (helm.missing !== undefined) return skipNow(t, helm.missing);
    const objects = await rendered('endpoints-values.yaml');
    const { server, roots } = await startAs(configOf(objects));
    const read = (endpoint: keyof Started['roots'], port: number | undefined, path: string) => {
      const signal = new AbortController().signal;
      // An SVID has no host name.
      const tls = { servername: 'id.acme.io', checkServerIdentity: () => undefined };
      const ca = roots[endpoint];
      const call = { method: 'GET', ca, tls, maxAnswerBytes: 65_536, signal } as const;
      return callHttp(new URL(`https://127.0.0.1:${port}${path}`), call);
    };
    const ingress = of(objects, 'Ingress', 'r-signet-oidc');
    const paths = listAt(ingress, 'spec', 'rules', '0', 'http', 'paths');
    assert.equal(paths.length, 2);
    for (const { path, backend } of paths) {
      assert.deepEqual(backend, { service: { name: 'r-signet-oidc', port: { name: 'https' } } });
      const { status } = await read('oidc', server.running.oidcPort, String(path));
      assert.equal(status, 200, String(path));
    }
    const bundle = await read('federation', server.running.bundleEndpointPort, '/');
    assert.equal(bundle.status, 200);
    assert.match(bundle.text, /spiffe_sequence/);
    await server.stop();
  });

  const OIDC = 'oidc.enabled=true,jwtIssuer=https://id.acme.io';
  const BUNDLE = 'federation.bundleEndpoint.enabled=true';
  const REFUSED: readonly (readonly [string, string, RegExp])[] = [
    [
      'discovery without an issuer',
      'oidc.enabled=true,oidc.ownCertificate=true',
      /needs jwtIssuer/,
    ],
    ...['http://id.acme.io', 'https://id.acme.io/', 'https://ID.io'].map(
      (issuer) =>
        [`the issuer ${issuer}`, `${OIDC},jwtIssuer=${issuer}`, /needs jwtIssuer/] as const,
    ),
    ['discovery without TLS', OIDC, /neither or both/],
    [
      'discovery by two certificates',
      `${OIDC},oidc.ownCertificate=true,oidc.tlsSecret=a`,
      /neither or both/,
    ],
    ['an Ingress to nothing', 'oidc.ingress.enabled=true', /needs oidc\.enabled/],
    [
      'a public certificate that is not named',
      `${BUNDLE},federation.bundleEndpoint.profile=https_web`,
      /with https_web/,
    ],
    [
      'a certificate beside the SVID',
      `${BUNDLE},federation.bundleEndpoint.tlsSecret=a`,
      /with https_web/,
    ],
    [
      'a profile that there is not',
      `${BUNDLE},federation.bundleEndpoint.profile=https`,
      /https_spiffe/,
    ],
    ['what others may keep for a while', `${OIDC},oidc.cacheFor=soon`, /cacheFor/],
    ['a port that is taken', 'metrics.port=8444', /metrics\.port 8444 is taken/],
    ["what is the chart's, beside it", 'server.config.oidc.port=8443', /'oidc' not allowed/],
    [
      'its endpoint, beside it',
      'server.config.federation.bundleEndpoint.port=1',
      /'bundleEndpoint' not allowed/,
    ],
  ];

  it('refuses what is wrong, and says what to do', async (t) => {
    if (helm.missing !== undefined) return skipNow(t, helm.missing);
    for (const [what, set, message] of REFUSED) {
      const values = ['-f', join(VALUES, 'default-values.yaml'), '--kube-version', '1.37'];
      const from = ['template', 'r', CHART, ...values];
      const { code, stderr } = await helm.run([...from, '--set', set]);
      assert.notEqual(code, 0, what);
      assert.match(stderr, message, what);
    }
  });
});
