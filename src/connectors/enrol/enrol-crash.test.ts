import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  makeProvisioningKey,
  openedRig,
  TOKEN,
  usesOf,
} from '../../../test/support/enrol-proofs.ts';
import type { EnrolRig } from '../../../test/support/enrol-rig.ts';
import { Killer } from '../../../test/support/killer.ts';
import { assertValue } from '../../../test/support/refused.ts';
import { makeKey } from '../../../test/support/x509.ts';
import type { ConnectorParts } from '../parts.ts';

/** The same parts, of a process that dies at one of the durable steps. */
function dying({ context: { parts } }: EnrolRig, killer: Killer): ConnectorParts {
  const { connectors, issuer, registry } = parts;
  const revoking = new Proxy(registry, {
    get(target, name) {
      if (name === 'revoke') {
        return (...all: Parameters<typeof registry.revoke>) =>
          killer.around(() => target.revoke(...all));
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const proxied = Object.create(connectors, {
    enrolConnector: {
      value: (write: Parameters<typeof connectors.enrolConnector>[0]) =>
        killer.around(() => connectors.enrolConnector(write)),
    },
    changeConnector: {
      value: (...change: Parameters<typeof connectors.changeConnector>) =>
        killer.around(() => connectors.changeConnector(...change)),
    },
  });
  return {
    ...parts,
    registry: revoking,
    connectors: proxied,
    issuer: {
      checkCsr: (csr) => issuer.checkCsr(csr),
      issueX509Batch: (items) => killer.around(() => issuer.issueX509Batch(items)),
    },
  };
}

/** Before and after each of: the claim, the signature, the note that there is one. */
for (const step of [1, 2, 3, 4, 5, 6]) {
  test(`killed at step ${step} of an enrolment, a connector that comes again is the same, for one use`, async (t) => {
    const rig = await openedRig(t);
    const proof = await makeProvisioningKey(rig);
    const key = makeKey();
    const { parts } = rig.context;
    const killer = new Killer(step);
    Object.assign(rig.context, { parts: dying(rig, killer) });
    void rig.enrol(proof, { key });
    await killer.died.promise;
    const [claimed] = rig.state.registry.connectors.connectors();
    assert.equal(usesOf(rig, proof.id), step === 1 ? 0 : 1);
    Object.assign(rig.context, { parts });
    const done = assertValue(await rig.enrol(proof, { key }));
    assert.equal(done.connector.id, claimed?.id ?? done.connector.id);
    assert.equal(rig.state.registry.connectors.connectorCount, 1);
    assert.equal(usesOf(rig, proof.id), 1);
    assert.equal(rig.state.registry.connectors.connector(done.connector.id)?.standing, 'enrolled');
  });
}

/** Before and after each of: the claim, the end of what the lost key has, the signature, the note. */
for (const step of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`killed at step ${step} of an enrolment with a new key, what the lost key has ends all the same`, async (t) => {
    const rig = await openedRig(t);
    const lost = assertValue(await rig.enrol(TOKEN)).connector;
    const key = makeKey();
    const { parts } = rig.context;
    const killer = new Killer(step);
    Object.assign(rig.context, { parts: dying(rig, killer) });
    void rig.enrol(TOKEN, { key });
    await killer.died.promise;
    Object.assign(rig.context, { parts });
    const { connector, issued } = assertValue(await rig.enrol(TOKEN, { key }));
    assert.equal(connector.id, lost.id);
    const { registry } = rig.state;
    assert.ok(registry.revocation(lost.serial));
    assert.equal(registry.revocation(issued.serialDecimal), undefined);
  });
}
