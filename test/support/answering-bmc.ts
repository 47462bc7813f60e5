import { ManualClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { fail, ok } from '../../src/base/result.ts';
import type { Bmc } from '../../src/redfish/bmc-client.ts';
import { judgeAnswer } from '../../src/redfish/exchange.ts';
import { TargetTurns } from '../../src/redfish/target-turns.ts';
import { QUICK_PACE } from './mock-bmc.ts';

/** What comes back instead of an answer over HTTP. */
export interface PlainAnswer {
  readonly status: number;
  readonly body: Uint8Array;
  readonly location?: string;
}

/**
 * A BMC without connections: answers are judged as those of a real one, but come from a function. Its
 * clock moves by every pause, so that nothing waits.
 */
export function answeringBmc(answer: (method: 'GET' | 'POST', path: string) => PlainAnswer): Bmc {
  const clock = new ManualClock(0);
  const judged = (method: 'GET' | 'POST', path: string) => {
    const { status, body: bytes, location } = answer(method, path);
    return judgeAnswer(`${method} ${path}`, { status, headers: { location }, bytes });
  };
  return {
    origin: 'https://192.0.2.1',
    clock: {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      after(delayMs, action) {
        const cancel = clock.after(delayMs, action);
        setImmediate(() => clock.advance(1));
        return cancel;
      },
    },
    random: seededRandom(1),
    pace: { ...QUICK_PACE, shortestPauseMs: 1, longestPauseMs: 1, collectionMs: 20 },
    turns: new TargetTurns(),
    get: async (path) => {
      const read = judged('GET', path);
      if (!read.ok) return read;
      const { body } = read.value;
      return body === undefined ? fail('REDFISH_ANSWER_SHAPE', 'no content') : ok(body);
    },
    post: async (path) => judged('POST', path),
  };
}
