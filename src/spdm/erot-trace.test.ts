import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertValue } from '../../test/support/refused.ts';
import { needsShared, sharedDir } from '../../test/support/shared.ts';
import { attempt } from '../der/refuse.ts';
import { readAlgorithms, readNegotiateAlgorithms } from './algorithms-message.ts';
import { ByteReader } from './byte-reader.ts';
import { readCapabilities, readGetCapabilities } from './capabilities-message.ts';
import { readDigests, readGetDigests } from './certificate-messages.ts';
import { readGetMeasurements, readMeasurements } from './measurements-message.ts';
import { readGetVersion, readVersionResponse } from './version-message.ts';

/** What went over the wire between a BMC and an external root of trust (Apache-2.0). */
const FILE = 'vectors/nvidia/erot-spdm-trace.txt';

/** SPDM messages of the trace in order, without the two bytes of MCTP before each. */
function messagesOfTrace(): readonly Uint8Array[] {
  const text = readFileSync(join(sharedDir, FILE), 'utf8');
  return [...text.matchAll(/(?:buf|ResponseBuffer) = 0d 05 ([0-9a-f ]+)$/gm)].map(([, hex]) =>
    Buffer.from((hex ?? '').replaceAll(' ', ''), 'hex'),
  );
}

/** Reads a message to its last byte. */
function whole<T>(message: Uint8Array | undefined, read: (reader: ByteReader) => T): T {
  const reader = new ByteReader(message ?? new Uint8Array());
  const value = assertValue(attempt('message', () => read(reader)));
  assert.equal(reader.left, 0);
  return value;
}

test('what a real root of trust says in 1.1 is read to its last byte', needsShared(FILE), () => {
  const trace = messagesOfTrace();
  const [getVersion, version, getCapabilities, capabilities, negotiate, algorithms] = trace;
  whole(getVersion, readGetVersion);
  assert.deepEqual([...whole(version, readVersionResponse)], [0x11]);
  whole(getCapabilities, (reader) => readGetCapabilities(reader, '1.1'));
  const { flags } = whole(capabilities, (reader) => readCapabilities(reader, '1.1', false));
  assert.equal(flags, 0x32);
  const offered = whole(negotiate, (reader) => readNegotiateAlgorithms(reader, '1.1'));
  const selected = whole(algorithms, (reader) => readAlgorithms(reader, '1.1', offered));
  assert.deepEqual(
    [selected.curve, selected.hash, selected.measurementHash],
    ['ec-p384', 'sha384', 'sha384'],
  );
  const [getDigests, digests] = trace.slice(6);
  whole(getDigests, (reader) => readGetDigests(reader, '1.1'));
  const slots = whole(digests, (reader) => readDigests(reader, '1.1', 'sha384'));
  assert.deepEqual([...slots.keys()], [0, 1]);
});

test('its measurements, one by one and the last signed, are read too', needsShared(FILE), () => {
  const trace = messagesOfTrace();
  const rounds = trace.flatMap((message, at) => (message[1] === 0xe0 ? [at] : []));
  assert.ok(rounds.length >= 2, `${rounds.length} questions`);
  const found = rounds.map((at) => {
    const request = whole(trace[at], (reader) => readGetMeasurements(reader, '1.1'));
    const read = whole(trace[at + 1], (reader) => readMeasurements(reader, '1.1', request, 96));
    assert.equal(read.signature?.length, request.signature === undefined ? undefined : 96);
    return read.blocks.map(({ index, raw, value }) => [index, raw, value.length]);
  });
  assert.deepEqual(found[0], [[1, true, 4]]);
  assert.deepEqual(found.at(-1), [[254, true, 0]]);
});
