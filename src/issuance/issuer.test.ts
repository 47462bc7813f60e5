import assert from 'node:assert/strict';
import { createHash, hash, X509Certificate } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { jwtGrant, makeIssuer, startAuthorities, x509Grant } from '../../test/support/issuance.ts';
import { PUBLISHED_KEY } from '../../test/support/weak-keys.ts';
import { makeCsr, makeKey } from '../../test/support/x509.ts';
import { ManualClock } from '../base/clock.ts';
import { seededRandom } from '../base/random.ts';
import { fail, ok, type Result, unwrap } from '../base/result.ts';
import type { X509Grant } from '../policy/grant.ts';
import { validateJwtSvid } from '../spiffe/jwt-svid.ts';
import { parseCertificate } from '../x509/certificate.ts';
import type { IssuedX509, Issuer } from './issuer.ts';
import type { IssuanceRecord } from './recorder.ts';

const START_MS = Date.UTC(2026, 0, 1);
const NOW = START_MS / 1000;
const code = (result: Result<unknown> | undefined) =>
  result === undefined ? 'none' : result.ok ? 'ok' : result.error.code;
const closers: (() => Promise<void>)[] = [];
after(() => Promise.all(closers.map((close) => close())));

async function desk(options: Partial<Parameters<typeof makeIssuer>[0]> = {}) {
  const clock = new ManualClock(START_MS);
  const authority = await startAuthorities({ clock });
  const issuer = makeIssuer({ authority, clock, workers: 0, ...options });
  closers.push(
    () => issuer.close(),
    () => authority.close(),
  );
  return { clock, authority, issuer };
}

async function batchOfTwo(issuer: Issuer, grant: X509Grant, csr: Uint8Array) {
  const [first, second] = await issuer.issueX509Batch([
    { grant, csr },
    { grant, csr },
  ]);
  return [first, second] as const;
}

const leafOf = (issued: IssuedX509) => unwrap(parseCertificate(issued.chain[0]!));

// The same facts hold wherever the work is done.
for (const workers of [0, 2]) {
  describe(`issued X.509-SVIDs with ${workers} workers`, () => {
    test('X509-1 X509-5 carry the grant’s SPIFFE ID and DNS names, and verify', async () => {
      const { issuer, authority } = await desk({ workers });
      const dnsNames = ['b.example.org', 'a.example.org'];
      const grant = x509Grant('/ns/a/sa/b', { dnsNames });
      for (const result of await batchOfTwo(issuer, grant, makeCsr())) {
        const issued = unwrap(result!);
        const openssl = new X509Certificate(issued.chain[0]!);
        const root = new X509Certificate(unwrap(authority.currentX509()).certificate.der);
        assert.ok(openssl.checkIssued(root) && openssl.verify(root.publicKey));
        assert.deepEqual(leafOf(issued).subjectAltName?.names, [
          { kind: 'uri', text: 'spiffe://example.org/ns/a/sa/b' },
          { kind: 'dns', text: 'b.example.org' },
          { kind: 'dns', text: 'a.example.org' },
        ]);
        assert.equal(issued.chain.length, 1, 'X509-25 the self-signed root is left out');
        assert.equal(BigInt(`0x${openssl.serialNumber}`).toString(), issued.serialDecimal);
        assert.equal(Date.parse(openssl.validTo), issued.expiresAtSeconds * 1000);
        assert.equal(issued.expiresAtSeconds, NOW + 3600);
        assert.equal(issued.notBeforeSeconds, NOW - 60);
      }
    });

    test('answers in order, and one bad CSR refuses only itself', async () => {
      const { issuer } = await desk({ workers });
      const keys = Array.from({ length: 70 }, () => makeKey());
      const bad = new Set([0, 31, 35, 69]);
      const items = keys.map((key, index) => ({
        grant: x509Grant(`/w/${index}`),
        csr: bad.has(index) ? makeCsr({ key, signature: new Uint8Array(70) }) : makeCsr({ key }),
      }));
      const results = await issuer.issueX509Batch(items);
      assert.equal(results.length, 70);
      results.forEach((result, index) => {
        assert.equal(code(result), bad.has(index) ? 'SIGNATURE_INVALID' : 'ok');
        if (!result.ok) return;
        const leaf = leafOf(result.value);
        assert.deepEqual(Buffer.from(leaf.publicKey.spki), Buffer.from(keys[index]!.spki));
        const [name] = leaf.subjectAltName!.names;
        assert.ok(name?.kind === 'uri' && name.text.endsWith(`/w/${index}`));
      });
    });

    test('G-2 are the same whatever the CSR asks for', async () => {
      const key = makeKey();
      const plain = makeCsr({ key });
      const greedy = makeCsr({
        key,
        subject: { commonName: 'admin', organization: 'Other' },
        uris: ['spiffe://example.org/admin', 'spiffe://other.org/x'],
        dnsNames: ['admin.example.org'],
      });
      const { authority } = await desk();
      const bodies: string[] = [];
      for (const csr of [plain, greedy]) {
        const { issuer } = await desk({ authority, workers, random: seededRandom(5) });
        const issued = unwrap((await batchOfTwo(issuer, x509Grant(), csr))[0]!);
        bodies.push(Buffer.from(leafOf(issued).tbs).toString('hex'));
      }
      assert.equal(bodies[0], bodies[1]);
    });
  });
}

describe('hostile CSRs', () => {
  const key = makeKey();
  const offCurve = Uint8Array.from(key.spki);
  offCurve[offCurve.length - 1]! ^= 1;
  const good = makeCsr({ key });
  const cases: readonly [string, Uint8Array, string][] = [
    ['G-1 signed by another key', makeCsr({ key, signer: makeKey() }), 'SIGNATURE_INVALID'],
    ['G-1 with a byte after its end', Buffer.concat([good, Buffer.of(0)]), 'DER_TRAILING_BYTES'],
    ['G-1 cut off', good.subarray(0, good.length - 1), 'DER_TRUNCATED'],
    ['of no bytes', new Uint8Array(), 'DER_TRUNCATED'],
    ['G-4 with a point off the curve', makeCsr({ key, spki: offCurve }), 'PUBLIC_KEY_INVALID'],
    ['G-4 with a key type of no use', makeCsr({ key: makeKey('ed25519') }), 'KEY_ALGORITHM'],
    ['G-3 with a published key', makeCsr({ key: PUBLISHED_KEY }), 'KEY_BLOCKED'],
    ['of 16385 bytes', new Uint8Array(16_385), 'DER_TOO_LARGE'],
  ];
  for (const workers of [0, 1]) {
    test(`G-3 with a key on the list are refused, ${workers} workers`, async () => {
      const blockedKeys = new Set([hash('sha256', key.spki, 'hex')]);
      const { issuer } = await desk({ workers, blockedKeys });
      assert.equal(code(issuer.checkCsr(good)), 'KEY_BLOCKED');
      const other = await issuer.issueX509Batch([
        { grant: x509Grant(), csr: good },
        { grant: x509Grant(), csr: makeCsr() },
      ]);
      assert.deepEqual(other.map(code), ['KEY_BLOCKED', 'ok']);
    });
  }

  for (const [name, csr, refusal] of cases) {
    test(`${name} are refused, alone and in a batch`, async () => {
      const { issuer } = await desk();
      assert.equal(code(issuer.checkCsr(csr)), refusal);
      assert.equal(code(await issuer.mintX509(x509Grant(), csr)), refusal);
      const [first, second] = await batchOfTwo(issuer, x509Grant(), csr);
      assert.deepEqual([code(first), code(second)], [refusal, refusal]);
    });
  }
});

describe('serial numbers', () => {
  test('I1 do not repeat, and are positive', async () => {
    const { issuer } = await desk();
    const csr = makeCsr();
    const items = Array.from({ length: 500 }, () => ({ grant: x509Grant(), csr }));
    const serials = (await issuer.issueX509Batch(items)).map((r) => unwrap(r).serialDecimal);
    assert.equal(new Set(serials).size, 500);
    assert.ok(serials.every((serial) => BigInt(serial) > 0n && BigInt(serial) < 2n ** 128n));
  });

  test('X509-27 are never zero, though the randomness were', async () => {
    let draws = 0;
    const bytes = (length: number) => new Uint8Array(length).fill(draws++ < 1 ? 0 : 9);
    const { issuer } = await desk({ random: { bytes } });
    const issued = unwrap(await issuer.mintX509(x509Grant(), makeCsr()));
    assert.equal(issued.serialDecimal, BigInt(`0x${'09'.repeat(16)}`).toString());
  });
});

describe('lifetimes', () => {
  test('X509-26 end with the authority', async () => {
    const { issuer, authority } = await desk();
    const grant = x509Grant('/web', { ttlSeconds: 7 * 86_400 });
    const issued = unwrap(await issuer.mintX509(grant, makeCsr()));
    const end = unwrap(authority.currentX509()).notAfterMs / 1000;
    assert.equal(issued.expiresAtSeconds, end);
    assert.equal(leafOf(issued).notAfterMs, end * 1000);
  });

  test('are those of the configuration', async () => {
    const { issuer } = await desk({
      x509TtlSeconds: 100,
      agentTtlSeconds: 200,
      jwtTtlSeconds: 50,
      backdateSeconds: 5,
    });
    const workload = unwrap(await issuer.mintX509(x509Grant(), makeCsr()));
    assert.equal(workload.expiresAtSeconds, NOW + 100);
    assert.equal(workload.notBeforeSeconds, NOW - 5);
    const agent = await issuer.mintX509(x509Grant('/a', { purpose: 'agent' }), makeCsr());
    assert.equal(unwrap(agent).expiresAtSeconds, NOW + 200);
    const token = unwrap(await issuer.issueJwt(jwtGrant()));
    assert.equal(token.expiresAtSeconds, NOW + 50);
  });

  test('nothing is signed by an authority that has expired', async () => {
    const { issuer, clock } = await desk();
    clock.setWallClock(START_MS + 86_400_000);
    assert.equal(code(await issuer.mintX509(x509Grant(), makeCsr())), 'AUTHORITY_EXPIRED');
    assert.equal(code(await issuer.issueJwt(jwtGrant())), 'AUTHORITY_EXPIRED');
    const batch = await batchOfTwo(issuer, x509Grant(), makeCsr());
    assert.deepEqual(batch.map(code), ['AUTHORITY_EXPIRED', 'AUTHORITY_EXPIRED']);
  });
});

for (const workers of [0, 1]) {
  describe(`the record, with ${workers} workers`, () => {
    test('I2 is written before anything is signed, one call for a batch', async () => {
      const calls: (readonly IssuanceRecord[])[] = [];
      const append = async (records: readonly IssuanceRecord[]) => {
        calls.push(records);
        return ok(undefined);
      };
      const { issuer, authority } = await desk({ workers, recorder: { append } });
      const good = makeCsr();
      const grants = [x509Grant('/a'), x509Grant('/b'), x509Grant('/c')];
      const results = await issuer.issueX509Batch([
        { grant: grants[0]!, csr: good },
        { grant: grants[1]!, csr: Uint8Array.of(0x30, 9) },
        { grant: grants[2]!, csr: good },
      ]);
      assert.equal(calls.length, 1);
      assert.deepEqual(
        calls[0]?.map((record) => record.grant),
        [grants[0], grants[2]],
      );
      const leaf = leafOf(unwrap(results[2]!));
      const record = calls[0]?.[1];
      const hash = createHash('sha256').update(leaf.tbs).digest();
      assert.deepEqual(Buffer.from(record!.tbsHash), hash);
      assert.equal(
        BigInt(`0x${Buffer.from(record!.serial).toString('hex')}`),
        BigInt(leaf.serialDecimal),
      );
      assert.equal(record?.authorityId, unwrap(authority.currentX509()).authorityId);
      assert.equal(record?.notAfterSeconds, leaf.notAfterMs / 1000);
    });

    test('I2 that cannot be written stops the signature', async () => {
      const append = async () => fail('STORE_FULL', 'no space left');
      const { issuer } = await desk({ workers, recorder: { append } });
      assert.equal(code(await issuer.issueJwt(jwtGrant())), 'STORE_FULL');
      assert.equal(code(await issuer.mintX509(x509Grant(), makeCsr())), 'STORE_FULL');
      const results = await issuer.issueX509Batch([
        { grant: x509Grant(), csr: makeCsr() },
        { grant: x509Grant(), csr: Uint8Array.of(0x30, 9) },
      ]);
      assert.deepEqual(results.map(code), ['STORE_FULL', 'DER_TRUNCATED']);
    });

    test('I4 I8 a ban or a changed entry that comes meanwhile wins over the signature', async () => {
      let banned = '';
      const { issuer } = await desk({
        workers,
        recorder: {
          append: async (records) => {
            banned = records[0]?.grant.spiffeId.uri ?? '';
            return ok(undefined);
          },
        },
        recheck: (grant) =>
          grant.spiffeId.uri === banned ? fail('GRANT_OUTDATED', 'entry changed') : ok(undefined),
      });
      const results = await issuer.issueX509Batch(
        ['/a', '/b'].map((path) => ({ grant: x509Grant(path), csr: makeCsr() })),
      );
      assert.deepEqual(results.map(code), ['GRANT_OUTDATED', 'ok']);
      assert.equal(code(await issuer.issueJwt(jwtGrant('/c'))), 'GRANT_OUTDATED');
      assert.equal(code(await issuer.mintX509(x509Grant('/d'), makeCsr())), 'GRANT_OUTDATED');
    });
  });
}

describe('keys of other types', () => {
  for (const keyType of ['ec-p384', 'rsa-2048'] as const) {
    for (const workers of [0, 1]) {
      test(`an ${keyType} authority signs leaves with ${workers} workers, and tokens`, async () => {
        const clock = new ManualClock(START_MS);
        const types = { x509KeyType: keyType, jwtKeyType: keyType };
        const authority = await startAuthorities({ clock, ...types });
        const { issuer } = await desk({ authority, clock, workers });
        closers.push(() => authority.close());
        const root = new X509Certificate(unwrap(authority.currentX509()).certificate.der);
        for (const result of await batchOfTwo(issuer, x509Grant(), makeCsr())) {
          assert.ok(new X509Certificate(unwrap(result!).chain[0]!).verify(root.publicKey));
        }
        const { token } = unwrap(await issuer.issueJwt(jwtGrant()));
        const bundles = () => authority.bundle();
        const valid = validateJwtSvid({ token, bundles, audience: 'db', atMs: START_MS });
        assert.equal(code(valid), 'ok');
      });
    }
  }

  for (const keyType of ['ec-p384', 'rsa-2048'] as const) {
    test(`a CSR with an ${keyType} key is served`, async () => {
      const { issuer } = await desk();
      const key = makeKey(keyType);
      const issued = unwrap(await issuer.mintX509(x509Grant(), makeCsr({ key })));
      assert.deepEqual(Buffer.from(leafOf(issued).publicKey.spki), Buffer.from(key.spki));
    });
  }

  test('the server’s own key needs no CSR', async () => {
    const { issuer } = await desk();
    const key = makeKey();
    const grant = x509Grant('/spire/server', { purpose: 'server', entry: undefined });
    const issued = unwrap(await issuer.issueX509ForKey(grant, key.spki));
    assert.deepEqual(Buffer.from(leafOf(issued).publicKey.spki), Buffer.from(key.spki));
  });
});
