import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  ACCOUNT,
  ALL_PROOFS,
  bindKey,
  makeProvisioningKey,
  openedRig,
  SVID,
  svidPeer,
  TOKEN,
  usesOf,
} from '../../../test/support/enrol-proofs.ts';
import type { EnrolRig } from '../../../test/support/enrol-rig.ts';
import { PSAT_TOKEN } from '../../../test/support/k8s-psat.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { agentRecord, draft, id } from '../../../test/support/state.ts';
import { makeCsr, makeKey, signWith, type TestKey } from '../../../test/support/x509.ts';
import { fail } from '../../base/result.ts';
import { parseSpiffeId } from '../../spiffe/spiffe-id.ts';
import { renewConnector } from '../issue.ts';
import type { ShownProof } from './request.ts';

async function attest({ state }: EnrolRig, name: string): Promise<void> {
  const nothing = { aliasEntry: undefined, joinTokenAnswer: undefined };
  assertValue(await state.registry.recordAttestation({ agent: agentRecord(name), ...nothing }));
}

describe('a provisioning key with a pod token', () => {
  test('that is not right, or not usable here, has no API server asked for whom it would be new', async (t) => {
    const rig = await openedRig(t);
    await rig.putGroup('core', { proofs: ALL_PROOFS });
    const good = await makeProvisioningKey(rig);
    const stranger = good.key.replace(/\.[^.]*$/, `.${'A'.repeat(43)}`);
    assertRefused(await rig.enrol({ ...good, key: stranger, token: 'x' }), 'CONNECTOR_KEY_UNKNOWN');
    assert.equal(rig.east.calls.length, 0);
  });

  test('of a pod whose account the group does not list is taken, for the same pod in one cluster', async (t) => {
    const rig = await openedRig(t);
    await rig.putGroup('edge', { proofs: ALL_PROOFS, serviceAccounts: [] });
    const proof = { ...(await makeProvisioningKey(rig, { maxUses: 2 })), token: PSAT_TOKEN };
    const east = assertValue(await rig.enrol(proof));
    assert.equal(east.connector.claimant, 'pod:east/pod-uid');
    // Clusters copy each other's UIDs where they are restored from one backup.
    const west = assertValue(await rig.enrol(proof, { request: { cluster: 'west' } }));
    assert.equal(west.connector.claimant, 'pod:west/pod-uid');
    assert.notEqual(west.connector.id, east.connector.id);
    assert.equal(usesOf(rig, proof.id), 2);
  });
});

describe('a pod token', () => {
  test('of an account that is listed for every cluster is taken from each, as another connector', async (t) => {
    const rig = await openedRig(t);
    const serviceAccounts = [{ ...ACCOUNT, cluster: '' }];
    await rig.putGroup('edge', { proofs: ALL_PROOFS, serviceAccounts });
    const east = assertValue(await rig.enrol(TOKEN));
    const west = assertValue(await rig.enrol(TOKEN, { request: { cluster: 'west' } }));
    assert.notEqual(west.connector.id, east.connector.id);
  });

  test('whose connector was of another group is none of this one while that lives', async (t) => {
    const rig = await openedRig(t);
    await rig.putGroup('core', { proofs: ALL_PROOFS, serviceAccounts: [ACCOUNT] });
    const { connector } = assertValue(await rig.enrol(TOKEN));
    assertRefused(await rig.enrol(TOKEN, { group: 'core' }), 'CONNECTOR_CLONE_SUSPECTED');
    const { connectors } = rig.state.registry;
    assert.equal(connectors.connector(connector.id)?.group, 'edge');
    assert.equal(connectors.connectorCount, 1);
  });
});

describe('a bound key', () => {
  const bound = (pair: Pick<TestKey, 'spki'>, signer: TestKey) => (text: Uint8Array) =>
    ({
      kind: 'bound-key',
      publicKey: pair.spki,
      signature: signWith(signer, text),
      recoveryCount: 0n,
    }) satisfies ShownProof;

  for (const [name, spki, code] of [
    ['nothing', Buffer.alloc(0), 'DER_TRUNCATED'],
    ['no key', Buffer.of(0x30, 0), 'DER_TRUNCATED'],
    ['a key on P-521', makeKey('ec-p521').spki, 'KEY_ALGORITHM'],
    ['an RSA key of 1,024 bits', makeKey('rsa-1024').spki, 'KEY_RSA_SIZE'],
  ] as const) {
    test(`that is ${name} is refused before anything else`, async (t) => {
      const rig = await openedRig(t);
      const done = await rig.enrol(bound({ spki }, makeKey()));
      assertRefused(done, code);
      assert.equal(rig.state.registry.connectors.connectorCount, 0);
    });
  }

  test('whose name no SPIFFE ID may have is refused, and leaves nothing', async (t) => {
    const rig = await openedRig(t);
    const { proof, keyId } = await bindKey(rig);
    const { connectors } = rig.state.registry;
    const held = connectors.boundKey(keyId);
    assert.ok(held);
    for (const connectorId of ['a b', '..', '', 'a/../b', '%2e']) {
      const view = Object.create(connectors, {
        boundKey: { value: () => ({ ...held, connectorId }) },
      });
      const { parts } = rig.context;
      Object.assign(rig.context, { parts: { ...parts, connectors: view } });
      const done = await rig.enrol(proof(0n));
      Object.assign(rig.context, { parts });
      assert.ok(!done.ok, connectorId);
      assert.equal(connectors.connectorCount, 0);
    }
    assertValue(await rig.enrol(proof(0n)));
  });
});

describe('an X.509-SVID', () => {
  test('of another trust domain is none, even where the group lists it', async (t) => {
    const rig = await openedRig(t);
    await rig.putGroup('edge', { proofs: ALL_PROOFS, spiffeIds: ['spiffe://other.org/*'] });
    const foreign = assertValue(parseSpiffeId('spiffe://other.org/edge/a'));
    const { peer } = svidPeer('/edge/a');
    assert.ok(peer?.kind === 'svid');
    const caller = { peer: { ...peer, id: foreign } };
    assertRefused(await rig.enrol(SVID, { caller }), 'CONNECTOR_SVID');
  });

  test('of two workloads with one key are two connectors', async (t) => {
    const rig = await openedRig(t);
    const key = makeKey();
    const one = assertValue(await rig.enrol(SVID, { caller: svidPeer('/edge/a'), key }));
    const two = assertValue(await rig.enrol(SVID, { caller: svidPeer('/edge/b'), key }));
    assert.notEqual(one.connector.id, two.connector.id);
    assert.equal(two.again, false);
  });

  test('with its key of enrolment is the same connector after renewals', async (t) => {
    const rig = await openedRig(t);
    const key = makeKey();
    const caller = svidPeer('/edge/a');
    const { connector } = assertValue(await rig.enrol(SVID, { caller, key }));
    assertValue(await renewConnector(connector, makeCsr(), rig.context.parts));
    const back = assertValue(await rig.enrol(SVID, { caller, key }));
    assert.deepEqual([back.connector.id, back.again], [connector.id, true]);
  });

  const nodes: readonly (readonly [string, readonly string[], string | undefined])[] = [
    ['no entry', [], undefined],
    ['one entry on an attested node', ['/spire/agent/a'], '/spire/agent/a'],
    ['two entries on one node', ['/spire/agent/a', '/spire/agent/a'], '/spire/agent/a'],
    ['entries on two nodes', ['/spire/agent/a', '/spire/agent/b'], undefined],
    ['an entry on a node that has not attested', ['/spire/agent/c'], undefined],
    ['an entry of an alias', ['/rack'], undefined],
  ];
  for (const [name, parents, agent] of nodes) {
    test(`of a workload with ${name}: vouched for by ${agent ?? 'nobody'}`, async (t) => {
      const rig = await openedRig(t);
      for (const one of ['a', 'b']) await attest(rig, one);
      for (const [at, parent] of parents.entries()) {
        const entry = draft('/edge/a', parent, { hint: String(at), dnsNames: [`h${at}.test`] });
        assertValue(await rig.state.registry.createEntries([{ draft: entry }]));
      }
      const caller = svidPeer('/edge/a');
      const { connector } = assertValue(await rig.enrol(SVID, { caller }));
      assert.equal(connector.agentId?.path, agent);
      const spiffeIds = ['spiffe://example.org/edge/*'];
      await rig.putGroup('edge', { proofs: ALL_PROOFS, spiffeIds, requireAttestedNode: true });
      const demanded = await rig.enrol(SVID, { caller });
      if (agent === undefined) assertRefused(demanded, 'CONNECTOR_NODE_NOT_ATTESTED');
      else assertValue(demanded);
    });
  }
});

describe('an enrolment', () => {
  test('by a registry that lags too far leaves nothing', async (t) => {
    const rig = await openedRig(t, { policy: { maxStalenessMs: -1 } });
    assertRefused(await rig.enrol(TOKEN), 'REGISTRY_STALE');
    assert.equal(rig.state.registry.connectors.connectorCount, 0);
    assert.equal(rig.east.calls.length, 0);
  });

  test('need not say which certificate it was shown', async (t) => {
    const rig = await openedRig(t);
    const request = { serverCertificateSha256: new Uint8Array() };
    assertValue(await rig.enrol(TOKEN, { request }));
  });

  test('that is repeated ends nothing that its key has', async (t) => {
    const rig = await openedRig(t);
    const key = makeKey();
    const first = assertValue(await rig.enrol(TOKEN, { key }));
    assertValue(await rig.enrol(TOKEN, { key }));
    assert.equal(rig.state.registry.revocation(first.issued.serialDecimal), undefined);
  });

  test('with a new key gives nothing while what the lost one has cannot be ended', async (t) => {
    const rig = await openedRig(t);
    const lost = assertValue(await rig.enrol(TOKEN)).connector;
    const { parts } = rig.context;
    const { registry } = parts;
    const refusing = {
      trustDomain: registry.trustDomain,
      bundle: registry.bundle,
      agent: (agentId: typeof lost.spiffeId) => registry.agent(agentId),
      entriesBySpiffeId: (spiffeId: typeof lost.spiffeId) => registry.entriesBySpiffeId(spiffeId),
      revocation: (serial: string) => registry.revocation(serial),
      revoke: async () => fail('STORE_FULL', 'no'),
    };
    Object.assign(rig.context, { parts: { ...parts, registry: refusing } });
    const key = makeKey();
    assertRefused(await rig.enrol(TOKEN, { key }), 'STORE_FULL');
    const { connectors } = rig.state.registry;
    assert.equal(connectors.connector(lost.id)?.serial, lost.serial, 'nothing new was signed');
    Object.assign(rig.context, { parts });
    assertValue(await rig.enrol(TOKEN, { key }));
    assert.ok(registry.revocation(lost.serial));
  });

  test('that the ledger does not take as a clone is refused all the same', async (t) => {
    const rig = await openedRig(t);
    const { connector } = assertValue(await rig.enrol(TOKEN));
    rig.open.add(connector.id);
    const { parts } = rig.context;
    const recordAct = async () => fail('INTERNAL', 'full');
    Object.assign(rig.context, { parts: { ...parts, recordAct } });
    assertRefused(await rig.enrol(TOKEN), 'CONNECTOR_CLONE_SUSPECTED');
  });

  test('is judged for the ID that its connector has: the demands of zones hold again', async (t) => {
    const rules = [{ path: '/connector/edge/vault-1', zones: [1], mint: false }];
    const zones = { rules, nodes: [] };
    const rig = await openedRig(t, { policy: { zones } });
    const { proof } = await bindKey(rig);
    assertRefused(await rig.enrol(proof(0n)), 'ZONE_NOT_MET');
    assert.equal(rig.state.registry.connectors.connectorCount, 0);
    assertValue(await rig.enrol(TOKEN));
    assert.equal(id('/connector/edge/vault-1').path, rules[0]?.path);
  });
});
