import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fail } from '../../src/base/result.ts';
import { belongTogether, keyOf, scrape, server, session } from '../../test/support/companion.ts';
import {
  CompanionServer,
  companionSettings,
  runCompanion,
} from '../../test/support/companion-server.ts';
import { soon } from '../../test/support/processes.ts';

// The server here is scripted, not ours: what the real one says is in test/integration/companion.test.ts.

describe('a companion enrols', () => {
  test('writes key, chain and bundle, and is ready', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    const companion = await runCompanion(context, one);
    await soon(async () => companion.health.report('ready').ok);
    assert.equal(of.enrolments.length, 1);
    const [request] = of.enrolments;
    assert.equal(request!.group, 'edge');
    assert.equal(request!.serverCertificateSha256.length, 32);
    assert.deepEqual(request!.proof, {
      $case: 'provisioningKey',
      value: { key: 'sck1.test.key', kubernetesToken: '' },
    });
    assert.ok(belongTogether(one.folder));
    assert.equal(statSync(join(one.folder, 'out', 'tls.key')).mode & 0o777, 0o600);
    assert.equal(readFileSync(join(one.folder, 'out', 'ca.crt'), 'utf8'), of.root.pem);
    await session(of, 1);
  });

  test('again after a restart with the same key, and only when it has to', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    const first = await runCompanion(context, one);
    await soon(async () => first.health.report('ready').ok);
    await first.stop('restart');
    const second = await runCompanion(context, one);
    await session(of, 2);
    await soon(async () => second.health.report('ready').ok);
    assert.equal(of.enrolments.length, 1);
    await second.stop('restart');
    of.refuseSession = () => {
      of.refuseSession = undefined;
      return fail('CONNECTOR_STOPPED', 'it has left');
    };
    await runCompanion(context, one);
    await session(of, 3);
    assert.equal(of.enrolments.length, 2);
    const [a, b] = of.enrolments;
    assert.deepEqual(keyOf(a!.csr), keyOf(b!.csr));
  });

  test('with the same key where the answer was lost', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    let left = 2;
    of.refuse = () => (left-- > 0 ? fail('SERVER_STOPPING', 'the answer is lost') : undefined);
    const companion = await runCompanion(context, one);
    await soon(async () => companion.health.report('ready').ok);
    assert.equal(of.enrolments.length, 3);
    assert.equal(new Set(of.enrolments.map(({ csr }) => keyOf(csr))).size, 1);
  });

  test('a refusal is in the reason why it is not ready, with the code of the server', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    of.refuse = () => fail('CONNECTOR_NODE', 'the node is in quarantine');
    const companion = await runCompanion(context, one);
    await soon(async () =>
      (companion.health.report('ready').failures.identity ?? '').startsWith('CONNECTOR_NODE'),
    );
    assert.equal(companion.health.report('live').ok, true);
  });

  test('a server under another root is not believed', async (context) => {
    const of = await server(context);
    const one = companionSettings(context, of);
    const other = new CompanionServer();
    writeFileSync(join(one.folder, 'bundle.pem'), other.root.pem);
    const companion = await runCompanion(context, one);
    await soon(async () =>
      (companion.health.report('ready').failures.identity ?? '').includes(
        'SERVER_CERTIFICATE_REFUSED',
      ),
    );
    assert.equal(of.enrolments.length, 0);
  });

  test('once the server is there, though it was down at the start', async (context) => {
    const of = await server(context);
    await of.close();
    const one = companionSettings(context, of);
    const companion = await runCompanion(context, one);
    await soon(async () => (await scrape(companion)).includes('COMPANION_SERVER_UNAVAILABLE'));
    await of.open();
    await soon(async () => companion.health.report('ready').ok);
  });
});
