import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { parse } from 'yaml';
import { type CliOutcome, cli } from '../../test/support/cli.ts';
import { FakeKube } from '../../test/support/fake-kube.ts';
import { base64url } from '../../test/support/jwt.ts';
import { makeLeaf, makeRoot } from '../../test/support/x509.ts';
import { kubectlCommands, kubectlProgram } from './commands.ts';

/** What a terminal acts on: escapes, C1 controls, right-to-left, and a tag beyond U+FFFF. */
const EVIL = '\u001b]0;x\u0007\u009b2J\u202e\u{e0041}';
// biome-ignore lint/suspicious/noControlCharactersInRegex: what must not reach a terminal.
const UNSAFE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]|\u{e0041}/u;
const ROOT = makeRoot('example.org');
const MAPS = '/api/v1/configmaps';
const BUNDLES = '/apis/certificates.k8s.io/v1/clustertrustbundles';

describe('what a hostile cluster or a slip of the hand does to the plugin', () => {
  let kube: FakeKube;
  let dir: string;
  before(async () => {
    kube = await FakeKube.start();
    dir = mkdtempSync(join(tmpdir(), 'sgn-hostile-'));
  });
  beforeEach(() => {
    kube.fault = () => undefined;
    kube.serves.set('/apis/certificates.k8s.io/v1', ['clustertrustbundles']);
    const data = { 'bundle.crt': ROOT.pem };
    kube.put(MAPS, { metadata: { name: 'spire-bundle', namespace: 'shop' }, data });
  });
  after(async () => {
    await kube.stop();
    rmSync(dir, { recursive: true, force: true });
  });
  const signet = (...argv: string[]): Promise<CliOutcome> =>
    cli(kubectlCommands, argv, { env: { KUBECONFIG: kube.kubeconfigPath } }, kubectlProgram);

  test('names from a cluster reach a terminal escaped, in every form', async () => {
    const subject = { commonName: `root${EVIL}` };
    const more = makeRoot('example.org', { subject, notAfterMs: Date.now() + 60_000 });
    const name = `roots${EVIL}`;
    kube.put(BUNDLES, { metadata: { name }, spec: { trustBundle: ROOT.pem } });
    const data = { [`bundle${EVIL}.crt`]: more.pem };
    kube.put(MAPS, { metadata: { name: 'spire-bundle', namespace: `x${EVIL}` }, data });
    for (const argv of [
      ...['table', 'wide', 'json', 'yaml', 'name'].map((form) => ['list', '-A', '-o', form]),
      ...['table', 'wide', 'json', 'yaml', 'name'].map((form) => ['drift', '-A', '-o', form]),
      ...['table', 'wide', 'json', 'yaml'].map((form) => ['show', '-A', '-o', form]),
      ...['table', 'wide', 'json', 'yaml'].map((form) => ['expiring', '-A', '-o', form]),
      ...['table', 'json', 'yaml'].map((form) => ['doctor', '-A', '-o', form]),
      ['diff', 'cm/shop/spire-bundle', `ctb/roots${EVIL}`],
      ['list', '-A', '--against', `cm/${EVIL}`],
    ]) {
      const { out, err } = await signet(...argv);
      assert.ok(out !== '' || err !== '', argv.join(' '));
      assert.doesNotMatch(out + err, UNSAFE, argv.join(' '));
    }
    const json = JSON.parse((await signet('list', '-A', '-o', 'json')).out);
    assert.ok(json.items.some((one: { name: string }) => one.name === name));
    const { out: yaml } = await signet('list', '-A', '-o', 'yaml');
    assert.deepEqual(parse(yaml), json);
    assert.match(yaml, /\\U000e0041/);
    kube.remove(BUNDLES, name);
    kube.remove(MAPS, `x${EVIL}/spire-bundle`);
  });

  test('names and errors of partners are escaped too', async () => {
    const url = `https://127.0.0.1:1/${EVIL}`;
    const bundleEndpointProfile = { type: `https_web${EVIL}` };
    kube.put('/apis/spire.spiffe.io/v1alpha1/clusterfederatedtrustdomains', {
      metadata: { name: `partner${EVIL}` },
      spec: { trustDomain: `p${EVIL}`, bundleEndpointURL: url, bundleEndpointProfile },
    });
    const { code, out, err } = await signet('federation', '-A');
    assert.equal(code, 1);
    assert.match(err, /^partner\\u001b/m);
    assert.doesNotMatch(out + err, UNSAFE);
  });

  test('claims of a JWT are escaped, their names as well', async () => {
    const sub = 'spiffe://example.org/web';
    const exp = Math.floor(Date.now() / 1000) + 60;
    const payload = { sub, aud: ['a'], exp, [`claim${EVIL}`]: `value${EVIL}` };
    const head = { alg: 'ES256', kid: 'k' };
    const parts = [head, payload].map((part) => base64url(JSON.stringify(part)));
    writeFileSync(join(dir, 'jwt'), [...parts, base64url('signature')].join('.'));
    for (const form of ['table', 'json', 'yaml']) {
      const { code, out, err } = await signet('svid', '-f', join(dir, 'jwt'), '-o', form);
      assert.equal(code, 0, err);
      assert.doesNotMatch(out, UNSAFE);
    }
  });

  test('a reference that no copy is, or that holds nothing, makes nothing InSync', async () => {
    for (const against of ['cm/typo/spire-bundle', 'ctb/roots', 'endpoint']) {
      const { code, err } = await signet('drift', '-A', '--against', against);
      assert.equal(code, 2, against);
      assert.match(err, /code: TRUST_NOT_FOUND/);
    }
    kube.put(BUNDLES, { metadata: { name: 'roots' }, spec: { trustBundle: 'nothing' } });
    const empty = await signet('drift', '-A', '--against', 'ctb/roots');
    assert.equal(empty.code, 2);
    const good = await signet('drift', '-A', '--against', 'cm/shop/spire-bundle');
    assert.equal(good.code, 1, 'the ClusterTrustBundle is Unreadable');
    kube.remove(BUNDLES, 'roots');
  });

  test('what may not be read is told whatever trust domain is asked for', async () => {
    kube.fault = ({ path }) =>
      path.endsWith('/clustertrustbundles') ? { status: 403, text: '{}' } : undefined;
    const { code, out } = await signet('drift', '-A', '--trust-domain', 'example.org');
    assert.equal(code, 1);
    assert.match(out, /^- +ctb +\* .*Unreadable$/m);
  });

  test('where nothing may be read, no command says that all is well', async () => {
    kube.fault = ({ path }) =>
      /configmaps|namespaces|clustertrustbundles/.test(path)
        ? { status: 403, text: '{}' }
        : undefined;
    for (const [command, code] of [
      ['drift', 1],
      ['doctor', 1],
      ['expiring', 2],
      ['show', 2],
      ['export', 2],
    ] as const) {
      const done = await signet(command, '-A');
      assert.equal(done.code, code, `${command}: ${done.out}${done.err}`);
    }
    kube.fault = ({ path }) =>
      path.endsWith('/clustertrustbundles') ? { status: 403, text: '{}' } : undefined;
    const some = await signet('expiring', '-A');
    assert.deepEqual([some.code, some.err], [0, 'not read: ctb/* (KUBE_FORBIDDEN)\n']);
  });

  test('a context that does not answer hides no other, and is told', async () => {
    const text = readFileSync(kube.kubeconfigPath, 'utf8');
    const parsed = parse(text);
    const [cluster, context] = [parsed.clusters[0], parsed.contexts[0]];
    const server = 'https://127.0.0.1:1';
    parsed.clusters.push({ name: 'dead', cluster: { ...cluster.cluster, server } });
    parsed.contexts.push({ name: 'dead', context: { ...context.context, cluster: 'dead' } });
    const path = `${kube.kubeconfigPath}-two`;
    writeFileSync(path, JSON.stringify(parsed));
    const both = ['--kubeconfig', path, '--context', context.name, '--context', 'dead', '-A'];
    for (const command of ['list', 'drift']) {
      const { code, out, err } = await signet(command, ...both);
      assert.equal(code, 2, command + err);
      assert.match(out, /^dead +- +cluster +\* .*Unreadable$/m);
      assert.match(err, /^not read: context dead: .*/m);
      assert.match(err, /code: KUBE_UNREACHABLE/);
    }
    const { out } = await signet('list', ...both);
    assert.match(out, / example\.org +cm +shop\/spire-bundle .*InSync$/m);
    const alone = await signet('list', '--kubeconfig', path, '--context', 'dead', '-A');
    assert.deepEqual([alone.code, alone.out], [2, '']);
  });

  test('an authority whose successor every copy has is Replaced, and no finding', async () => {
    const [old, young] = [20, 1].map((hours) => {
      const notBeforeMs = Date.now() - hours * 3_600_000 - 60_000;
      return makeRoot('example.org', { notBeforeMs, notAfterMs: notBeforeMs + 86_400_000 });
    });
    const metadata = { name: 'spire-bundle', namespace: 'shop' };
    kube.put(MAPS, { metadata, data: { 'bundle.crt': `${old?.pem}${young?.pem}` } });
    const both = await signet('expiring', '-A');
    assert.equal(both.code, 0, both.err);
    assert.match(both.out, /^3h +x509 .*Replaced$/m);
    kube.put(MAPS, { metadata, data: { 'bundle.crt': old?.pem ?? '' } });
    const alone = await signet('expiring', '-A');
    assert.equal(alone.code, 1);
    assert.match(alone.out, /^3h +x509 .*Expiring$/m);
  });

  test('names of objects are none of kubectl’s flags, and words too many are refused', async () => {
    for (const argv of [
      ['svid', 'pod/shop/--server=https://evil.example'],
      ['svid', 'pod/-n/web'],
      ['show', 'example.org', 'other.example'],
      ['export', 'example.org', 'other.example'],
      ['list', 'example.org'],
      ['doctor', 'all'],
    ]) {
      const { code, err } = await signet(...argv);
      assert.equal(code, 2, argv.join(' '));
      assert.match(err, /code: CLI_USAGE/, argv.join(' '));
    }
  });

  test('a private key is never printed, whatever key of a Secret is named', async () => {
    const leaf = makeLeaf(ROOT);
    const pem = String(leaf.key.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const data = {
      'tls.crt': base64(leaf.pem + pem),
      'tls.key': base64(pem),
      'ca.crt': base64(pem + ROOT.pem),
    };
    const metadata = { name: 'web', namespace: 'shop' };
    kube.put('/api/v1/secrets', { type: 'kubernetes.io/tls', metadata, data });
    for (const argv of [
      ['svid', 'secret/shop/web'],
      ['svid', 'secret/shop/web:tls.key'],
      ['svid', 'secret/shop/web', '-o', 'pem'],
      ['verify', 'secret/shop/web:tls.key', '-A'],
      ['diff', 'secret/shop/web', 'secret/shop/web:tls.key'],
      ['list', '-A', '--secrets', '-o', 'json'],
      ['expiring', '-A', '--secrets', '-o', 'json'],
    ]) {
      const { out, err } = await signet(...argv);
      for (const line of pem.split('\n').slice(1, -2)) {
        assert.ok(!(out + err).includes(line.slice(0, 24)), argv.join(' '));
      }
      assert.doesNotMatch(out + err, /PRIVATE KEY-----/);
    }
  });

  test('--within 0 is now, not a day', async () => {
    const soon = makeRoot('soon.example', { notAfterMs: Date.now() + 3_600_000 });
    const data = { 'bundle.crt': soon.pem };
    kube.put(MAPS, { metadata: { name: 'spire-bundle', namespace: 'soon' }, data });
    assert.equal((await signet('expiring', '-A', '--within', '0')).code, 0);
    assert.equal((await signet('expiring', '-A', '--within', '1d')).code, 1);
    kube.remove(MAPS, 'soon/spire-bundle');
  });
});
