import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  BANKS,
  EFI_VARIABLE,
  extended,
  NO_ACTION,
  SECURE_BOOT_DIGEST,
  SEPARATOR,
  startupLocality,
  type WrittenEvent,
  writeEvent,
  writeEventLog,
  writeHead,
} from '../../test/support/event-log.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { seededRandom } from '../base/random.ts';
import {
  checkEventLog,
  MAX_EVENT_LOG_BYTES,
  parseEventLog,
  replayEventLog,
  secureBootOf,
} from './event-log.ts';

const seed = Number(process.env.SIGNET_FAULT_SEED ?? 1);
const ZEROS = Buffer.alloc(32);
const digest = (fill: number): Buffer => Buffer.alloc(32, fill);

const EVENTS: readonly WrittenEvent[] = [
  { pcr: 0, digest: digest(1) },
  { pcr: 7, type: EFI_VARIABLE, digest: SECURE_BOOT_DIGEST.on },
  { pcr: 0, digest: digest(2), data: Buffer.alloc(0) },
  { pcr: 5, type: NO_ACTION, digest: digest(9) },
  { pcr: 7, type: SEPARATOR, digest: digest(3) },
];
const PCRS = [0, 5, 7, 17, 23];
const VALUES = [
  extended(ZEROS, digest(1), digest(2)),
  ZEROS,
  extended(ZEROS, SECURE_BOOT_DIGEST.on, digest(3)),
  digest(0xff),
  ZEROS,
];

describe('an event log', () => {
  test('leads to the registers: each event extends its own, notes extend none', () => {
    assertValue(checkEventLog(writeEventLog(EVENTS), PCRS, VALUES));
    assertValue(checkEventLog(writeEventLog([]), [1, 2], [ZEROS, ZEROS]));
  });

  test('is refused when one event is changed, left out, added, or stands elsewhere', () => {
    const [first, second, ...others] = EVENTS;
    assert.ok(first !== undefined && second !== undefined);
    for (const events of [
      [],
      EVENTS.slice(1),
      EVENTS.slice(0, -1),
      [...EVENTS, first],
      [{ ...first, digest: digest(4) }, second, ...others],
      [{ ...first, pcr: 5 }, second, ...others],
      [others[0] ?? first, second, first, ...others.slice(1)],
      [{ ...first, type: NO_ACTION }, second, ...others],
    ]) {
      assertRefused(checkEventLog(writeEventLog(events), PCRS, VALUES), 'TPM_EVENT_LOG');
    }
  });

  test('begins register 0 with the locality that started the TPM', () => {
    for (const locality of [0, 3, 4]) {
      const bytes = writeEventLog([startupLocality(locality), ...EVENTS]);
      const begin = Buffer.alloc(32);
      begin[31] = locality;
      const [value, other] = replayEventLog(assertValue(parseEventLog(bytes)), [0, 1]);
      assert.deepEqual(Buffer.from(value ?? []), extended(begin, digest(1), digest(2)));
      assert.deepEqual(Buffer.from(other ?? []), ZEROS);
    }
  });

  const head = writeHead(BANKS);
  const event = writeEvent({ pcr: 0 });
  const REFUSED: readonly (readonly [what: string, bytes: Uint8Array])[] = [
    ['no bytes', Buffer.alloc(0)],
    ['half a head', head.subarray(0, 31)],
    ['an event in place of the head', event],
    [
      'the old form',
      Buffer.concat([head.subarray(0, 32), Buffer.from('Spec ID Event02\0'), head.subarray(48)]),
    ],
    ['a byte behind the last event', Buffer.concat([head, event, Buffer.of(0)])],
    ['an event that is a byte short', Buffer.concat([head, event.subarray(0, -1)])],
    ['no banks', writeHead([])],
    ['a bank twice', writeHead([...BANKS, [0x000b, 32]])],
    ['nine banks', writeHead(Array.from({ length: 9 }, (_, at) => [at + 0x000b, 32] as const))],
    ['no SHA-256 bank', writeHead([[0x000c, 48]])],
    ['a SHA-256 bank of another size', writeHead([[0x000b, 20]])],
    [
      'digests of 65 bytes',
      writeHead([
        [0x000b, 32],
        [0x00aa, 65],
      ]),
    ],
    [
      'an event of two banks of three',
      Buffer.concat([head, writeEvent({ pcr: 0 }, BANKS.slice(1))]),
    ],
    [
      'an event of another bank',
      Buffer.concat([head, writeEvent({ pcr: 0 }, [...BANKS.slice(1), [0x0027, 20]])]),
    ],
    [
      'an event of a bank twice',
      Buffer.concat([head, writeEvent({ pcr: 0 }, [...BANKS.slice(1), [0x000b, 32]])]),
    ],
    ['register 24', writeEventLog([{ pcr: 24 }])],
    ['a locality of 1', writeEventLog([startupLocality(1)])],
    ['two localities', writeEventLog([startupLocality(3), startupLocality(3)])],
    ['a locality after the first event', writeEventLog([{ pcr: 0 }, startupLocality(3)])],
    ['a locality of another register', writeEventLog([{ ...startupLocality(3), pcr: 1 }])],
    [
      '4,097 events',
      writeEventLog(
        Array.from({ length: 4097 }, () => ({ pcr: 1, data: Buffer.alloc(0) })),
        [[0x000b, 32]],
      ),
    ],
    ['a byte too many', Buffer.alloc(MAX_EVENT_LOG_BYTES + 1)],
  ];
  for (const [what, bytes] of REFUSED) {
    test(`${what} is refused`, () => {
      assertRefused(parseEventLog(bytes), 'TPM_EVENT_LOG');
    });
  }

  test('4,096 events, and eight banks, are read', () => {
    const small = { pcr: 1, data: Buffer.alloc(0) };
    const many = writeEventLog(
      Array.from({ length: 4096 }, () => small),
      [[0x000b, 32]],
    );
    assert.equal(assertValue(parseEventLog(many)).events.length, 4096);
    const banks = Array.from({ length: 8 }, (_, at) => [at + 0x000b, 32] as const);
    assert.equal(assertValue(parseEventLog(writeEventLog([small], banks))).events.length, 1);
  });
});

describe('Secure Boot', () => {
  const stateOf = (...events: readonly WrittenEvent[]) =>
    secureBootOf(assertValue(parseEventLog(writeEventLog(events))));
  const variable = (state: 'on' | 'off', type = EFI_VARIABLE): WrittenEvent => ({
    pcr: 7,
    type,
    digest: SECURE_BOOT_DIGEST[state],
  });

  test('is what the first event of register 7 measured', () => {
    assert.equal(stateOf(variable('on')), 'on');
    assert.equal(stateOf({ pcr: 0 }, variable('off')), 'off');
    assert.equal(stateOf(), undefined);
    assert.equal(stateOf({ pcr: 7 }, variable('on')), undefined);
    assert.equal(stateOf({ ...variable('on'), pcr: 6 }), undefined);
    assert.equal(stateOf(variable('on', SEPARATOR)), undefined);
  });

  test('is not what somebody says later, or writes beside a digest', () => {
    assert.equal(stateOf(variable('off'), variable('on')), 'off');
    assert.equal(stateOf(variable('off', SEPARATOR), variable('on')), undefined);
    const claimed = Buffer.from('SecureBoot is on');
    assert.equal(stateOf({ ...variable('off'), data: claimed }, variable('on')), 'off');
  });
});

describe(`the reader of event logs, seed ${seed}`, () => {
  const bytes = writeEventLog([startupLocality(3), ...EVENTS]);

  test('refuses every truncation within an event', () => {
    const ends = new Set<number>();
    for (let count = 0; count <= EVENTS.length + 1; count++) {
      ends.add(writeEventLog([startupLocality(3), ...EVENTS].slice(0, count)).length);
    }
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(parseEventLog(bytes.subarray(0, length)).ok, ends.has(length), `${length}`);
    }
  });

  test('answers every change with a log or a refusal of its own', () => {
    const random = seededRandom(seed);
    const values = replayEventLog(assertValue(parseEventLog(bytes)), PCRS);
    for (let run = 0; run < 20_000; run++) {
      const copy = Buffer.from(bytes);
      const at = Buffer.from(random.bytes(2)).readUInt16BE() % copy.length;
      copy[at] = (copy[at] ?? 0) ^ (1 << ((random.bytes(1)[0] ?? 0) & 7));
      const parsed = parseEventLog(copy);
      if (!parsed.ok) {
        assert.equal(parsed.error.code, 'TPM_EVENT_LOG');
        continue;
      }
      assert.equal(replayEventLog(parsed.value, PCRS).length, values.length);
    }
  });

  test('accepts no change of a SHA-256 digest that a register holds', () => {
    const values = replayEventLog(assertValue(parseEventLog(bytes)), PCRS);
    for (const { pcr, type, digest: own } of EVENTS) {
      if (type === NO_ACTION || own === undefined || !PCRS.includes(pcr)) continue;
      const at = bytes.indexOf(own);
      for (let byte = at; byte < at + 32; byte++) {
        const copy = Buffer.from(bytes);
        copy[byte] = (copy[byte] ?? 0) ^ 0x10;
        assertRefused(checkEventLog(copy, PCRS, values), 'TPM_EVENT_LOG');
      }
    }
  });
});
