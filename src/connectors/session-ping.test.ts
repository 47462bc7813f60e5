import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { SessionRig, type TestSession } from '../../test/support/connector-session.ts';
import { openState } from '../../test/support/state.ts';
import { Event } from '../gen/signet/connector/v1/connector.ts';

async function opened(context: TestContext): Promise<{ made: SessionRig; one: TestSession }> {
  const { registry } = await openState(context);
  const made = new SessionRig(registry);
  context.after(() => made.hub.close());
  await made.group('edge');
  const one = made.open(await made.enrol('c1', '1'));
  one.stream.take();
  return { made, one };
}

const pings = ({ stream }: TestSession): number =>
  stream.take().filter(({ $case }) => $case === 'ping').length;

describe('a connector that is silent', () => {
  it('is asked for a heartbeat once when two were missed, and lost when it stays silent', async (context) => {
    const { made, one } = await opened(context);
    made.clock.advance(59_000);
    assert.equal(pings(one), 0);
    made.clock.advance(2_000);
    const [ping] = one.stream.take();
    assert.ok(ping?.$case === 'ping');
    assert.ok(Number(ping.value.serverTimeMs) <= made.clock.nowMs());
    // It is looked at for other reasons, too.
    one.session.due();
    made.clock.advance(28_000);
    assert.equal(pings(one), 0);
    assert.equal(one.session.isOver, false);
    made.clock.advance(2_000);
    assert.equal(await one.outcome(), 'CONNECTOR_SESSION_SILENT');
    assert.equal(made.hub.size, 0);
  });

  it('goes on where it answers, and is asked again in the next silence', async (context) => {
    const { made, one } = await opened(context);
    for (let silence = 0; silence < 3; silence++) {
      made.clock.advance(61_000);
      assert.equal(pings(one), 1);
      made.heartbeat(one);
    }
    made.clock.advance(60_500);
    assert.equal(one.session.isOver, false);
  });

  it('is not asked while it beats, whatever happens to the wall clock', async (context) => {
    const { made, one } = await opened(context);
    for (const jumpMs of [0, 3_000_000, -86_400_000, 0]) {
      made.clock.setWallClock(made.clock.nowMs() + jumpMs);
      for (let beat = 0; beat < 6; beat++) {
        made.clock.advance(33_000);
        made.heartbeat(one);
      }
    }
    assert.equal(pings(one), 0);
  });

  it('is written nothing more where it reads nothing, and lost in its time', async (context) => {
    const { made, one } = await opened(context);
    one.stream.room = 1;
    made.hub.tell('c1', { $case: 'collectDiagnostics', value: {} });
    assert.equal(one.stream.take().length, 1);
    made.clock.advance(61_000);
    assert.deepEqual(one.stream.take(), []);
    made.clock.advance(30_000);
    assert.equal(await one.outcome(), 'CONNECTOR_SESSION_SILENT');
  });
});

describe('events of a connector', () => {
  it('are written down twenty at once and one in five seconds, each connector by itself', async (context) => {
    const { made, one } = await opened(context);
    const two = made.open(await made.enrol('c2', '2'));
    const say = (who: TestSession, times: number): void => {
      for (let at = 0; at < times; at++) {
        who.say({ $case: 'event', value: Event.fromJSON({ reason: 'r' }) });
      }
    };
    const { counts } = made.hub;
    say(one, 20);
    assert.deepEqual([counts.events, counts.eventsDropped], [20, 0]);
    say(one, 5);
    assert.deepEqual([counts.events, counts.eventsDropped], [20, 5]);
    say(two, 20);
    assert.deepEqual([counts.events, counts.eventsDropped], [40, 5]);
    made.clock.advance(4_900);
    say(one, 1);
    assert.deepEqual([counts.events, counts.eventsDropped], [40, 6]);
    made.clock.advance(100);
    say(one, 2);
    assert.deepEqual([counts.events, counts.eventsDropped], [41, 7]);
  });
});
