import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  MemoryAuthorityStore,
  makeAuthorities,
  makeIssuer,
  startAuthorities,
  x509Grant,
} from '../../../test/support/issuance.ts';
import { linkTo, TestUpstream } from '../../../test/support/upstream.ts';
import { makeCsr, makeIntermediate, makeKey, makeRoot } from '../../../test/support/x509.ts';
import { toHex } from '../../base/bytes.ts';
import { ManualClock } from '../../base/clock.ts';
import { type Result, unwrap } from '../../base/result.ts';
import { generateLocalKey } from '../../keys/local-key.ts';
import { createMemoryKeyManager } from '../../keys/memory-key-manager.ts';
import { onlyLinted } from '../../lint/linted-key.ts';
import { createMetrics } from '../../runtime/metrics.ts';
import { caSubjectDer } from '../../x509/ca-template.ts';
import { decodeJournal } from '../journal.ts';

const HOUR_MS = 3_600_000;
const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

/** Clock, keys, store and upstream of one server; managers come and go. */
function server() {
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const upstream = new TestUpstream(clock);
  const store = new MemoryAuthorityStore();
  const parts = { clock, store, keys: createMemoryKeyManager() };
  return {
    ...parts,
    parts,
    upstream,
    nested: () => ({ ...parts, upstream: linkTo(upstream, clock) }),
  };
}

const rootsOf = (store: MemoryAuthorityStore) =>
  store.bundle?.x509Authorities.map(({ certificate }) => toHex(certificate.der)) ?? [];

/** Lets time pass, a second at a time, until something is so; what starts meanwhile gets its turn. */
async function until(clock: ManualClock, holds: () => boolean): Promise<void> {
  for (let seconds = 0; !holds(); seconds++) {
    assert.ok(seconds < 3600, 'in an hour it has not come to be');
    clock.advance(1000);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

describe('an authority below an upstream', () => {
  test('X509-25 signs leaves whose chain leads to the root of the upstream, which is the bundle', async () => {
    const { upstream, store, clock, nested } = server();
    const [root] = upstream.roots;
    assert.ok(root);
    upstream.issuer = makeIntermediate(root);
    const authority = await startAuthorities(nested());
    assert.deepEqual(rootsOf(store), [toHex(root.der)]);
    const issuer = makeIssuer({ authority, clock });
    const csr = makeCsr({ key: makeKey() });
    const leaf = unwrap(await issuer.mintX509(x509Grant(), csr));
    assert.equal(leaf.chain.length, 3);
    const openssl = [...leaf.chain, root.der].map((der) => new X509Certificate(der));
    for (const [index, certificate] of openssl.slice(0, -1).entries()) {
      const above = openssl[index + 1];
      assert.ok(above !== undefined && certificate.checkIssued(above));
      assert.ok(certificate.verify(above.publicKey));
    }
    await issuer.close();
    await authority.close();
  });

  test('is found again after a restart, with the upstream down', async () => {
    const { upstream, store, nested } = server();
    const first = await startAuthorities(nested());
    const { authorityId } = unwrap(first.currentX509());
    await first.close();
    upstream.down = true;
    const { version } = store;
    const second = await startAuthorities(nested());
    assert.equal(unwrap(second.currentX509()).authorityId, authorityId);
    assert.equal(unwrap(second.currentX509()).chain.length, 1);
    assert.equal(store.version, version);
    await second.close();
  });

  test('B6 goes on until its end while the upstream is down, with one key for all tries', async () => {
    const { upstream, clock, nested } = server();
    const authority = await startAuthorities(nested());
    const { authorityId, notAfterMs } = unwrap(authority.currentX509());
    upstream.down = true;
    const askedBefore = upstream.asked.length;
    clock.advance(12 * HOUR_MS);
    await until(clock, () => upstream.asked.length >= askedBefore + 5);
    assert.equal(new Set(upstream.asked.slice(askedBefore)).size, 1);
    assert.equal(unwrap(authority.currentX509()).authorityId, authorityId);
    // Timers with jitter leave fractions of a millisecond behind.
    clock.advance(notAfterMs - clock.nowMs() + 1);
    assert.equal(code(authority.currentX509()), 'AUTHORITY_EXPIRED');
    await authority.close();
  });

  test('does not start where nothing can sign and the upstream is down', async () => {
    const { upstream, nested } = server();
    upstream.down = true;
    const authority = makeAuthorities(nested());
    assert.equal(code(await authority.start()), 'UPSTREAM_UNREACHABLE');
    await authority.close();
  });

  test('is renewed at half of its life', async () => {
    const { clock, store, nested } = server();
    const authority = await startAuthorities(nested());
    const states = () =>
      unwrap(decodeJournal(store.journal))
        .filter(({ kind }) => kind === 'x509')
        .map(({ state }) => state);
    clock.advance(12 * HOUR_MS);
    await until(clock, () => states().includes('published'));
    assert.deepEqual(states(), ['active', 'published']);
    await authority.close();
  });

  test('X509-25 takes new roots of the upstream into the bundle before anything is signed below them', async () => {
    const { upstream, clock, store, nested } = server();
    const authority = await startAuthorities(nested());
    const added = makeRoot('example.org');
    upstream.roots.push(added);
    await until(clock, () => rootsOf(store).length === 2);
    assert.deepEqual(
      rootsOf(store),
      upstream.roots.map(({ der }) => toHex(der)),
    );
    await authority.close();
  });

  test('is replaced at once when the upstream taints its root, and never by one below the same', async () => {
    const { upstream, clock, store, nested } = server();
    const authority = await startAuthorities(nested());
    const [first] = upstream.roots;
    assert.ok(first);
    const { authorityId } = unwrap(authority.currentX509());
    upstream.tainted.push(first);
    const askedBefore = upstream.asked.length;
    await until(clock, () => upstream.asked.length >= askedBefore + 3);
    assert.equal(unwrap(authority.currentX509()).authorityId, authorityId);
    assert.equal(store.bundle?.x509Authorities[0]?.tainted, true);
    const second = makeRoot('example.org');
    upstream.roots.push(second);
    await until(clock, () => unwrap(authority.currentX509()).authorityId !== authorityId);
    // Once revoked above, it leaves the bundle although leaves below it have not ended.
    upstream.roots.shift();
    await until(clock, () => rootsOf(store).length === 1);
    assert.deepEqual(rootsOf(store), [toHex(second.der)]);
    await authority.close();
  });

  test('is not made below a root that the upstream says is tainted, though nothing here says so', async (context) => {
    const { upstream, clock } = server();
    const link = linkTo(upstream, clock);
    context.after(() => link.close());
    const key = onlyLinted(unwrap(await generateLocalKey('x509-CA-A', 'ec-p256')));
    const subjectDer = caSubjectDer(Uint8Array.of(1), {});
    const wish = { subjectDer, ttlSeconds: 3600, standing: () => 'trusted' as const };
    await link.poll();
    assert.equal(code(await link.certify(key, wish)), 'ok');
    upstream.tainted.push(...upstream.roots);
    assert.equal(code(await link.certify(key, wish)), 'ok', 'the upstream was not asked since');
    await link.poll();
    assert.equal(code(await link.certify(key, wish)), 'UPSTREAM_ANSWER_INVALID');
    upstream.roots.push(makeRoot('example.org'));
    await link.poll();
    assert.equal(code(await link.certify(key, wish)), 'ok');
  });

  test('keeps a root that left the upstream untainted while it leads there', async () => {
    const { upstream, clock, store, nested } = server();
    const authority = await startAuthorities(nested());
    const [first] = upstream.roots;
    const next = makeRoot('example.org');
    upstream.roots = [next];
    await until(clock, () => rootsOf(store).length === 2);
    assert.deepEqual(rootsOf(store), [toHex(first!.der), toHex(next.der)]);
    await authority.close();
  });

  test('takes the place of a root that signs itself when an upstream is configured, and the reverse', async () => {
    const { upstream, parts, nested, store } = server();
    const alone = await startAuthorities(parts);
    const own = unwrap(alone.currentX509());
    assert.deepEqual(own.chain, []);
    await alone.close();
    const below = await startAuthorities(nested());
    const signed = unwrap(below.currentX509());
    assert.equal(signed.chain.length, 1);
    assert.deepEqual(rootsOf(store), [toHex(own.certificate.der), toHex(upstream.roots[0]!.der)]);
    await below.close();
    const again = await startAuthorities(parts);
    assert.deepEqual(unwrap(again.currentX509()).chain, []);
    await again.close();
  });

  test('has its JWT keys published upstream, and those of others in its bundle', async () => {
    const { upstream, store, clock, nested } = server();
    const { publicKeySpki } = { publicKeySpki: makeKey().spki };
    const expiresAtSeconds = clock.nowMs() / 1000 + 3600;
    const other = { keyId: 'other', publicKeySpki, expiresAtSeconds, tainted: false };
    upstream.jwt = [other];
    const authority = await startAuthorities(nested());
    const { keyId } = unwrap(authority.currentJwt());
    assert.deepEqual(
      upstream.jwt.map((key) => key.keyId),
      ['other', keyId],
    );
    await until(clock, () => store.bundle?.jwtAuthorities.length === 2);
    assert.deepEqual(
      store.bundle?.jwtAuthorities.map((key) => key.keyId).sort(),
      [keyId, 'other'].sort(),
    );
    // The upstream lost its database: the key is published again.
    upstream.jwt = [other];
    await until(clock, () => upstream.jwt?.length === 2);
    assert.deepEqual(
      upstream.jwt.map((key) => key.keyId),
      ['other', keyId],
    );
    await authority.close();
  });

  test('is not tainted or revoked here: its root is the upstream’s', async () => {
    const { nested } = server();
    const authority = await startAuthorities(nested());
    const old = unwrap(authority.currentX509()).authorityId;
    const { authorityId } = unwrap(await authority.prepare('x509'));
    unwrap(await authority.activate('x509', authorityId, { force: false }));
    assert.equal(code(await authority.taint('x509', old)), 'UPSTREAM_OWNS_ROOT');
    await authority.close();
  });

  test('tells of failures by metric, and of the recovery', async () => {
    const { upstream, clock, parts } = server();
    const metrics = createMetrics('test');
    const link = linkTo(upstream, clock, metrics);
    const authority = await startAuthorities({ ...parts, upstream: link });
    upstream.down = true;
    await until(clock, () => link.problem?.code === 'UPSTREAM_UNREACHABLE');
    assert.match(await metrics.registry.metrics(), /test_upstream_failing\{upstream="disk"\} 1/);
    upstream.down = false;
    await until(clock, () => link.problem === undefined);
    assert.match(await metrics.registry.metrics(), /test_upstream_failing\{upstream="disk"\} 0/);
    await authority.close();
  });
});

describe('JWT keys of servers below', () => {
  test('are taken once, by their id, and never in the place of another key', async () => {
    const { parts, clock, store } = server();
    const authority = await startAuthorities(parts);
    const expiresAtSeconds = clock.nowMs() / 1000 + 3600;
    const publicKeySpki = makeKey().spki;
    const key = { keyId: 'below', publicKeySpki, expiresAtSeconds, tainted: false };
    const bundle = unwrap(await authority.acceptJwtKey(key));
    assert.ok(bundle.jwtAuthorities.some(({ keyId }) => keyId === 'below'));
    const { version } = store;
    assert.ok((await authority.acceptJwtKey(key)).ok);
    assert.equal(store.version, version);
    const refused: readonly [string, object][] = [
      ['another key of that id', { publicKeySpki: makeKey().spki }],
      ['the id of our own key', { keyId: unwrap(authority.currentJwt()).keyId }],
      ['no id', { keyId: '' }],
      ['an id of 257 characters', { keyId: 'k'.repeat(257) }],
      ['no end', { keyId: 'x', expiresAtSeconds: 0 }],
      ['an end that is now', { keyId: 'x', expiresAtSeconds: clock.nowMs() / 1000 }],
      ['no key', { keyId: 'x', publicKeySpki: new Uint8Array(3) }],
      ['a weak key', { keyId: 'x', publicKeySpki: makeKey('rsa-1024').spki }],
      ['a key of an unusual kind', { keyId: 'x', publicKeySpki: makeKey('ed25519').spki }],
    ];
    for (const [name, change] of refused) {
      const result = await authority.acceptJwtKey({ ...key, ...change });
      assert.equal(code(result), 'DOWNSTREAM_JWT_KEY', name);
    }
    assert.ok((await authority.acceptJwtKey({ ...key, keyId: 'k'.repeat(256) })).ok);
    await authority.close();
  });
});
