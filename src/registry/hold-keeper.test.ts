import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import {
  dpuDraft,
  START_SECONDS as NOW,
  TRUST_DOMAIN,
  temporaryFolder,
} from '../../test/support/state.ts';
import { ManualClock } from '../base/clock.ts';
import { seededRandom } from '../base/random.ts';
import { fail, unwrap } from '../base/result.ts';
import { openSqliteStore } from '../store/sqlite/sqlite-store.ts';
import type { Store } from '../store/store.ts';
import type { KeptEvent } from './kept-writer.ts';
import { openLocalHolds } from './local-holds.ts';
import type { HeldDpu } from './overlay.ts';
import { createRegistry } from './registry.ts';

const held = (serial: string): HeldDpu => ({ serial, reason: 'a\tb 字', sinceSeconds: NOW });

/** A registry whose store refuses, or leaves unanswered, the writes of DPUs while it is told to. */
async function opened(context: TestContext, folder: string) {
  const clock = new ManualClock(NOW * 1000);
  const store = unwrap(
    await openSqliteStore({ path: join(folder, 'db'), trustDomain: TRUST_DOMAIN }),
  );
  const fault = { kind: 'none' as 'none' | 'refuses' | 'silent' };
  const events: KeptEvent<HeldDpu>[] = [];
  const waiting: (() => void)[] = [];
  const happened = (): Promise<void> => new Promise((resolve) => waiting.push(resolve));
  const faulty = new Proxy(store, {
    get(target, name) {
      if (name === 'writeDpus' && fault.kind === 'refuses') {
        return async () => fail('STORE_UNAVAILABLE', 'away');
      }
      if (name === 'writeDpus' && fault.kind === 'silent') return () => new Promise(() => {});
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  }) as Store;
  const path = join(folder, 'local-holds');
  const registry = unwrap(
    await createRegistry({
      store: faulty,
      trustDomain: TRUST_DOMAIN,
      clock,
      random: seededRandom(1),
      localHolds: unwrap(await openLocalHolds(path)),
      onKeptHold: (event) => {
        events.push(event);
        for (const resolve of waiting.splice(0)) resolve();
      },
    }),
  );
  const close = async (): Promise<void> => {
    await registry.close();
    await store.close();
  };
  context.after(close);
  const stored = async (serial: string) =>
    unwrap(await store.loadSnapshot()).dpus.find((dpu) => dpu.serial === serial)?.state;
  const file = (): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
  return { registry, store, clock, fault, events, happened, close, stored, file, path };
}

const put = (store: Store, ...serials: readonly string[]) =>
  store.writeDpus(
    serials.map((serial) => ({
      dpu: dpuDraft(serial, { state: 'trusted' }),
      expectedRevision: 0n,
    })),
  );

describe('a quarantine of a DPU', () => {
  it('is the store’s where that answers, and leaves nothing in the file', async (context) => {
    const { registry, store, stored, file } = await opened(context, await temporaryFolder(context));
    unwrap(await put(store, 'A'));
    unwrap(await registry.catchUp());
    assert.equal(unwrap(await registry.quarantineDpu(held('A'))), 'everywhere');
    assert.deepEqual(
      [await stored('A'), registry.dpus.get('A')?.state],
      ['quarantined', 'quarantined'],
    );
    assert.equal(registry.dpus.get('A')?.reason, 'a\tb 字');
    assert.ok(!file().includes('A\t'));
    assert.equal(unwrap(await registry.quarantineDpu(held('A'))), 'everywhere');
    const unknown = await registry.quarantineDpu(held('B'));
    assert.equal(unknown.ok ? 'OK' : unknown.error.code, 'DPU_NOT_FOUND');
  });

  it('is in force while the store refuses, across a restart, and written when it answers', async (context) => {
    const folder = await temporaryFolder(context);
    const first = await opened(context, folder);
    unwrap(await put(first.store, 'A', 'B'));
    unwrap(await first.registry.catchUp());
    first.fault.kind = 'refuses';
    assert.equal(unwrap(await first.registry.quarantineDpu(held('A'))), 'here');
    assert.equal(first.registry.dpus.get('A')?.state, 'quarantined');
    assert.deepEqual(first.registry.dpus.get('A')?.mustAttest, true);
    assert.equal(await first.stored('A'), 'trusted');
    assert.match(first.file(), /^signet-local-holds 1\nA\ta%09b%20%E5%AD%97\t\d+\n$/);
    // Another change of the feed does not undo it.
    unwrap(
      await first.store.createJoinToken({
        tokenHash: 'x',
        expiresAtSeconds: 1,
        aliasId: undefined,
      }),
    );
    await first.close();
    const second = await opened(context, folder);
    // The start offers it to the store, which answers now.
    assert.deepEqual(
      second.events.map(({ kind }) => kind),
      ['written'],
    );
    assert.equal(await second.stored('A'), 'quarantined');
    assert.equal(second.registry.dpus.get('A')?.reason, 'a\tb 字');
    assert.equal(second.file(), 'signet-local-holds 1\n');
  });

  it('does not wait for a store that says nothing', async (context) => {
    const { registry, store, clock, fault, stored, happened } = await opened(
      context,
      await temporaryFolder(context),
    );
    unwrap(await put(store, 'A'));
    unwrap(await registry.catchUp());
    fault.kind = 'silent';
    const quarantining = registry.quarantineDpu(held('A'));
    // Before anything answered.
    assert.equal(registry.dpus.get('A')?.state, 'quarantined');
    clock.advance(2_000);
    assert.equal(unwrap(await quarantining), 'here');
    fault.kind = 'none';
    const written = happened();
    clock.advance(30_000);
    await written;
    assert.equal(await stored('A'), 'quarantined');
  });

  it('wins over a step that was under way', async (context) => {
    const { registry, store, stored } = await opened(context, await temporaryFolder(context));
    unwrap(await put(store, 'A'));
    unwrap(await registry.catchUp());
    const { revision, ...dpu } = registry.dpus.get('A') ?? assert.fail();
    const step = registry.writeDpus([{ dpu: { ...dpu, rack: 'r' }, expectedRevision: revision }]);
    const quarantining = registry.quarantineDpu(held('A'));
    assert.equal(unwrap(await step)[0]?.outcome, 'written');
    assert.equal(unwrap(await quarantining), 'everywhere');
    assert.equal(await stored('A'), 'quarantined');
    assert.equal(registry.dpus.get('A')?.rack, 'r');
  });

  it('keeps a server from starting whose file is damaged', async (context) => {
    const path = join(await temporaryFolder(context), 'local-holds');
    const header = 'signet-local-holds 1\n';
    const cases = [
      '',
      'x\n',
      `${header}A\tb`,
      `${header}A\tb\t1`,
      `${header}A\t1\n`,
      `${header}\tb\t1\n`,
    ];
    for (const text of [
      ...cases,
      `${header}A\t%zz\t1\n`,
      `${header}A\tb\t-1\n`,
      `${header}A\tb\t1\tc\n`,
    ]) {
      writeFileSync(path, text);
      const read = await openLocalHolds(path);
      assert.equal(read.ok ? 'OK' : read.error.code, 'LOCAL_BANS_DAMAGED', JSON.stringify(text));
    }
    writeFileSync(path, `${header}A\tb\t1\n`);
    assert.equal(unwrap(await openLocalHolds(path)).get('A')?.reason, 'b');
  });
});
