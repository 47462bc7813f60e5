import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Fleet } from '../support/fleet.ts';
import { run } from '../support/processes.ts';
import { skipUnlessCi } from '../support/shared.ts';

const found = (await run('sh', ['-c', 'command -v openssl'])).code === 0;

describe('OpenSSL', found ? {} : skipUnlessCi('openssl is not installed'), () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start();
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
});
