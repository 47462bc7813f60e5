import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concatBytes } from '../../../src/base/bytes.ts';
import { seededRandom } from '../../../src/base/random.ts';
import { ok } from '../../../src/base/result.ts';
import { tpmU16, tpmU32 } from '../../../src/tpm/tpm-writer.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { encodeCommand, NO_PASSWORD, readResponse, runCommand, TPM_CC } from './command.ts';

const seed = Number(process.env.SIGNET_FAULT_SEED ?? 1);
const QUOTE = { code: TPM_CC.quote, handles: [0x80000000], auths: [NO_PASSWORD] };

function response(tag: number, code: number, body: Uint8Array = new Uint8Array(0)): Buffer {
  return Buffer.from(concatBytes([tpmU16(tag), tpmU32(10 + body.length), tpmU32(code), body]));
}

test('a command is laid out as TPM 2.0 Part 1 says', () => {
  assert.equal(
    Buffer.from(encodeCommand(QUOTE)).toString('hex'),
    '80020000001b00000158' + '80000000' + '00000009' + '40000009' + '0000' + '01' + '0000',
  );
  const flush = { code: TPM_CC.flushContext, handles: [], parameters: [tpmU32(5)] };
  assert.equal(Buffer.from(encodeCommand(flush)).toString('hex'), '80010000000e0000016500000005');
});

test('a refusal of the TPM says its code; a warning may pass', () => {
  assertRefused(readResponse(response(0x8001, 0x98e), QUOTE), 'AGENT_TPM_REFUSED');
  assertRefused(readResponse(response(0x8001, 0x902), QUOTE), 'AGENT_TPM_UNAVAILABLE');
});

test('a command that the TPM asks to send again is sent again, and not for ever', async () => {
  const sent: number[] = [];
  const transport = (good: number) => ({
    exchange: async () => {
      sent.push(good);
      return ok(response(0x8001, sent.length < good ? 0x922 : 0));
    },
    close: async () => {},
  });
  assertValue(await runCommand(transport(3), QUOTE));
  assert.equal(sent.length, 3);
  sent.length = 0;
  assertRefused(await runCommand(transport(1000), QUOTE), 'AGENT_TPM_UNAVAILABLE');
  assert.equal(sent.length, 10);
});

test(`a response is answered with a value or a refusal, whatever it is, seed ${seed}`, () => {
  const random = seededRandom(seed);
  const good = response(0x8002, 0, concatBytes([tpmU32(4), Buffer.alloc(4), Buffer.alloc(5)]));
  assert.equal(assertValue(readResponse(good, QUOTE)).parameters.length, 4);
  for (let length = 0; length < good.length; length++) {
    assertRefused(readResponse(good.subarray(0, length), QUOTE), 'AGENT_TPM_UNAVAILABLE');
  }
  for (let run = 0; run < 5000; run++) {
    const bytes = Buffer.from(run % 2 === 0 ? good : random.bytes(1 + (run % 60)));
    const at = (random.bytes(1)[0] ?? 0) % bytes.length;
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (run & 7));
    const read = readResponse(bytes, { ...QUOTE, answersHandle: run % 3 === 0 });
    if (!read.ok) assert.match(read.error.code, /^AGENT_TPM_/);
  }
});
