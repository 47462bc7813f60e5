import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { SignetError } from '../../src/base/errors.ts';
import { seededRandom } from '../../src/base/random.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import {
  AgentService,
  type AttestAgentResponse,
  type RenewAgentResponse,
} from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { Bundle as WireBundle } from '../../src/gen/spire/api/types/bundle.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { parseCsr } from '../../src/x509/csr.ts';
import { AGENT_TEST_DOMAIN, settle, TestAgentCa } from '../../test/support/agent-ca.ts';
import { assertValue } from '../../test/support/refused.ts';
import { startScriptedServer } from '../../test/support/scripted-server.ts';
import { testFolder } from '../../test/support/workload-api.ts';
import { makeKey, makeLeaf } from '../../test/support/x509.ts';
import { storeBundle } from '../identity/trust-bundle.ts';
import { createJoinTokenAttestor } from './join_token/agent.ts';
import { type OwnSvid, readOwnSvid } from './own-svid.ts';
import { Standing } from './standing.ts';
import { openState } from './state.ts';

const START_MS = Date.UTC(2030, 0, 1);
const LIFE_MS = 3_600_000;
const AGENT_ID = 'spiffe://example.org/spire/agent/join_token/abc';

/** A standing that holds an SVID of an hour, and a server whose answers the test sets. */
async function setUp(context: TestContext, reattestable = false) {
  const clock = new ManualClock(START_MS);
  const ca = new TestAgentCa(() => clock.nowMs());
  const answers = {
    renew: (): Result<void> => ok(undefined),
    attest: (_spki: Uint8Array): Result<AttestAgentResponse> =>
      fail('INTERNAL', 'used', { status: 'NotFound' }),
  };
  const counts = { renewals: 0, attestations: 0 };
  const chainFor = (spki: Uint8Array): Buffer[] => {
    const key = { ...makeKey(), spki, publicKey: { ...makeKey().publicKey, spki } };
    const leaf = makeLeaf(ca.root, AGENT_ID, {
      key,
      notBeforeMs: clock.nowMs() - 60_000,
      notAfterMs: clock.nowMs() + LIFE_MS,
    });
    return [Buffer.from(leaf.der)];
  };
  const server = await startScriptedServer(context);
  server.serve(BundleService, {
    getBundle: () => ok(WireBundle.decode(storeBundle(ca.bundle().bundle))),
  });
  server.serve(AgentService, {
    renewAgent: ({ params }): Result<RenewAgentResponse> => {
      counts.renewals++;
      const verdict = answers.renew();
      if (!verdict.ok) return verdict;
      const { publicKey } = assertValue(parseCsr(params?.csr ?? Buffer.alloc(0)));
      const certChain = chainFor(publicKey.spki);
      return ok({ svid: { certChain, id: undefined, expiresAt: 0n, hint: '' } });
    },
    attestAgent: async (requests, stream) => {
      for await (const { step } of requests) {
        counts.attestations++;
        const csr = step?.$case === 'params' ? step.value.params?.csr : undefined;
        const answer = answers.attest(assertValue(parseCsr(csr ?? Buffer.alloc(0))).publicKey.spki);
        if (!answer.ok) return answer;
        stream.write(answer.value);
      }
      return ok(undefined);
    },
  });
  const state = assertValue(await openState(testFolder(context), AGENT_TEST_DOMAIN));
  const channels: string[] = [];
  const ended = Promise.withResolvers<SignetError>();
  const standing = new Standing({
    trustDomain: AGENT_TEST_DOMAIN,
    bootstrap: { insecure: true, bundleFormat: 'pem' },
    attestor: createJoinTokenAttestor({ token: 'abc' }),
    state,
    dial: () => ok(server.clients()),
    clock,
    random: seededRandom(1),
    log: createLogger({ level: 'silent' }),
    version: 'test/1',
    bundle: () => ca.bundle(),
    onBundle: () => {},
    onClients: (_clients, svid) => channels.push(svid.serial),
    onEnd: ended.resolve,
  });
  context.after(() => standing.stop());
  standing.start(ownSvid(ca, clock, reattestable));
  assert.equal(channels.length, 1);
  /** An attestation that the server accepts. */
  const accept = (spki: Uint8Array): Result<AttestAgentResponse> => {
    const svid = { certChain: chainFor(spki), id: undefined, expiresAt: 0n, hint: '' };
    return ok({ step: { $case: 'result', value: { svid, reattestable: true } } });
  };
  const control = { clock, ca, standing, state, answers, accept };
  return { ...control, counts, channels, ended: ended.promise };
}

function ownSvid(ca: TestAgentCa, clock: ManualClock, reattestable: boolean): OwnSvid {
  const key = makeKey();
  const leaf = makeLeaf(ca.root, AGENT_ID, {
    key,
    notBeforeMs: clock.nowMs() - 60_000,
    notAfterMs: clock.nowMs() + LIFE_MS,
  });
  const bytes = {
    chainDer: [leaf.der],
    privateKeyPkcs8: key.privateKey.export({ type: 'pkcs8', format: 'der' }),
    reattestable,
  };
  const renewal = (): number => clock.nowMs() + LIFE_MS / 2;
  return assertValue(readOwnSvid(bytes, AGENT_TEST_DOMAIN, renewal));
}

function unavailable(): Result<never> {
  return fail('INTERNAL', 'away', { status: 'Unavailable' });
}

test('a renewed SVID is on disk before the channel under it is handed out', async (context) => {
  const { clock, standing, state, channels, counts } = await setUp(context);
  const before = standing.svid?.notAfterMs;
  clock.advance(LIFE_MS / 2 - 1);
  assert.equal(counts.renewals, 0);
  clock.advance(1);
  await settle(() => channels.length === 2);
  assert.ok((standing.svid?.notAfterMs ?? 0) > (before ?? 0));
  const stored = state.current.svid?.chain[0];
  const held = Buffer.from(standing.svid?.tls.chainDer[0] ?? []).toString('base64');
  assert.equal(stored, held);
});

test('an SVID of a tainted authority is renewed at once, and again until another signs', async (context) => {
  const { clock, standing, ca, channels, counts } = await setUp(context);
  standing.taint(new Set(['00'.repeat(20)]));
  clock.advance(1000);
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  assert.equal(counts.renewals, 0, 'not what another authority signed');
  standing.taint(new Set([Buffer.from(ca.root.keyId).toString('hex')]));
  clock.advance(0);
  await settle(() => channels.length === 2);
  assert.equal(counts.renewals, 1);
  clock.advance(4999);
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  assert.equal(counts.renewals, 1);
  clock.advance(1);
  await settle(() => channels.length === 3);
});

test('what is renewed is not renewed a second time before the answer is there', async (context) => {
  const { clock, standing, ca, channels, counts } = await setUp(context);
  const tainted = new Set([Buffer.from(ca.root.keyId).toString('hex')]);
  standing.taint(tainted);
  clock.advance(0);
  standing.taint(tainted);
  clock.advance(0);
  await settle(() => channels.length === 2);
  assert.equal(counts.renewals, 1);
  clock.advance(5000);
  await settle(() => channels.length === 3);
  assert.equal(counts.renewals, 2);
});

test('a server that is away is asked again until the SVID lapses; then an attestation decides', async (context) => {
  const { clock, standing, answers, counts, ended } = await setUp(context);
  answers.renew = unavailable;
  clock.advance(LIFE_MS / 2);
  await settle(() => counts.renewals === 1);
  for (let minute = 0; minute < 29; minute++) {
    clock.advance(60_000);
    const asked = counts.renewals;
    await settle(() => counts.renewals > asked);
    assert.ok(standing.svid, `minute ${minute}`);
  }
  assert.ok(counts.renewals > 10 && counts.renewals < 60, String(counts.renewals));
  assert.equal(counts.attestations, 0);
  // The join token is used up: nothing is left but to say so.
  for (let step = 0; step < 10 && counts.attestations === 0; step++) {
    clock.advance(30_000);
    const asked = counts.renewals;
    await settle(() => counts.renewals > asked || counts.attestations > 0);
  }
  const end = await ended;
  assert.equal(end.code, 'AGENT_MUST_ATTEST');
  assert.ok(end.message.includes('lapsed') && end.message.includes('used'), end.message);
});

test('Reattest that the server then refuses leaves the SVID in use, and its renewal', async (context) => {
  const { clock, standing, counts, channels } = await setUp(context);
  standing.reattest('firmware');
  await settle(() => counts.attestations === 1);
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  assert.ok(standing.svid);
  clock.advance(LIFE_MS / 2);
  await settle(() => channels.length === 2);
  assert.equal(counts.renewals, 1);
});

test('after a jump of the clock an SVID that is due is renewed soon', async (context) => {
  const { clock, standing, channels } = await setUp(context);
  clock.setWallClock(START_MS + LIFE_MS * 0.75);
  standing.recheck();
  clock.advance(500);
  await settle(() => channels.length === 2);
  assert.equal(channels.length, 2);
});

test('a denial forgets the stored SVID at once: a restart must not go on with it', async (context) => {
  const { standing, state, ended } = await setUp(context);
  standing.denied('not-attested', 'gone');
  standing.denied('not-attested', 'gone');
  assert.equal(state.current.svid, undefined);
  const end = await ended;
  assert.equal(end.code, 'AGENT_MUST_ATTEST');
  assert.ok(end instanceof SignetError);
});

describe('an agent that may attest again', () => {
  test('renews by attesting, at half the life of its SVID', async (context) => {
    const { clock, standing, answers, accept, counts, channels } = await setUp(context, true);
    answers.attest = accept;
    clock.advance(LIFE_MS / 2 - 1);
    assert.equal(counts.attestations, 0);
    clock.advance(1);
    await settle(() => channels.length === 2);
    assert.deepEqual(counts, { renewals: 0, attestations: 1 });
    assert.ok(standing.svid?.reattestable);
  });

  test('keeps an SVID that lives while the server refuses, and asks again; at its end it is over', async (context) => {
    const { clock, standing, counts, ended } = await setUp(context, true);
    let over = false;
    void ended.then(() => {
      over = true;
    });
    clock.advance(LIFE_MS / 2);
    await settle(() => counts.attestations === 1);
    for (let minute = 0; minute < 29; minute++) {
      assert.ok(standing.svid, `minute ${minute}`);
      assert.equal(over, false, `minute ${minute}`);
      const asked = counts.attestations;
      clock.advance(60_000);
      await settle(() => counts.attestations > asked);
    }
    for (let step = 0; step < 10 && !over; step++) {
      const asked = counts.attestations;
      clock.advance(30_000);
      await settle(() => counts.attestations > asked || over);
    }
    const end = await ended;
    assert.equal(end.code, 'AGENT_MUST_ATTEST');
    assert.equal(counts.renewals, 0);
  });

  test('goes on attesting while the server is away, past the end of its SVID, and comes back', async (context) => {
    const { clock, answers, accept, counts, channels } = await setUp(context, true);
    answers.attest = unavailable;
    clock.advance(LIFE_MS / 2);
    await settle(() => counts.attestations === 1);
    for (let elapsedMs = 0; elapsedMs < LIFE_MS; elapsedMs += 30_000) {
      const asked = counts.attestations;
      await settle(() => {
        clock.advance(1000);
        return counts.attestations > asked;
      });
      clock.advance(29_000);
    }
    answers.attest = accept;
    await settle(() => {
      clock.advance(1000);
      return channels.length === 2;
    });
    assert.equal(counts.renewals, 0);
  });
});
