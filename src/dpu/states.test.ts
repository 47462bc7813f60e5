import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { dpuDraft } from '../../test/support/state.ts';
import { unwrap } from '../base/result.ts';
import { DPU_STATES, type DpuRecord, isStopped } from '../rules/dpu.ts';
import { applyEvent, type DpuEvent, nextState, TRANSITIONS } from './states.ts';

const EVENTS: readonly DpuEvent[] = [
  'commission',
  'attested',
  'warned',
  'contradicted',
  'unreachable',
  'lost',
  'quarantine',
  'release',
  'retire',
];

const KEY = 'ab'.repeat(32);
const cause = { reason: 'why', atSeconds: 2_000_000_000 };

function dpu(extra: Partial<DpuRecord> = {}): DpuRecord {
  return { ...dpuDraft('MT1', { deviceIds: [KEY] }), revision: 1n, ...extra };
}

describe('the states of a DPU (reference §7.8)', () => {
  it('lead out of quarantine by an operator alone', () => {
    assert.deepEqual(Object.keys(TRANSITIONS.quarantined).sort(), ['release', 'retire']);
    assert.deepEqual(Object.keys(TRANSITIONS.retired), ['release']);
  });

  it('lead to trust by an attestation alone', () => {
    for (const state of DPU_STATES) {
      for (const event of EVENTS) {
        const to = nextState(state, event);
        if (to === 'trusted') assert.equal(event, 'attested', state);
        if (to === 'degraded' && event !== 'unreachable') assert.equal(event, 'warned', state);
      }
    }
  });

  it('give a mismatch no grace, and silence one only where the DPU has attested', () => {
    for (const state of ['enrolling', 'commissioned', 'trusted', 'degraded'] as const) {
      assert.equal(nextState(state, 'contradicted'), 'quarantined');
      const silent = unwrap(applyEvent(dpu({ state }), 'unreachable', cause));
      assert.notEqual(silent.state, 'quarantined');
      assert.equal(silent.unreachableSinceSeconds, cause.atSeconds);
    }
    assert.equal(nextState('degraded', 'lost'), 'quarantined');
    assert.equal(nextState('enrolling', 'lost'), undefined);
  });

  it('refuse everything that is not in the table', () => {
    for (const state of DPU_STATES) {
      for (const event of EVENTS) {
        const applied = applyEvent(dpu({ state }), event, cause);
        const expected = nextState(state, event) === undefined ? 'DPU_STATE' : 'OK';
        assert.equal(applied.ok ? 'OK' : applied.error.code, expected, `${state} ${event}`);
      }
    }
  });

  it('take no attestation of a DPU without a pinned key', () => {
    for (const event of ['attested', 'warned'] as const) {
      const applied = applyEvent(dpu({ deviceIds: [] }), event, cause);
      assert.equal(applied.ok ? 'OK' : applied.error.code, 'DPU_KEY_MISSING');
    }
  });

  it('end a quarantine at a full attestation only, whatever else happens in between', () => {
    const events = fc.array(fc.constantFrom(...EVENTS), { maxLength: 40 });
    fc.assert(
      fc.property(events, (happened) => {
        let [now, out] = [dpu(), false];
        for (const event of happened) {
          const applied = applyEvent(now, event, cause);
          if (!applied.ok) continue;
          // A device key is pinned again where a release forgot it.
          now = { ...applied.value, deviceIds: [KEY], revision: 1n };
          if (['contradicted', 'lost', 'quarantine', 'retire'].includes(event)) out = true;
          if (event === 'attested' || event === 'warned') out = false;
          if (out) assert.ok(isStopped(now), `${happened.join(' ')}: stopped at ${event}`);
        }
      }),
    );
  });

  it('send a trusted DPU back to attest when other keys are pinned', () => {
    const before = dpu({ state: 'trusted' });
    const after = unwrap(applyEvent(before, 'commission', cause));
    assert.deepEqual([after.state, after.mustAttest], ['commissioned', true]);
    const fresh = unwrap(applyEvent(dpu(), 'commission', cause));
    assert.deepEqual([fresh.state, fresh.mustAttest], ['commissioned', false]);
  });

  it('forget what was pinned of one that comes back from retirement', () => {
    const value = { target: 't', index: 5, value: 'aa' };
    const retired = dpu({
      state: 'retired',
      mustAttest: true,
      baseline: [value],
      counters: [value],
    });
    const after = unwrap(applyEvent(retired, 'release', cause));
    assert.deepEqual(
      [after.state, after.deviceIds, after.baseline, after.mustAttest],
      ['enrolling', [], [], true],
    );
  });

  it('keep the moment of a state that stays', () => {
    const trusted = dpu({ state: 'trusted', stateSinceSeconds: 5 });
    assert.equal(unwrap(applyEvent(trusted, 'attested', cause)).stateSinceSeconds, 5);
    const warned = unwrap(applyEvent(trusted, 'warned', cause));
    assert.equal(warned.stateSinceSeconds, cause.atSeconds);
  });
});
