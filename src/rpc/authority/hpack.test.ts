import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeLiterals, HpackDecoder } from './hpack.ts';
import { buildTree, decodeHuffman } from './huffman.ts';

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
}

function decoded(decoder: HpackDecoder, block: Buffer): string[] | undefined {
  return decoder.decode(block)?.fields.map(({ name, value }) => `${name}: ${value}`);
}

/** An integer with a prefix of `bits` under `pattern` (RFC 7541 §5.1). */
function integer(pattern: number, bits: number, value: number): Buffer {
  const mask = (1 << bits) - 1;
  if (value < mask) return Buffer.of(pattern | value);
  const out = [pattern | mask];
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out.push((rest % 128) | 0x80);
  return Buffer.from([...out, rest]);
}

function literal(text: string): Buffer {
  return Buffer.concat([integer(0, 7, text.length), Buffer.from(text, 'latin1')]);
}

function indexing(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0x40), literal(name), literal(value)]);
}

const REQUESTS = [
  [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
  [
    ':method: GET',
    ':scheme: http',
    ':path: /',
    ':authority: www.example.com',
    'cache-control: no-cache',
  ],
  [
    ':method: GET',
    ':scheme: https',
    ':path: /index.html',
    ':authority: www.example.com',
    'custom-key: custom-value',
  ],
];

test('RFC 7541 C.2 decodes each kind of literal', () => {
  const cases: [string, string][] = [
    ['400a637573746f6d2d6b65790d637573746f6d2d686561646572', 'custom-key: custom-header'],
    ['040c2f73616d706c652f70617468', ':path: /sample/path'],
    ['100870617373776f726406736563726574', 'password: secret'],
    ['82', ':method: GET'],
  ];
  for (const [block, field] of cases) {
    assert.deepEqual(decoded(new HpackDecoder(), hex(block)), [field]);
  }
});

test('RFC 7541 C.3 decodes three requests of one connection without Huffman', () => {
  const decoder = new HpackDecoder();
  const blocks = [
    '828684410f7777772e6578616d706c652e636f6d',
    '828684be58086e6f2d6361636865',
    '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
  ];
  for (const [index, block] of blocks.entries()) {
    assert.deepEqual(decoded(decoder, hex(block)), REQUESTS[index]);
  }
});

test('RFC 7541 C.4 decodes three requests of one connection with Huffman', () => {
  const decoder = new HpackDecoder();
  const blocks = [
    '828684418cf1e3c2e5f23a6ba0ab90f4ff',
    '828684be5886a8eb10649cbf',
    '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
  ];
  for (const [index, block] of blocks.entries()) {
    assert.deepEqual(decoded(decoder, hex(block)), REQUESTS[index]);
  }
});

test('RFC 7541 C.6 evicts from a table of 256 octets', () => {
  const decoder = new HpackDecoder();
  const first = hex(`3fe101 488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff
    6e919d29ad171863c78f0b97c8e9ae82ae43d3`);
  assert.deepEqual(decoded(decoder, first), [
    ':status: 302',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ]);
  assert.deepEqual(decoded(decoder, hex('4883640effc1c0bf')), [
    ':status: 307',
    'cache-control: private',
    'date: Mon, 21 Oct 2013 20:13:21 GMT',
    'location: https://www.example.com',
  ]);
  // ":status: 302" was evicted: index 65 is the oldest left, 66 is nothing.
  assert.deepEqual(decoded(decoder, hex('c1')), ['cache-control: private']);
  assert.equal(decoder.decode(hex('c2')), undefined);
});

test('a list survives encoding as literals and decoding, whatever its octets', () => {
  const text = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
  });
  const list = fc.array(fc.record({ name: text, value: text }));
  fc.assert(
    fc.property(list, (fields) => {
      const result = new HpackDecoder().decode(encodeLiterals(fields));
      assert.deepEqual(
        result?.fields,
        fields.map((field) => ({ ...field })),
      );
    }),
  );
});

test('string lengths around the prefix and a continuation octet survive', () => {
  for (const length of [0, 126, 127, 128, 254, 255, 256, 16_510, 16_511, 16_512]) {
    const field = { name: 'a', value: 'b'.repeat(length) };
    assert.deepEqual(new HpackDecoder().decode(encodeLiterals([field]))?.fields, [field]);
  }
});

test('random octets are decoded or refused, never thrown at', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), (blocks) => {
      const decoder = new HpackDecoder();
      for (const block of blocks) decoder.decode(Buffer.from(block));
    }),
    { numRuns: 500 },
  );
});

/** A field whose value's length, 127, is written with so many continuation octets. */
function lengthened(octets: number): Buffer {
  const length = [0x7f, ...Array<number>(octets - 1).fill(0x80), 0];
  return Buffer.concat([Buffer.of(0x40, 0x01, 0x61, ...length), Buffer.alloc(127, 0x62)]);
}

test('an integer of five continuation octets is taken', () => {
  assert.deepEqual(decoded(new HpackDecoder(), lengthened(5)), [`a: ${'b'.repeat(127)}`]);
});

test('broken blocks are refused', () => {
  const cases: [string, Buffer][] = [
    ['index 0', Buffer.of(0x80)],
    ['index past both tables', integer(0x80, 7, 62)],
    ['name index past both tables', Buffer.concat([integer(0x40, 6, 62), literal('v')])],
    ['string longer than the block', Buffer.of(0x40, 0x05, 0x61)],
    ['integer without end', Buffer.of(0xff, 0xff, 0xff)],
    ['value longer than the block', Buffer.of(0x40, 0x01, 0x61, 0x05, 0x62)],
    ['integer of six continuation octets', lengthened(6)],
    ['missing value', Buffer.of(0x40, 0x01, 0x61)],
    ['size update after a field', Buffer.concat([Buffer.of(0x82), integer(0x20, 5, 0)])],
    ['size update above 4096', integer(0x20, 5, 4097)],
    ['Huffman EOS', Buffer.of(0x40, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00)],
    ['Huffman padding of eight ones', Buffer.of(0x40, 0x82, 0x1f, 0xff, 0x00)],
    ['Huffman padding with a zero', Buffer.of(0x40, 0x81, 0x18, 0x00)],
  ];
  for (const [name, block] of cases) {
    assert.equal(new HpackDecoder().decode(block), undefined, name);
  }
});

test('a size update of 4096 is taken, and several at the start are', () => {
  const block = Buffer.concat([integer(0x20, 5, 0), integer(0x20, 5, 4096), Buffer.of(0x82)]);
  assert.deepEqual(decoded(new HpackDecoder(), block), [':method: GET']);
});

test('an entry of 4096 octets stays in the table, one of 4097 empties it', () => {
  const value = 'v'.repeat(4096 - 32 - 1);
  const fits = new HpackDecoder();
  fits.decode(indexing('n', value));
  assert.deepEqual(decoded(fits, integer(0x80, 7, 62)), [`n: ${value}`]);
  const exceeds = new HpackDecoder();
  exceeds.decode(indexing('n', 'kept?'));
  exceeds.decode(indexing('n', `${value}v`));
  assert.equal(exceeds.decode(integer(0x80, 7, 62)), undefined);
});

test('a bomb of references is decoded to the cap and the table stays right', () => {
  const decoder = new HpackDecoder();
  const value = 'v'.repeat(4000);
  const bomb = Buffer.concat([
    indexing('n', value),
    Buffer.alloc(60_000, 0xbe),
    indexing('after', 'bomb'),
  ]);
  const list = decoder.decode(bomb);
  assert.equal(list?.overflowed, true);
  assert.equal(list?.fields.length, Math.floor((64 * 1024) / (value.length + 1 + 32)));
  assert.deepEqual(decoded(decoder, Buffer.of(0xbe)), ['after: bomb']);
});

test('a list of exactly 64 KiB is whole, one octet more overflows', () => {
  const field = { name: 'a', value: 'b'.repeat(64 * 1024 - 32 - 1) };
  const whole = new HpackDecoder().decode(encodeLiterals([field]));
  assert.deepEqual([whole?.overflowed, whole?.fields.length], [false, 1]);
  const longer = { ...field, value: `${field.value}b` };
  const cut = new HpackDecoder().decode(encodeLiterals([longer]));
  assert.deepEqual([cut?.overflowed, cut?.fields.length], [true, 0]);
});

test('a code whose lengths leave a gap is refused at load', () => {
  assert.throws(() => buildTree([1, 3, 3]), TypeError);
  assert.throws(() => buildTree([1, 1, 2]), TypeError);
  assert.equal(buildTree([1, 2, 2]).length, 4);
});

test('codes of each length decode to their octet of RFC 7541 appendix B', () => {
  const cases: [string, number][] = [
    ['07', 48],
    ['53', 32],
    ['b9', 58],
    ['f8', 38],
    ['fe3f', 33],
    ['ffc7', 0],
    ['fff9', 60],
    ['fffe1f', 92],
    ['ffffffdf', 220],
    ['fffffbbf', 255],
    ['ffffffcf', 127],
    ['fffffff3', 10],
  ];
  for (const [code, octet] of cases) {
    const bytes = hex(code);
    assert.equal(decodeHuffman(bytes, 0, bytes.length), String.fromCharCode(octet), code);
  }
});
