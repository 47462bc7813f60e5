import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { encodePem } from '../../src/der/pem.ts';
import { contextConstructed } from '../../src/der/tags.ts';
import { derElement, derSequence } from '../../src/der/writer.ts';
import { parseCertificatesPem } from '../../src/x509/certificate.ts';
import { parseCrl } from '../../src/x509/crl.ts';
import { derExtension } from '../../src/x509/extension-writer.ts';
import { GENERAL_NAME_TAG } from '../../src/x509/general-name.ts';
import { makeCrl, makeCrlSigner, revokedEntry } from '../support/crl.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, run } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import { skipUnlessCi } from '../support/shared.ts';
import { testFolder } from '../support/workload-api.ts';
import { makeIntermediate, makeLeaf, makeRoot, type TestCertificate } from '../support/x509.ts';

const found = (await run('sh', ['-c', 'command -v openssl'])).code === 0;
const times = { fromMs: Date.UTC(2020, 0, 2), untilMs: Date.UTC(2049, 0, 1) };

const root = makeRoot();
const issuing = makeIntermediate(root);
const signer = makeCrlSigner(root);

/**
 * CRL distribution points with the one issuer. OpenSSL looks at an indirect CRL for a leaf that has
 * them, or whose issuer bears the CRL's name; for no other.
 */
function crlIssuer(name: Uint8Array): Uint8Array {
  const issuer = derElement(contextConstructed(2), derElement(GENERAL_NAME_TAG.directory, name));
  return derExtension('2.5.29.31', false, derSequence(derSequence(issuer)));
}

const extraExtensions = [crlIssuer(signer.subjectDer)];
const leaf = makeLeaf(issuing, 'spiffe://example.org/web', { extraExtensions });
const sibling = makeLeaf(issuing, 'spiffe://example.org/web', { extraExtensions });

async function verify(
  context: TestContext,
  subject: TestCertificate,
  revoked: readonly TestCertificate[],
  ...flags: string[]
) {
  const dir = testFolder(context);
  const write = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  const crl = encodePem(
    'X509 CRL',
    makeCrl(
      signer,
      revoked.map((one) => revokedEntry(one)),
      times,
    ),
  );
  return run('openssl', [
    'verify',
    ...flags,
    '-CAfile',
    write('root.pem', root.pem),
    '-untrusted',
    write('untrusted.pem', issuing.pem + signer.pem),
    '-CRLfile',
    write('crl.pem', crl),
    write('leaf.pem', subject.pem),
  ]);
}

describe('OpenSSL and our CRL', found ? {} : skipUnlessCi('openssl is not installed'), () => {
  const extended = ['-crl_check', '-extended_crl'] as const;

  test('refuses what an indirect CRL lists, and nothing else', async (context) => {
    const good = await verify(context, sibling, [leaf], ...extended);
    assert.equal(good.code, 0, good.stdout + good.stderr);
    const bad = await verify(context, leaf, [leaf], ...extended);
    assert.notEqual(bad.code, 0);
    assert.match(bad.stdout + bad.stderr, /certificate revoked/);
  });

  test('goes by the name of the root for leaves that the root signed', async (context) => {
    const [gone, stays] = [makeLeaf(root), makeLeaf(root)];
    const good = await verify(context, stays, [gone], ...extended);
    assert.equal(good.code, 0, good.stdout + good.stderr);
    const bad = await verify(context, gone, [gone], ...extended);
    assert.match(bad.stdout + bad.stderr, /certificate revoked/);
    const below = await verify(context, makeLeaf(issuing), [gone], ...extended);
    assert.match(below.stdout + below.stderr, /different CRL scope/i);
  });

  test('does not take it without -extended_crl', async (context) => {
    const refused = await verify(context, sibling, [], '-crl_check');
    assert.notEqual(refused.code, 0);
    assert.match(
      refused.stdout + refused.stderr,
      /unable to get certificate CRL|different CRL scope/i,
    );
  });

  test('reads it as we wrote it', async (context) => {
    const file = join(testFolder(context), 'crl.der');
    writeFileSync(file, makeCrl(signer, [revokedEntry(leaf, 1)], times));
    const { stdout } = await run('openssl', [
      'crl',
      '-inform',
      'DER',
      '-in',
      file,
      '-noout',
      '-text',
    ]);
    for (const line of [
      /Version 2/,
      /Indirect CRL/,
      /Key Compromise/,
      /Certificate Issuer: critical/,
    ]) {
      assert.match(stdout, line);
    }
  });

  for (const protection of ['direct', 'delegated']) {
    test(`judges an SVID of the Workload API by what the server serves, ${protection}`, (context) =>
      judgeServed(context, protection));
  }
});

/** An SVID of a real server before and after it is revoked; its issuing CA is in no CRL's name. */
async function judgeServed(context: TestContext, protection: string): Promise<void> {
  const extended = ['-crl_check', '-extended_crl'] as const;
  const port = await freePort();
  const points = `distributionPoints: ['http://127.0.0.1:${port}/crl']`;
  const crlYaml = protection === 'direct' ? 'enabled: true' : `enabled: true, ${points}`;
  const serverYaml = `crl: { ${crlYaml} }\ntelemetry: { port: ${port} }`;
  const fleet = await Fleet.start({ serverYaml, ca: `protection: ${protection}` });
  context.after(() => fleet.stop());
  await fleet.register('/web');
  const path = (name: string): string => join(fleet.dir, name);
  await fleet.cli('api', 'fetch', 'x509', '--write', fleet.dir);
  const text = readFileSync(path('svid.0.pem'), 'utf8');
  const judge = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/crl`);
    const crl = assertValue(parseCrl(new Uint8Array(await response.arrayBuffer())));
    writeFileSync(path('crl.pem'), encodePem('X509 CRL', crl.der));
    const by = crl.signerCertificate?.der ?? new Uint8Array();
    // The leaf stands first in its file: what follows is the issuing CA, where there is one.
    const chain = text.slice(text.indexOf('-----END') + 25);
    writeFileSync(path('signer.pem'), chain + encodePem('CERTIFICATE', by));
    const files = ['-CAfile', 'bundle.0.pem', '-untrusted', 'signer.pem', '-CRLfile', 'crl.pem'];
    const named = [...files, 'svid.0.pem'].map((name) => (name[0] === '-' ? name : path(name)));
    return run('openssl', ['verify', ...extended, ...named]);
  };
  const good = await judge();
  assert.equal(good.code, 0, good.stdout + good.stderr);
  const [leaf] = assertValue(parseCertificatesPem(text));
  await fleet.json('svid', 'revoke', '--serial', leaf?.serialDecimal ?? '');
  const bad = await judge();
  assert.match(bad.stdout + bad.stderr, /certificate revoked/);
  if (protection === 'direct') return;
  const shown = await run('openssl', ['x509', '-in', path('svid.0.pem'), '-noout', '-text']);
  assert.match(shown.stdout, /X509v3 CRL Distribution Points:/);
  assert.ok(shown.stdout.includes(`URI:http://127.0.0.1:${port}/crl`), shown.stdout);
  assert.match(shown.stdout, /CRL Issuer:/);
}
