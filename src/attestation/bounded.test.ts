import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertRefused } from '../../test/support/refused.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { Challenge, NodeAttestor } from './attestor.ts';
import { attestWithin } from './bounded.ts';

const LIMITS = { payloadBytes: 10, responseBytes: 5, challenges: 2, responseMs: 40, totalMs: 100 };

/** An attestor that asks as often as the test says and then refuses, with the sizes of what it got. */
function asking(times: number): NodeAttestor {
  return {
    type: 'test',
    limits: LIMITS,
    async attest(request, challenge: Challenge) {
      const sizes = [request.payload.length];
      for (let round = 0; round < times; round++) {
        const response = await challenge(Buffer.of(round));
        if (!response.ok) return response;
        sizes.push(response.value.length);
      }
      return fail('INTERNAL', sizes.join(' '));
    },
  };
}

interface Case {
  readonly payload?: number;
  readonly response?: number;
  readonly rounds?: number;
  /** Milliseconds that each round takes. */
  readonly takesMs?: number;
}

/** Runs it; answers with the waits that each exchange was given beside the result. */
async function run(input: Case) {
  let nowMs = 0;
  const waits: number[] = [];
  const exchange = async (_bytes: Uint8Array, waitMs: number): Promise<Result<Uint8Array>> => {
    waits.push(waitMs);
    nowMs += input.takesMs ?? 1;
    return ok(Buffer.alloc(input.response ?? 1));
  };
  const request = {
    payload: Buffer.alloc(input.payload ?? 1),
    csrSpki: Buffer.alloc(1),
    csrKeyHash: '00',
  };
  const clock = { nowMs: () => nowMs };
  const result = await attestWithin(asking(input.rounds ?? 1), request, { exchange, clock });
  return { result, waits };
}

describe('an attestor within its limits', () => {
  for (const input of [
    { payload: 9 },
    { payload: 10 },
    { response: 4 },
    { response: 5 },
    { rounds: 0 },
    { rounds: 2 },
    { rounds: 2, takesMs: 50 },
  ]) {
    test(`judges ${JSON.stringify(input)}`, async () => {
      assertRefused((await run(input)).result, 'INTERNAL');
    });
  }

  for (const [input, code] of [
    [{ payload: 11 }, 'ATTESTATION_TOO_LARGE'],
    [{ response: 6 }, 'ATTESTATION_TOO_LARGE'],
    [{ rounds: 3 }, 'ATTESTATION_ROUNDS'],
    [{ rounds: 2, takesMs: 51 }, 'ATTESTATION_DEADLINE'],
    [{ rounds: 2, takesMs: 100 }, 'ATTESTATION_DEADLINE'],
  ] as const) {
    test(`refuses ${JSON.stringify(input)}`, async () => {
      assertRefused((await run(input)).result, code);
    });
  }

  test('waits for a response no longer than is left in all', async () => {
    assert.deepEqual((await run({ rounds: 2, takesMs: 70 })).waits, [40, 30]);
  });

  test('asks nothing once a payload is too large', async () => {
    assert.deepEqual((await run({ payload: 11 })).waits, []);
  });
});
