import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { UpstreamAuthority } from '../../src/authority/upstream/upstream.ts';
import { systemClock } from '../../src/base/clock.ts';
import { type Result, unwrap } from '../../src/base/result.ts';
import { derAscii } from '../../src/der/writer.ts';
import { createMemoryKeyManager } from '../../src/keys/memory-key-manager.ts';
import { GENERAL_NAME_TAG } from '../../src/x509/general-name.ts';
import type { FakeCa, Spoil } from './fake-ca.ts';
import { MemoryAuthorityStore, makeIssuer, startAuthorities, x509Grant } from './issuance.ts';
import { linkTo } from './upstream.ts';
import { makeCsr, makeKey, makeRoot, nameConstraintsExtension } from './x509.ts';

/** An upstream outside with a fake CA behind it, for one test. */
export interface FakedUpstream {
  readonly authority: UpstreamAuthority;
  readonly ca: FakeCa;
}

/** Answers that no upstream may have taken, as what is wrong with them. */
const HOSTILE: readonly (readonly [string, Spoil])[] = [
  ['for another key', (right) => ({ ...right, key: makeKey() })],
  ['without the CA flag', (right) => ({ ...right, ca: false })],
  ['that may not sign certificates', (right) => ({ ...right, keyUsage: ['crlSign'] })],
  [
    'with the usages of a leaf',
    (right) => ({ ...right, keyUsage: ['keyCertSign', 'crlSign', 'digitalSignature'] }),
  ],
  ['of another trust domain', (right) => ({ ...right, uris: ['spiffe://other.org'] })],
  ['without a SPIFFE ID', (right) => ({ ...right, uris: [] })],
  ['with a DNS name beside', (right) => ({ ...right, dnsNames: ['ca.example.org'] })],
  [
    'that is constrained to another trust domain',
    (right) => {
      const other = derAscii(GENERAL_NAME_TAG.uri, 'other.org');
      return { ...right, extraExtensions: [nameConstraintsExtension([other])] };
    },
  ],
  ['that has ended', (right) => ({ ...right, notAfterMs: Date.now() - 1000 })],
  ['that begins tomorrow', (right) => ({ ...right, notBeforeMs: Date.now() + 86_400_000 })],
  ['whose signature does not verify', (right) => ({ ...right, signature: Buffer.alloc(70, 1) })],
];

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

/**
 * What every upstream outside keeps to: it certifies, and an answer that is wrong is refused while the
 * authority in use goes on signing. `start` makes one with whatever it needs, for one test.
 */
export function testUpstream(
  name: string,
  start: (context: TestContext) => Promise<FakedUpstream>,
): void {
  describe(`the upstream ${name}`, () => {
    test('certifies a CA whose leaves lead to its root, which is the bundle', async (context) => {
      const { authority, ca } = await start(context);
      const store = new MemoryAuthorityStore();
      const manager = await startAuthorities({ store, upstream: linkTo(authority, systemClock) });
      const issuer = makeIssuer({ authority: manager, clock: systemClock });
      const csr = makeCsr({ key: makeKey() });
      const leaf = unwrap(await issuer.mintX509(x509Grant(), csr));
      assert.equal(leaf.chain.length, 3, 'leaf, CA, CA of the upstream');
      assert.deepEqual(Buffer.from(leaf.chain[2] ?? []), Buffer.from(ca.issuer.der));
      const roots = store.bundle?.x509Authorities.map(({ certificate }) => certificate.der);
      assert.deepEqual(roots?.map(Buffer.from), [Buffer.from(ca.root.der)]);
      await issuer.close();
      await manager.close();
    });

    test('may be a root that signs itself, without a CA between', async (context) => {
      const { authority, ca } = await start(context);
      ca.issuer = ca.root;
      ca.above = [ca.root];
      const manager = await startAuthorities({ upstream: linkTo(authority, systemClock) });
      assert.equal(unwrap(manager.currentX509()).chain.length, 1);
      await manager.close();
    });

    test('B6 is asked in vain with hostile answers: the authority in use goes on', async (context) => {
      const { authority, ca } = await start(context);
      const store = new MemoryAuthorityStore();
      const keys = createMemoryKeyManager();
      const upstream = linkTo(authority, systemClock);
      const manager = await startAuthorities({ store, keys, upstream });
      const { authorityId } = unwrap(manager.currentX509());
      const { version } = store;
      for (const [what, spoil] of HOSTILE) {
        ca.spoil = spoil;
        assert.equal(code(await manager.prepare('x509')), 'UPSTREAM_ANSWER_INVALID', what);
        assert.equal(unwrap(manager.currentX509()).authorityId, authorityId, what);
        assert.equal(store.version, version, `nothing is written of one ${what}`);
      }
      ca.spoil = (right) => right;
      ca.above = [makeRoot('example.org', { uris: [] })];
      assert.equal(code(await manager.prepare('x509')), 'UPSTREAM_ANSWER_INVALID', 'another root');
      ca.above = [];
      assert.equal(code(await manager.prepare('x509')), 'UPSTREAM_ANSWER_INVALID', 'no root');
      ca.above = undefined;
      assert.equal(code(await manager.prepare('x509')), 'ok');
      await manager.close();
    });
  });
}
