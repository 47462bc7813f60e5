import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  MemoryAuthorityStore,
  makeAuthorities,
  startAuthorities,
} from '../../test/support/issuance.ts';
import { toHex } from '../base/bytes.ts';
import { ManualClock } from '../base/clock.ts';
import { fail, type Result, unwrap } from '../base/result.ts';
import { createMemoryKeyManager } from '../keys/memory-key-manager.ts';
import type { AuthorityManager } from './authority.ts';
import { AUTHORITY_KINDS, AUTHORITY_STATES, decodeJournal, type JournalEntry } from './journal.ts';
import { type Act, findFor } from './life.ts';

const START_MS = Date.UTC(2026, 0, 1);
const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

async function world() {
  const clock = new ManualClock(START_MS);
  const keys = createMemoryKeyManager();
  const store = new MemoryAuthorityStore();
  return { clock, keys, store, authorities: await startAuthorities({ clock, keys, store }) };
}

function activeId(authorities: AuthorityManager, kind: 'x509' | 'jwt'): string {
  const active = authorities.list(kind).filter(({ state }) => state === 'active');
  assert.equal(active.length, 1);
  return active[0]?.authorityId ?? '';
}

describe('acts of an operator', () => {
  const begins: Readonly<Record<Act, string>> = {
    activate: 'published',
    taint: 'old',
    revoke: 'tainted',
  };
  for (const act of ['activate', 'taint', 'revoke'] as const) {
    for (const state of AUTHORITY_STATES) {
      const allowed = state === begins[act];
      test(`A.5 ${act} is ${allowed ? 'for' : 'refused to'} one that is ${state}`, () => {
        const entry = { kind: 'x509', authorityId: 'ab', state } as JournalEntry;
        const found = findFor(act, 'x509', 'ab', [entry]);
        assert.equal(code(found), allowed ? 'ok' : 'AUTHORITY_WRONG_STATE');
        if (found.ok) return;
        assert.match(found.error.message, new RegExp(`^authority ab is ${state}, .*: \\S`));
      });
    }
    test(`${act} knows only authorities of the kind`, () => {
      const entry = { kind: 'jwt', authorityId: 'ab', state: begins[act] } as JournalEntry;
      assert.equal(code(findFor(act, 'x509', 'ab', [entry])), 'AUTHORITY_UNKNOWN');
      assert.equal(code(findFor(act, 'jwt', 'AB', [entry])), 'AUTHORITY_UNKNOWN');
      assert.equal(code(findFor(act, 'jwt', 'ab', [entry])), 'ok');
    });
  }

  for (const kind of AUTHORITY_KINDS) {
    test(`lead ${kind} authorities from prepared to revoked, in journal, bundle and keys`, async () => {
      const { authorities, store, keys } = await world();
      const first = activeId(authorities, kind);
      const slot = unwrap(decodeJournal(store.journal)).find((each) => each.kind === kind)?.slot;
      const inBundle = () =>
        kind === 'x509'
          ? store.bundle!.x509Authorities.map(
              ({ certificate, tainted }) => `${toHex(certificate.subjectKeyId!)} ${tainted}`,
            )
          : store.bundle!.jwtAuthorities.map(({ keyId, tainted }) => `${keyId} ${tainted}`);
      const signer = () =>
        kind === 'x509'
          ? unwrap(authorities.currentX509()).authorityId
          : unwrap(authorities.currentJwt()).keyId;

      const prepared = unwrap(await authorities.prepare(kind));
      assert.equal(prepared.state, 'published');
      assert.deepEqual(inBundle(), [`${first} false`, `${prepared.authorityId} false`]);
      assert.equal(signer(), first);
      const { sequence } = store.bundle!;

      unwrap(await authorities.activate(kind, prepared.authorityId, { force: false }));
      assert.equal(signer(), prepared.authorityId);
      assert.equal(store.bundle!.sequence, sequence, 'the bundle stays as it is');

      assert.equal(unwrap(await authorities.taint(kind, first)).state, 'tainted');
      assert.deepEqual(inBundle(), [`${first} true`, `${prepared.authorityId} false`]);
      assert.ok(keys.get(slot ?? ''), 'its key stays until it is revoked');

      assert.equal(unwrap(await authorities.revoke(kind, first)).state, 'revoked');
      assert.deepEqual(inBundle(), [`${prepared.authorityId} false`]);
      assert.equal(keys.get(slot ?? ''), undefined);
      assert.equal(signer(), prepared.authorityId);
      await authorities.close();
    });
  }

  test('an authority that is prepared in place of another takes it out of the bundle', async () => {
    const { authorities, store } = await world();
    const first = unwrap(await authorities.prepare('x509'));
    const second = unwrap(await authorities.prepare('x509'));
    assert.equal(store.bundle?.x509Authorities.length, 2);
    const late = await authorities.activate('x509', first.authorityId, { force: true });
    assert.equal(code(late), 'AUTHORITY_UNKNOWN');
    unwrap(await authorities.activate('x509', second.authorityId, { force: false }));
    await authorities.close();
  });

  test('are refused before there is an authority, and after the end', async () => {
    const authorities = makeAuthorities();
    assert.equal(code(await authorities.prepare('jwt')), 'AUTHORITY_NOT_READY');
    await authorities.close();
    assert.equal(code(await authorities.prepare('jwt')), 'AUTHORITY_NOT_READY');
  });

  test('a key that cannot be given up leaves the authority revoked, and is tried again', async () => {
    const clock = new ManualClock(START_MS);
    const keys = createMemoryKeyManager();
    const store = new MemoryAuthorityStore();
    let refused = 0;
    const again = Promise.withResolvers<string>();
    const release = async (slot: string): Promise<Result<void>> => {
      refused += 1;
      if (refused < 3) return fail('KEY_DIRECTORY', 'planted');
      again.resolve(slot);
      return keys.release(slot);
    };
    const authorities = await startAuthorities({ clock, store, keys: { ...keys, release } });
    const old = activeId(authorities, 'x509');
    const { authorityId } = unwrap(await authorities.prepare('x509'));
    unwrap(await authorities.activate('x509', authorityId, { force: false }));
    unwrap(await authorities.taint('x509', old));
    assert.equal(unwrap(await authorities.revoke('x509', old)).state, 'revoked');
    while (refused < 2) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(60_000);
    assert.equal(await again.promise, 'x509-CA-A');
    await authorities.close();
  });

  test('whatever is asked for in whatever order, exactly one of each kind signs, and is in the bundle', async () => {
    const steps = fc.array(
      fc.record({
        kind: fc.constantFrom(...AUTHORITY_KINDS),
        act: fc.constantFrom('prepare', 'activate', 'taint', 'revoke', 'restart', 'wait' as const),
        which: fc.nat(7),
      }),
      { maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(steps, async (asked) => {
        const { clock, keys, store, authorities: first } = await world();
        let authorities = first;
        for (const { kind, act, which } of asked) {
          const known = authorities.list(kind);
          const id = known[which % known.length]?.authorityId ?? '';
          if (act === 'prepare') unwrap(await authorities.prepare(kind));
          else if (act === 'activate') await authorities.activate(kind, id, { force: false });
          else if (act === 'taint' || act === 'revoke') await authorities[act](kind, id);
          else {
            await authorities.close();
            if (act === 'wait') clock.advance(which * 3_600_000);
            authorities = await startAuthorities({ clock, keys, store });
          }
          for (const each of AUTHORITY_KINDS) activeId(authorities, each);
          const signer = activeId(authorities, 'x509');
          const root = store.bundle?.x509Authorities.find(
            ({ certificate }) => toHex(certificate.subjectKeyId!) === signer,
          );
          assert.equal(root?.tainted, false);
          const jwt = store.bundle?.jwtAuthorities.find(
            ({ keyId }) => keyId === activeId(authorities, 'jwt'),
          );
          assert.equal(jwt?.tainted, false);
        }
        await authorities.close();
      }),
      { numRuns: 40 },
    );
  });
});
