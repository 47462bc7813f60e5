import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openedRig, TOKEN } from '../../test/support/enrol-proofs.ts';
import type { EnrolRig } from '../../test/support/enrol-rig.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { makeCsr, makeKey } from '../../test/support/x509.ts';
import { fail, ok } from '../base/result.ts';
import { certifyConnector } from './issue.ts';
import type { ConnectorParts } from './parts.ts';

type Change = ConnectorParts['connectors']['changeConnector'];

/** The same parts, whose store answers the note of an SVID so; which serials were noted. */
function noting({ context: { parts } }: EnrolRig, answer: () => ReturnType<Change>) {
  const serials: string[] = [];
  const value: Change = async (_, change) => {
    if (change.kind === 'certified') serials.push(change.serial);
    return answer();
  };
  const connectors = Object.create(parts.connectors, { changeConnector: { value } });
  return { parts: { ...parts, connectors } as ConnectorParts, serials };
}

describe('an SVID of a connector', () => {
  test('leaves only once it is on record: not while the store does not take it', async (t) => {
    const rig = await openedRig(t);
    const { connector } = assertValue(await rig.enrol(TOKEN));
    const { parts } = noting(rig, async () => fail('STORE_FULL', 'no'));
    const done = await certifyConnector(parts, connector.id, makeCsr(), 'enrolment:test');
    assertRefused(done, 'STORE_FULL');
  });

  test('of one that was deleted while it was signed is taken back', async (t) => {
    const rig = await openedRig(t);
    const { connector } = assertValue(await rig.enrol(TOKEN));
    const { parts, serials } = noting(rig, async () => ok(undefined));
    const done = await certifyConnector(parts, connector.id, makeCsr(), 'enrolment:test');
    assertRefused(done, 'CONNECTOR_REVOKED');
    const [serial = assert.fail()] = serials;
    assert.equal(rig.state.registry.revocation(serial)?.reason, 'privilege-withdrawn');
    assert.equal(rig.state.registry.revocation(connector.serial), undefined);
  });

  test('that cannot be taken back is refused as the store refuses', async (t) => {
    const rig = await openedRig(t);
    const { connector } = assertValue(await rig.enrol(TOKEN));
    const { parts } = noting(rig, async () => ok(undefined));
    const registry = {
      bundle: undefined,
      revocation: () => undefined,
      revoke: async () => fail('STORE_FULL', 'no'),
    };
    // What is signed in vain asks nothing else of the registry.
    const refusing = { ...parts, registry } as unknown as ConnectorParts;
    const done = await certifyConnector(refusing, connector.id, makeCsr(), 'enrolment:test');
    assertRefused(done, 'STORE_FULL');
  });

  test('is signed for no weak key, and for no request that another key signed', async (t) => {
    const rig = await openedRig(t);
    const { connector } = assertValue(await rig.enrol(TOKEN));
    const { parts, serials } = noting(rig, async () => ok(undefined));
    const key = makeKey();
    for (const [csr, code] of [
      [makeCsr({ key: makeKey('rsa-1024') }), 'KEY_RSA_SIZE'],
      [makeCsr({ key: makeKey('ec-p521') }), 'KEY_ALGORITHM'],
      [makeCsr({ key, signer: makeKey() }), 'SIGNATURE_INVALID'],
    ] as const) {
      assertRefused(await certifyConnector(parts, connector.id, csr, 'enrolment:test'), code);
    }
    assert.deepEqual(serials, []);
  });
});
