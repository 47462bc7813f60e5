import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MemoryAuthorityStore, startAuthorities } from '../../../test/support/issuance.ts';
import { linkTo, TestUpstream } from '../../../test/support/upstream.ts';
import { makeRoot, type TestCertificate } from '../../../test/support/x509.ts';
import { toHex } from '../../base/bytes.ts';
import { ManualClock } from '../../base/clock.ts';
import { type Result, unwrap } from '../../base/result.ts';
import { createMemoryKeyManager } from '../../keys/memory-key-manager.ts';
import type { AuthorityManager } from '../authority.ts';
import { decodeJournal } from '../journal.ts';
import type { UpstreamAuthority } from './upstream.ts';
import type { UpstreamLink } from './upstream-link.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const idOf = ({ keyId }: TestCertificate): string => toHex(keyId);

/** An upstream of a test that knows nothing of JWT keys, as all but servers do. */
function withoutJwt(upstream: TestUpstream): UpstreamAuthority {
  return {
    name: 'disk',
    pollMs: upstream.pollMs,
    certify: (order) => upstream.certify(order),
    trusted: () => upstream.trusted(),
    close: () => upstream.close(),
  };
}

/** Turns follow one another: when this is refused, what was due before is done. */
async function settled(manager: AuthorityManager): Promise<void> {
  assert.equal(code(await manager.endUpstreamRoot('taint', '00')), 'AUTHORITY_UNKNOWN');
}

/** One server below an upstream with a root A, that signs below a root B from the second CA on. */
class World {
  readonly clock = new ManualClock(Date.UTC(2026, 0, 1));
  readonly store = new MemoryAuthorityStore();
  readonly keys = createMemoryKeyManager();
  readonly upstream = new TestUpstream(this.clock);
  readonly a = this.upstream.roots[0] ?? makeRoot();
  readonly b = makeRoot('example.org');
  #link: UpstreamLink | undefined;

  async start(): Promise<AuthorityManager> {
    const { clock, store, keys } = this;
    this.#link = linkTo(withoutJwt(this.upstream), clock);
    const manager = await startAuthorities({ clock, store, keys, upstream: this.#link });
    await this.poll(manager);
    return manager;
  }

  /** Has the upstream asked what is to be trusted, and what came of it taken up. */
  async poll(manager: AuthorityManager): Promise<void> {
    await this.#link?.poll();
    await settled(manager);
  }

  /** Goes over to root B. */
  async moveOn(manager: AuthorityManager): Promise<string> {
    this.upstream.roots = [this.a, this.b];
    this.upstream.issuer = this.b;
    const { authorityId } = unwrap(await manager.prepare('x509'));
    unwrap(await manager.activate('x509', authorityId, { force: true }));
    return authorityId;
  }

  get roots(): readonly string[] {
    const authorities = this.store.bundle?.x509Authorities ?? [];
    return authorities.map(
      ({ certificate, tainted }) =>
        `${certificate.subjectKeyId && toHex(certificate.subjectKeyId)}${tainted ? ' tainted' : ''}`,
    );
  }

  get states(): readonly string[] {
    const entries = unwrap(decodeJournal(this.store.journal));
    return entries.filter(({ kind }) => kind === 'x509').map(({ state }) => state);
  }
}

describe('a root of the upstream', () => {
  test('is tainted, then revoked, with what leads to it', async () => {
    const world = new World();
    const manager = await world.start();
    await world.moveOn(manager);
    const [a, b] = [idOf(world.a), idOf(world.b)];
    assert.deepEqual(world.roots, [a, b]);

    assert.equal(unwrap(await manager.endUpstreamRoot('taint', a.toUpperCase())), a);
    assert.deepEqual(world.roots, [`${a} tainted`, b]);
    assert.deepEqual(world.states, ['tainted', 'active']);
    assert.equal(world.keys.list().filter(({ slot }) => slot.startsWith('x509')).length, 2);

    assert.equal(unwrap(await manager.endUpstreamRoot('revoke', a)), a);
    assert.deepEqual(world.roots, [b]);
    assert.deepEqual(world.states, ['revoked', 'active']);
    await settled(manager);
    assert.equal(world.keys.list().filter(({ slot }) => slot.startsWith('x509')).length, 1);
    await manager.close();
  });

  test('stays tainted and revoked though the upstream names it, across restarts', async () => {
    const world = new World();
    let manager = await world.start();
    await world.moveOn(manager);
    const [a, b] = [idOf(world.a), idOf(world.b)];
    unwrap(await manager.endUpstreamRoot('taint', a));
    await world.poll(manager);
    await manager.close();
    manager = await world.start();
    assert.deepEqual(world.roots, [`${a} tainted`, b]);
    unwrap(await manager.endUpstreamRoot('revoke', a));
    await world.poll(manager);
    assert.deepEqual(world.roots, [b]);
    await manager.close();
    manager = await world.start();
    assert.deepEqual(world.roots, [b]);
    // An answer that names it beside the root that it leads to does not bring it back either.
    assert.equal(code(await manager.prepare('x509')), 'ok');
    assert.deepEqual(world.roots, [b]);
    // Nor does another certificate of its key.
    world.upstream.roots.push(makeRoot('example.org', { key: world.a.key }));
    await world.poll(manager);
    assert.deepEqual(world.roots, [b]);
    await manager.close();
  });

  test('signs nothing for this server any more, from its taint on', async () => {
    const world = new World();
    const manager = await world.start();
    await world.moveOn(manager);
    const a = idOf(world.a);
    world.upstream.issuer = world.a;
    for (const act of ['taint', 'revoke'] as const) {
      unwrap(await manager.endUpstreamRoot(act, a));
      assert.equal(code(await manager.prepare('x509')), 'UPSTREAM_ANSWER_INVALID', act);
    }
    const again = makeRoot('example.org', { key: world.a.key });
    world.upstream.roots.push(again);
    world.upstream.issuer = again;
    assert.equal(code(await manager.prepare('x509')), 'UPSTREAM_ANSWER_INVALID');
    await manager.close();
  });

  test('that was tainted here stays until it is revoked here, though the upstream drops it', async () => {
    const world = new World();
    const manager = await world.start();
    await world.moveOn(manager);
    const [a, b] = [idOf(world.a), idOf(world.b)];
    unwrap(await manager.endUpstreamRoot('taint', a));
    world.upstream.roots = [world.b];
    await world.poll(manager);
    assert.deepEqual(world.roots, [`${a} tainted`, b]);
    unwrap(await manager.endUpstreamRoot('revoke', a));
    assert.deepEqual(world.roots, [b]);
    await manager.close();
  });

  test('is left alone while something leads to it that signs, or will', async () => {
    const world = new World();
    const manager = await world.start();
    const [a, b] = [idOf(world.a), idOf(world.b)];
    assert.equal(code(await manager.endUpstreamRoot('taint', a)), 'AUTHORITY_WRONG_STATE');
    world.upstream.roots.push(world.b);
    world.upstream.issuer = world.b;
    const { authorityId } = unwrap(await manager.prepare('x509'));
    for (const id of [a, b]) {
      assert.equal(code(await manager.endUpstreamRoot('taint', id)), 'AUTHORITY_WRONG_STATE', id);
    }
    unwrap(await manager.activate('x509', authorityId, { force: true }));
    assert.equal(code(await manager.endUpstreamRoot('revoke', a)), 'AUTHORITY_WRONG_STATE');
    assert.equal(code(await manager.endUpstreamRoot('taint', a)), 'ok');
    assert.equal(code(await manager.endUpstreamRoot('taint', a)), 'AUTHORITY_WRONG_STATE');
    assert.equal(code(await manager.endUpstreamRoot('taint', b)), 'AUTHORITY_WRONG_STATE');
    assert.deepEqual(world.roots, [`${a} tainted`, b]);
    await manager.close();
  });

  test('is refused where there is none: unknown, our own, no upstream, a server above', async () => {
    const world = new World();
    const { clock, store, keys } = world;
    const alone = await startAuthorities({ clock, store, keys });
    const own = unwrap(alone.currentX509()).authorityId;
    assert.equal(code(await alone.endUpstreamRoot('taint', own)), 'AUTHORITY_NO_UPSTREAM');
    await alone.close();
    const below = await world.start();
    await world.moveOn(below);
    assert.equal(code(await below.endUpstreamRoot('taint', own)), 'AUTHORITY_UNKNOWN');
    assert.equal(code(await below.endUpstreamRoot('taint', 'ff'.repeat(20))), 'AUTHORITY_UNKNOWN');
    await below.close();
    const upstream = linkTo(world.upstream, clock);
    const nested = await startAuthorities({ clock, upstream });
    const id = idOf(world.a);
    assert.equal(code(await nested.endUpstreamRoot('taint', id)), 'UPSTREAM_OWNS_ROOT');
    await nested.close();
  });

  test('is shown with what leads to it', async () => {
    const world = new World();
    const manager = await world.start();
    await world.moveOn(manager);
    const shown = manager.list('x509').map(({ upstreamKeyId }) => upstreamKeyId);
    assert.deepEqual(shown, [idOf(world.a), idOf(world.b)]);
    assert.equal(manager.list('jwt')[0]?.upstreamKeyId, undefined);
    await manager.close();
  });
});
