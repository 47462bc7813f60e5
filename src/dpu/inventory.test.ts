import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import {
  agentRecord,
  dpuDraft,
  draft,
  id,
  START_SECONDS as NOW,
  openState,
} from '../../test/support/state.ts';
import { ok, unwrap } from '../base/result.ts';
import type { DpuAssessment, DpuDraft } from '../rules/dpu.ts';
import { dpuAgentPath } from '../rules/reserved-ids.ts';
import { DpuInventory, type DpuNotice } from './inventory.ts';

const KEY = 'ab'.repeat(32);
/** Below the pause between two prunings of the store, which would go on beside the end of a test. */
const GRACE = 100;

const assessment = (extra: Partial<DpuAssessment> = {}): DpuAssessment => ({
  atSeconds: NOW,
  verdict: 'affirming',
  evidence: ['spdm-redfish'],
  binding: 'dual',
  components: [],
  code: '',
  detail: '',
  posture: {},
  evidenceId: '',
  ...extra,
});

async function opened(context: TestContext, ...dpus: readonly DpuDraft[]) {
  const state = await openState(context);
  const { registry, clock } = state;
  const writes = dpus.map((dpu) => ({ dpu, expectedRevision: 0n }));
  unwrap(await registry.writeDpus(writes));
  const inventory = new DpuInventory({ registry, clock, unreachableGraceSeconds: GRACE });
  const notices: DpuNotice[] = [];
  inventory.onNotice((notice) => notices.push(notice));
  const stateOf = (serial: string) => unwrap(inventory.find(serial)).state;
  const heard = () => notices.map(({ event, dpu, alarm }) => [event, dpu.serial, alarm]);
  return { ...state, inventory, notices, heard, stateOf };
}

const codeOf = (result: { ok: true } | { ok: false; error: { code: string } }): string =>
  result.ok ? 'OK' : result.error.code;

describe('the inventory', () => {
  it('notes that a full attestation is wanted, until there is one', async (context) => {
    const { inventory, stateOf } = await opened(
      context,
      dpuDraft('A', { state: 'trusted', deviceIds: [KEY] }),
      dpuDraft('B', { state: 'quarantined', deviceIds: [KEY] }),
      dpuDraft('C'),
    );
    const demanded = unwrap(await inventory.demand('A', 'a newer manifest'));
    assert.deepEqual(demanded.attestDemand, { reason: 'a newer manifest', sinceSeconds: NOW });
    assert.equal(stateOf('A'), 'trusted');
    assert.equal(codeOf(await inventory.demand('B', 'x')), 'DPU_STATE');
    assert.equal(codeOf(await inventory.demand('C', 'x')), 'DPU_KEY_MISSING');
    unwrap(await inventory.assess('A', assessment({ verdict: 'warning' })));
    assert.notEqual(unwrap(inventory.find('A')).attestDemand, undefined);
    const { dpu } = unwrap(inventory.attested('A', assessment()));
    assert.equal(dpu.attestDemand, undefined);
  });

  it('forgets the key of a host, and nothing else', async (context) => {
    const hostKey = { anchor: KEY, boot: 'b', witness: '', hostUuid: 'u', sinceSeconds: NOW };
    const hostTpm = { ekSha256: KEY, hostUuid: 'u', sinceSeconds: NOW };
    const known = { ownKeySha256: KEY, hostKey, hostTpm };
    const dpu = dpuDraft('A', { state: 'trusted', deviceIds: [KEY], ...known });
    const { inventory, heard } = await opened(context, dpu);
    const { revision: _revision, ...after } = unwrap(
      await inventory.forgetHost('A', { tpm: false }),
    );
    assert.deepEqual({ ...after, hostKey }, dpu);
    assert.equal(after.hostKey, undefined);
    assert.deepEqual(heard(), []);
    assert.equal(codeOf(await inventory.forgetHost('A', { tpm: false })), 'DPU_STATE');
    const whole = unwrap(await inventory.forgetHost('A', { tpm: true }));
    assert.equal(whole.hostTpm, undefined);
    assert.equal(codeOf(await inventory.forgetHost('A', { tpm: true })), 'DPU_STATE');
    assert.equal(codeOf(await inventory.forgetHost('B', { tpm: true })), 'DPU_NOT_FOUND');
  });

  it('takes an answer of a silent BMC for the end of the silence, and no more', async (context) => {
    const silent = { unreachableSinceSeconds: NOW - 5, attestedAtSeconds: NOW - 9 };
    const { inventory } = await opened(
      context,
      dpuDraft('A', { ...silent, state: 'degraded', deviceIds: [KEY], assessment: assessment() }),
      dpuDraft('B', {
        ...silent,
        state: 'degraded',
        deviceIds: [KEY],
        assessment: assessment({ verdict: 'warning' }),
      }),
      dpuDraft('C', { ...silent, state: 'trusted', mustAttest: true, deviceIds: [KEY] }),
      dpuDraft('D', { state: 'trusted', deviceIds: [KEY], assessment: assessment() }),
    );
    const seen = async (serial: string) => {
      unwrap(await inventory.answered(serial));
      const dpu = unwrap(inventory.find(serial));
      return [dpu.state, dpu.unreachableSinceSeconds, dpu.attestedAtSeconds, dpu.mustAttest];
    };
    assert.deepEqual(await seen('A'), ['trusted', 0, NOW - 9, false]);
    assert.deepEqual(await seen('B'), ['degraded', 0, NOW - 9, false]);
    assert.deepEqual(await seen('C'), ['trusted', 0, NOW - 9, true]);
    const before = unwrap(inventory.find('D')).revision;
    await seen('D');
    assert.equal(unwrap(inventory.find('D')).revision, before);
  });

  it('does not take an answer of its BMC for the attestation that an operator wants', async (context) => {
    const { inventory } = await opened(
      context,
      dpuDraft('A', {
        state: 'degraded',
        unreachableSinceSeconds: NOW - 5,
        deviceIds: [KEY],
        assessment: assessment(),
      }),
    );
    for (const see of [
      () => inventory.answered('A'),
      () => inventory.assess('A', assessment({ detail: 'seen' })),
    ]) {
      // Both begin with the DPU as it stands; the operator's is written first.
      const [commissioned, seen] = await Promise.all([
        inventory.move('A', 'commission', { reason: 'another board' }),
        see(),
      ]);
      assert.deepEqual([commissioned.ok, seen.ok], [true, true]);
      const { state, mustAttest, reason } = unwrap(inventory.find('A'));
      assert.deepEqual([state, mustAttest, reason], ['commissioned', true, 'another board']);
      const { dpu } = unwrap(inventory.attested('A', assessment()));
      const again = { ...dpu, state: 'degraded', unreachableSinceSeconds: NOW - 5 } as const;
      unwrap(await inventory.change('A', () => ok(again)));
    }
  });

  it('takes an appraisal in: trust, a warning, or out at once with an alarm', async (context) => {
    const { inventory, stateOf, heard } = await opened(
      context,
      dpuDraft('A', { state: 'trusted', deviceIds: [KEY] }),
    );
    unwrap(await inventory.assess('A', assessment({ verdict: 'warning', detail: 'old' })));
    assert.equal(stateOf('A'), 'degraded');
    unwrap(await inventory.assess('A', assessment()));
    assert.equal(stateOf('A'), 'trusted');
    const bad = assessment({ verdict: 'contraindicated', code: 'X', detail: 'index 3 differs' });
    unwrap(await inventory.assess('A', bad));
    const after = unwrap(inventory.find('A'));
    assert.deepEqual(
      [after.state, after.reason, after.mustAttest],
      ['quarantined', 'index 3 differs', true],
    );
    assert.deepEqual(after.assessment, bad);
    assert.deepEqual(heard(), [
      ['warned', 'A', false],
      ['attested', 'A', false],
      ['contradicted', 'A', true],
    ]);
    // What the server sees by itself afterwards does not let it back.
    unwrap(await inventory.assess('A', assessment()));
    assert.equal(stateOf('A'), 'quarantined');
    unwrap(await inventory.move('A', 'release', { reason: 'checked' }));
    unwrap(await inventory.assess('A', assessment()));
    assert.deepEqual(
      [stateOf('A'), unwrap(inventory.find('A')).mustAttest],
      ['commissioned', true],
    );
  });

  it('makes an attestation and its agent durable together, or neither', async (context) => {
    const { inventory, registry, stateOf } = await opened(
      context,
      dpuDraft('A', { state: 'commissioned', mustAttest: true, deviceIds: [KEY] }),
    );
    const agent = agentRecord('x', { id: id(dpuAgentPath(KEY)) });
    const record = { agent, aliasEntry: undefined, joinTokenAnswer: undefined };
    const dpu = unwrap(inventory.attested('A', assessment()));
    // A quarantine that comes while the SVID is being signed wins.
    unwrap(await inventory.quarantine('A', { reason: 'now' }));
    assert.equal(codeOf(await registry.recordAttestation({ ...record, dpu })), 'STORE_CONFLICT');
    assert.deepEqual([stateOf('A'), registry.agent(agent.id)], ['quarantined', undefined]);
    assert.equal(codeOf(inventory.attested('A', assessment())), 'DPU_STATE');
    unwrap(await inventory.move('A', 'release', { reason: 'checked' }));
    const fresh = unwrap(inventory.attested('A', assessment()));
    unwrap(await registry.recordAttestation({ ...record, dpu: fresh }));
    assert.deepEqual([stateOf('A'), registry.agent(agent.id)?.quarantine], ['trusted', undefined]);
    const bad = assessment({ verdict: 'contraindicated' });
    assert.equal(codeOf(inventory.attested('A', bad)), 'DPU_STATE');
  });

  it('stops the agents of the DPU, of its host and those that it names, and no other', async (context) => {
    const { inventory, registry } = await opened(
      context,
      dpuDraft('A', { state: 'trusted', deviceIds: [KEY], agentIds: [id('/spire/agent/named')] }),
      dpuDraft('B', { state: 'trusted', deviceIds: ['cd'.repeat(32)] }),
    );
    const paths = {
      own: dpuAgentPath(KEY),
      host: `/spire/agent/dpu_host/${KEY}/uuid-1`,
      named: '/spire/agent/named',
      otherHost: `/spire/agent/dpu_host/${'cd'.repeat(32)}/${KEY}`,
      other: '/spire/agent/other',
    };
    for (const path of Object.values(paths)) {
      const agent = agentRecord('x', { id: id(path) });
      unwrap(
        await registry.recordAttestation({
          agent,
          aliasEntry: undefined,
          joinTokenAnswer: undefined,
        }),
      );
    }
    unwrap(
      await registry.createEntries(
        Object.entries(paths).map(([name, path]) => ({ draft: draft(`/${name}`, path) })),
      ),
    );
    const serving = () =>
      Object.entries(paths)
        .filter(([, path]) => registry.authorizedEntries(id(path)).length > 0)
        .map(([name]) => name);
    assert.deepEqual(serving(), Object.keys(paths));
    unwrap(await inventory.quarantine('A', { reason: 'x' }));
    assert.deepEqual(serving(), ['otherHost', 'other']);
    assert.equal(registry.agent(id(paths.host))?.quarantine, 'DPU A is quarantined: x');
    // One that joins now is out as well.
    const late = agentRecord('x', { id: id(`/spire/agent/dpu_host/${KEY}/uuid-2`) });
    unwrap(
      await registry.recordAttestation({
        agent: late,
        aliasEntry: undefined,
        joinTokenAnswer: undefined,
      }),
    );
    assert.equal(registry.agent(late.id)?.quarantine, 'DPU A is quarantined: x');
  });

  it('stops agents that are named after a device key which no DPU has any more', async (context) => {
    const { inventory, registry } = await opened(
      context,
      dpuDraft('A', { state: 'trusted', deviceIds: [KEY] }),
    );
    const agent = agentRecord('x', { id: id(dpuAgentPath(KEY)) });
    const host = agentRecord('x', { id: id(`/spire/agent/dpu_host/${KEY}/uuid-1`) });
    for (const each of [agent, host]) {
      unwrap(
        await registry.recordAttestation({
          agent: each,
          aliasEntry: undefined,
          joinTokenAnswer: undefined,
        }),
      );
    }
    const standing = () => [agent, host].map((each) => registry.agent(each.id)?.quarantine);
    assert.deepEqual(standing(), [undefined, undefined]);
    // Another board in its place: what the old one attested for ends.
    unwrap(
      await inventory.move('A', 'commission', { reason: 'board replaced' }, (draft) =>
        ok({ ...draft, deviceIds: ['cd'.repeat(32)] }),
      ),
    );
    const out = 'no DPU has its device key';
    assert.deepEqual(standing(), [out, out]);
    // Nor does it come back by retiring and beginning anew.
    unwrap(await inventory.move('A', 'retire', { reason: 'stolen' }));
    unwrap(await inventory.move('A', 'release', { reason: 'found' }));
    assert.deepEqual(standing(), [out, out]);
  });

  it('gives a silent BMC its grace to the second, and none to a DPU that is out', async (context) => {
    const { inventory, clock, stateOf, heard } = await opened(
      context,
      dpuDraft('A', { state: 'trusted', deviceIds: [KEY] }),
      dpuDraft('B', { state: 'quarantined', mustAttest: true }),
    );
    unwrap(await inventory.unreachable('A', 'no answer'));
    unwrap(await inventory.unreachable('B', 'no answer'));
    assert.equal(stateOf('A'), 'degraded');
    clock.advance((GRACE - 1) * 1000);
    // A second failure does not begin the grace anew.
    unwrap(await inventory.unreachable('A', 'no answer'));
    assert.equal(await inventory.sweep(), 0);
    clock.advance(1000);
    assert.equal(await inventory.sweep(), 1);
    assert.equal(stateOf('A'), 'quarantined');
    assert.deepEqual(heard(), [
      ['unreachable', 'A', false],
      ['lost', 'A', false],
    ]);
  });

  it('forgets the silence of a BMC that answers again', async (context) => {
    const { inventory, clock, stateOf } = await opened(
      context,
      dpuDraft('A', { state: 'trusted', deviceIds: [KEY] }),
    );
    unwrap(await inventory.unreachable('A', 'no answer'));
    unwrap(await inventory.assess('A', assessment()));
    clock.advance(GRACE * 2000);
    assert.deepEqual([await inventory.sweep(), stateOf('A')], [0, 'trusted']);
  });

  it('puts everybody out who shows one device key', async (context) => {
    const { inventory, stateOf } = await opened(
      context,
      dpuDraft('A', { state: 'trusted', deviceIds: [KEY] }),
      dpuDraft('B', { state: 'trusted', deviceIds: ['cd'.repeat(32)] }),
      dpuDraft('C', { state: 'trusted', deviceIds: ['ef'.repeat(32)] }),
    );
    const session = { deviceId: 'ef'.repeat(32), serial: 'C', csrKeyHash: '1' };
    const leave = unwrap(await inventory.enterSession(session));
    // The same party again, and another one after the first has gone, are no twins.
    unwrap(await inventory.enterSession({ ...session }))();
    leave();
    const second = unwrap(await inventory.enterSession({ ...session, csrKeyHash: '2' }));
    assert.equal(stateOf('C'), 'trusted');
    const twin = await inventory.enterSession({ ...session, csrKeyHash: '3' });
    assert.equal(codeOf(twin), 'DPU_TWIN');
    assert.equal(stateOf('C'), 'quarantined');
    second();
    const foreign = await inventory.enterSession({ deviceId: KEY, serial: 'B', csrKeyHash: '1' });
    assert.equal(codeOf(foreign), 'DPU_TWIN');
    assert.deepEqual([stateOf('A'), stateOf('B')], ['quarantined', 'quarantined']);
  });

  it('puts a DPU out that sits in another host, and the one that sits there', async (context) => {
    const host = (serial: string) => ({ serial, uuid: '', pf0Mac: '' });
    const { inventory, stateOf, heard } = await opened(
      context,
      dpuDraft('A', { state: 'trusted', deviceIds: [KEY], host: host('H1') }),
      dpuDraft('B', { state: 'trusted', host: host('H2') }),
      dpuDraft('C', { state: 'trusted', host: host('H3') }),
    );
    unwrap(await inventory.seen('A', host('H1')));
    // What is not known says nothing.
    unwrap(await inventory.seen('A', { serial: '', uuid: 'u', pf0Mac: '' }));
    assert.equal(codeOf(await inventory.seen('A', host('H2'))), 'DPU_MOVED');
    assert.deepEqual(['A', 'B', 'C'].map(stateOf), ['quarantined', 'quarantined', 'trusted']);
    assert.ok(heard().every(([, , alarm]) => alarm));
  });

  it('puts nobody out whose host has the same UUID and another serial number', async (context) => {
    const host = (serial: string, uuid: string) => ({ serial, uuid, pf0Mac: '' });
    const { inventory, stateOf } = await opened(
      context,
      dpuDraft('A', { state: 'trusted', deviceIds: [KEY], host: host('H1', 'u1') }),
      dpuDraft('B', { state: 'trusted', host: host('H2', 'u2') }),
      // Boards of some makers leave with one UUID for all.
      dpuDraft('C', { state: 'trusted', host: host('H3', 'u2') }),
      dpuDraft('D', { state: 'trusted', host: host('', 'u2') }),
    );
    assert.equal(codeOf(await inventory.seen('A', host('H2', 'u2'))), 'DPU_MOVED');
    const states = ['A', 'B', 'C', 'D'].map(stateOf);
    assert.deepEqual(states, ['quarantined', 'quarantined', 'trusted', 'quarantined']);
  });
});
