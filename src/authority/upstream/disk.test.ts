import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { TRUST_DOMAIN } from '../../../test/support/issuance.ts';
import {
  makeCertificate,
  makeIntermediate,
  makeKey,
  makeRoot,
  type TestCertificate,
} from '../../../test/support/x509.ts';
import { ManualClock } from '../../base/clock.ts';
import { systemRandom } from '../../base/random.ts';
import { unwrap } from '../../base/result.ts';
import { DEFAULT_CA_SUBJECT } from '../x509-certificate.ts';
import { checkAnswer } from './check-answer.ts';
import { createDiskUpstream } from './disk.ts';

const dir = mkdtempSync(join(tmpdir(), 'sgn-up-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const NOW_MS = Date.UTC(2026, 0, 1);
const clock = new ManualClock(NOW_MS);
const path = (name: string): string => join(dir, name);
const spki = makeKey().spki;
const order = { csr: new Uint8Array(0), spki, ttlSeconds: 3600 };

function upstream(withBundle: boolean) {
  return createDiskUpstream({
    trustDomain: TRUST_DOMAIN,
    certPath: path('ca.pem'),
    keyPath: path('ca.key'),
    bundlePath: withBundle ? path('roots.pem') : undefined,
    subject: DEFAULT_CA_SUBJECT,
    backdateSeconds: 60,
    clock,
    random: systemRandom,
  });
}

const pemOf = (ca: TestCertificate): string =>
  String(ca.key.privateKey.export({ type: 'pkcs8', format: 'pem' }));

/** Puts a CA into the files. */
function put(ca: TestCertificate, chain: readonly TestCertificate[], roots: TestCertificate[]) {
  for (const name of ['ca.pem', 'ca.key', 'roots.pem']) rmSync(path(name), { force: true });
  writeFileSync(path('ca.pem'), [ca, ...chain].map(({ pem }) => pem).join(''));
  writeFileSync(path('ca.key'), pemOf(ca), { mode: 0o600 });
  writeFileSync(path('roots.pem'), roots.map(({ pem }) => pem).join(''));
}

const root = makeRoot('example.org', { uris: [] });
const middle = makeIntermediate(root);
const ca = makeIntermediate(middle);

describe('a CA in files', () => {
  beforeEach(() => put(ca, [middle], [root]));

  test('certifies our key below its chain, for the time that is asked', async () => {
    const answer = unwrap(await upstream(true).certify(order));
    const expected = { trustDomain: TRUST_DOMAIN, spki, nowMs: NOW_MS, casBelow: 0 };
    const checked = unwrap(checkAnswer(answer, expected));
    assert.equal(checked.intermediates.length, 2);
    assert.equal(checked.certificate.notAfterMs, NOW_MS + 3_600_000);
  });

  test('may be the root itself, which then is the bundle', async () => {
    put(root, [], []);
    const answer = unwrap(await upstream(false).certify(order));
    assert.equal(answer.chain.length, 1);
    assert.deepEqual(Buffer.from(answer.roots[0]!), Buffer.from(root.der));
    const trust = unwrap(await upstream(false).trusted());
    assert.equal(trust?.x509.length, 1);
    assert.equal(trust.jwt, undefined);
  });

  test('X509-26 gives no more life than its own path has', async () => {
    const short = makeIntermediate(root, { notAfterMs: NOW_MS + 600_000 });
    put(makeIntermediate(short), [short], [root]);
    const below = unwrap(await upstream(true).certify(order));
    const expected = { trustDomain: TRUST_DOMAIN, spki, nowMs: NOW_MS, casBelow: 0 };
    assert.equal(unwrap(checkAnswer(below, expected)).certificate.notAfterMs, NOW_MS + 600_000);
  });

  test('RFC 5280 §4.2.1.9 hands on one path length less than it has', async () => {
    const limited = makeIntermediate(root, { pathLength: 1 });
    put(limited, [], [root]);
    const answer = unwrap(await upstream(true).certify(order));
    const expected = { trustDomain: TRUST_DOMAIN, spki, nowMs: NOW_MS, casBelow: 0 };
    const { certificate } = unwrap(checkAnswer(answer, expected));
    assert.equal(certificate.basicConstraints?.pathLength, 0);
    assert.ok(!checkAnswer(answer, { ...expected, casBelow: 1 }).ok);
  });

  test('is read again: files that were replaced count from the next question on', async () => {
    const disk = upstream(true);
    unwrap(await disk.certify(order));
    const next = makeRoot('example.org', { uris: [] });
    put(makeIntermediate(next), [], [root, next]);
    assert.equal(unwrap(await disk.trusted())?.x509.length, 2);
    assert.equal(unwrap(await disk.certify(order)).chain.length, 2);
  });

  test('may be links, as mounted secrets are, and readable by the group', async () => {
    writeFileSync(path('real.key'), pemOf(ca), { mode: 0o600 });
    chmodSync(path('real.key'), 0o640);
    rmSync(path('ca.key'));
    symlinkSync(path('real.key'), path('ca.key'));
    assert.ok((await upstream(true).certify(order)).ok);
  });

  const write = (name: string, text: string) => () => writeFileSync(path(name), text);
  const remove = (name: string) => () => rmSync(path(name));
  const foreign = makeRoot('other.org');
  const withCa = (options: Parameters<typeof makeIntermediate>[1]) => () =>
    put(makeIntermediate(root, options), [], [root]);
  const hostile: readonly [string, () => void, RegExp][] = [
    ['no certificate file', remove('ca.pem'), /ca\.pem: there is no such file/],
    ['no key file', remove('ca.key'), /ca\.key/],
    ['no bundle file', remove('roots.pem'), /roots\.pem: there is no such file/],
    ['an empty certificate file', write('ca.pem', ''), /holds no certificate/],
    ['an empty bundle', write('roots.pem', ''), /holds no certificate/],
    ['garbage for a certificate', write('ca.pem', 'garbage'), /holds no certificate/],
    ['a cut certificate', write('ca.pem', ca.pem.slice(0, 200)), /ca\.pem/],
    ['a key among the certificates', write('ca.pem', ca.pem + pemOf(ca)), /PRIVATE KEY/],
    ['garbage for a key', write('ca.key', 'garbage'), /no private key/],
    ['the key of another', write('ca.key', pemOf(middle)), /not the key of the certificate/],
    ['a file of more than 1 MiB', write('ca.pem', ca.pem + '\n'.repeat(1_048_577)), /ca\.pem/],
    ['a key that others may read', () => chmodSync(path('ca.key'), 0o604), /open to other users/],
    [
      'a key that the group may write',
      () => chmodSync(path('ca.key'), 0o620),
      /open to other users/,
    ],
    [
      'a key of an unusual kind',
      () => put(makeIntermediate(root, { key: makeKey('ed25519') }), [], [root]),
      /none of/,
    ],
    ['a missing intermediate', () => put(ca, [], [root]), /does not lead to a root/],
    ['a root of others', () => put(ca, [middle], [foreign]), /does not lead to a root/],
    [
      'a certificate that is no CA',
      () => put(makeCertificate({ issuer: root }), [], [root]),
      /CA flag/,
    ],
    ['a CA that may not sign certificates', withCa({ keyUsage: ['crlSign'] }), /may not sign/],
    ['a path length of 0', withCa({ pathLength: 0 }), /path length of 0/],
    ['a CA of another trust domain', withCa({ uris: ['spiffe://other.org'] }), /SPIFFE ID/],
    ['a CA that has ended', withCa({ notAfterMs: NOW_MS - 1000 }), /does not lead to a root/],
    [
      'a FIFO for a key',
      () => {
        rmSync(path('ca.key'));
        execFileSync('mkfifo', ['-m', '600', path('ca.key')]);
      },
      /no key file/,
    ],
  ];
  for (const [name, spoil, why] of hostile) {
    test(`is refused with ${name}, and taken again when that is put right`, async () => {
      const disk = upstream(true);
      spoil();
      for (const result of [await disk.certify(order), await disk.trusted()]) {
        assert.ok(!result.ok);
        assert.equal(result.error.code, 'UPSTREAM_FILES');
        assert.match(result.error.message, why);
      }
      put(ca, [middle], [root]);
      assert.ok((await disk.certify(order)).ok);
    });
  }

  test('is refused as a root that has ended, in this very millisecond', async () => {
    put(makeRoot('example.org', { notAfterMs: NOW_MS }), [], []);
    const result = await upstream(false).trusted();
    assert.ok(!result.ok && /not valid at this time/.test(result.error.message));
    put(makeRoot('example.org', { notAfterMs: NOW_MS + 1000 }), [], []);
    assert.ok((await upstream(false).trusted()).ok);
  });

  test('is refused as a chain where no bundle names its root', async () => {
    const result = await upstream(false).trusted();
    assert.ok(!result.ok && /bundlePath/.test(result.error.message));
  });
});
