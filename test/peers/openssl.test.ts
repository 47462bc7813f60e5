import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Fleet } from '../support/fleet.ts';
import { run } from '../support/processes.ts';
import { skipUnlessCi } from '../support/shared.ts';

const found = (await run('sh', ['-c', 'command -v openssl'])).code === 0;

describe('OpenSSL', found ? {} : skipUnlessCi('openssl is not installed'), () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start({ serverYaml: 'connectors: {enrolmentRoot: {}}' });
    await fleet.register('/web', '--dns', 'web.example.org');
  });
  after(() => fleet?.stop());

  test('X509-20 verifies a chain from the Workload API, strictly', async () => {
    const fetched = await fleet.cli('api', 'fetch', 'x509', '--write', fleet.dir);
    assert.equal(fetched.code, 0, fetched.stderr);
    const leaf = join(fleet.dir, 'svid.0.pem');
    const bundle = join(fleet.dir, 'bundle.0.pem');
    const verified = await run('openssl', ['verify', '-x509_strict', '-CAfile', bundle, leaf]);
    assert.equal(verified.code, 0, verified.stderr);
    const text = (await run('openssl', ['x509', '-in', leaf, '-noout', '-text'])).stdout;
    assert.match(text, /URI:spiffe:\/\/example\.org\/web/);
    assert.match(text, /DNS:web\.example\.org/);
    assert.match(text, /Key Usage: critical/);
  });

  test('verifies a minted SVID and its key', async () => {
    const minted = await fleet.cli(
      ...['x509', 'mint', '--spiffe-id', 'spiffe://example.org/minted', '--write', fleet.dir],
    );
    assert.equal(minted.code, 0, minted.stderr);
    const [svid, key, bundle] = ['svid.pem', 'key.pem', 'bundle.pem'].map((f) =>
      join(fleet.dir, f),
    );
    const verified = await run('openssl', [
      'verify',
      '-x509_strict',
      '-CAfile',
      bundle ?? '',
      svid ?? '',
    ]);
    assert.equal(verified.code, 0, verified.stderr);
    const ofKey = await run('openssl', ['pkey', '-in', key ?? '', '-pubout']);
    const ofCert = await run('openssl', ['x509', '-in', svid ?? '', '-noout', '-pubkey']);
    assert.equal(ofKey.stdout, ofCert.stdout);
    assert.match(readFileSync(key ?? '', 'utf8'), /BEGIN PRIVATE KEY/);
  });

  test("RFC 5280 §4.2.1.10 refuses a leaf with a URI below a vendor's enrolment CA, and takes others", async () => {
    const at = (name: string): string => join(fleet.dir, name);
    const openssl = async (...args: string[]) => run('openssl', args);
    const done = async (...args: string[]): Promise<void> => {
      const { code, stderr } = await openssl(...args);
      assert.equal(code, 0, stderr);
    };
    // As the portal of a vendor does: it makes the request, and signs by what it gets for it.
    const subject = '/C=US/O=Example/CN=ZPA Connector CA';
    const keys = ['-newkey', 'rsa:2048', '-nodes', '-keyout', at('ca.key')];
    await done('req', '-new', ...keys, '-subj', subject, '-out', at('ca.csr'));
    const root = await fleet.cli('connector', 'vendor-ca', 'root', '--out', at('root.pem'));
    assert.equal(root.code, 0, root.stderr);
    const paths = ['--csr', at('ca.csr'), '--out', at('ca.pem')];
    const signed = await fleet.cli('connector', 'vendor-ca', 'sign', '--vendor', 'zpa', ...paths);
    assert.equal(signed.code, 0, signed.stderr);
    await done('verify', '-x509_strict', '-CAfile', at('root.pem'), at('ca.pem'));
    const fetched = await fleet.cli('api', 'fetch', 'x509', '--write', fleet.dir);
    assert.equal(fetched.code, 0, fetched.stderr);

    const judge = async (san: string, roots: string) => {
      const leafKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
      const out = ['-keyout', at('leaf.key'), '-out', at('leaf.csr')];
      await done('req', '-new', ...leafKey, ...out, '-subj', '/CN=x');
      writeFileSync(at('leaf.ext'), `subjectAltName=${san}\nkeyUsage=critical,digitalSignature\n`);
      const ca = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-extfile', at('leaf.ext')];
      await done(
        'x509',
        '-req',
        '-in',
        at('leaf.csr'),
        ...ca,
        '-days',
        '1',
        '-out',
        at('leaf.pem'),
      );
      const trust = ['-CAfile', at(roots), '-untrusted', at('ca.pem')];
      return openssl('verify', ...trust, at('leaf.pem'));
    };
    assert.equal((await judge('DNS:connector.example.org', 'root.pem')).code, 0);
    for (const san of [
      'URI:spiffe://example.org/web',
      'DNS:a.example,URI:spiffe://other.example/a',
    ]) {
      const refused = await judge(san, 'root.pem');
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /permitted subtree violation/);
      const unknown = await judge(san, 'bundle.0.pem');
      assert.match(unknown.stderr, /unable to get (local )?issuer certificate/);
    }
  });
});
