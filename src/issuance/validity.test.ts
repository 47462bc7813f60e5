import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { jwtValidity, x509Validity } from './validity.ts';

const NOW = 1_800_000_000;
const LIFETIMES = { x509Seconds: 3600, agentSeconds: 7200, jwtSeconds: 300, backdateSeconds: 60 };
const CA = { notBeforeMs: (NOW - 3600) * 1000, notAfterMs: (NOW + 86_400) * 1000 };

function x509(purpose: 'workload' | 'agent' | 'server' | 'mint', ttlSeconds: number, ca = CA) {
  return x509Validity({ purpose, ttlSeconds }, ca, NOW * 1000 + 999, LIFETIMES);
}

describe('validity of certificates', () => {
  test('X509-26 begins a minute in the past', () => {
    assert.equal(x509('workload', 0).notBeforeSeconds, NOW - 60);
  });

  for (const [ttl, backdate] of [
    [239, 59],
    [240, 60],
    [241, 60],
    [10, 2],
    [3, 0],
  ] as const) {
    test(`of ${ttl} s begins ${backdate} s in the past: a quarter of what lies ahead at most`, () => {
      assert.equal(x509('workload', ttl).notBeforeSeconds, NOW - backdate);
    });
  }

  test('does not begin before its authority', () => {
    const young = { ...CA, notBeforeMs: (NOW - 10) * 1000 };
    assert.equal(x509('workload', 0, young).notBeforeSeconds, NOW - 10);
  });

  test('begins no earlier than the grant says, and lives no longer, from its own beginning', () => {
    const at = (bounds: { notBeforeSeconds?: number; maxLifeSeconds?: number }) => {
      const grant = { purpose: 'workload', ttlSeconds: 0, ...bounds } as const;
      const { notBeforeSeconds, notAfterSeconds } = x509Validity(grant, CA, NOW * 1000, LIFETIMES);
      return [notBeforeSeconds - NOW, notAfterSeconds - NOW];
    };
    assert.deepEqual(at({ notBeforeSeconds: NOW - 61 }), [-60, 3600]);
    assert.deepEqual(at({ notBeforeSeconds: NOW - 59 }), [-59, 3600]);
    assert.deepEqual(at({ maxLifeSeconds: 3661 }), [-60, 3600]);
    assert.deepEqual(at({ maxLifeSeconds: 3600 }), [-60, 3540]);
    assert.deepEqual(at({ notBeforeSeconds: NOW + 5, maxLifeSeconds: 600 }), [5, 605]);
  });

  test('takes the grant’s lifetime, or that of its purpose', () => {
    assert.equal(x509('workload', 0).notAfterSeconds, NOW + 3600);
    assert.equal(x509('server', 0).notAfterSeconds, NOW + 3600);
    assert.equal(x509('mint', 0).notAfterSeconds, NOW + 3600);
    assert.equal(x509('agent', 0).notAfterSeconds, NOW + 7200);
    assert.equal(x509('agent', 30).notAfterSeconds, NOW + 30);
  });

  test('does not outlive what the grant names, though its lifetime is longer', () => {
    for (const [left, end] of [
      [7199, 7199],
      [7200, 7200],
      [7201, 7200],
    ] as const) {
      const grant = { purpose: 'agent', ttlSeconds: 0, notAfterSeconds: NOW + left } as const;
      const validity = x509Validity(grant, CA, NOW * 1000 + 999, LIFETIMES);
      assert.equal(validity.notAfterSeconds, NOW + end);
    }
  });

  for (const [ttl, end] of [
    [86_399, 86_399],
    [86_400, 86_400],
    [86_401, 86_400],
    [999_999_999, 86_400],
  ] as const) {
    test(`X509-26 of ${ttl} s under an authority with 86400 s left ends after ${end} s`, () => {
      assert.equal(x509('mint', ttl).notAfterSeconds, NOW + end);
    });
  }
});

describe('validity of tokens', () => {
  const jwt = (ttlSeconds: number, left = 86_400) =>
    jwtValidity({ ttlSeconds }, NOW + left, NOW * 1000 + 999, LIFETIMES);

  test('begins now and lasts what was granted, or five minutes', () => {
    assert.deepEqual(jwt(0), { notBeforeSeconds: NOW, notAfterSeconds: NOW + 300 });
    assert.equal(jwt(60).notAfterSeconds, NOW + 60);
  });

  test('does not outlive its key', () => {
    assert.equal(jwt(0, 299).notAfterSeconds, NOW + 299);
    assert.equal(jwt(0, 300).notAfterSeconds, NOW + 300);
    assert.equal(jwt(0, 301).notAfterSeconds, NOW + 300);
  });
});
