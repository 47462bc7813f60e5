import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type PatternSettings, patternsSchema, readPatterns } from './patterns.ts';
import { readStatusLine } from './status-line.ts';

const read = (settings: Partial<PatternSettings>, line: string) =>
  readStatusLine(line, readPatterns(patternsSchema.parse(settings)));

const CASES: readonly (readonly [Partial<PatternSettings>, string, readonly object[]])[] = [
  [
    { connector: ['Connector {name} id={id} version={version}'] },
    'Connector berlin 1 id=abc-7 version=25.1 ready',
    [{ kind: 'connector', id: 'abc-7', name: 'berlin 1', version: '25.1' }],
  ],
  [{ connector: ['id={id}'] }, 'id=7', [{ kind: 'connector', id: '7', name: '', version: '' }]],
  [
    { connector: ['id={id} name={name}'] },
    'id=7 name=a\u001b[31m\u202eb\ufffd',
    [{ kind: 'connector', id: '7', name: 'a?[31m?b?', version: '' }],
  ],
  [
    { certificate: ['valid {days}d{hours}h', 'left {seconds} s'] },
    'left 90 s',
    [{ kind: 'certificate', seconds: 90 }],
  ],
  [
    { certificate: ['valid {days}d{hours}h'] },
    'valid 1.5d2h',
    [{ kind: 'certificate', seconds: 1.5 * 86_400 + 7200 }],
  ],
  [
    { control: ['link {*} is {state}'], connectedStates: ['up'] },
    'link to [10.0.0.1]:443 is up',
    [{ kind: 'control', connected: true, state: 'up' }],
  ],
  [
    { control: ['link is {state}'] },
    'link is up',
    [{ kind: 'control', connected: false, state: 'up' }],
  ],
  // The states hold for the form that is known as well.
  [
    { connectedStates: ['up'] },
    'Control connection state: up, x',
    [{ kind: 'control', connected: true, state: 'up' }],
  ],
  [{ skew: ['off by {milliseconds} ms'] }, 'off by - 250 ms', [{ kind: 'skew', seconds: -0.25 }]],
  [{ skew: ['off by {seconds}'] }, 'off by +3.5', [{ kind: 'skew', seconds: 3.5 }]],
  [{ flows: ['open: {active}'] }, 'open: 12', [{ kind: 'flows', active: 12 }]],
  [
    { apps: ['Apps {alive} of {registered}'] },
    'Apps 1 of 2',
    [{ kind: 'apps', registered: 2, alive: 1 }],
  ],
  [
    { targets: ['Targets {alive} of {registered}'] },
    'Targets 1 of 2',
    [{ kind: 'targets', registered: 2, alive: 1 }],
  ],
  // What is known is read all the same, behind a prefix of one's own and that of old.
  [
    { prefix: ['{*} zpa[{*}]: '] },
    '11/22/26 16:00 zpa[12]: Time skew: + 1s',
    [{ kind: 'skew', seconds: 1 }],
  ],
  [{ prefix: ['# '] }, 'Time skew: + 1s', [{ kind: 'skew', seconds: 1 }]],
  // Nothing of it.
  [{ flows: ['open: {active}'] }, 'user said: open: 12', []],
  [{ flows: ['open: {active}'] }, 'open: many', []],
  [{ flows: ['open: {active} flows'] }, 'open: 12', []],
  [{ skew: ['off by {seconds} s'] }, `off by ${'9'.repeat(13)} s`, []],
  [
    { control: ['link {*} is {state}'] },
    `link ${'x'.repeat(255)} is up`,
    [{ kind: 'control', connected: false, state: 'up' }],
  ],
  [{ control: ['link {*} is {state}'] }, `link ${'x'.repeat(256)} is up`, []],
  [{ control: ['link is {state} now'] }, `link is ${'x'.repeat(65)} now`, []],
];

for (const [settings, line, facts] of CASES) {
  test(`${JSON.stringify(settings).slice(0, 60)} of "${line.slice(0, 40)}"`, () => {
    assert.deepEqual(read(settings, line), facts);
  });
}

const long = 'x'.repeat(256 - '{active}'.length);
const HOSTILE: readonly (readonly [string, Record<string, unknown>, RegExp | undefined])[] = [
  ['nothing', { flows: [''] }, /printable ASCII/],
  ['256 characters', { flows: [`${long}{active}`] }, undefined],
  ['257 characters', { flows: [`x${long}{active}`] }, /printable ASCII/],
  ['a tab', { flows: ['a\t{active}'] }, /printable ASCII/],
  ['a place at its start', { flows: ['{active} open'] }, /does not begin with text/],
  ['a skip at its start', { flows: ['{*} open {active}'] }, /does not begin with text/],
  ['two places side by side', { flows: ['a {*}{active}'] }, /without text between/],
  ['an unknown value', { flows: ['a {open}'] }, /it may have \{active\}, \{\*\}/],
  ['a name of every object', { flows: ['a {constructor}'] }, /it may have/],
  ['a value twice', { apps: ['a {alive} {alive} {registered}'] }, /twice/],
  ['too little', { apps: ['a {alive}'] }, /too little/],
  ['no value', { flows: ['a {*}'] }, /too little/],
  ['both units', { skew: ['a {seconds} {milliseconds}'] }, /too little/],
  ['half a place', { flows: ['a {active'] }, /brace/],
  ['a brace alone', { flows: ['a } {active}'] }, /brace/],
  ['24 parts', { flows: [`a{active}${'b{*}'.repeat(11)}`] }, undefined],
  ['25 parts', { flows: [`a{active}${'b{*}'.repeat(11)}b`] }, /parts/],
  ['an open end in a prefix', { prefix: ['a {*}'] }, /does not end with text/],
  ['eight patterns', { flows: Array(8).fill('a {active}') }, undefined],
  ['nine patterns', { flows: Array(9).fill('a {active}') }, /8/],
  ['no state', { connectedStates: [] }, /1/],
  ['a state of two words', { connectedStates: ['is up'] }, /word/],
  ['an unknown kind', { sites: ['a'] }, /sites/],
];

for (const [what, settings, expected] of HOSTILE) {
  test(`a pattern with ${what} is ${expected === undefined ? 'taken' : 'refused'}`, () => {
    const parsed = patternsSchema.safeParse(settings);
    const fault = parsed.error?.message ?? '';
    if (expected === undefined) assert.equal(fault, '');
    else assert.match(fault, expected);
  });
}

test('any line is read by any pattern without a throw, and no number is unbounded', () => {
  const patterns = { ...patternsSchema.parse({}), flows: [`a${' {*} a'.repeat(10)} {active}`] };
  patterns.prefix = ['{*} a {*} a'];
  const piece = fc.constantFrom('a ', ' a', ' ', '1', 'a', '9'.repeat(20), '\u001b', 'Time skew: ');
  const line = fc.array(piece, { maxLength: 800 }).map((pieces) => pieces.join(''));
  fc.assert(
    fc.property(line, (text) => {
      for (const fact of read(patterns, text)) {
        for (const value of Object.values(fact)) {
          assert.ok(typeof value !== 'number' || Number.isFinite(value));
        }
      }
    }),
  );
});
