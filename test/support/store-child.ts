import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unwrap } from '../../src/base/result.ts';
import { openSqliteStore } from '../../src/store/sqlite/sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { enrolment, groupDraft, provisioningKey } from './connector-state.ts';
import { draft, START_SECONDS, TRUST_DOMAIN } from './state.ts';

/** A process with a database that its test fills up, kills or finds read-only. Prints one JSON a line. */
const [mode = '', folder = ''] = process.argv.slice(2);
const path = join(folder, 'signet.db');

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

async function create(store: Store, from: number, count: number) {
  const creations = Array.from({ length: count }, (_, index) => ({
    id: `e${String(from + index).padStart(8, '0')}`,
    draft: draft(`/service-${from + index}`, '/spire/agent/a', { hint: 'h'.repeat(200) }),
  }));
  return store.createEntries(creations, START_SECONDS);
}

async function countStored(store: Store): Promise<number> {
  return unwrap(await store.loadSnapshot()).entries.length;
}

/** Writes until the disk is full, frees some of it, and goes on. */
async function fill(): Promise<void> {
  const ballast = join(folder, 'ballast');
  writeFileSync(ballast, Buffer.alloc(1 << 20));
  const store = unwrap(await openSqliteStore({ path, trustDomain: TRUST_DOMAIN }));
  let acknowledged = 0;
  let created = await create(store, 0, 50);
  while (created.ok) {
    acknowledged += 50;
    created = await create(store, acknowledged, 50);
  }
  const stored = await countStored(store);
  const again = await create(store, acknowledged, 50);
  rmSync(ballast);
  const after = await create(store, acknowledged, 50);
  print({
    code: created.error.code,
    again: again.ok ? 'written' : again.error.code,
    lost: acknowledged - stored,
    afterwards: after.ok ? (await countStored(store)) - stored : after.error.code,
  });
  await store.close();
}

/** Writes until it is killed; prints how many entries were acknowledged. */
async function write(): Promise<void> {
  const store = unwrap(await openSqliteStore({ path, trustDomain: TRUST_DOMAIN }));
  let acknowledged = await countStored(store);
  for (;;) {
    unwrap(await create(store, acknowledged, 7));
    acknowledged += 7;
    print({ acknowledged });
  }
}

/** Enrols connectors with one key until it is killed; prints how many were acknowledged. */
async function enrol(): Promise<void> {
  const store = unwrap(await openSqliteStore({ path, trustDomain: TRUST_DOMAIN }));
  unwrap(
    await store.writeConnectorGroups([{ draft: groupDraft('g'), expectedRevision: undefined }]),
  );
  unwrap(await store.createProvisioningKey(provisioningKey('k', 'g', { maxUses: 1_000_000 })));
  let acknowledged = unwrap(await store.loadSnapshot()).connectors.connectors.length;
  const use = { kind: 'provisioning-key', keyId: 'k' } as const;
  for (;;) {
    const names = Array.from({ length: 7 }, (_, index) => `c${acknowledged + index}`);
    const enrolled = names.map((name) => store.enrolConnector(enrolment(name, 'g', { use })));
    for (const answer of await Promise.all(enrolled)) unwrap(answer);
    acknowledged += names.length;
    print({ acknowledged });
  }
}

/** Only opens. */
async function open(): Promise<void> {
  const store = await openSqliteStore({ path, trustDomain: TRUST_DOMAIN });
  print(store.ok ? 'opened' : store.error.code);
  if (store.ok) await store.value.close();
}

if (mode === 'fill') await fill();
else if (mode === 'write') await write();
else if (mode === 'enrol') await enrol();
else await open();
