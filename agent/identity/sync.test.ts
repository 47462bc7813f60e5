import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { SignetError } from '../../src/base/errors.ts';
import { seededRandom } from '../../src/base/random.ts';
import { ok, type Result } from '../../src/base/result.ts';
import { AgentSyncService, type Hello } from '../../src/gen/signet/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { Bundle as WireBundle } from '../../src/gen/spire/api/types/bundle.ts';
import {
  PermissionDeniedDetails,
  PermissionDeniedDetails_Reason as Reason,
} from '../../src/gen/spire/api/types/status.ts';
import { withStatusDetails } from '../../src/rpc/status.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { parseSpiffeId } from '../../src/spiffe/spiffe-id.ts';
import { AGENT_TEST_DOMAIN, settle, TestAgentCa, wireEntry } from '../../test/support/agent-ca.ts';
import { assertValue } from '../../test/support/refused.ts';
import { startScriptedServer } from '../../test/support/scripted-server.ts';
import { createClockOffset } from './clock-offset.ts';
import { Identities } from './identities.ts';
import { Sync } from './sync.ts';
import { storeBundle } from './trust-bundle.ts';

const ONE = assertValue(parseSpiffeId('spiffe://example.org/spire/agent/join_token/one'));
const TWO = assertValue(parseSpiffeId('spiffe://example.org/spire/agent/join_token/two'));

async function setUp(context: TestContext) {
  const clock = new ManualClock(Date.UTC(2030, 0, 1));
  const random = seededRandom(1);
  const ca = new TestAgentCa(() => clock.nowMs());
  const identities = new Identities({
    trustDomain: AGENT_TEST_DOMAIN,
    x509: { clock, random, keyType: 'ec-p256', mint: ca.mintX509, onFailure: () => {} },
    jwt: { clock, random, mint: ca.mintJwt, maxTokens: 1, maxRequests: 1 },
    onBadAnswer: () => {},
    onOwnBundle: () => {},
    onTaint: () => {},
  });
  identities.installBundle(ca.bundle());
  const denials: string[] = [];
  const delays: number[] = [];
  const sync = new Sync({
    identities,
    trustDomain: AGENT_TEST_DOMAIN,
    clock: {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      after: (delayMs, action) => {
        delays.push(delayMs);
        return clock.after(delayMs, action);
      },
    },
    random,
    log: createLogger({ level: 'silent' }),
    offset: createClockOffset(),
    version: 'test/1',
    onDenied: (denial) => denials.push(denial),
    onReattest: () => {},
    onRedial: () => {},
  });
  const server = await startScriptedServer(context);
  context.after(() => {
    sync.stop();
    identities.close();
  });
  return { clock, ca, identities, sync, server, denials, delays };
}

test('a feed is resumed by the agent that followed it, and by no other', async (context) => {
  const { sync, server, identities } = await setUp(context);
  const hellos: Hello[] = [];
  server.serve(AgentSyncService, {
    sync: async (requests, stream, call) => {
      for await (const { kind } of requests) {
        if (kind?.$case !== 'hello') continue;
        hellos.push(kind.value);
        const entries = [wireEntry(`e${hellos.length}`)];
        const value = { feedId: 'feed', revision: 7n, entries, last: true, serverTimeMs: 0n };
        stream.write({ kind: { $case: 'snapshot', value } });
      }
      await new Promise((resolve) => call.signal.addEventListener('abort', resolve));
      return ok(undefined);
    },
  });
  for (const [index, agentId] of [ONE, ONE, TWO].entries()) {
    sync.use(server.clients(), agentId);
    await settle(() => identities.entry(`e${index + 1}`) !== undefined);
  }
  assert.deepEqual(
    hellos.map(({ feedId, revision }) => [feedId, revision]),
    [
      ['', 0n],
      ['feed', 7n],
      ['', 0n],
    ],
  );
  assert.equal(sync.mode, 'push');
  assert.equal(sync.ageMs, 0);
});

test('a server that does not push is polled every 5 s, a tenth more or less', async (context) => {
  const { sync, server, identities, clock, ca } = await setUp(context);
  let polls = 0;
  server.serve(EntryService, {
    syncAuthorizedEntries: async (requests, stream) => {
      for await (const _request of requests) {
        polls++;
        stream.write({ entryRevisions: [], entries: [wireEntry(`e${polls}`)], more: false });
        return ok(undefined);
      }
      return ok(undefined);
    },
  });
  const bundle = WireBundle.decode(storeBundle(ca.bundle().bundle));
  server.serve(BundleService, { getBundle: () => ok(bundle) });
  sync.use(server.clients(), ONE);
  await settle(() => identities.ready);
  assert.equal(sync.mode, 'poll');
  await settle(() => sync.ageMs !== undefined);
  clock.advance(4400);
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  assert.equal(polls, 1);
  assert.ok((sync.ageMs ?? 0) >= 4400);
  clock.advance(1200);
  await settle(() => identities.entry('e2') !== undefined);
  assert.equal(polls, 2);
  assert.equal(identities.entry('e1'), undefined);
});

test('a denial is told, and the attempts go on with growing delays', async (context) => {
  const { sync, server, clock, denials } = await setUp(context);
  let attempts = 0;
  const denied = (): Result<void> => {
    attempts++;
    const error = new SignetError('INTERNAL', 'gone', { status: 'PermissionDenied' });
    const reason = Reason.AGENT_NOT_ATTESTED;
    return {
      ok: false,
      error: withStatusDetails(
        error,
        'type.googleapis.com/spire.api.types.PermissionDeniedDetails',
        PermissionDeniedDetails.encode({ reason }).finish(),
      ),
    };
  };
  server.serve(AgentSyncService, { sync: async () => denied() });
  sync.use(server.clients(), ONE);
  await settle(() => denials.length === 1);
  assert.deepEqual(denials, ['not-attested']);
  clock.advance(99);
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  assert.equal(attempts, 1);
  clock.advance(101);
  await settle(() => denials.length === 2);
  assert.equal(attempts, 2);
});

const streams: readonly (readonly [name: string, messages: boolean, ms: number, grows: boolean])[] =
  [
    ['served for less than 10 s', true, 9_999, true],
    ['served for longer than 10 s', true, 10_001, false],
    ['that hung for 20 s without a message', false, 20_000, true],
  ];
for (const [name, messages, ms, grows] of streams) {
  test(`after a stream ${name} the delay ${grows ? 'grows' : 'begins anew'}`, async (context) => {
    const { sync, server, clock, delays } = await setUp(context);
    server.serve(AgentSyncService, {
      sync: async (_requests, stream) => {
        if (messages) {
          const value = { feedId: 'f', revision: 1n, entries: [], last: true, serverTimeMs: 0n };
          stream.write({ kind: { $case: 'snapshot', value } });
          await settle(() => sync.mode === 'push');
        }
        clock.advance(ms);
        return { ok: false, error: new SignetError('SERVER_STOPPING', 'stopping') };
      },
    });
    sync.use(server.clients(), ONE);
    for (let attempt = 1; attempt <= 3; attempt++) {
      await settle(() => delays.length === attempt);
      const full = grows ? 200 * 2 ** (attempt - 1) : 200;
      const delay = delays[attempt - 1] ?? 0;
      assert.ok(delay >= full / 2 && delay <= full, `attempt ${attempt}: ${delay} ms of ${full}`);
      clock.advance(delay);
    }
  });
}
