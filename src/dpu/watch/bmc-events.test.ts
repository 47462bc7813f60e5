import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { startMockBmc } from '../../../test/support/mock-bmc.ts';
import { soon } from '../../../test/support/processes.ts';
import { dpuDraft } from '../../../test/support/state.ts';
import { ManualClock } from '../../base/clock.ts';
import { seededRandom } from '../../base/random.ts';
import { ok } from '../../base/result.ts';
import { createLogger } from '../../runtime/log.ts';
import { createMetrics } from '../../runtime/metrics.ts';
import { BmcEvents, isReason } from './bmc-events.ts';

const dpu = { ...dpuDraft('A', { state: 'trusted' }), revision: 1n };

async function setUp(context: TestContext) {
  const { mock, connect } = await startMockBmc(context);
  const clock = new ManualClock(0);
  const looks: number[] = [];
  let opened = 0;
  const events = new BmcEvents({
    openClient: async () => {
      opened += 1;
      return ok(connect());
    },
    look: (_serial, delayMs) => void looks.push(delayMs),
    clock,
    random: seededRandom(1),
    log: createLogger({ level: 'silent' }),
    metrics: createMetrics('test'),
  });
  context.after(() => events.close());
  const following = () => soon(async () => mock.events.followers === 1);
  /** Moves time until a stream is there again. */
  const again = (count: number) =>
    soon(async () => {
      clock.advance(500);
      return opened >= count && mock.events.followers === 1;
    });
  return { mock, clock, looks, events, opened: () => opened, following, again };
}

describe('events of a BMC', () => {
  it('lead to a look at once where they are a reason, and to one only for many', async (context) => {
    const { mock, clock, looks, events, following } = await setUp(context);
    events.follow([dpu]);
    await following();
    mock.events.tell('OpenBMC.0.1.UserLoggedIn');
    mock.events.tell('OpenBMC.0.1.ChassisReset');
    await soon(async () => looks.length > 0);
    for (let at = 0; at < 5; at++) mock.events.tell('Update.1.0.UpdateSuccessful');
    await soon(async () => looks.length > 1);
    assert.deepEqual(looks, [0, 30_000]);
    clock.advance(30_001);
    mock.events.tell('x', '/redfish/v1/ComponentIntegrity/Bluefield_DPU_IRoT');
    await soon(async () => looks.length > 2);
    assert.deepEqual(looks, [0, 30_000, 29_999]);
  });

  it('that are garbage mean nothing, and the stream goes on', async (context) => {
    const { mock, looks, events, following, opened } = await setUp(context);
    events.follow([dpu]);
    await following();
    mock.events.raw('\u0000\u0001nonsense\n\ndata: {"Events":[{"MessageId":\n\ndata: []\n\n');
    mock.events.tell('Base.1.0.ResetRequired');
    await soon(async () => looks.length === 1);
    assert.equal(opened(), 1);
  });

  it('in a line without end, end the stream; it is opened again, later and later', async (context) => {
    const { mock, looks, events, following, again, opened } = await setUp(context);
    events.follow([dpu]);
    await following();
    mock.events.raw(`data: ${'x'.repeat(70_000)}`);
    await again(2);
    assert.equal(opened(), 2);
    // What was told in between is not told again.
    await soon(async () => looks.length === 1);
  });

  it('are followed again after the BMC broke off, and its card is looked at', async (context) => {
    const { mock, looks, events, following, again } = await setUp(context);
    events.follow([dpu]);
    await following();
    assert.deepEqual(looks, []);
    mock.events.drop();
    await again(2);
    await soon(async () => looks.length === 1);
  });

  it('are not asked for again for an hour where there are none', async (context) => {
    const { mock, clock, events, opened } = await setUp(context);
    mock.events.present = false;
    let asked = 0;
    mock.seen = (request) => {
      if (request.endsWith('EventService')) asked += 1;
    };
    events.follow([dpu]);
    await soon(async () => asked === 1 && mock.sessions.size === 0);
    clock.advance(3_599_000);
    assert.equal(opened(), 1);
    mock.events.present = true;
    await soon(async () => {
      clock.advance(1_000);
      return mock.events.followers === 1;
    });
    assert.equal(opened(), 2);
  });

  it('are no longer followed for a card that is not watched', async (context) => {
    const { mock, events, following } = await setUp(context);
    events.follow([dpu]);
    await following();
    events.follow([dpu]);
    events.follow([]);
    await soon(async () => mock.events.followers === 0 && mock.sessions.size === 0);
  });

  it('are a reason where they are about boots, firmware or measurements', () => {
    const reason = (messageId: string, origin = '') => isReason({ messageId, origin });
    for (const id of [
      'Base.1.15.0.ResetRequired',
      'X.SecureBootChanged',
      'Update.1.0.Ok',
      'PowerOn',
    ]) {
      assert.ok(reason(id), id);
    }
    assert.ok(reason('', '/redfish/v1/UpdateService/FirmwareInventory/DPU_NIC'));
    assert.ok(!reason('OpenBMC.0.1.UserLoggedIn', '/redfish/v1/Managers/x'));
  });
});
