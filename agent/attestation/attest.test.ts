import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { describe, type TestContext, test } from 'node:test';
import { SignetError } from '../../src/base/errors.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import {
  AgentService,
  type AttestAgentRequest,
  type AttestAgentResponse,
} from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { Bundle as WireBundle } from '../../src/gen/spire/api/types/bundle.ts';
import {
  PermissionDeniedDetails,
  PermissionDeniedDetails_Reason as Reason,
} from '../../src/gen/spire/api/types/status.ts';
import { withStatusDetails } from '../../src/rpc/status.ts';
import { parseCsr, verifyCsrSignature } from '../../src/x509/csr.ts';
import { AGENT_TEST_DOMAIN, TestAgentCa } from '../../test/support/agent-ca.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { startScriptedServer } from '../../test/support/scripted-server.ts';
import { testFolder } from '../../test/support/workload-api.ts';
import { makeKey, makeLeaf } from '../../test/support/x509.ts';
import { storeBundle } from '../identity/trust-bundle.ts';
import { attestNode } from './attest.ts';
import { createJoinTokenAttestor } from './join_token/agent.ts';
import type { NodeAttestor } from './node-attestor.ts';
import { openState } from './state.ts';

const AGENT_ID = 'spiffe://example.org/spire/agent/join_token/abc';

type Answer = (request: AttestAgentRequest) => Result<AttestAgentResponse['step']>;

/** A server that attests as the test says. */
async function setUp(
  context: TestContext,
  answer: { current: Answer },
  attestor: NodeAttestor = createJoinTokenAttestor({ token: 'abc' }),
) {
  const ca = new TestAgentCa(() => Date.now());
  const served = { bundle: WireBundle.decode(storeBundle(ca.bundle().bundle)) };
  const requests: AttestAgentRequest[] = [];
  const server = await startScriptedServer(context);
  server.serve(AgentService, {
    attestAgent: async (incoming, stream) => {
      for await (const request of incoming) {
        requests.push(request);
        const step = answer.current(request);
        if (!step.ok) return step;
        if (step.value !== undefined) stream.write({ step: step.value });
        if (step.value?.$case !== 'challenge') return ok(undefined);
      }
      return ok(undefined);
    },
  });
  server.serve(BundleService, { getBundle: () => ok(served.bundle) });
  const state = assertValue(await openState(testFolder(context), AGENT_TEST_DOMAIN));
  const parts = {
    trustDomain: AGENT_TEST_DOMAIN,
    attestor,
    state,
    renewal: (notAfterMs: number) => notAfterMs - 1,
  };
  return { ca, served, requests, state, attest: () => attestNode(parts, server.clients()) };
}

function csrOf(request: AttestAgentRequest | undefined): Buffer {
  assert.ok(request?.step?.$case === 'params');
  return request.step.value.params?.csr ?? Buffer.alloc(0);
}

function result(ca: TestAgentCa, changes: { uri?: string; otherKey?: boolean } = {}): Answer {
  return (request) => {
    const key = assertValue(verifyCsrSignature(assertValue(parseCsr(csrOf(request)))));
    const own = { ...makeKey(), publicKey: key, spki: key.spki };
    const leaf = makeLeaf(ca.root, changes.uri ?? AGENT_ID, {
      key: changes.otherKey === true ? makeKey() : own,
    });
    const svid = { certChain: [Buffer.from(leaf.der)], id: undefined, expiresAt: 0n, hint: '' };
    return ok({ $case: 'result', value: { svid, reattestable: false } });
  };
}

test('the payload is the token, the request names no ID, and the bundle comes with it', async (context) => {
  const answer: { current: Answer } = { current: () => fail('INTERNAL', 'unset') };
  const { ca, requests, state, attest } = await setUp(context, answer);
  answer.current = result(ca);
  const attested = assertValue(await attest());
  assert.equal(attested.svid.id.uri, AGENT_ID);
  assert.deepEqual(Buffer.from(attested.bundle.x509), Buffer.from(ca.bundle().x509));
  const step = requests[0]?.step;
  assert.ok(step?.$case === 'params');
  assert.deepEqual(step.value.data, { type: 'join_token', payload: Buffer.from('abc') });
  assert.deepEqual(assertValue(parseCsr(csrOf(requests[0]))).requestedUris, []);
  assert.ok(state.current.pendingKey !== undefined);
});

test('A8 after a lost answer the same key is shown again, so that the answer can be', async (context) => {
  const answer: { current: Answer } = { current: () => ok(undefined) };
  const { ca, requests, attest } = await setUp(context, answer);
  assertRefused(await attest(), 'AGENT_SERVER_ANSWER');
  answer.current = result(ca);
  assertValue(await attest());
  const keys = requests.map((request) => assertValue(parseCsr(csrOf(request))).publicKey.spki);
  assert.deepEqual(keys[0], keys[1]);
});

test('refusals say what kind they are: over, banned, or later again', async (context) => {
  const answer: { current: Answer } = { current: () => ok(undefined) };
  const { attest } = await setUp(context, answer);
  const banned = withStatusDetails(
    new SignetError('INTERNAL', 'banned', { status: 'PermissionDenied' }),
    'type.googleapis.com/spire.api.types.PermissionDeniedDetails',
    PermissionDeniedDetails.encode({ reason: Reason.AGENT_BANNED }).finish(),
  );
  const cases = [
    [fail('INTERNAL', 'used', { status: 'InvalidArgument' }), 'AGENT_ATTESTATION_REFUSED'],
    [fail('INTERNAL', 'no', { status: 'PermissionDenied' }), 'AGENT_ATTESTATION_REFUSED'],
    [{ ok: false, error: banned }, 'AGENT_BANNED'],
    [fail('INTERNAL', 'busy', { status: 'ResourceExhausted' }), 'AGENT_SERVER_UNAVAILABLE'],
    [fail('INTERNAL', 'away', { status: 'Unavailable' }), 'AGENT_SERVER_UNAVAILABLE'],
  ] as const;
  for (const [refusal, code] of cases) {
    answer.current = () => refusal;
    assertRefused(await attest(), code);
  }
});

test('answers that make no sense are refused', async (context) => {
  const answer: { current: Answer } = { current: () => ok(undefined) };
  const { ca, served, attest } = await setUp(context, answer);
  const step =
    (value: AttestAgentResponse['step']): Answer =>
    () =>
      ok(value);
  const senseless: readonly [string, Answer][] = [
    ['a challenge', step({ $case: 'challenge', value: Buffer.from('x') })],
    ['no SVID', step({ $case: 'result', value: { svid: undefined, reattestable: false } })],
    ['another key', result(ca, { otherKey: true })],
    ['no agent', result(ca, { uri: 'spiffe://example.org/workload' })],
    ['another trust domain', result(ca, { uri: 'spiffe://evil.org/spire/agent/x' })],
  ];
  for (const [name, current] of senseless) {
    answer.current = current;
    const attested = await attest();
    assert.equal(attested.ok, false, name);
    assertRefused(attested, 'AGENT_SERVER_ANSWER');
  }
  answer.current = result(ca);
  served.bundle = { ...served.bundle, trustDomain: 'evil.org' };
  assertRefused(await attest(), 'AGENT_SERVER_ANSWER');
  served.bundle = { ...served.bundle, trustDomain: 'example.org', x509Authorities: [] };
  assertRefused(await attest(), 'AGENT_SERVER_ANSWER');
});

describe('a method with challenges', () => {
  /** Answers each challenge with its bytes reversed; says when it is over. */
  function reversing(maxChallenges: number) {
    const seen: { spki: Buffer; signature: Buffer; closed: number } = {
      spki: Buffer.alloc(0),
      signature: Buffer.alloc(0),
      closed: 0,
    };
    const attestor: NodeAttestor = {
      type: 'reversing',
      maxChallenges,
      timeoutMs: 30_000,
      async begin(key) {
        seen.spki = Buffer.from(key.spki);
        seen.signature = key.sign(Buffer.from('evidence'));
        return ok({
          payload: Buffer.from('begin'),
          respond: async (challenge) =>
            challenge.length === 0
              ? fail('AGENT_SERVER_ANSWER', 'empty')
              : ok(Buffer.from(challenge).reverse()),
          close: async () => {
            seen.closed++;
          },
        });
      },
    };
    return { attestor, seen };
  }

  /** Challenges so often, then answers with an SVID for the key of the first request. */
  function challenging(ca: TestAgentCa, challenges: readonly string[]): Answer {
    const requests: AttestAgentRequest[] = [];
    return (request) => {
      requests.push(request);
      const next = challenges[requests.length - 1];
      if (next !== undefined) return ok({ $case: 'challenge', value: Buffer.from(next) });
      return result(ca)(requests[0] ?? request);
    };
  }

  test('is answered round by round, up to the last that it has', async (context) => {
    const answer: { current: Answer } = { current: () => fail('INTERNAL', 'unset') };
    const { attestor, seen } = reversing(2);
    const { ca, requests, attest } = await setUp(context, answer, attestor);
    answer.current = challenging(ca, ['ab', 'cd']);
    assertValue(await attest());
    const responses = requests.slice(1).map(({ step }) => {
      assert.ok(step?.$case === 'challengeResponse');
      return step.value.toString();
    });
    assert.deepEqual(responses, ['ba', 'dc']);
    assert.equal(seen.closed, 1);
    const { publicKey } = assertValue(parseCsr(csrOf(requests[0])));
    assert.deepEqual(seen.spki, Buffer.from(publicKey.spki));
    const key = createPublicKey({ key: seen.spki, format: 'der', type: 'spki' });
    assert.ok(verify('sha256', Buffer.from('evidence'), key, seen.signature));
  });

  test('does not answer one challenge more', async (context) => {
    const answer: { current: Answer } = { current: () => fail('INTERNAL', 'unset') };
    const { attestor, seen } = reversing(1);
    const { ca, requests, attest } = await setUp(context, answer, attestor);
    answer.current = challenging(ca, ['ab', 'cd']);
    assertRefused(await attest(), 'AGENT_SERVER_ANSWER');
    assert.equal(requests.length, 2);
    assert.equal(seen.closed, 1);
  });

  test('ends where it has no answer, and where the server ends it early', async (context) => {
    const answer: { current: Answer } = { current: () => fail('INTERNAL', 'unset') };
    const { attestor, seen } = reversing(3);
    const { ca, attest } = await setUp(context, answer, attestor);
    answer.current = challenging(ca, ['']);
    assertRefused(await attest(), 'AGENT_SERVER_ANSWER');
    answer.current = (request) =>
      request.step?.$case === 'params'
        ? ok({ $case: 'challenge', value: Buffer.from('ab') })
        : ok(undefined);
    assertRefused(await attest(), 'AGENT_SERVER_ANSWER');
    answer.current = (request) =>
      request.step?.$case === 'params'
        ? ok({ $case: 'challenge', value: Buffer.from('ab') })
        : fail('INTERNAL', 'wrong', { status: 'PermissionDenied' });
    assertRefused(await attest(), 'AGENT_ATTESTATION_REFUSED');
    assert.equal(seen.closed, 3);
  });
});
