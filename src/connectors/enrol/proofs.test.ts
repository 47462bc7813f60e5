import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
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
import { connectorReview, type EnrolRig } from '../../../test/support/enrol-rig.ts';
import { PSAT_POD, PSAT_TOKEN } from '../../../test/support/k8s-psat.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { agentRecord, id, revocation, START_SECONDS } from '../../../test/support/state.ts';
import { makeCsr, makeKey, signWith } from '../../../test/support/x509.ts';
import type { ErrorCode } from '../../base/errors.ts';
import { renewConnector } from '../issue.ts';
import { revokeConnector } from '../revoke.ts';
import type { EnrolCaller, EnrolRequest, ShownProof } from './request.ts';

describe('a provisioning key', () => {
  test('is used once by each connector, and no more often than it may be', async (t) => {
    const rig = await openedRig(t);
    const proof = await makeProvisioningKey(rig, { maxUses: 2 });
    const [one, two] = [makeKey(), makeKey()];
    for (const key of [one, two, one, two]) assertValue(await rig.enrol(proof, { key }));
    assert.equal(usesOf(rig, proof.id), 2);
    assertRefused(await rig.enrol(proof), 'CONNECTOR_KEY_EXHAUSTED');
    assert.equal(rig.state.registry.connectors.connectorCount, 2);
  });

  for (const [afterMs, code] of [
    [3_599_999, undefined],
    [3_600_000, 'CONNECTOR_KEY_EXPIRED'],
    [3_600_001, 'CONNECTOR_KEY_EXPIRED'],
  ] as const) {
    test(`${afterMs} ms into its hour: ${code ?? 'taken'}`, async (t) => {
      const rig = await openedRig(t);
      const proof = await makeProvisioningKey(rig);
      rig.state.clock.advance(afterMs);
      const done = await rig.enrol(proof);
      if (code === undefined) assertValue(done);
      else assertRefused(done, code);
    });
  }

  for (const [cidr, remoteAddress, taken] of [
    ['192.0.2.0/24', '192.0.2.255', true],
    ['192.0.2.0/24', '192.0.3.0', false],
    ['192.0.2.0/24', '192.0.1.255', false],
    ['192.0.2.0/24', '::ffff:192.0.2.9', true],
    ['192.0.2.0/24', '::ffff:192.0.3.0', false],
    ['192.0.2.9', '192.0.2.9', true],
    ['192.0.2.9', '192.0.2.10', false],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::', false],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['::/0', '192.0.2.9', false],
    ['192.0.2.0/24', 'unix', false],
  ] as const) {
    test(`for ${cidr}, from ${remoteAddress}: ${taken ? 'taken' : 'refused'}`, async (t) => {
      const rig = await openedRig(t);
      const proof = await makeProvisioningKey(rig, { cidrs: ['198.51.100.1', cidr] });
      const done = await rig.enrol(proof, { caller: { remoteAddress } });
      if (taken) assertValue(done);
      else assertRefused(done, 'CONNECTOR_KEY_CIDR');
      assert.equal(usesOf(rig, proof.id), taken ? 1 : 0);
    });
  }

  test('is not used up by a connector whose node the group refuses', async (t) => {
    const rig = await openedRig(t);
    await rig.putGroup('edge', { proofs: ALL_PROOFS, requireAttestedNode: true });
    const proof = await makeProvisioningKey(rig);
    assertRefused(await rig.enrol(proof), 'CONNECTOR_NODE_NOT_ATTESTED');
    assert.equal(usesOf(rig, proof.id), 0);
    assert.equal(rig.state.registry.connectors.connectorCount, 0);
  });

  test('of another group is refused', async (t) => {
    const rig = await openedRig(t);
    await rig.putGroup('core', { proofs: ALL_PROOFS });
    const proof = await makeProvisioningKey(rig, {}, 'core');
    assertRefused(await rig.enrol(proof), 'CONNECTOR_KEY_GROUP');
    assertValue(await rig.enrol(proof, { group: 'core' }));
  });

  test('whoever has not the secret learns nothing of: not even whether there is one', async (t) => {
    const rig = await openedRig(t);
    await rig.putGroup('core', { proofs: ALL_PROOFS });
    const right = await makeProvisioningKey(
      rig,
      { expiresAtSeconds: 1, cidrs: ['198.51.100.1'] },
      'core',
    );
    const [, keyId = '', secret = ''] = right.key.split('.');
    const other = secret.startsWith('A') ? `B${secret.slice(1)}` : `A${secret.slice(1)}`;
    const messages = new Set<string>();
    for (const key of [`sck1.${keyId}.${other}`, `sck1.aaaaaaaaaa.${secret}`]) {
      const done = await rig.enrol({ ...right, key });
      assertRefused(done, 'CONNECTOR_KEY_UNKNOWN');
      if (!done.ok) messages.add(done.error.message);
    }
    assert.equal(messages.size, 1);
    for (const key of ['', 'sck1', secret, `sck1.${keyId}.${secret}=`, `SCK1.${keyId}.${secret}`]) {
      assertRefused(await rig.enrol({ ...right, key }), 'CONNECTOR_KEY_UNKNOWN');
    }
  });

  test('with a pod token is one use for the pod, whatever its key', async (t) => {
    const rig = await openedRig(t);
    const proof = { ...(await makeProvisioningKey(rig)), token: PSAT_TOKEN };
    const first = assertValue(await rig.enrol(proof));
    assert.equal(assertValue(await rig.enrol(proof)).connector.id, first.connector.id);
    assert.equal(usesOf(rig, proof.id), 1);
    assertRefused(await rig.enrol({ ...proof, token: 'other' }), 'CONNECTOR_TOKEN');
    assertRefused(await rig.enrol({ ...proof, token: '' }), 'CONNECTOR_KEY_EXHAUSTED');
  });

  const gone: readonly [
    string,
    (rig: EnrolRig, keyId: string) => unknown,
    ErrorCode,
    Partial<EnrolCaller>?,
  ][] = [
    ['has ended', ({ state }) => state.clock.advance(3_600_000), 'CONNECTOR_KEY_EXPIRED'],
    [
      'was deleted',
      async ({ state }, keyId) =>
        assertValue(await state.registry.connectors.deleteProvisioningKeys([keyId])),
      'CONNECTOR_KEY_UNKNOWN',
    ],
    ['is used up', () => {}, 'CONNECTOR_KEY_EXHAUSTED'],
    ['is for other addresses', () => {}, 'CONNECTOR_KEY_CIDR', { remoteAddress: '203.0.113.1' }],
  ];
  for (const [what, happens, code, caller = {}] of gone) {
    test(`that ${what} stands in the way of no repetition, and of everything else`, async (t) => {
      const rig = await openedRig(t);
      await rig.putGroup('edge', { proofs: ALL_PROOFS, svidTtlSeconds: 7200 });
      const proof = await makeProvisioningKey(rig, { cidrs: ['192.0.2.0/24'] });
      const key = makeKey();
      const from = { caller: { remoteAddress: '192.0.2.1' } };
      const first = assertValue(await rig.enrol(proof, { key, ...from }));
      await happens(rig, proof.id);
      const there = { caller: { ...from.caller, ...caller } };
      const again = assertValue(await rig.enrol(proof, { key, ...there }));
      assert.deepEqual([again.again, again.connector.id], [true, first.connector.id]);
      assertRefused(await rig.enrol(proof, there), code);
      const [ours] = rig.state.registry.connectors.connectors();
      assert.equal(ours?.serial, again.issued.serialDecimal);
      await rig.putGroup('core', { proofs: ALL_PROOFS });
      const elsewhere = await rig.enrol(proof, { key, group: 'core', ...there });
      assert.match(elsewhere.ok ? '' : elsewhere.error.code, /^CONNECTOR_KEY_/);
      const { parts } = rig.context;
      const by = { reason: 'stolen', requestedBy: 'local:0' };
      assertValue(await revokeConnector(parts, first.connector.id, by));
      assertRefused(await rig.enrol(proof, { key, ...there }), 'CONNECTOR_REVOKED');
    });
  }

  test('that has ended: a pod repeats with the key that it has, and not with another', async (t) => {
    const rig = await openedRig(t);
    await rig.putGroup('edge', { proofs: ALL_PROOFS, svidTtlSeconds: 7200 });
    const proof = { ...(await makeProvisioningKey(rig)), token: PSAT_TOKEN };
    const key = makeKey();
    const first = assertValue(await rig.enrol(proof, { key }));
    rig.state.clock.advance(3_600_000);
    assert.equal(assertValue(await rig.enrol(proof, { key })).connector.id, first.connector.id);
    assertRefused(await rig.enrol(proof), 'CONNECTOR_KEY_EXPIRED');
    assertRefused(await rig.enrol({ ...proof, token: 'other' }, { key }), 'CONNECTOR_KEY_EXPIRED');
    const calls = rig.east.calls.length;
    assertValue(await rig.state.registry.connectors.deleteProvisioningKeys([proof.id]));
    assertRefused(await rig.enrol(proof, { key }), 'CONNECTOR_KEY_UNKNOWN');
    assert.equal(rig.east.calls.length, calls);
  });

  test('its key of enrolment is the way back after renewals, but not while it runs', async (t) => {
    const rig = await openedRig(t);
    const proof = await makeProvisioningKey(rig);
    const key = makeKey();
    const { connector } = assertValue(await rig.enrol(proof, { key }));
    assertValue(await renewConnector(connector, makeCsr(), rig.context.parts));
    rig.open.add(connector.id);
    assertRefused(await rig.enrol(proof, { key }), 'CONNECTOR_CLONE_SUSPECTED');
    rig.open.clear();
    assert.equal(assertValue(await rig.enrol(proof, { key })).connector.id, connector.id);
    assert.equal(usesOf(rig, proof.id), 1);
  });
});

describe('a pod token', () => {
  const refusals: readonly [
    string,
    (rig: EnrolRig) => unknown,
    ErrorCode,
    Partial<EnrolRequest>?,
  ][] = [
    ['that nobody gave', ({ east }) => (east.review = () => ({})), 'CONNECTOR_TOKEN'],
    [
      'for another audience',
      ({ east }) => (east.review = () => ({ ...connectorReview(), audiences: ['api'] })),
      'CONNECTOR_TOKEN',
    ],
    [
      'of another service account',
      ({ east }) => {
        const user = { username: 'system:serviceaccount:spire:other', extra: {} };
        east.review = () => ({ ...connectorReview(), user });
      },
      'CONNECTOR_CLAIMANT_DENIED',
    ],
    [
      'bound to no pod',
      ({ east }) => (east.review = () => connectorReview({ 'pod-uid': [] })),
      'CONNECTOR_TOKEN_UNBOUND',
    ],
    [
      'without its node',
      ({ east }) => (east.review = () => connectorReview({ 'node-name': [] })),
      'CONNECTOR_TOKEN_UNBOUND',
    ],
    [
      'of a pod of another uid',
      ({ east }) => (east.review = () => connectorReview({ 'pod-uid': ['b'] })),
      'CONNECTOR_POD',
    ],
    [
      'of a pod that is gone',
      ({ east }) => east.remove('/api/v1/pods', 'spire/agent-x'),
      'CONNECTOR_POD',
    ],
    [
      'of a pod that ends',
      ({ east }) =>
        east.put('/api/v1/pods', {
          ...PSAT_POD,
          metadata: { ...PSAT_POD.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' },
        }),
      'CONNECTOR_POD',
    ],
    [
      'of a pod that has ended',
      ({ east }) => east.put('/api/v1/pods', { ...PSAT_POD, status: { phase: 'Failed' } }),
      'CONNECTOR_POD',
    ],
    [
      'of a node that is gone',
      ({ east }) => east.remove('/api/v1/nodes', 'node-a'),
      'CONNECTOR_POD',
    ],
    ['while its cluster is away', ({ east }) => (east.fault = () => 'reset'), 'CONNECTOR_KUBE_API'],
    ['of a cluster that is none', () => {}, 'CONNECTOR_CLUSTER', { cluster: 'north' }],
    [
      'of another cluster than its account is listed for',
      () => {},
      'CONNECTOR_CLAIMANT_DENIED',
      { cluster: 'west' },
    ],
  ];
  for (const [name, change, code, request] of refusals) {
    test(`${name} is refused`, async (t) => {
      const rig = await openedRig(t);
      change(rig);
      assertRefused(await rig.enrol(TOKEN, request === undefined ? {} : { request }), code);
      assert.equal(rig.state.registry.connectors.connectorCount, 0);
    });
  }

  test('is shown to one API server: the named one, or the only one that its group has', async (t) => {
    const rig = await openedRig(t);
    const unnamed = { request: { cluster: '' } };
    assertValue(await rig.enrol(TOKEN, unnamed));
    assert.equal(rig.west.calls.length, 0);
    await rig.putGroup('edge', {
      proofs: ALL_PROOFS,
      serviceAccounts: [{ ...ACCOUNT, cluster: '' }],
    });
    const calls = rig.east.calls.length;
    assertRefused(await rig.enrol(TOKEN, unnamed), 'CONNECTOR_CLUSTER');
    assert.deepEqual([rig.east.calls.length, rig.west.calls.length], [calls, 0]);
  });

  test('with another key: a restart takes the place, and ends what the lost key has', async (t) => {
    const rig = await openedRig(t);
    const first = assertValue(await rig.enrol(TOKEN));
    const second = assertValue(await rig.enrol(TOKEN));
    assert.equal(second.connector.id, first.connector.id);
    const { registry } = rig.state;
    assert.ok(registry.revocation(first.issued.serialDecimal));
    assert.equal(registry.revocation(second.issued.serialDecimal), undefined);
  });

  test('with another key while its connector runs is a clone: refused, on record', async (t) => {
    const rig = await openedRig(t);
    const key = makeKey();
    const { connector, issued } = assertValue(await rig.enrol(TOKEN, { key }));
    rig.open.add(connector.id);
    assertRefused(await rig.enrol(TOKEN), 'CONNECTOR_CLONE_SUSPECTED');
    assert.equal(rig.state.registry.revocation(issued.serialDecimal), undefined);
    assert.deepEqual(
      rig.acts.map(({ act, spiffeId }) => [act, spiffeId]),
      [['suspect-clone', connector.spiffeId.uri]],
    );
    const text = await rig.metrics.registry.metrics();
    assert.match(text, /proof="kubernetes-token",outcome="CONNECTOR_CLONE_SUSPECTED"\} 1/);
    assert.equal(assertValue(await rig.enrol(TOKEN, { key })).again, true);
  });

  test('more under review than there is room for are turned away, and room comes back', async (t) => {
    const held = Promise.withResolvers<void>();
    const rig = await openedRig(t);
    let reached = 0;
    const all = Promise.withResolvers<void>();
    rig.east.fault = ({ path }) => {
      if (!path.endsWith('/tokenreviews')) return undefined;
      if (++reached === 4) all.resolve();
      return { after: held.promise };
    };
    const waiting = Array.from({ length: 4 }, () => rig.enrol(TOKEN, { key: makeKey() }));
    await all.promise;
    assertRefused(await rig.enrol(TOKEN), 'CONNECTOR_BUSY');
    held.resolve();
    await Promise.all(waiting);
    rig.east.fault = () => undefined;
    assertValue(await rig.enrol(TOKEN));
  });

  test('finds the agent of the node, and the node that is out is refused', async (t) => {
    const rig = await openedRig(t);
    const agentId = id('/spire/agent/k8s_psat/east/node-uid');
    const record = agentRecord('k8s_psat/east/node-uid');
    const key = makeKey();
    assert.equal(assertValue(await rig.enrol(TOKEN, { key })).connector.agentId, undefined);
    const nothing = { aliasEntry: undefined, joinTokenAnswer: undefined };
    assertValue(await rig.state.registry.recordAttestation({ agent: record, ...nothing }));
    const { connector } = assertValue(await rig.enrol(TOKEN, { key }));
    assert.equal(connector.agentId?.uri, agentId.uri);
    assertValue(await rig.state.registry.banAgent(agentId, false));
    assertRefused(await rig.enrol(TOKEN, { key }), 'CONNECTOR_NODE');
  });

  test('of a node whose agent the cluster names otherwise: nobody vouches', async (t) => {
    const rig = await openedRig(t);
    const nothing = { aliasEntry: undefined, joinTokenAnswer: undefined };
    const agent = agentRecord('dpu/aa');
    assertValue(await rig.state.registry.recordAttestation({ agent, ...nothing }));
    assert.equal(assertValue(await rig.enrol(TOKEN)).connector.agentId, undefined);
    const demands = [{ requireAttestedNode: true }, { zones: [1] }, { assurance: 'key' }] as const;
    for (const demand of demands) {
      await rig.putGroup('edge', { proofs: ALL_PROOFS, serviceAccounts: [ACCOUNT], ...demand });
      assertRefused(await rig.enrol(TOKEN), 'CONNECTOR_NODE_NOT_ATTESTED');
    }
  });
});

describe('an X.509-SVID', () => {
  const refusals: readonly [string, Partial<EnrolCaller>, ErrorCode][] = [
    ['none', {}, 'CONNECTOR_SVID'],
    [
      'a process',
      { peer: { kind: 'process', uid: 0, gid: 0, groups: [], pid: 1 } },
      'CONNECTOR_SVID',
    ],
    [
      'one past its end',
      svidPeer('/edge/a', { notAfterSeconds: START_SECONDS - 1 }),
      'CONNECTOR_SVID',
    ],
    ['one that was revoked', svidPeer('/edge/a', { serialDecimal: '66' }), 'CONNECTOR_SVID'],
    ['that of a server', svidPeer('/spire/server'), 'CONNECTOR_SVID'],
    ['that of a connector', svidPeer('/connector/edge/a'), 'CONNECTOR_SVID'],
    ['that of an agent that is not known', svidPeer('/spire/agent/b'), 'CONNECTOR_SVID'],
    [
      'that of an agent, replaced',
      svidPeer('/spire/agent/a', { serialDecimal: '2' }),
      'CONNECTOR_SVID',
    ],
    ['that of who is not listed', svidPeer('/other/a'), 'CONNECTOR_CLAIMANT_DENIED'],
    ['that of who is like one listed', svidPeer('/edgea/a'), 'CONNECTOR_CLAIMANT_DENIED'],
  ];
  const ready = async (t: TestContext): Promise<EnrolRig> => {
    const rig = await openedRig(t);
    const nothing = { aliasEntry: undefined, joinTokenAnswer: undefined };
    assertValue(
      await rig.state.registry.recordAttestation({ agent: agentRecord('a'), ...nothing }),
    );
    assertValue(await rig.state.registry.revoke([revocation('66')]));
    return rig;
  };
  for (const [name, caller, code] of refusals) {
    test(`${name} is refused`, async (t) => {
      const rig = await ready(t);
      assertRefused(await rig.enrol(SVID, { caller }), code);
    });
  }

  test('of a workload proves one connector for each key', async (t) => {
    const rig = await ready(t);
    const caller = svidPeer('/edge/a');
    const key = makeKey();
    const one = assertValue(await rig.enrol(SVID, { caller, key }));
    const two = assertValue(await rig.enrol(SVID, { caller }));
    assert.notEqual(one.connector.id, two.connector.id);
    const again = assertValue(await rig.enrol(SVID, { caller, key }));
    assert.deepEqual([again.again, again.connector.id], [true, one.connector.id]);
    assert.equal(one.connector.agentId, undefined);
  });

  test('of an agent is that of its node; banned, it proves nothing', async (t) => {
    const rig = await ready(t);
    const caller = svidPeer('/spire/agent/a');
    const { connector } = assertValue(await rig.enrol(SVID, { caller }));
    assert.equal(connector.agentId?.uri, id('/spire/agent/a').uri);
    assertValue(await rig.state.registry.banAgent(id('/spire/agent/a'), false));
    assertRefused(await rig.enrol(SVID, { caller }), 'CONNECTOR_SVID');
  });
});

describe('a bound key', () => {
  test('comes back as often as it may, as one connector, and counts', async (t) => {
    const rig = await openedRig(t);
    const { proof } = await bindKey(rig, 1);
    const first = assertValue(await rig.enrol(proof(0n)));
    assert.deepEqual([first.connector.id, first.recoveryCount], ['vault-1', 1n]);
    const second = assertValue(await rig.enrol(proof(1n)));
    assert.deepEqual([second.connector.id, second.recoveryCount], ['vault-1', 2n]);
    assert.ok(rig.state.registry.revocation(first.issued.serialDecimal));
    assertRefused(await rig.enrol(proof(2n)), 'CONNECTOR_KEY_EXHAUSTED');
  });

  test('that is behind its counter is a clone, on record', async (t) => {
    const rig = await openedRig(t);
    const { proof } = await bindKey(rig, 5);
    assertValue(await rig.enrol(proof(0n)));
    assertRefused(await rig.enrol(proof(0n)), 'CONNECTOR_CLONE_SUSPECTED');
    assertRefused(await rig.enrol(proof(2n)), 'CONNECTOR_CLONE_SUSPECTED');
    assert.deepEqual(new Set(rig.acts.map(({ act }) => act)), new Set(['suspect-clone']));
  });

  test('is known only to who has the private key', async (t) => {
    const rig = await openedRig(t);
    const { proof } = await bindKey(rig);
    assertRefused(await rig.enrol(proof(0n, makeKey())), 'CONNECTOR_SIGNATURE');
    const stranger = makeKey();
    const unknown = (text: Uint8Array): ShownProof => ({
      kind: 'bound-key',
      publicKey: stranger.spki,
      signature: signWith(stranger, text),
      recoveryCount: 0n,
    });
    assertRefused(await rig.enrol(unknown), 'CONNECTOR_KEY_UNKNOWN');
  });

  test('of another group is refused', async (t) => {
    const rig = await openedRig(t);
    await rig.putGroup('core', { proofs: ALL_PROOFS });
    const { proof } = await bindKey(rig, 1, 'core');
    assertRefused(await rig.enrol(proof(0n)), 'CONNECTOR_KEY_GROUP');
  });

  test('with a signature over another enrolment is refused', async (t) => {
    const rig = await openedRig(t);
    const { pair } = await bindKey(rig);
    const replayed = { kind: 'bound-key', publicKey: pair.spki, recoveryCount: 0n } as const;
    const signature = signWith(pair, Buffer.from('another'));
    assertRefused(await rig.enrol({ ...replayed, signature }), 'CONNECTOR_SIGNATURE');
  });
});
