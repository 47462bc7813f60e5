import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { toHex } from './bytes.ts';
import { seededRandom } from './random.ts';
import { TextPacker } from './text-packer.ts';

test('packed texts are read as they were, whatever was packed before and after', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 2_000 });
  fc.assert(
    fc.property(fc.array(text, { maxLength: 30 }), (texts) => {
      const packer = new TextPacker();
      const packed = texts.map((one) => packer.pack(one));
      assert.deepEqual(
        packed.map((one) => one.text),
        texts,
      );
    }),
    { numRuns: 50 },
  );
});

test('texts of lengths around that of the dictionary and the longest, are read as they were', () => {
  const packer = new TextPacker();
  for (const length of [0, 1, 5, 6, 7, 16_383, 16_384, 16_385, 65_536, 131_071, 131_072, 131_073]) {
    const text = Array.from({ length }, (_, at) => String.fromCharCode(33 + ((at * at) % 90))).join(
      '',
    );
    assert.equal(packer.pack(text).text, text);
    assert.equal(packer.pack('ü'.repeat(length / 2)).text, 'ü'.repeat(length / 2));
  }
});

test('texts that are alike take little memory, where several kinds come in turn', () => {
  const of = (kind: string, which: number): string =>
    `{"name":"${kind}-${which}","env":[${Array.from({ length: 60 }, (_, at) => `"${kind}${(at * 104_729) % 9_973}"`).join()}]}`;
  const packer = new TextPacker();
  for (let which = 0; which < 100; which += 1) {
    for (const kind of ['web', 'job', 'db']) {
      const packed = packer.pack(of(kind, which));
      assert.equal(packed.text, of(kind, which));
      if (which > 0) assert.ok(packed.keptBytes * 8 < of(kind, which).length, `${kind} ${which}`);
    }
  }
});

test('texts are read in any order, whatever the dictionary was when they were packed', () => {
  const packer = new TextPacker();
  const noise = (which: number): string => {
    const random = seededRandom(which);
    return Array.from({ length: 50 }, () => toHex(random.bytes(16))).join();
  };
  const texts = Array.from({ length: 20 }, (_, at) => noise(at % 10) + noise(at + 1));
  const packed = texts.map((text) => packer.pack(text));
  // Two are alike, the later one of each packed by what the dictionary has of the earlier.
  for (const at of [19, 10, 0, 5, 19, ...texts.keys()]) assert.equal(packed[at]?.text, texts[at]);
});
