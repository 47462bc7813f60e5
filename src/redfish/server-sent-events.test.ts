import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { parseEvents } from './event-stream.ts';
import { EventReader, MAX_EVENT_BYTES, MAX_EVENT_LINE_BYTES } from './server-sent-events.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const read = (...pieces: readonly string[]): readonly string[] => {
  const reader = new EventReader();
  const events = pieces.flatMap((piece) => assertValue(reader.read(bytes(piece))));
  return events.map((event) => Buffer.from(event).toString());
};

describe('a stream of events', () => {
  it('is read by lines of data, whatever else stands in it', () => {
    assert.deepEqual(
      read('id: 1\nevent: x\ndata: {"a":1}\nretry: 5\n\n: comment\n\ndata:b\r\n\r\n'),
      ['{"a":1}', 'b'],
    );
    assert.deepEqual(read('data: a\ndata: b\ndata\n\n'), ['a\nb\n']);
    assert.deepEqual(read('data:  two spaces\n\ndatas: other\n\ndata: cut off'), [' two spaces']);
  });

  it('is the same in whatever pieces it comes', () => {
    const text = 'data: one\r\n\r\n: c\ndata: two\ndata: three\n\nid: 7\n\ndata: é\n\n';
    fc.assert(
      fc.property(fc.array(fc.nat({ max: text.length }), { maxLength: 12 }), (cuts) => {
        const raw = bytes(text);
        const at = [0, ...cuts.map((cut) => Math.min(cut, raw.length)).sort((a, b) => a - b)];
        const reader = new EventReader();
        const events = [...at, raw.length].flatMap((end, i) => {
          const from = i === 0 ? 0 : (at[i - 1] ?? 0);
          return assertValue(reader.read(raw.subarray(from, end)));
        });
        assert.deepEqual(
          events.map((event) => Buffer.from(event).toString()),
          ['one', 'two\nthree', 'é'],
        );
      }),
    );
  });

  it('ends at a line that is too long, whether it ends or not', () => {
    const longest = `data: ${'x'.repeat(MAX_EVENT_LINE_BYTES - 6)}`;
    assert.equal(read(`${longest}\n\n`).length, 1);
    assertRefused(new EventReader().read(bytes(`${longest}x\n`)), 'REDFISH_ANSWER_TOO_LARGE');
    assertRefused(new EventReader().read(bytes(`${longest}x`)), 'REDFISH_ANSWER_TOO_LARGE');
    const reader = new EventReader();
    for (let at = 0; at < 15; at++) assertValue(reader.read(new Uint8Array(4096).fill(0x78)));
    assertValue(reader.read(new Uint8Array(4096).fill(0x78)));
    assertRefused(reader.read(Uint8Array.of(0x78)), 'REDFISH_ANSWER_TOO_LARGE');
  });

  it('ends at an event that is too long', () => {
    const line = `data: ${'x'.repeat(MAX_EVENT_BYTES / 4)}\n`;
    const reader = new EventReader();
    for (let at = 0; at < 3; at++) assertValue(reader.read(bytes(line)));
    assertRefused(reader.read(bytes(line)), 'REDFISH_ANSWER_TOO_LARGE');
  });

  it('survives anything', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
        const events = assertValue(new EventReader().read(noise));
        events.flatMap(parseEvents);
      }),
    );
  });
});

describe('the data of an event', () => {
  it('tells what happened and to what, in either form of the origin', () => {
    const event = {
      Events: [
        { MessageId: 'A.1.Reset', OriginOfCondition: { '@odata.id': '/redfish/v1/Systems/x' } },
        { MessageId: 'B', OriginOfCondition: '/redfish/v1/Chassis' },
        { MessageId: 7 },
      ],
    };
    assert.deepEqual(parseEvents(bytes(JSON.stringify(event))), [
      { messageId: 'A.1.Reset', origin: '/redfish/v1/Systems/x' },
      { messageId: 'B', origin: '/redfish/v1/Chassis' },
      { messageId: '', origin: '' },
    ]);
  });

  it('is none where it is not what Redfish has', () => {
    for (const text of [
      '',
      'x',
      '[]',
      '{}',
      '{"Events":1}',
      '{"Events":[1,null,"x"]}',
      '{"a":1,"a":2}',
    ]) {
      assert.deepEqual(parseEvents(bytes(text)), []);
    }
  });
});
