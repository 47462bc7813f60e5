import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  boundKey,
  enrolment,
  groupDraft,
  NO_CONNECTORS,
  provisioningKey,
  segmentDraft,
} from '../../../test/support/connector-state.ts';
import { JsonLines, stopChild } from '../../../test/support/processes.ts';
import {
  agentRecord,
  START_SECONDS as NOW,
  TRUST_DOMAIN,
  temporaryFolder,
} from '../../../test/support/state.ts';
import { type Result, unwrap } from '../../base/result.ts';
import type { Store } from '../store.ts';
import { encodeAgent } from './agent-codec.ts';
import { MIGRATIONS, migrate } from './migrations.ts';
import { agentChecksum } from './rows.ts';
import { openSqliteStore } from './sqlite-store.ts';

const CHILD = fileURLToPath(new URL('../../../test/support/store-child.ts', import.meta.url));

const open = (path: string) => openSqliteStore({ path, trustDomain: TRUST_DOMAIN });

/** A path to a closed database with one of each. */
async function madeDatabase(context: TestContext): Promise<string> {
  const path = join(await temporaryFolder(context), 'signet.db');
  const store = unwrap(await open(path));
  const [group, segment] = [groupDraft('g', { maxInstances: 9, proofs: ['bound-key'] }), 's'];
  unwrap(await store.writeConnectorGroups([{ draft: group, expectedRevision: 0n }]));
  const draft = segmentDraft(segment, { clients: ['spiffe://example.org/a'] });
  unwrap(await store.writeConnectorSegments([{ draft, expectedRevision: 0n }]));
  unwrap(await store.createProvisioningKey(provisioningKey('k', 'g', { maxUses: 5 })));
  unwrap(await store.registerBoundKey(boundKey('b', 'g')));
  const use = { kind: 'provisioning-key', keyId: 'k' } as const;
  unwrap(await store.enrolConnector(enrolment('a', 'g', { use })));
  await store.close();
  return path;
}

function tamper(path: string, sql: string): void {
  const connection = new DatabaseSync(path);
  assert.equal(connection.prepare(sql).run().changes, 1);
  connection.close();
}

async function tampered(context: TestContext, sql: string): Promise<Store> {
  const path = await madeDatabase(context);
  tamper(path, sql);
  const store = unwrap(await open(path));
  context.after(() => store.close());
  return store;
}

const codeOf = (result: Result<unknown>) => (result.ok ? 'OK' : result.error.code);

describe('A12 a damaged row of connectors', () => {
  const flips: readonly [name: string, sql: string][] = [
    ['limit of a group', 'UPDATE connector_groups SET max_instances = 0'],
    ['proofs of a group', `UPDATE connector_groups SET body = replace(body, 'bound-key', '')`],
    ['name of a group', `UPDATE connector_groups SET name = 'h'`],
    ['client of a segment', `UPDATE connector_segments SET body = replace(body, 'org/a', 'org/b')`],
    ['age of a segment', 'UPDATE connector_segments SET created_revision = 1'],
    ['standing', `UPDATE connectors SET standing = 'draining'`],
    ['claimant', `UPDATE connectors SET claimant = 'pod:c/b'`],
    ['SPIFFE ID', `UPDATE connectors SET spiffe_id = 'spiffe://example.org/connector/g/b'`],
    ['group of a connector', `UPDATE connectors SET group_name = 'h'`],
    ['key', `UPDATE connectors SET key_sha256 = 'key-b'`],
    ['hash of a provisioning key', `UPDATE provisioning_keys SET body = replace(body, 'ab', 'ac')`],
    ['uses of a provisioning key', 'UPDATE provisioning_keys SET uses = 0'],
    ['end of a provisioning key', 'UPDATE provisioning_keys SET expires_at = 4000000000'],
    ['counter of a bound key', 'UPDATE bound_keys SET recovery_count = 2'],
    ['bound key', `UPDATE bound_keys SET public_key = x'010204'`],
    ['limit of a bound key', 'UPDATE bound_keys SET max_recoveries = 100'],
  ];
  for (const [name, sql] of flips) {
    it(`is noticed by its ${name}`, async (context) => {
      const store = await tampered(context, sql);
      assert.equal(codeOf(await store.loadSnapshot()), 'STORE_CORRUPT');
    });
  }

  const use = { kind: 'provisioning-key', keyId: 'k' } as const;
  const bound = { kind: 'bound-key', keyId: 'b', recoveryCount: 0n } as const;
  const writes: readonly [name: string, sql: string, write: (store: Store) => Promise<unknown>][] =
    [
      [
        'group: an enrolment',
        'UPDATE connector_groups SET max_instances = 0',
        (store) => store.enrolConnector(enrolment('c', 'g')),
      ],
      [
        'provisioning key: an enrolment',
        'UPDATE provisioning_keys SET max_uses = 999',
        (store) => store.enrolConnector(enrolment('c', 'g', { use })),
      ],
      [
        'bound key: an enrolment',
        'UPDATE bound_keys SET max_recoveries = 100',
        (store) => store.enrolConnector(enrolment('b', 'g', { use: bound })),
      ],
      [
        'bound key: a registration',
        'UPDATE bound_keys SET recovery_count = 7',
        (store) => store.registerBoundKey(boundKey('b', 'g')),
      ],
      [
        'connector: an enrolment of its claimant',
        `UPDATE connectors SET key_sha256 = 'other'`,
        (store) => store.enrolConnector(enrolment('a', 'g', { key: 'other' })),
      ],
      [
        'connector: an enrolment under its name',
        `UPDATE connectors SET standing = 'stopped'`,
        (store) => store.enrolConnector(enrolment('a', 'g', { claimant: 'pod:c/z' })),
      ],
      [
        'connector: a step',
        `UPDATE connectors SET spiffe_id = 'spiffe://example.org/connector/g/z'`,
        (store) => store.changeConnector('a', { kind: 'stopped', atSeconds: NOW, reason: '' }),
      ],
    ];
  for (const [name, sql, write] of writes) {
    it(`is not made good by a write over it, of a ${name}`, async (context) => {
      const store = await tampered(context, sql);
      // Each of the writes answers with a result.
      assert.equal(codeOf((await write(store)) as Result<unknown>), 'STORE_CORRUPT');
      assert.equal(codeOf(await store.loadSnapshot()), 'STORE_CORRUPT');
    });
  }
});

describe('connectors in the database file', () => {
  it('A1 are there after a kill -9 with every use of their key that was acknowledged', async (context) => {
    const folder = await temporaryFolder(context);
    let acknowledged = 0;
    for (const more of [14, 70]) {
      const child = new JsonLines<{ acknowledged: number }>(process.execPath, [
        CHILD,
        'enrol',
        folder,
      ]);
      context.after(() => stopChild(child.child, 'SIGKILL'));
      const wanted = acknowledged + more;
      await child.next((line) => line.acknowledged >= wanted);
      await stopChild(child.child, 'SIGKILL');
      acknowledged = child.seen.at(-1)?.acknowledged ?? 0;
      const store = unwrap(await open(join(folder, 'signet.db')));
      const { connectors, provisioningKeys } = unwrap(await store.loadSnapshot()).connectors;
      await store.close();
      assert.ok(connectors.length >= acknowledged);
      assert.equal(provisioningKeys[0]?.uses, connectors.length);
      acknowledged = connectors.length;
    }
  });

  it('join a database of before them, whose feed counts on', async (context) => {
    const path = join(await temporaryFolder(context), 'signet.db');
    const old = new DatabaseSync(path);
    unwrap(migrate(old, TRUST_DOMAIN.name, MIGRATIONS.slice(0, 11)));
    const row = encodeAgent(agentRecord('a'));
    old
      .prepare('INSERT INTO agents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
      .run(
        ...[row.id, row.attestationType, row.selectors, row.serial, row.expiresAt, row.newSerial],
        ...[row.newExpiresAt, row.banned, row.canReattest, row.agentVersion, row.attestedAt],
        ...[agentChecksum(row), row.assurance],
      );
    old.prepare("INSERT INTO changes (sequence, kind, ref) VALUES (41, 'agent', ?)").run(row.id);
    old.close();
    const store = unwrap(await open(path));
    context.after(() => store.close());
    const before = unwrap(await store.loadSnapshot());
    assert.deepEqual([before.agents, before.connectors], [[agentRecord('a')], NO_CONNECTORS]);
    const draft = groupDraft('g');
    unwrap(await store.writeConnectorGroups([{ draft, expectedRevision: 0n }]));
    const lines = unwrap(await store.changesAfter(40n, 9));
    assert.deepEqual(
      lines.map(({ kind, sequence }) => [kind, sequence]),
      [
        ['agent', 41n],
        ['connector-group', 42n],
      ],
    );
  });

  it('F1 keep a last use of a key consumed across a restart', async (context) => {
    const path = await madeDatabase(context);
    const use = { kind: 'provisioning-key', keyId: 'k' } as const;
    const names = ['b', 'c', 'd', 'e', 'f', 'g'];
    const outcomes: string[] = [];
    for (const name of names) {
      const store = unwrap(await open(path));
      const write = enrolment(name, 'g', { use, nowSeconds: NOW + 1 });
      outcomes.push(unwrap(await store.enrolConnector(write)).outcome);
      await store.close();
    }
    const enrolled = 'enrolled';
    const spent = 'key-exhausted';
    assert.deepEqual(outcomes, [enrolled, enrolled, enrolled, enrolled, spent, spent]);
  });
});
