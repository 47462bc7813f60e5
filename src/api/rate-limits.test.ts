import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { type CallLimitSettings, createCallLimits } from './rate-limits.ts';

const one = { perSecond: 1, burst: 2 };
const settings: CallLimitSettings = {
  attestation: one,
  anonymousCalls: one,
  agentCalls: one,
  agentSignatures: { perSecond: 1, burst: 10 },
};

test('a key has its burst, then its rate; other keys and limits are their own', () => {
  const clock = new ManualClock(0);
  const limits = createCallLimits(settings, clock);
  assert.ok(limits.attestation.take('a').ok);
  assert.ok(limits.attestation.take('a').ok);
  const refused = limits.attestation.take('a');
  assert.equal(refused.ok ? '' : refused.error.code, 'RATE_LIMITED');
  assert.ok(!refused.ok && refused.error.message.includes('raise limits.attestation'));
  assert.ok(limits.attestation.take('b').ok);
  assert.ok(limits.anonymousCalls.take('a').ok);
  clock.advance(1000);
  assert.ok(limits.attestation.take('a').ok);
  assert.ok(!limits.attestation.take('a').ok);
});

test('a batch costs its length', () => {
  const limits = createCallLimits(settings, new ManualClock(0));
  assert.ok(limits.agentSignatures.take('a', 10).ok);
  assert.ok(!limits.agentSignatures.take('a', 1).ok);
  assert.ok(limits.agentSignatures.take('a', 0).ok);
});

test('a rate of 0 is no limit; a change takes effect at once, and what stays keeps its count', () => {
  const limits = createCallLimits(settings, new ManualClock(0));
  limits.agentCalls.take('a', 2);
  limits.configure({ ...settings, attestation: { perSecond: 0, burst: 1 } });
  for (let call = 0; call < 100; call++) assert.ok(limits.attestation.take('a').ok);
  assert.ok(!limits.agentCalls.take('a').ok);
  limits.configure({ ...settings, agentCalls: { perSecond: 1, burst: 5 } });
  assert.ok(limits.agentCalls.take('a', 5).ok);
});
