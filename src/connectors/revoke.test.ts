import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openedRig, TOKEN } from '../../test/support/enrol-proofs.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { START_SECONDS } from '../../test/support/state.ts';
import { makeCsr, makeKey } from '../../test/support/x509.ts';
import { fail, ok } from '../base/result.ts';
import type { IssuedSvid } from '../issuance/find-issued.ts';
import { revokeConnector } from './revoke.ts';

const WHY = { reason: 'lost', requestedBy: 'local:0' };

describe('a revocation', () => {
  test('takes back every live SVID that the ledger knows, also those that the record forgot', async (t) => {
    const rig = await openedRig(t);
    const { parts } = rig.context;
    const key = makeKey();
    const issued: IssuedSvid[] = [];
    for (let turn = 0; turn < 4; turn++) {
      const done = assertValue(await rig.enrol(TOKEN, { key }));
      const { serialDecimal: serial, spiffeId, expiresAtSeconds: notAfterSeconds } = done.issued;
      issued.push({ serial, spiffeId, agentId: undefined, authorityId: '', notAfterSeconds });
    }
    const [first] = issued;
    assert.ok(first);
    const ended = { ...first, serial: '77', notAfterSeconds: START_SECONDS - 86_400 };
    const findIssued: typeof parts.findIssued = async (target) =>
      'agentId' in target ? ok([]) : ok([...issued, ended]);
    const [connector] = rig.state.registry.connectors.connectors();
    assert.ok(connector);
    assertValue(await revokeConnector({ ...parts, findIssued }, connector.id, WHY));
    for (const { serial } of issued) assert.ok(rig.state.registry.revocation(serial), serial);
    assert.equal(rig.state.registry.revocation(ended.serial), undefined);
  });

  test('goes on with what is on record where the ledger cannot be read', async (t) => {
    const rig = await openedRig(t);
    const { connector } = assertValue(await rig.enrol(TOKEN));
    const findIssued = async () => fail('INTERNAL', 'unreadable');
    assertValue(await revokeConnector({ ...rig.context.parts, findIssued }, connector.id, WHY));
    assert.ok(rig.state.registry.revocation(connector.serial));
  });
});

test('what a lost key has ends before the new one has anything, also if that takes two tries', async (t) => {
  const rig = await openedRig(t);
  const lost = assertValue(await rig.enrol(TOKEN)).connector;
  const { parts } = rig.context;
  const { issueX509Batch } = parts.issuer;
  const broken = { ...parts.issuer, issueX509Batch: async () => [fail('INTERNAL', 'no signer')] };
  Object.assign(rig.context, { parts: { ...parts, issuer: broken } });
  const key = makeKey();
  const csr = makeCsr({ key });
  assertRefused(await rig.enrol(TOKEN, { key, csr }), 'INTERNAL');
  assert.ok(rig.state.registry.revocation(lost.serial));
  Object.assign(rig.context, { parts: { ...parts, issuer: { ...broken, issueX509Batch } } });
  const { connector, again } = assertValue(await rig.enrol(TOKEN, { key, csr }));
  assert.deepEqual([connector.id, again], [lost.id, true]);
  assert.ok(rig.state.registry.revocation(lost.serial));
  assert.equal(rig.state.registry.revocation(connector.serial), undefined);
});
