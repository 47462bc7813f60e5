import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { kubectlCommands, kubectlProgram } from '../../src/kubectl/commands.ts';
import { commands } from '../../src/main/commands.ts';
import { cli } from '../support/cli.ts';
import { FakeKube } from '../support/fake-kube.ts';
import { Field } from '../support/field.ts';
import { makeRoot } from '../support/x509.ts';

const ID = 'spiffe://example.org/web';

describe('kubectl signet beside a real server', () => {
  test('Tainted, Extra in a Secret, and a revoked certificate are told', async (context) => {
    const field = new Field(context, {
      crl: { enabled: true },
      telemetry: { port: 0 },
    });
    await field.startServer();
    const kube = await FakeKube.start();
    context.after(() => kube.stop());
    const socket = join(field.dir, 'p', 'api.sock');
    const local = { SIGNET_SERVER_SOCKET: socket };
    const signet = async (...argv: readonly string[]) => {
      const done = await cli(commands, argv, { env: local });
      assert.equal(done.code, 0, done.err);
      return done.out;
    };
    const plugin = (...argv: readonly string[]) =>
      cli(
        kubectlCommands,
        [...argv, '--server-socket', socket],
        { env: { KUBECONFIG: kube.kubeconfigPath } },
        kubectlProgram,
      );
    const holds = async (): Promise<void> => {
      const data = { 'bundle.crt': await field.bundlePem() };
      kube.put('/api/v1/configmaps', { metadata: { name: 'spire-bundle', namespace: 'n' }, data });
    };
    await holds();
    await signet('x509', 'mint', '--spiffe-id', ID, '--write', field.dir);
    const chain = join(field.dir, 'svid.pem');
    const good = await plugin('verify', '-f', chain, '-n', 'n');
    assert.equal(good.code, 0, good.err);

    // The CRL that the server made names it.
    await signet('svid', 'revoke', '--spiffe-id', ID);
    const crl = join(field.dir, 'crl.der');
    const bytes = await fetch(`http://127.0.0.1:${field.telemetryPort}/crl`);
    writeFileSync(crl, Buffer.from(await bytes.arrayBuffer()));
    const revoked = await plugin('verify', '-f', chain, '-n', 'n', '--crl', crl, '-o', 'json');
    assert.equal(revoked.code, 1, revoked.err);
    const codes = JSON.parse(revoked.out).checks.map(({ code }: { code?: string }) => code);
    assert.ok(codes.includes('PATH_REVOKED'), String(codes));

    // A Secret holds an authority of nobody's beside ours; its key is not shown.
    const extra = makeRoot('example.org');
    const key = extra.key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const texts = { 'ca.crt': (await field.bundlePem()) + extra.pem, 'tls.key': key };
    const data = Object.fromEntries(
      Object.entries(texts).map(([name, text]) => [name, Buffer.from(text).toString('base64')]),
    );
    const metadata = { name: 'web-tls', namespace: 'n' };
    kube.put('/api/v1/secrets', { type: 'kubernetes.io/tls', metadata, data });
    const listed = await plugin('list', '-A', '--secrets');
    assert.match(listed.out, /^example\.org +secret +n\/web-tls .*Extra$/m);
    assert.match(listed.out, /^example\.org +cm +n\/spire-bundle .*InSync$/m);
    assert.ok(
      !JSON.stringify(await plugin('show', '-A', '--secrets', '-o', 'json')).includes(
        key.slice(40, 90),
      ),
    );
    assert.doesNotMatch((await plugin('list', '-A')).out, /web-tls/);

    // What the server tainted is tainted in every copy that still has it.
    const act = ['localauthority', 'x509'];
    const { active } = JSON.parse(await signet(...act, 'show', '-o', 'json'));
    const prepared = JSON.parse(await signet(...act, 'prepare', '-o', 'json'));
    await signet(...act, 'activate', '-authorityID', prepared.preparedAuthority.authorityId);
    await signet(...act, 'taint', '-authorityID', active.authorityId);
    await holds();
    const tainted = await plugin('drift', '-n', 'n', '-o', 'json');
    assert.equal(tainted.code, 1, tainted.err);
    const [map] = JSON.parse(tainted.out).items.filter(
      ({ source }: { source: string }) => source === 'cm',
    );
    assert.ok(map.states.includes('Tainted'), tainted.out);
  });
});
