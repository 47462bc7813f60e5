import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { enrolment, groupDraft } from '../../test/support/connector-state.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  agentRecord,
  dpuDraft,
  id,
  START_SECONDS as NOW,
  openState,
  revocation,
  type TestState,
} from '../../test/support/state.ts';
import type { ErrorCode } from '../base/errors.ts';
import type { Registry } from '../registry/registry.ts';
import type { Assurance } from '../rules/assurance.ts';
import type { ConnectorGroupDraft } from '../rules/connector/group.ts';
import type { ZonePolicy } from '../rules/zones.ts';
import { resolveConnector } from './connector-callers.ts';
import {
  grantConnectorX509,
  recheckConnectorGrant,
  requireConnectorNode,
} from './connector-grants.ts';
import { DEFAULT_MAX_STALENESS_MS, type PolicyContext } from './context.ts';
import { isWorkloadId } from './grants.ts';
import { recheckGrant } from './recheck.ts';
import type { SvidFacts } from './svid-facts.ts';

const AGENT = id('/spire/agent/a');
const ID = id('/connector/edge/c1');

interface Opened {
  readonly state: TestState;
  readonly policy: PolicyContext;
}

function assurance(binding: Assurance['binding'], zone?: number): Assurance {
  return { method: 'tpm', binding, zone, release: undefined, atSeconds: NOW };
}

/** A group `edge` with an enrolled connector `c1` on the node of the agent `a`. */
async function opened(
  t: TestContext,
  group: Partial<ConnectorGroupDraft> = {},
  how: { zones?: ZonePolicy; attested?: Assurance | undefined; onNode?: boolean } = {},
): Promise<Opened> {
  const { zones, onNode = true } = how;
  const attested = 'attested' in how ? how.attested : assurance('tpm', 1);
  const state = await openState(t);
  const { registry, clock } = state;
  const { connectors } = registry;
  const agent = agentRecord('a', { assurance: attested });
  const nothing = { aliasEntry: undefined, joinTokenAnswer: undefined };
  assertValue(await registry.recordAttestation({ agent, ...nothing }));
  const write = { draft: groupDraft('edge', group), expectedRevision: undefined };
  assertValue(await connectors.writeConnectorGroups([write]));
  const base = enrolment('c1', 'edge');
  const claim = { ...base.claim, agentId: onNode ? AGENT : undefined };
  assertValue(await connectors.enrolConnector({ ...base, claim }));
  const rest = { adminIds: [], serverUid: 0, adminGid: undefined };
  const maxStalenessMs = DEFAULT_MAX_STALENESS_MS;
  return { state, policy: { registry, clock, connectors, zones, maxStalenessMs, ...rest } };
}

async function certify({ state }: Opened, serial: string): Promise<void> {
  const expiresAtSeconds = NOW + 600;
  const change = { kind: 'certified', serial, expiresAtSeconds, keySha256: serial } as const;
  assertValue(await state.registry.connectors.changeConnector('c1', change));
}

async function quarantine(registry: Registry): Promise<void> {
  const dpu = dpuDraft('S1', { agentIds: [AGENT], state: 'quarantined' });
  assertValue(await registry.writeDpus([{ dpu, expectedRevision: 0n }]));
}

function svid(extra: Partial<SvidFacts> = {}): SvidFacts {
  const facts = { serialDecimal: '11', notAfterSeconds: NOW + 600, signerKeyIds: [] };
  return { kind: 'svid', id: ID, ...facts, ...extra };
}

describe('the node of a connector', () => {
  const rows: readonly [
    string,
    Partial<ConnectorGroupDraft>,
    Parameters<typeof opened>[2],
    ErrorCode | undefined,
  ][] = [
    ['any, where nothing is asked', {}, { onNode: false }, undefined],
    [
      'none, where one has to be attested',
      { requireAttestedNode: true },
      { onNode: false },
      'CONNECTOR_NODE_NOT_ATTESTED',
    ],
    [
      'none, where a zone is asked',
      { zones: [1] },
      { onNode: false },
      'CONNECTOR_NODE_NOT_ATTESTED',
    ],
    [
      'none, where a binding is asked',
      { assurance: 'bearer' },
      { onNode: false },
      'CONNECTOR_NODE_NOT_ATTESTED',
    ],
    ['attested', { requireAttestedNode: true }, {}, undefined],
    ['in the zone', { zones: [0, 1] }, {}, undefined],
    ['in another zone', { zones: [0, 2] }, {}, 'CONNECTOR_NODE_ZONE'],
    ['in no zone', { zones: [1] }, { attested: assurance('tpm') }, 'CONNECTOR_NODE_ZONE'],
    ['just as firm', { assurance: 'tpm' }, {}, undefined],
    ['firmer', { assurance: 'vouched' }, {}, undefined],
    ['less firm', { assurance: 'plugin-key' }, {}, 'CONNECTOR_NODE_ASSURANCE'],
    [
      'of no known binding',
      { assurance: 'bearer' },
      { attested: undefined },
      'CONNECTOR_NODE_ASSURANCE',
    ],
    ['of no known binding, where none is asked', {}, { attested: undefined }, undefined],
    [
      'against the zones of the server',
      {},
      { zones: { rules: [{ path: '/connector', zones: [0], mint: false }], nodes: [] } },
      'ZONE_NOT_MET',
    ],
    [
      'none, against the zones of the server',
      {},
      {
        onNode: false,
        zones: { rules: [{ path: '/connector/edge', zones: [1], mint: false }], nodes: [] },
      },
      'ZONE_NOT_MET',
    ],
    [
      'as the zones of the server ask',
      {},
      { zones: { rules: [{ path: '/connector', zones: [1], mint: false }], nodes: [] } },
      undefined,
    ],
  ];
  for (const [name, group, how, code] of rows) {
    test(`${name}: ${code ?? 'will do'}`, async (t) => {
      const { policy } = await opened(t, group, how);
      const grant = grantConnectorX509('c1', 'enrolment:test', policy);
      if (code === undefined) assertValue(grant);
      else assertRefused(grant, code);
    });
  }

  const outs: readonly [string, (state: TestState) => Promise<unknown>, ErrorCode][] = [
    ['banned', ({ registry }) => registry.banAgent(AGENT, false), 'CONNECTOR_NODE'],
    ['in quarantine', ({ registry }) => quarantine(registry), 'CONNECTOR_NODE'],
    ['deleted', ({ registry }) => registry.deleteAgent(AGENT), 'CONNECTOR_NODE_NOT_ATTESTED'],
    [
      'past the end of its SVID',
      async ({ clock }) => clock.advance(3_600_000),
      'CONNECTOR_NODE_NOT_ATTESTED',
    ],
    [
      'with its SVID revoked',
      ({ registry }) => registry.revoke([revocation('1')]),
      'CONNECTOR_NODE_NOT_ATTESTED',
    ],
  ];
  for (const [name, act, code] of outs) {
    test(`${name} after the grant: nothing is released`, async (t) => {
      const { state, policy } = await opened(t, { requireAttestedNode: true });
      const grant = assertValue(grantConnectorX509('c1', 'enrolment:test', policy));
      assertValue(recheckGrant(grant, policy));
      await act(state);
      assertRefused(recheckGrant(grant, policy), code);
      const wish = { group: 'edge', spiffeId: ID, agentId: AGENT };
      assertRefused(requireConnectorNode(wish, policy), code);
    });
  }
});

describe('a grant for a connector', () => {
  test('has the life of its group, its ID and its node, and no names', async (t) => {
    const { policy } = await opened(t, { svidTtlSeconds: 777 });
    const grant = assertValue(grantConnectorX509('c1', 'enrolment:test', policy));
    assert.equal(grant.spiffeId.uri, ID.uri);
    assert.deepEqual(
      [grant.purpose, grant.ttlSeconds, grant.dnsNames, grant.agentId?.uri, grant.requestedBy],
      ['connector', 777, [], AGENT.uri, 'enrolment:test'],
    );
  });

  for (const [kind, code] of [
    ['revoked', 'CONNECTOR_REVOKED'],
    ['stopped', 'CONNECTOR_STOPPED'],
  ] as const) {
    test(`is not released once it is ${kind}`, async (t) => {
      const { state, policy } = await opened(t);
      const grant = assertValue(grantConnectorX509('c1', 'enrolment:test', policy));
      const change = { kind, atSeconds: NOW, reason: '' };
      assertValue(await state.registry.connectors.changeConnector('c1', change));
      assertRefused(recheckGrant(grant, policy), code);
      assertRefused(grantConnectorX509('c1', 'enrolment:test', policy), code);
    });
  }

  test('is not released once it was deleted, is not made of a copy, and not where they are off', async (t) => {
    const { state, policy } = await opened(t);
    const grant = assertValue(grantConnectorX509('c1', 'enrolment:test', policy));
    assertRefused(recheckGrant({ ...grant }, policy), 'GRANT_FORGED');
    const off = { ...policy, connectors: undefined };
    assertRefused(grantConnectorX509('c1', 'enrolment:test', off), 'CONNECTORS_OFF');
    assertValue(
      await state.registry.connectors.deleteConnectors([{ id: 'c1', revision: undefined }]),
    );
    assertRefused(recheckGrant(grant, policy), 'CONNECTOR_UNKNOWN');
  });

  test('is none by a registry that lags too far, and is by one that just does not', async (t) => {
    const { policy } = await opened(t);
    const within = (maxStalenessMs: number) =>
      grantConnectorX509('c1', 'enrolment:test', { ...policy, maxStalenessMs });
    assert.equal(policy.registry.stalenessMs(), 0);
    assertRefused(within(-1), 'REGISTRY_STALE');
    assertValue(within(0));
  });

  test('is none where the ID on record is not that of the connector in its group', async (t) => {
    const { state, policy } = await opened(t);
    const paths = ['/web', '/connector/core/c2', '/connector/edge/c1', '/connector/edge/c2/x'];
    for (const [index, path] of [...paths, '/connector/edge'].entries()) {
      const name = `d${index}`;
      const wrong = enrolment(name, 'edge', { newSpiffeId: id(path) });
      assertValue(await state.registry.connectors.enrolConnector(wrong));
      assertRefused(grantConnectorX509(name, 'enrolment:test', policy), 'GRANT_SPIFFE_ID');
    }
  });

  test('is neither made nor released for a group that is not there', async (t) => {
    const { policy } = await opened(t);
    const grant = assertValue(grantConnectorX509('c1', 'enrolment:test', policy));
    const view = Object.create(policy.connectors ?? null, { group: { value: () => undefined } });
    const gone = { ...policy, connectors: view };
    assertRefused(grantConnectorX509('c1', 'enrolment:test', gone), 'CONNECTOR_GROUP_UNKNOWN');
    assertRefused(recheckGrant(grant, gone), 'CONNECTOR_GROUP_UNKNOWN');
    const wish = { group: 'none', spiffeId: ID, agentId: undefined };
    assertRefused(requireConnectorNode(wish, policy), 'CONNECTOR_GROUP_UNKNOWN');
    const off = { ...policy, connectors: undefined };
    assertRefused(requireConnectorNode(wish, off), 'CONNECTORS_OFF');
    assertRefused(recheckGrant(grant, off), 'CONNECTORS_OFF');
  });

  test('is not released to a connector of the same name that was made anew', async (t) => {
    const { state, policy } = await opened(t);
    const { connectors } = state.registry;
    const grant = assertValue(grantConnectorX509('c1', 'enrolment:test', policy));
    assertRefused(recheckConnectorGrant({ ...grant }, policy), 'GRANT_FORGED');
    assertValue(await connectors.deleteConnectors([{ id: 'c1', revision: undefined }]));
    const write = { draft: groupDraft('core'), expectedRevision: undefined };
    assertValue(await connectors.writeConnectorGroups([write]));
    assertValue(await connectors.enrolConnector(enrolment('c1', 'core')));
    assertRefused(recheckGrant(grant, policy), 'GRANT_OUTDATED');
    assertValue(grantConnectorX509('c1', 'enrolment:test', policy));
  });

  test('paths below /connector are no workload’s where connectors are served', async (t) => {
    const { policy } = await opened(t);
    const off = { ...policy, connectors: undefined };
    for (const path of ['/connector', '/connector/edge/c1']) {
      assert.equal(isWorkloadId(id(path), policy), false);
      assert.equal(isWorkloadId(id(path), off), true);
    }
    assert.equal(isWorkloadId(id('/connectors'), policy), true);
  });
});

describe('a connector that calls', () => {
  test('is nobody where connectors are not served', async (t) => {
    const rig = await opened(t);
    await certify(rig, '11');
    const off = { ...rig.policy, connectors: undefined };
    assertRefused(resolveConnector(svid(), off), 'CONNECTORS_OFF');
  });

  test('is one with the newest SVID, or with the one before', async (t) => {
    const rig = await opened(t);
    await certify(rig, '11');
    const first = assertValue(resolveConnector(svid(), rig.policy));
    assert.deepEqual([first.connector.id, first.firstUseOfSerial], ['c1', undefined]);
    await certify(rig, '12');
    assert.equal(assertValue(resolveConnector(svid(), rig.policy)).firstUseOfSerial, undefined);
    const renewed = svid({ serialDecimal: '12' });
    assert.equal(assertValue(resolveConnector(renewed, rig.policy)).firstUseOfSerial, '12');
    const promoted = { kind: 'promoted', serial: '12' } as const;
    assertValue(await rig.state.registry.connectors.changeConnector('c1', promoted));
    assertRefused(resolveConnector(svid(), rig.policy), 'CONNECTOR_NOT_ACTIVE');
    assert.equal(assertValue(resolveConnector(renewed, rig.policy)).firstUseOfSerial, undefined);
  });

  const refusals: readonly [
    string,
    Partial<SvidFacts>,
    (state: TestState) => Promise<unknown>,
    ErrorCode,
  ][] = [
    ['of another name', { id: id('/connector/edge/c2') }, async () => {}, 'CONNECTOR_UNKNOWN'],
    ['with another serial', { serialDecimal: '011' }, async () => {}, 'CONNECTOR_NOT_ACTIVE'],
    ['without a serial', { serialDecimal: '' }, async () => {}, 'CONNECTOR_NOT_ACTIVE'],
    ['a second after its end', { notAfterSeconds: NOW - 1 }, async () => {}, 'CONNECTOR_EXPIRED'],
    [
      'whose SVID was revoked',
      {},
      ({ registry }) => registry.revoke([revocation('11')]),
      'CONNECTOR_REVOKED',
    ],
    [
      'that was revoked',
      {},
      ({ registry }) =>
        registry.connectors.changeConnector('c1', { kind: 'revoked', atSeconds: NOW, reason: '' }),
      'CONNECTOR_REVOKED',
    ],
    [
      'that has left',
      {},
      ({ registry }) =>
        registry.connectors.changeConnector('c1', { kind: 'stopped', atSeconds: NOW, reason: '' }),
      'CONNECTOR_STOPPED',
    ],
    [
      'on a node that is banned',
      {},
      ({ registry }) => registry.banAgent(AGENT, false),
      'CONNECTOR_NODE',
    ],
    ['on a node whose DPU is out', {}, ({ registry }) => quarantine(registry), 'CONNECTOR_NODE'],
    [
      'on a node whose DPU is out and whose agent was deleted',
      {},
      async ({ registry }) => {
        await quarantine(registry);
        assertValue(await registry.deleteAgent(AGENT));
      },
      'CONNECTOR_NODE',
    ],
  ];
  for (const [name, facts, act, code] of refusals) {
    test(`${name} is refused: ${code}`, async (t) => {
      const rig = await opened(t);
      await certify(rig, '11');
      await act(rig.state);
      assertRefused(resolveConnector(svid(facts), rig.policy), code);
    });
  }
});
