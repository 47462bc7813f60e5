import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readStatusLine } from './status-line.ts';

/** Lines in the forms of the vendor's public documents, with names and numbers of our own. */
const LINES: readonly (readonly [string, readonly object[]])[] = [
  [
    '-------- Connector Status:ID=1234:Name=berlin-1:Ver=24.1.2 --------',
    [{ kind: 'connector', id: '1234', name: 'berlin-1', version: '24.1.2' }],
  ],
  [
    'Nov 08 02:29:53 zpa-connector-child[6123]: -------- App Connector Status:ID=1:Name=a: b:Ver=1 ---',
    [{ kind: 'connector', id: '1', name: 'a: b', version: '1' }],
  ],
  [
    'Certificate will expire in 227 days, 21 hours, 26 minutes, 13 seconds',
    [{ kind: 'certificate', seconds: 227 * 86_400 + 21 * 3600 + 26 * 60 + 13 }],
  ],
  ['Certificate will expire in 1 day', [{ kind: 'certificate', seconds: 86_400 }]],
  [
    'Nov  8 02:29:53 host zpa-connector-child[6123]: Certificate will expire in 0 days, 1 hour',
    [{ kind: 'certificate', seconds: 3600 }],
  ],
  [
    '2026-11-22T16:00:00.123456789Z stdout F Control connection state: fohh_connection_connected, [10.0.0.1]:1;b.example:[10.0.0.2]:443',
    [{ kind: 'control', connected: true, state: 'fohh_connection_connected' }],
  ],
  [
    '2026-11-22T16:00:00.123456 Control connection state: fohh_connection_disconnected',
    [{ kind: 'control', connected: false, state: 'fohh_connection_disconnected' }],
  ],
  ['Time skew: - 0.012783s', [{ kind: 'skew', seconds: -0.012783 }]],
  ['Time skew: + 737.427447s', [{ kind: 'skew', seconds: 737.427447 }]],
  [
    'Mtunnels: Total Created = 9, Total Freed = 7, Current Active = 2, Alloc = 4',
    [{ kind: 'flows', active: 2 }],
  ],
  [
    'Registered apps count = 33, alive app = 32, passive_health = 33, service_count = 85, target_count = 104, alive_target = 74, aged_target = 0',
    [
      { kind: 'apps', registered: 33, alive: 32 },
      { kind: 'targets', registered: 104, alive: 74 },
    ],
  ],
  [
    'Registered apps count = 0, alive app = 0, passive_health = 0,',
    [{ kind: 'apps', registered: 0, alive: 0 }],
  ],
  ['target_count = 3, alive_target = 1', [{ kind: 'targets', registered: 3, alive: 1 }]],
];

for (const [line, facts] of LINES) {
  test(`${line.slice(0, 70)} is read`, () => assert.deepEqual(readStatusLine(line), facts));
}

test('a line says nothing by what stands within it', () => {
  for (const [line] of LINES) assert.deepEqual(readStatusLine(`user said: ${line}`), []);
  for (const line of [
    '',
    'Certificate will expire in many days',
    'Certificate will expire in 9999999 days',
    'Control connection state: ',
    'Time skew: unknown',
    '-------- Connector Status:ID=x:Name=a:Ver=1 --------',
  ]) {
    assert.deepEqual(readStatusLine(line), []);
  }
});

test('a name is printable', () => {
  const [fact] = readStatusLine('-------- Connector Status:ID=1:Name=a\u001b[31mb\u202e:Ver=1 ---');
  assert.deepEqual(fact, { kind: 'connector', id: '1', name: 'a?[31mb?', version: '1' });
});

test('any line is read without a throw, and no number is unbounded', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 5000 }), fc.constantFrom(...LINES), (noise, [line]) => {
      for (const text of [noise, noise + line, line + noise, line.slice(0, noise.length)]) {
        for (const fact of readStatusLine(text)) {
          for (const value of Object.values(fact)) {
            assert.ok(typeof value !== 'number' || Number.isFinite(value));
          }
        }
      }
    }),
  );
});
