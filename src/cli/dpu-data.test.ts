import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { unwrap } from '../base/result.ts';
import { parseCsv } from './csv.ts';
import { parseDpus } from './dpu-data.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const messageOf = (text: string | Uint8Array): string => {
  const read = parseDpus(typeof text === 'string' ? bytes(text) : text);
  return read.ok ? `read ${read.value.length}` : read.error.message;
};

describe('CSV (RFC 4180)', () => {
  it('reads quotes, both line ends, and says where a row begins', () => {
    const rows = unwrap(parseCsv('a,"b ""q"", \nc"\r\n\r\n,\nx,y'));
    assert.deepEqual(rows, [
      { line: 1, cells: ['a', 'b "q", \nc'] },
      { line: 4, cells: ['', ''] },
      { line: 5, cells: ['x', 'y'] },
    ]);
  });

  it('reads back what was written', () => {
    const cell = fc.string().filter((text) => !text.includes('\r'));
    const table = fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { maxLength: 6 });
    fc.assert(
      fc.property(table, (rows) => {
        const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
        const text = rows.map((row) => row.map(quoted).join(',')).join('\r\n');
        assert.deepEqual(
          unwrap(parseCsv(text)).map(({ cells }) => cells),
          rows,
        );
      }),
    );
  });

  it('refuses what is half quoted', () => {
    for (const [text, line] of [
      ['a\n"b', 2],
      ['a\n"b"c', 2],
      ['x\ny\na"b', 3],
    ] as const) {
      const read = parseCsv(text);
      assert.ok(!read.ok && read.error.message.startsWith(`line ${line}:`), text);
    }
  });
});

describe('an inventory in a file', () => {
  it('is CSV, JSON in three shapes, or the same in YAML documents', () => {
    const facts = { serial: 'A', rack: 'r1', bmcHost: '10.0.0.1' };
    for (const [text, expected] of [
      ['Serial, RACK ,bmc_host\nA,r1,10.0.0.1\n', facts],
      ['[{"serialNumber":"A","rack":"r1","bmcIp":"10.0.0.1"}]', facts],
      ['{"dpus":[{"serial":"A","rack":"r1","bmc_host":"10.0.0.1"}]}', facts],
      ['{"serial":"A","rack":"r1","bmcHost":"10.0.0.1"}', facts],
      ['serial: A\nrack: r1\nbmc_host: 10.0.0.1\n', facts],
      ['- { serial: A, rack: r1, bmc_host: 10.0.0.1 }\n---\n', facts],
    ] as const) {
      assert.deepEqual(
        unwrap(parseDpus(bytes(text))).map((row) => row.facts),
        [expected],
        text,
      );
    }
    // A serial number of digits alone stays the text that it is.
    const rows = unwrap(parseDpus(bytes('---\nserial: 0012\n---\ndpus:\n- serial: B\n')));
    assert.deepEqual(
      rows.map((row) => row.facts.serial),
      ['0012', 'B'],
    );
  });

  it('leaves what an empty cell would say unsaid, and clears by an empty text in JSON', () => {
    const [csv] = unwrap(parseDpus(bytes('serial,rack\nA,\n')));
    assert.deepEqual(csv?.facts, { serial: 'A' });
    const [json] = unwrap(parseDpus(bytes('[{"serial":"A","rack":"","agentIds":[]}]')));
    assert.deepEqual(json?.facts, { serial: 'A', rack: '', agentIds: { values: [] } });
  });

  it('names every faulty row by its place', () => {
    for (const [text, wanted] of [
      ['', /is empty/],
      ['serial\n', /holds no DPU/],
      ['serial,colour\nA,red\n', /line 1: unknown column "colour"/],
      ['serial,constructor\nA,x\n', /unknown column "constructor"/],
      ['serial,rack\nA\nB,r\nC,r,x\n', /^line 2: has 1 values.*\nline 4: has 3 values/],
      [
        'serial,bmc_port\nA,65536\nB,x\n',
        /^line 2: bmc_port is no port\nline 3: bmc_port is no port$/,
      ],
      ['rack,serial\nr,\n', /line 2: has no serial number/],
      ['[{"serial":"A","colour":1}]', /\[0\]: unknown key "colour"/],
      ['[{"serial":"A","serial":"B"}]', /twice|duplicate|serial/],
      ['{"dpus":[1]}', /dpus\[0\]: is no object/],
      ['{"items":[{"serial":"A"}]}', /unknown key "items"/],
      ['[{"serial":{"a":1}}]', /serial must be text/],
      ['a: &x [1]\nb: *x\n', /alias|Excessive|unknown key/],
      ['kind: DPUDevice\nkind: DPUDevice\n', /unique/],
    ] as const) {
      assert.match(messageOf(text), wanted, text);
    }
    assert.match(messageOf(Uint8Array.of(0x61, 0xff)), /not UTF-8/);
    const many = `serial,bmc_port\n${'A,x\n'.repeat(30)}`;
    assert.match(messageOf(many), /\nand 10 more$/);
  });

  it('survives any text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        parseDpus(bytes(text));
      }),
    );
  });
});
