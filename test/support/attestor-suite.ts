import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { AttestationSession } from '../../agent/attestation/node-attestor.ts';
import type {
  AttestationRequest,
  AttestedNode,
  NodeAttestor,
} from '../../src/attestation/attestor.ts';
import { attestWithin, type Exchange } from '../../src/attestation/bounded.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { assertRefused, assertValue } from './refused.ts';
import { makeKey } from './x509.ts';

/** Both halves of a node attestor, as one test has them. */
export interface AttestorRig {
  readonly server: NodeAttestor;
  /** Begins as the agent does, for the key of `request`. */
  begin(): Promise<AttestationSession>;
  /** What the server is shown beside the payload. */
  readonly request: Omit<AttestationRequest, 'payload'>;
}

/** A node attestor under test. */
export interface AttestorUnderTest {
  readonly name: string;
  /** Rounds that an attestation takes. */
  readonly rounds: number;
  rig(context: TestContext): Promise<AttestorRig>;
}

/** A request's key and its hash; the hash is not looked at by methods without tokens. */
export function testRequest(): Omit<AttestationRequest, 'payload'> {
  const { spki } = makeKey();
  return { csrSpki: spki, csrKeyHash: '00' };
}

/** What stands between the halves: may change each response. */
export type Tamper = (response: Uint8Array, round: number) => Result<Uint8Array>;

/** Runs one attestation; answers with the node or the refusal, and the responses that the agent gave. */
export async function runAttestation(
  rig: AttestorRig,
  change: { readonly payload?: (payload: Buffer) => Buffer; readonly tamper?: Tamper } = {},
): Promise<{ readonly result: Result<AttestedNode>; readonly responses: readonly Uint8Array[] }> {
  const session = await rig.begin();
  const responses: Uint8Array[] = [];
  const exchange: Exchange = async (challenge) => {
    const response = await session.respond(challenge);
    if (!response.ok) return response;
    responses.push(response.value);
    return change.tamper === undefined
      ? response
      : change.tamper(response.value, responses.length - 1);
  };
  const payload = change.payload?.(session.payload) ?? session.payload;
  const clock = new ManualClock(0);
  const outcome = await attestWithin(rig.server, { ...rig.request, payload }, { exchange, clock });
  await session.close();
  if (!outcome.ok) return { result: outcome, responses };
  assert.equal(outcome.value.kind, 'attested');
  assert.ok(outcome.value.kind === 'attested');
  return { result: ok(outcome.value.node), responses };
}

/** The facts that hold for every node attestor. */
export function attestorSuite({ name, rounds, rig: setUp }: AttestorUnderTest): void {
  describe(`the node attestor ${name}`, () => {
    test(`attests an honest node in ${rounds} rounds`, async (context) => {
      const { result, responses } = await runAttestation(await setUp(context));
      const node = assertValue(result);
      assert.ok(node.agentId.path.startsWith('/spire/agent/'), node.agentId.path);
      assert.equal(responses.length, rounds);
    });

    test('refuses a payload that is garbage, whatever it is', async (context) => {
      const rig = await setUp(context);
      // The payload is replaced, so that one session does for all.
      const session = await rig.begin();
      const { payload } = session;
      const idle = { ...rig, begin: async () => ({ ...session, close: async () => {} }) };
      const random = seededRandom(7);
      const garbage = [
        Buffer.alloc(0),
        Buffer.from('{}'),
        Buffer.from('null'),
        Buffer.from('[[[[[[[[[[[[[[[['),
        Buffer.from('{"certificates":[""],"certificates":[""]}'),
        payload.subarray(0, -1),
        Buffer.concat([payload, payload]),
        ...Array.from({ length: 20 }, (_, i) => Buffer.from(random.bytes(1 + i * 13))),
      ];
      for (const bytes of garbage) {
        const { result } = await runAttestation(idle, { payload: () => bytes });
        assert.equal(result.ok, false, bytes.toString('hex').slice(0, 80));
      }
      await session.close();
    });

    test('refuses a payload over its limit before it looks at it', async (context) => {
      const rig = await setUp(context);
      const huge = Buffer.alloc(rig.server.limits.payloadBytes + 1);
      assertRefused(
        (await runAttestation(rig, { payload: () => huge })).result,
        'ATTESTATION_TOO_LARGE',
      );
    });

    if (rounds > 0) challengeFacts(setUp, rounds);
  });
}

function challengeFacts(setUp: AttestorUnderTest['rig'], rounds: number): void {
  test('asks no more often than its limit says', async (context) => {
    const whole = await setUp(context);
    const { limits } = whole.server;
    assert.ok(rounds <= limits.challenges);
    const server = { ...whole.server, limits: { ...limits, challenges: rounds - 1 } };
    const rig = { ...whole, server };
    assertRefused((await runAttestation(rig)).result, 'ATTESTATION_ROUNDS');
  });

  test('refuses every response of which a bit is another', async (context) => {
    const rig = await setUp(context);
    const random = seededRandom(11);
    for (let round = 0; round < rounds; round++) {
      for (let run = 0; run < 8; run++) {
        const { result } = await runAttestation(rig, {
          tamper: (response, at) => ok(at === round ? flipped(response, random) : response),
        });
        assert.equal(result.ok, false, `round ${round}, run ${run}`);
      }
    }
  });

  test('refuses a response that was given to another challenge', async (context) => {
    const rig = await setUp(context);
    const before = await runAttestation(rig);
    assertValue(before.result);
    const { result } = await runAttestation(rig, {
      tamper: (response, at) => ok(before.responses[at] ?? response),
    });
    assert.equal(result.ok, false);
  });

  test('refuses a response that is garbage, too large or none', async (context) => {
    const rig = await setUp(context);
    for (const bytes of [Buffer.alloc(0), Buffer.from('{}'), Buffer.from('null'), Buffer.of(255)]) {
      assert.equal((await runAttestation(rig, { tamper: () => ok(bytes) })).result.ok, false);
    }
    const huge = Buffer.alloc(rig.server.limits.responseBytes + 1);
    assertRefused(
      (await runAttestation(rig, { tamper: () => ok(huge) })).result,
      'ATTESTATION_TOO_LARGE',
    );
    const ended = fail('ATTESTATION_PROTOCOL', 'the stream ended');
    assertRefused(
      (await runAttestation(rig, { tamper: () => ended })).result,
      'ATTESTATION_PROTOCOL',
    );
  });
}

/** One bit of the bytes is another; in JSON, a bit of what a string holds. */
function flipped(bytes: Uint8Array, random: { bytes(length: number): Uint8Array }): Uint8Array {
  const text = Buffer.from(bytes).toString('latin1');
  const values = [...text.matchAll(/"([A-Za-z0-9+/=]{8,})"/g)];
  if (text.startsWith('{') && values.length > 0) {
    const pick = values[(random.bytes(1)[0] ?? 0) % values.length];
    const decoded = Buffer.from(pick?.[1] ?? '', 'base64');
    const at = (random.bytes(1)[0] ?? 0) % decoded.length;
    decoded[at] = (decoded[at] ?? 0) ^ 1;
    return Buffer.from(text.replace(pick?.[1] ?? '', decoded.toString('base64')), 'latin1');
  }
  const copy = Buffer.from(bytes);
  const at = (random.bytes(1)[0] ?? 0) % copy.length;
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
