import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { SILENT } from '../../test/support/issuance.ts';
import { VENDOR_KEY, VENDOR_KEY_DRAFT, vendorKeysWorld } from '../../test/support/vendor-keys.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { RecordAct, RecordedAct } from '../issuance/ledger-recorder.ts';
import type { CallContext } from '../rpc/service.ts';
import { type ApiContext, rememberCaller } from './context.ts';
import { createVendorAdminService } from './vendor-admin.ts';

const code = (result: unknown) => {
  const said = result as Result<unknown>;
  return said.ok ? 'ok' : said.error.code;
};

/** The service without an enrolment root, called by the operator with uid 7. */
async function service(context: TestContext, answer: Result<void> = ok(undefined)) {
  const keys = await vendorKeysWorld(context).open();
  const acts: RecordedAct[] = [];
  const lines: string[] = [];
  const recordAct: RecordAct = async (act) => {
    acts.push(act);
    return answer;
  };
  const told = (facts: object): number => lines.push(JSON.stringify(facts));
  const log = { ...SILENT, info: told, error: told };
  const connectors = { group: (name: string) => (name === 'berlin' ? {} : undefined) };
  const api = { log, connectors, recordAct } as unknown as ApiContext;
  const { putVendorKey, deleteVendorKey } = createVendorAdminService(api, {
    enrolment: undefined,
    keys,
  });
  const call = { method: 'Test', connection: {} } as CallContext;
  rememberCaller(call, { kind: 'local', uid: 7, gid: 7, pid: 1 });
  return {
    keys,
    acts,
    lines,
    put: async (extra: Partial<typeof VENDOR_KEY_DRAFT> = {}) =>
      code(await putVendorKey({ ...VENDOR_KEY_DRAFT, ...extra }, call)),
    remove: async (group: string) => code(await deleteVendorKey({ group }, call)),
  };
}

test('each write is in the ledger by its group, without the key or its hash, and what was refused is not', async (context) => {
  const { put, remove, acts, lines, keys } = await service(context);
  assert.equal(await put(), 'ok');
  const [{ fingerprint } = { fingerprint: '?' }] = keys.list();
  assert.equal(await put({ group: 'nowhere' }), 'CONNECTOR_GROUP_UNKNOWN');
  assert.equal(await put({ key: 'short' }), 'FIELD_INVALID');
  assert.equal(await remove('hamburg'), 'VENDOR_KEY_NONE');
  assert.equal(await remove('berlin'), 'ok');
  const said = { connector: 'vendor-key/berlin', requestedBy: 'local:7' };
  assert.deepEqual(acts, [
    { act: 'put', ...said },
    { act: 'delete', ...said },
  ]);
  assert.ok(!JSON.stringify(acts).includes(fingerprint));
  assert.ok(!lines.join().includes(VENDOR_KEY));
});

test('a ledger that takes nothing does not keep a key from being deleted, and is told of', async (context) => {
  const { put, remove, lines } = await service(context, fail('LEDGER_IO', 'the disk is full'));
  assert.equal(await put(), 'ok');
  assert.equal(await remove('berlin'), 'ok');
  assert.equal(lines.filter((line) => line.includes('LEDGER_IO')).length, 2);
});
