import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { ManualClock } from '../base/clock.ts';
import { DiagnosticsTable, MAX_DIAGNOSTICS_TEXT } from '../connectors/diagnostics.ts';
import { ListDiagnosticsResponse } from '../gen/signet/connector/v1/admin.ts';
import { MAX_ANSWER_BYTES } from './batch.ts';
import { listDiagnostics } from './connector-diagnostics.ts';

const NONCE = Buffer.from('nonce');

/** Connectors that told as much as is kept, in characters of three bytes. */
function told(count: number) {
  const diagnostics = new DiagnosticsTable(new ManualClock(1000));
  const ids = Array.from({ length: count }, (_, at) => `c${at}`);
  const message = '\u20ac'.repeat(MAX_DIAGNOSTICS_TEXT);
  const event = { reason: '', message, warning: false, commandNonce: NONCE, more: false };
  for (const id of ids) {
    diagnostics.asked(id);
    diagnostics.sent(id, NONCE);
    assert.ok(diagnostics.take(id, event));
  }
  const api = { limits: { maxBatchEntries: 17 } };
  return { ids, context: { api, live: { diagnostics, isOpen: () => true } } };
}

for (const [count, answered] of [
  [15, 15],
  [16, 16],
  [17, 16],
] as const) {
  test(`of ${count} long answers ${answered} come at once, and fit`, () => {
    const { ids, context } = told(count);
    const answer = assertValue(listDiagnostics(context, { ids }));
    assert.deepEqual(
      answer.diagnostics.map(({ id }) => id),
      ids.slice(0, answered),
    );
    const { length } = ListDiagnosticsResponse.encode(answer).finish();
    assert.ok(length <= MAX_ANSWER_BYTES, `${length}`);
    const rest = assertValue(listDiagnostics(context, { ids: ids.slice(answered) }));
    assert.equal(rest.diagnostics.length, count - answered);
  });
}

test('more connectors than a batch may have are refused', () => {
  const { ids, context } = told(1);
  const many = Array.from({ length: 18 }, () => ids[0] ?? '');
  assertRefused(listDiagnostics(context, { ids: many }), 'BATCH_TOO_LARGE');
  assertValue(listDiagnostics(context, { ids: many.slice(1).map((_, at) => `other-${at}`) }));
});
