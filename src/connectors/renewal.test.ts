import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openedRig, TOKEN } from '../../test/support/enrol-proofs.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { makeCsr, makeKey } from '../../test/support/x509.ts';
import { renewConnector } from './issue.ts';

describe('a renewal', () => {
  test('is never for a key that the connector is known to have used', async (t) => {
    const rig = await openedRig(t);
    const { parts } = rig.context;
    const { connectors } = rig.state.registry;
    const [first, second, third] = [makeKey(), makeKey(), makeKey()];
    let { connector } = assertValue(await rig.enrol(TOKEN, { key: first }));
    const renew = (key: typeof first) => renewConnector(connector, makeCsr({ key }), parts);
    const use = async (): Promise<void> => {
      const { serial } = connector;
      const promoted = await connectors.changeConnector(connector.id, { kind: 'promoted', serial });
      connector = assertValue(promoted) ?? assert.fail();
    };
    assertRefused(await renew(first), 'CONNECTOR_KEY_REUSED');
    connector = assertValue(await renew(second)).connector;
    // The one before is still good, and the newest was not used yet.
    assertRefused(await renew(first), 'CONNECTOR_KEY_REUSED');
    await use();
    for (const key of [first, second]) assertRefused(await renew(key), 'CONNECTOR_KEY_REUSED');
    connector = assertValue(await renew(third)).connector;
    for (const key of [first, second]) assertRefused(await renew(key), 'CONNECTOR_KEY_REUSED');
    await use();
    // Of all earlier ones the key of the enrolment is known for good, others are forgotten.
    for (const key of [first, third]) assertRefused(await renew(key), 'CONNECTOR_KEY_REUSED');
  });

  test('whose answer was lost is asked for again with the same key', async (t) => {
    const rig = await openedRig(t);
    const { parts } = rig.context;
    const { connector } = assertValue(await rig.enrol(TOKEN));
    const csr = makeCsr();
    const lost = assertValue(await renewConnector(connector, csr, parts));
    const again = assertValue(await renewConnector(lost.connector, csr, parts));
    assert.notEqual(again.issued.serialDecimal, lost.issued.serialDecimal);
    const { serial, previousSerial } = again.connector;
    assert.deepEqual([serial, previousSerial], [again.issued.serialDecimal, connector.serial]);
  });

  test('that comes to its end after another one is refused, and what was signed for it taken back', async (t) => {
    const rig = await openedRig(t);
    const { parts, state } = { ...rig.context, state: rig.state };
    const { connector } = assertValue(await rig.enrol(TOKEN));
    const late = Promise.withResolvers<void>();
    const serials: string[] = [];
    // Another server, whose signer is slow.
    const issueX509Batch: typeof parts.issuer.issueX509Batch = async (items) => {
      const issued = await parts.issuer.issueX509Batch(items);
      for (const one of issued) serials.push(assertValue(one).serialDecimal);
      await late.promise;
      return issued;
    };
    const slow = { ...parts, issuer: { ...parts.issuer, issueX509Batch } };
    const second = renewConnector(connector, makeCsr(), slow);
    const first = assertValue(await renewConnector(connector, makeCsr(), parts));
    late.resolve();
    assertRefused(await second, 'CONNECTOR_RENEWAL_BUSY');
    const { serial, previousSerial } = state.registry.connectors.connector(connector.id) ?? {};
    assert.deepEqual([serial, previousSerial], [first.issued.serialDecimal, connector.serial]);
    const [taken = ''] = serials;
    assert.equal(state.registry.revocation(taken)?.reason, 'superseded');
    assert.equal(state.registry.revocation(first.issued.serialDecimal), undefined);
  });
});
