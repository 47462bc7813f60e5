import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import { seededRandom } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { JsonObject, JsonValue } from '../spiffe/json.ts';
import type { Bmc, BmcCall } from './bmc-client.ts';
import { findHostCard } from './host-card.ts';
import { readInventoryFromBmc, readSerialFromBmc } from './inventory.ts';
import { DEFAULT_PACE } from './pace.ts';
import { readPosture } from './posture-reader.ts';
import { TargetTurns } from './target-turns.ts';

const ANSWER_MS = 20_000;

/** Sixty-four members of any collection, each of which is a collection too. */
function endless(path: string): JsonObject {
  const members = Array.from({ length: path.endsWith('/Systems') ? 1 : 64 }, (_, at) => {
    return new Map<string, JsonValue>([['@odata.id', `${path}/${at}`]]);
  });
  const more = new Map<string, JsonValue>([['@odata.id', `${path}/More`]]);
  return new Map<string, JsonValue>([
    ['SerialNumber', 'MT1'],
    ['Members', members],
    ['NetworkAdapters', more],
  ]);
}

/** A BMC that answers everything, each time after 20 seconds; `asked` counts. */
function slowBmc() {
  const clock = new ManualClock(0);
  const bmc = {
    origin: 'https://bmc.example',
    clock,
    random: seededRandom(1),
    pace: DEFAULT_PACE,
    turns: new TargetTurns(),
    asked: 0,
    async get(path: string, call: BmcCall = {}): Promise<Result<JsonObject>> {
      if (call.signal?.aborted === true) return fail('REDFISH_TIMEOUT', 'no answer in time');
      bmc.asked += 1;
      clock.advance(ANSWER_MS);
      return ok(endless(path));
    },
    post: () => assert.fail('nothing is posted'),
  };
  return bmc;
}

describe('a BMC that takes its time over each answer is left after the time of one collection', () => {
  for (const [what, read] of [
    ['its inventory', (bmc: Bmc) => readInventoryFromBmc(bmc)],
    ['its serial number', (bmc: Bmc) => readSerialFromBmc(bmc)],
    ['its posture', (bmc: Bmc) => readPosture(bmc)],
    ['the cards of a host', (bmc: Bmc) => findHostCard(bmc, 'MT2')],
  ] as const) {
    test(what, async () => {
      const bmc = slowBmc();
      // Its methods are those that readers use.
      await read(bmc as unknown as Bmc);
      assert.ok(bmc.asked * ANSWER_MS <= DEFAULT_PACE.collectionMs, `${bmc.asked} answers`);
    });
  }
});
