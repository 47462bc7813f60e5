import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryFiles, makeNoteSigner, openTestLedger } from '../../test/support/ledger.ts';
import { ManualClock } from '../base/clock.ts';
import { fail, unwrap } from '../base/result.ts';
import { createLedgerRecorder } from './ledger-recorder.ts';

test('while nothing may be issued, acts are recorded and SVIDs refused before the log', async () => {
  const ledger = unwrap(
    await openTestLedger({ files: new MemoryFiles(), signer: makeNoteSigner() }),
  );
  const recorder = createLedgerRecorder(ledger, new ManualClock(1_800_000_000_000), () =>
    fail('LEDGER_COPY_LATE', 'the copy is behind'),
  );
  const refused = await recorder.append([]);
  assert.equal(refused.ok ? 'recorded' : refused.error.code, 'LEDGER_COPY_LATE');
  assert.equal(ledger.size, 0);
  unwrap(await recorder.recordAct({ act: 'ban', spiffeId: 'spiffe://a/b', requestedBy: 'self' }));
  assert.equal(ledger.size, 1);
});
