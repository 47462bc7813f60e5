import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { PassThrough, type Readable, type Writable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import type { Framing } from '../../src/base/framing.ts';
import { fail, unwrap } from '../../src/base/result.ts';
import { FramedConnection } from '../../src/runtime/framed-connection.ts';
import { EMULATOR_FRAMING } from '../../src/spdm/emulator-framing.ts';
import { DEFAULT_SPDM_POLICY } from '../../src/spdm/policy.ts';
import { collectMeasurements } from '../../src/spdm/requester.ts';
import type { Exchange } from '../../src/spdm/talk.ts';
import { TCP_FRAMING } from '../../src/spdm/tcp-framing.ts';
import { verifyChallengeAuth } from '../../src/spdm/verify-challenge.ts';
import { verifySignedMeasurements } from '../../src/spdm/verify-measurements.ts';
import { assertRefused, assertValue } from '../support/refused.ts';
import {
  dpuMeasurements,
  flipBit,
  makeSpdmDevice,
  type SpdmDevice,
} from '../support/spdm-device.ts';
import { serveResponder } from '../support/spdm-responder-server.ts';

const policy = DEFAULT_SPDM_POLICY;
const nonce = randomBytes(32);
const challengeNonce = randomBytes(32);

/** A connection to a device that listens on loopback; both end with the test. */
async function connectTo(t: TestContext, device: SpdmDevice, framing: Framing) {
  const server = await serveResponder(framing, () => device.respond);
  t.after(() => server.close());
  const { host, port } = server;
  const rules = { clock: systemClock, timeoutMs: 60_000, maxAnswerBytes: policy.maxEvidenceBytes };
  const connection = assertValue(await FramedConnection.open({ host, port, framing, ...rules }));
  t.after(() => connection.close());
  return { connection, server };
}

/** Messages of a stream, each after its length of four bytes. */
async function* messagesOf(stream: Readable): AsyncGenerator<Buffer> {
  let received = Buffer.alloc(0);
  for await (const chunk of stream) {
    received = Buffer.concat([received, chunk as Buffer]);
    while (received.length >= 4 && received.length >= 4 + received.readUInt32BE()) {
      const end = 4 + received.readUInt32BE();
      yield received.subarray(4, end);
      received = received.subarray(end);
    }
  }
}

/** Writes a message in pieces of up to seven bytes, as a network may. */
function send(stream: Writable, message: Uint8Array): void {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(message.length);
  const framed = Buffer.concat([head, message]);
  for (let at = 0; at < framed.length; at += 7) stream.write(framed.subarray(at, at + 7));
}

/** The agent: hands each message to the device and the answer back, and looks at none. */
async function relay(fromServer: Readable, toServer: Writable, device: Exchange): Promise<void> {
  for await (const message of messagesOf(fromServer)) {
    send(toServer, unwrap(await device(message)));
  }
  toServer.end();
}

/** The server's end of the pipe. */
function exchangeOver(toAgent: Writable, fromAgent: Readable): Exchange {
  const answers = messagesOf(fromAgent);
  return async (request) => {
    send(toAgent, request);
    const answer = await answers.next();
    if (answer.done === true) return fail('SPDM_UNREACHABLE', 'the agent is gone');
    return { ok: true, value: answer.value };
  };
}

for (const [name, framing] of [
  ['SPDM over TCP', TCP_FRAMING],
  ['the framing of the emulator', EMULATOR_FRAMING],
] as const) {
  test(`${name}: beside the device, evidence is collected and verifies`, async (t) => {
    const device = makeSpdmDevice();
    const { connection } = await connectTo(t, device, framing);
    const exchange: Exchange = (message) => connection.exchange(message);
    const options = { nonce, challengeNonce, policy, clock: systemClock };
    const { messages } = assertValue(await collectMeasurements(exchange, options));
    const { leafKey } = device;
    assertValue(verifySignedMeasurements({ messages, nonce, leafKey, policy }));
  });

  test(`${name}: the server drives every byte and the agent relays`, async (t) => {
    const device = makeSpdmDevice();
    const { connection } = await connectTo(t, device, framing);
    const [down, up] = [new PassThrough(), new PassThrough()];
    const seen: Buffer[] = [];
    const relayed = relay(down, up, (message) => {
      seen.push(Buffer.from(message));
      return connection.exchange(message);
    });
    const options = { nonce, challengeNonce, policy, clock: systemClock };
    const collected = await collectMeasurements(exchangeOver(down, up), options);
    const { messages, challengeMessages = new Uint8Array(), version } = assertValue(collected);
    down.end();
    await relayed;
    const { leafKey } = device;
    const verified = verifySignedMeasurements({ messages, nonce, leafKey, policy });
    assert.equal(assertValue(verified).blocks.length, dpuMeasurements().length);
    const challenge = { messages: challengeMessages, nonce: challengeNonce, leafKey, policy };
    assertValue(verifyChallengeAuth(challenge));
    assert.equal(version, '1.3');
    // Each question of the transcript is one that the server sent.
    assert.ok(
      seen.every((message) => Buffer.from(messages).includes(message) || message[1] !== 0xe0),
    );
  });
}

test('a relay that changes one bit of any answer is found out', async () => {
  const device = makeSpdmDevice();
  let answers = 0;
  const counting: Exchange = (message) => {
    answers += 1;
    return device.exchange(message);
  };
  const options = { nonce, policy, clock: systemClock };
  assertValue(await collectMeasurements(counting, options));
  for (let changed = 1; changed <= answers; changed++) {
    let at = 0;
    const meddling: Exchange = async (message) => {
      const answer = await device.exchange(message);
      at += 1;
      if (at !== changed || !answer.ok) return answer;
      return { ok: true, value: flipBit(answer.value, -1, 7) };
    };
    const collected = await collectMeasurements(meddling, options);
    if (!collected.ok) continue;
    const { messages } = collected.value;
    const { leafKey } = device;
    const verified = verifySignedMeasurements({ messages, nonce, leafKey, policy });
    assertRefused(verified, 'SPDM_SIGNATURE');
  }
});
