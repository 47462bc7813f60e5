import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { equalBytes } from '../../src/base/bytes.ts';
import { type Result, unwrap } from '../../src/base/result.ts';
import { cliCommands } from '../../src/cli/commands.ts';
import { parsePem } from '../../src/der/pem.ts';
import { VendorAdminService } from '../../src/gen/signet/connector/v1/vendor.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { validatePath } from '../../src/x509/path.ts';
import { cli } from '../support/cli.ts';
import { ask, TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { makeVendor } from '../support/vendor-ca.ts';
import { testFolder } from '../support/workload-api.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

/** A server with an enrolment root, and the commands about it. */
async function rig(context: TestContext) {
  const server = await TestServer.start({ connectors: { enrolmentRoot: { keyType: 'ec-p256' } } });
  context.after(() => server.stop());
  const env = { SIGNET_SERVER_SOCKET: server.config.adminSocket.path };
  const run = async (...argv: readonly string[]) => {
    const outcome = await cli(cliCommands, ['connector', 'vendor-ca', ...argv], { env });
    return { ...outcome, ders: parsePem(Buffer.from(outcome.out)) };
  };
  const roots = async () => {
    const listed = await ask(server.admin(), VendorAdminService.listEnrolmentRoots, {});
    return listed.roots.map(({ state, serialNumber }) => [state, serialNumber]);
  };
  return { server, run, roots };
}

test('the enrolment root is replaced step by step, through restarts, and is in no bundle at any of them', async (context) => {
  const { server, run, roots } = await rig(context);
  const before = await makeVendor(server);
  const first = before.root.serialDecimal;
  const prepared = await run('prepare-root', '-o', 'pem');
  assert.equal(prepared.code, 0, prepared.err);
  const next = unwrap(parseCertificate(unwrap(prepared.ders)[0]!.der));
  await server.restart();
  assert.deepEqual(await roots(), [
    [1, first],
    [2, next.serialDecimal],
  ]);
  // Vendors are given both.
  const path = join(testFolder(context), 'roots.pem');
  assert.equal((await run('roots', '--out', path)).code, 0);
  const written = unwrap(parsePem(readFileSync(path)));
  assert.ok(equalBytes(written[0]!.der, before.root.der) && equalBytes(written[1]!.der, next.der));
  assert.equal(written.length, 2);
  assert.ok(equalBytes((await makeVendor(server, 'meanwhile')).root.der, before.root.der));
  const wrong = await run('activate-root', '--serial', '1');
  assert.match(wrong.err, /ENROLMENT_ROOT_NEXT/);
  assert.equal((await run('activate-root', '--serial', next.serialDecimal)).code, 0);
  await server.restart();
  assert.equal((await run('activate-root', '--serial', next.serialDecimal)).code, 0);
  assert.deepEqual(await roots(), [
    [1, next.serialDecimal],
    [3, first],
  ]);
  const after = await makeVendor(server, 'after');
  assert.ok(equalBytes(after.root.der, next.der));
  // What was signed before holds, and is listed with the root that signed it.
  const { cas } = await ask(server.admin(), VendorAdminService.listEnrolmentCas, {});
  const issuers = cas.map(({ vendor, chain }) => [vendor, equalBytes(chain[1]!, next.der)]);
  assert.deepEqual(issuers.sort(), [
    ['after', true],
    ['meanwhile', false],
    ['zpa', false],
  ]);
  const bundle = await ask(server.admin(), BundleService.getBundle, { outputMask: undefined });
  const authorities = bundle.x509Authorities.map(({ asn1 }) => unwrap(parseCertificate(asn1)));
  for (const [vendor, root] of [
    [before, before.root],
    [after, next],
  ] as const) {
    const leaf = vendor.sign({ uris: [`spiffe://${TRUST_DOMAIN}/web`] }).certificate;
    const chain = [leaf, vendor.ca];
    const atMs = Date.now();
    assert.equal(code(validatePath({ chain, roots: authorities, atMs })), 'PATH_NOT_FOUND');
    assert.equal(code(validatePath({ chain, roots: [root], atMs })), 'PATH_NAME_CONSTRAINTS');
    const plain = [vendor.sign({}).certificate, vendor.ca];
    assert.equal(code(validatePath({ chain: plain, roots: [root], atMs })), 'ok');
  }
});

test('roots are printed as a table, as PEM and as JSON', async (context) => {
  const { run } = await rig(context);
  assert.match((await run('roots')).out, /^There is no enrolment root yet/);
  assert.match((await run('roots', '-o', 'pem')).err, /CLI_ANSWER_INVALID/);
  for (const argv of [
    ['root'],
    ['root', '-o', 'pem'],
    ['root', '-o', 'pretty'],
    ['roots', '-o', 'pem'],
  ]) {
    assert.equal(unwrap((await run(...argv)).ders).length, 1, argv.join(' '));
  }
  const { out: table } = await run('roots');
  assert.match(table, /^STATE +VALID UNTIL +SERIAL\nactive /);
  assert.ok(
    table.split('\n').every(({ length }) => length <= 80),
    table,
  );
  assert.equal(JSON.parse((await run('roots', '-o', 'json')).out).roots.length, 1);
});
