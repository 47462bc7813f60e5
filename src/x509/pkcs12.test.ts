import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { makeIntermediate, makeLeaf, makeRoot } from '../../test/support/x509.ts';
import { systemRandom } from '../base/random.ts';
import { type Pkcs12Contents, writePkcs12 } from './pkcs12.ts';

/** OpenSSL reads a file: what it prints, and its exit code. */
function openssl(
  context: TestContext,
  contents: Omit<Pkcs12Contents, 'random'>,
  asked = contents.password,
): { readonly code: number; readonly out: string } {
  const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'store.p12');
  writeFileSync(file, writePkcs12({ ...contents, random: systemRandom }));
  const args = ['pkcs12', '-in', file, '-nodes', '-passin', `env:STORE_PASSWORD`];
  const env = { ...process.env, STORE_PASSWORD: asked, LC_ALL: 'C.UTF-8' };
  try {
    const out = execFileSync('openssl', args, { env, encoding: 'utf8', stdio: 'pipe' });
    return { code: 0, out };
  } catch (error) {
    const { status, stderr } = error as { status: number; stderr: string };
    return { code: status, out: stderr };
  }
}

const root = makeRoot();
const ca = makeIntermediate(root);
const leaf = makeLeaf(ca, 'spiffe://example.org/connector/edge/a');
const pkcs8 = leaf.key.privateKey.export({ type: 'pkcs8', format: 'der' });
const entry = { privateKeyPkcs8: pkcs8, chainDer: [leaf.der, ca.der], name: 'svid' };

describe('PKCS#12 files', () => {
  test('OpenSSL finds the key, the chain in its order and the name', (context) => {
    const { code, out } = openssl(context, { entry, password: 'a secret' });
    assert.equal(code, 0, out);
    const pem = leaf.key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    assert.ok(out.includes(pem));
    assert.ok(out.indexOf(leaf.pem.trim()) < out.indexOf(ca.pem.trim()));
    assert.match(out, /friendlyName: svid/);
  });

  test('trusted certificates alone bear the mark that Java looks for', (context) => {
    const trusted = [{ der: root.der, name: 'example.org' }];
    const { code, out } = openssl(context, { trusted, password: 'a secret' });
    assert.equal(code, 0, out);
    assert.ok(out.includes(root.pem.trim()));
    assert.match(out, /2\.16\.840\.1\.113894\.746875\.1\.1: ?/);
    assert.doesNotMatch(out, /PRIVATE KEY/);
  });

  test('another password is refused by the MAC', (context) => {
    const { code, out } = openssl(context, { entry, password: 'a secret' }, 'a secreu');
    assert.notEqual(code, 0);
    assert.match(out, /invalid password|mac verify/i);
  });

  for (const password of ['', 'x', 'pässwörd ☃', 'p'.repeat(31), 'p'.repeat(32), 'p'.repeat(300)]) {
    test(`a password of ${password.length} characters works`, (context) => {
      const { code, out } = openssl(context, { entry, password, iterations: 1000 });
      assert.equal(code, 0, out);
    });
  }

  test('two files of the same contents share no salt', () => {
    const one = writePkcs12({ entry, password: 'x', random: systemRandom, iterations: 1 });
    const two = writePkcs12({ entry, password: 'x', random: systemRandom, iterations: 1 });
    assert.notDeepEqual(one, two);
  });
});
