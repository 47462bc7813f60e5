import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Client } from '@grpc/grpc-js';
import { Status } from '../../src/gen/google/rpc/status.ts';
import {
  AgentSyncService,
  type Hello,
  type ServerMessage,
} from '../../src/gen/signet/agent/v1/agent.ts';
import { type DpuFacts, DpuInventoryService } from '../../src/gen/signet/dpu/v1/dpu.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import {
  PermissionDeniedDetails,
  PermissionDeniedDetails_Reason,
} from '../../src/gen/spire/api/types/status.ts';
import {
  ask,
  assertStatus,
  open,
  type TestAgent,
  TestServer,
  TRUST_DOMAIN,
} from '../support/server.ts';
import { makeCsr } from '../support/x509.ts';

const KEY = 'ab'.repeat(32);
const td = (path: string) => ({ trustDomain: TRUST_DOMAIN, path });
const uri = (path: string) => `spiffe://${TRUST_DOMAIN}${path}`;

/** One push stream: its messages as they come. */
class Stream {
  readonly #answers: AsyncIterator<ServerMessage>;

  constructor(client: Client, hello: Partial<Hello> = {}) {
    const call = open(client, AgentSyncService.sync);
    this.#answers = call[Symbol.asyncIterator]();
    const value = {
      feedId: '',
      revision: 0n,
      bundleSequence: 0n,
      agentVersion: '',
      crlNumber: 0n,
      quarantined: false,
      ...hello,
    };
    call.write({ kind: { $case: 'hello', value } });
  }

  /** The first message of a kind from now on. */
  async until<C extends NonNullable<ServerMessage['kind']>['$case']>(kind: C) {
    for (;;) {
      const { value, done } = await this.#answers.next();
      assert.ok(!done, `the stream ended before "${kind}"`);
      if (value.kind?.$case === kind) {
        return value.kind.value as Extract<ServerMessage['kind'], { $case: C }>['value'];
      }
    }
  }
}

describe('the inventory of DPUs', () => {
  let server: TestServer;
  before(async () => {
    server = await TestServer.start({
      zones: {
        rules: [
          { path: '/mgmt', zones: [0] },
          { path: '/tpm', assurance: 'tpm' },
        ],
      },
    });
  });
  after(() => server.stop());

  const load = (dpus: DpuFacts[], dryRun = false) =>
    ask(server.admin(), DpuInventoryService.importDpus, { dpus, dryRun });
  const show = (serial: string) => ask(server.admin(), DpuInventoryService.getDpu, { serial });
  const reasoned = (
    method: 'quarantineDpu' | 'releaseDpu' | 'retireDpu',
    serial: string,
    reason = 'ticket 4711',
  ) => ask(server.admin(), DpuInventoryService[method], { serial, reason });

  async function bound(serial: string, extra: Partial<DpuFacts> = {}): Promise<TestAgent> {
    const agent = await server.attest();
    const agentIds = { values: [uri(agent.path)] };
    const { results } = await load([{ serial, agentIds, ...extra }]);
    assert.deepEqual([results[0]?.outcome, results[0]?.message], ['created', '']);
    return agent;
  }

  async function mint(agent: TestAgent, entryId: string): Promise<number | undefined> {
    const params = [{ entryId, csr: Buffer.from(makeCsr()) }];
    const client = await server.tcp(agent);
    const { results } = await ask(client, SVIDService.batchNewX509Svid, { params });
    return results[0]?.status?.code;
  }

  test('takes rows in once: again they change nothing, others only what they state', async () => {
    const row = {
      serial: ' MT1  ',
      rack: 'r1',
      zone: '1',
      bmcHost: '10.0.0.1',
      pf0Mac: 'AABBCCDDEEFF',
    };
    assert.deepEqual((await load([row], true)).results[0]?.outcome, 'created');
    await assertStatus(show('MT1'), 'DPU_NOT_FOUND');
    assert.deepEqual((await load([row])).results[0]?.outcome, 'created');
    assert.deepEqual((await load([row])).results[0]?.outcome, 'unchanged');
    const { results } = await load([{ serial: 'MT1', rack: 'r2', zone: '' }]);
    assert.deepEqual([results[0]?.outcome, results[0]?.changed], ['updated', ['zone', 'rack']]);
    const dpu = await show('MT1');
    assert.deepEqual(
      [dpu.state, dpu.rack, dpu.zone, dpu.bmc?.host, dpu.bmc?.port, dpu.host?.pf0Mac],
      ['enrolling', 'r2', undefined, '10.0.0.1', 443, 'aa:bb:cc:dd:ee:ff'],
    );
  });

  test('refuses all rows with a faulty one, a key that another DPU has, and a serial twice', async () => {
    const cases: readonly (readonly [DpuFacts, string])[] = [
      [{ serial: 'MT 2' }, 'DPU_INVALID'],
      [{ serial: 'MT2', zone: '3' }, 'DPU_INVALID'],
      [{ serial: 'MT2', pf0Mac: 'aabbccddee' }, 'DPU_INVALID'],
      [{ serial: 'MT2', bmcTlsPin: 'ab' }, 'DPU_INVALID'],
      [{ serial: 'MT2', bmcHost: 'http://x' }, 'DPU_INVALID'],
      [{ serial: 'MT2', agentIds: { values: ['x'] } }, 'DPU_INVALID'],
      [{ serial: 'MT3' }, 'DPU_INVALID'],
      [{ serial: 'MT2', deviceIds: { values: [KEY] } }, 'DPU_KEY_TAKEN'],
    ];
    for (const [row, code] of cases) {
      const { results } = await load([{ serial: 'MT3', deviceIds: { values: [KEY] } }, row]);
      assert.deepEqual([results[1]?.outcome, results[1]?.code], ['refused', code], row.serial);
      await assertStatus(show('MT3'), 'DPU_NOT_FOUND');
    }
  });

  test('lists by state, zone and rack, a page at a time', async () => {
    const rows = ['MTL1', 'MTL2', 'MTL3'].map((serial) => ({ serial, rack: 'list', zone: '2' }));
    await load(rows);
    await reasoned('quarantineDpu', 'MTL2');
    const list = async (extra: object = {}) => {
      const empty = { states: [], rack: 'list', pageSize: 0, pageToken: '' };
      const request = { zone: undefined, tenant: undefined, ...empty, ...extra };
      const { dpus, nextPageToken } = await ask(
        server.admin(),
        DpuInventoryService.listDpus,
        request,
      );
      return [dpus.map(({ serial }) => serial).join(' '), nextPageToken !== ''];
    };
    assert.deepEqual(await list(), ['MTL1 MTL2 MTL3', false]);
    assert.deepEqual(await list({ states: ['quarantined'] }), ['MTL2', false]);
    assert.deepEqual(await list({ zone: 1 }), ['', false]);
    assert.deepEqual(await list({ zone: 2, pageSize: 2 }), ['MTL1 MTL2', true]);
    await assertStatus(list({ states: ['fine'] }), 'FIELD_INVALID');
  });

  test('a quarantine stops the node at once, is told on its stream, and ends by a full attestation only', async () => {
    const agent = await bound('MTQ');
    const entry = await server.register({ spiffeId: td('/q'), parentId: td(agent.path) });
    const below = await server.register({ spiffeId: td('/q/below'), parentId: td('/q') });
    const client = await server.tcp(agent);
    const stream = new Stream(client);
    assert.equal((await stream.until('snapshot')).entries.length, 2);
    assert.equal(await mint(agent, below.id), 0);
    await reasoned('quarantineDpu', 'MTQ', 'case opened');
    const told = await stream.until('quarantine');
    assert.deepEqual([told.active, told.reason], [true, 'DPU MTQ is quarantined: case opened']);
    const { deletedIds } = await stream.until('delta');
    assert.deepEqual([...deletedIds].sort(), [entry.id, below.id].sort());
    const refused = await assertStatus(mint(agent, entry.id), 'AGENT_QUARANTINED');
    const [details] = refused.metadata.get('grpc-status-details-bin');
    const [detail] = Status.decode(details as Buffer).details;
    // A stock agent drops what it holds on a ban, and on nothing less.
    assert.equal(
      PermissionDeniedDetails.decode(detail?.value ?? Buffer.of()).reason,
      PermissionDeniedDetails_Reason.AGENT_BANNED,
    );
    const noMask = { outputMask: undefined };
    await assertStatus(ask(client, EntryService.getAuthorizedEntries, noMask), 'AGENT_QUARANTINED');
    const renewal = { params: { csr: Buffer.from(makeCsr()) } };
    await assertStatus(ask(client, AgentService.renewAgent, renewal), 'AGENT_QUARANTINED');
    // Another entry for it changes nothing, and a stream that comes back is told at once.
    await server.register({ spiffeId: td('/q2'), parentId: td(agent.path) });
    const again = new Stream(await server.tcp(agent));
    assert.equal((await again.until('quarantine')).active, true);
    assert.deepEqual((await again.until('snapshot')).entries, []);
    const released = await reasoned('releaseDpu', 'MTQ');
    assert.deepEqual([released.state, released.mustAttest], ['enrolling', true]);
    await assertStatus(mint(agent, entry.id), 'AGENT_QUARANTINED');
    await server.restart();
    await assertStatus(mint(agent, entry.id), 'AGENT_QUARANTINED');
  });

  test('what a node demands: its zone by the inventory, and how firmly it attested', async () => {
    const agent = await bound('MTZ', { zone: '1' });
    const parentId = td(agent.path);
    const managed = await server.register({ spiffeId: td('/mgmt/a'), parentId });
    const firm = await server.register({ spiffeId: td('/tpm'), parentId });
    const plain = await server.register({ spiffeId: td('/mgmtx'), parentId });
    const stream = new Stream(await server.tcp(agent));
    const { entries } = await stream.until('snapshot');
    assert.deepEqual(
      entries.map(({ id }) => id),
      [plain.id],
    );
    assert.deepEqual([await mint(agent, managed.id), await mint(agent, firm.id)], [7, 7]);
    assert.equal(await mint(agent, plain.id), 0);
    await load([{ serial: 'MTZ', zone: '0' }]);
    assert.deepEqual(
      (await stream.until('delta')).upserts.map(({ id }) => id),
      [managed.id],
    );
    assert.equal(await mint(agent, managed.id), 0);
    await load([{ serial: 'MTZ', zone: '2' }]);
    assert.deepEqual((await stream.until('delta')).deletedIds, [managed.id]);
    assert.equal(await mint(agent, managed.id), 7);
    // An edit of the entry by whatever client does not lower the demand.
    const request = {
      entries: [{ ...managed, hint: 'x' }],
      inputMask: undefined,
      outputMask: undefined,
    };
    await ask(server.admin(), EntryService.batchUpdateEntry, request);
    assert.equal(await mint(agent, managed.id), 7);
    const byHand = { csr: Buffer.from(makeCsr({ uris: [uri('/mgmt/b')] })), ttl: 60 };
    await assertStatus(ask(server.admin(), SVIDService.mintX509Svid, byHand), 'ZONE_NOT_MET');
  });

  test('acts need a reason, follow the states, and are told apart', async () => {
    await load([{ serial: 'MTA' }, { serial: 'MTB', deviceIds: { values: [KEY] } }]);
    for (const reason of ['', '  ', 'x'.repeat(513), 'a\u0000b']) {
      await assertStatus(reasoned('quarantineDpu', 'MTA', reason), 'DPU_INVALID');
    }
    await assertStatus(reasoned('releaseDpu', 'MTA'), 'DPU_STATE');
    await assertStatus(reasoned('quarantineDpu', 'MTX'), 'DPU_NOT_FOUND');
    const commission = (serial: string, deviceIds: string[], fromBmc = false) =>
      ask(server.admin(), DpuInventoryService.commissionDpu, {
        serial,
        deviceIds,
        baseline: [],
        fromBmc,
        reason: 'rack accepted',
      });
    await assertStatus(commission('MTA', []), 'DPU_KEY_MISSING');
    await assertStatus(commission('MTA', [KEY]), 'DPU_KEY_TAKEN');
    await assertStatus(commission('MTA', ['xy']), 'DPU_INVALID');
    const pinned = await commission('MTB', []);
    assert.deepEqual([pinned.state, pinned.deviceIds], ['commissioned', [KEY]]);
    assert.deepEqual(pinned.agentIds, [uri(`/spire/agent/dpu/${KEY}`)]);
    const retired = await reasoned('retireDpu', 'MTB');
    assert.equal(retired.state, 'retired');
    await assertStatus(reasoned('quarantineDpu', 'MTB'), 'DPU_STATE');
    assert.equal((await load([{ serial: 'MTB', rack: 'r' }])).results[0]?.code, 'DPU_STATE');
    const anew = await reasoned('releaseDpu', 'MTB');
    assert.deepEqual([anew.state, anew.deviceIds], ['enrolling', []]);
  });

  test('an agent, and nobody, may not call it', async () => {
    const agent = await server.attest();
    for (const client of [await server.tcp(agent), await server.tcp()]) {
      const call = ask(client, DpuInventoryService.getDpu, { serial: 'MT1' });
      await assertStatus(call, 'CALLER_NOT_ALLOWED');
    }
  });
});
