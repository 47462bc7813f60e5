import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { enrolment, groupDraft } from '../../test/support/connector-state.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  agentRecord,
  draft,
  id,
  START_SECONDS as NOW,
  openState,
  revocation,
} from '../../test/support/state.ts';
import type { Result } from '../base/result.ts';
import type { EntryDraft } from '../rules/entry.ts';
import { parseSpiffeId, type SpiffeId } from '../spiffe/spiffe-id.ts';
import { authorizeCall, type SvidFacts } from './caller.ts';
import { DEFAULT_MAX_STALENESS_MS, type PolicyContext } from './context.ts';
import type { AgentCaller, LocalCaller } from './grant.ts';
import {
  grantAttestedAgentX509,
  grantMintJwt,
  grantMintX509,
  grantWorkloadJwt,
  grantWorkloadX509,
} from './grants.ts';
import { grantIssuerX509 } from './issuer-grants.ts';
import { grantPodX509 } from './pod-grants.ts';

const OPERATOR: LocalCaller = { kind: 'local', uid: 0, gid: 0, pid: 1 };
const AGENT = id('/spire/agent/a');
const ID = id('/connector/edge/c1');
const REVOKED = { kind: 'revoked', atSeconds: NOW, reason: '' } as const;
const OWNED = ['/connector', '/connector/edge', '/connector/edge/c1', '/connector/x/y/z'];
const FREE = ['/connectors', '/connector-a/b', '/Connector/edge/c1', '/a/connector/edge/c1'];

/** A registry with the agent `a`, and the connector `c1` of `edge` with an SVID of serial 11. */
async function opened(t: TestContext) {
  const { registry, clock } = await openState(t);
  const { connectors } = registry;
  const agent = agentRecord('a');
  const nothing = { aliasEntry: undefined, joinTokenAnswer: undefined };
  assertValue(await registry.recordAttestation({ agent, ...nothing }));
  const group = { draft: groupDraft('edge'), expectedRevision: undefined };
  assertValue(await connectors.writeConnectorGroups([group]));
  assertValue(await connectors.enrolConnector(enrolment('c1', 'edge')));
  const certified = { kind: 'certified', serial: '11', keySha256: 'k' } as const;
  const expiresAtSeconds = NOW + 600;
  assertValue(await connectors.changeConnector('c1', { ...certified, expiresAtSeconds }));
  const who = { adminIds: [], serverUid: 0, adminGid: undefined };
  const maxStalenessMs = DEFAULT_MAX_STALENESS_MS;
  const on = { registry, clock, connectors, maxStalenessMs, ...who } satisfies PolicyContext;
  const caller: AgentCaller = { kind: 'agent', id: AGENT, agent, firstUseOfSerial: undefined };
  /** An entry as a database has it that was written while connectors were not served. */
  const entryOf = async (path: string, extra: Partial<EntryDraft> = {}): Promise<string> => {
    const [made] = assertValue(
      await registry.createEntries([{ draft: draft(path, AGENT.path, extra) }]),
    );
    assert.ok(made !== undefined && 'entry' in made);
    return made.entry.id;
  };
  return { on, off: { ...on, connectors: undefined }, caller, entryOf };
}

type Opened = Awaited<ReturnType<typeof opened>>;
type Way = (rig: Opened, path: string, policy: PolicyContext) => Promise<Result<unknown>>;

const asPod = (entryId: string, policy: PolicyContext, requireAttestedNode: boolean) => {
  const pod = { uid: 'u', rule: 'r' };
  return grantPodX509({ pod, entryId, requestedBy: 'test', requireAttestedNode }, policy);
};

/** Every way in which policy lets an SVID be signed for a name that somebody chose. */
const ways: readonly (readonly [string, Way])[] = [
  [
    'the X.509-SVID of an entry',
    async (rig, path, policy) => grantWorkloadX509(rig.caller, await rig.entryOf(path), policy),
  ],
  [
    'the JWT-SVID of an entry',
    async (rig, path, policy) =>
      grantWorkloadJwt(rig.caller, await rig.entryOf(path), ['x'], policy),
  ],
  [
    'the X.509-SVID of a pod on an attested node',
    async (rig, path, policy) => asPod(await rig.entryOf(path), policy, true),
  ],
  [
    'the X.509-SVID of a pod on a node that is not attested',
    async (rig, path, policy) => {
      const parentId = id('/spire/agent/none');
      return asPod(await rig.entryOf(path, { parentId }), policy, false);
    },
  ],
  [
    'the X.509-SVID of an issuer of Kubernetes',
    async (_, path, policy) =>
      grantIssuerX509(
        { spiffeId: id(path), dnsNames: [], ttlSeconds: 0, requestedBy: 'test' },
        policy,
      ),
  ],
  [
    'a minted X.509-SVID',
    async (_, path, policy) =>
      grantMintX509(OPERATOR, { spiffeId: id(path), dnsNames: [], ttlSeconds: 0 }, policy),
  ],
  [
    'a minted JWT-SVID',
    async (_, path, policy) =>
      grantMintJwt(OPERATOR, { spiffeId: id(path), audience: ['x'], ttlSeconds: 0 }, policy),
  ],
];

describe('names below /connector, where connectors are served', () => {
  for (const [name, way] of ways) {
    test(`are never in ${name}; names like them are`, async (t) => {
      const rig = await opened(t);
      for (const path of OWNED) assertRefused(await way(rig, path, rig.on), 'GRANT_SPIFFE_ID');
      for (const path of FREE) assertValue(await way(rig, path, rig.on));
    });

    test(`may be in ${name} where they are not served`, async (t) => {
      const rig = await opened(t);
      assertValue(await way(rig, ID.path, rig.off));
    });
  }

  test('are never those of agents', async (t) => {
    const { on } = await opened(t);
    const attested = grantAttestedAgentX509(ID, { method: 'x509pop' }, on);
    assertRefused(attested, 'GRANT_SPIFFE_ID');
  });
});

describe('a connector that calls', () => {
  const peer: SvidFacts = {
    kind: 'svid',
    id: ID,
    serialDecimal: '11',
    notAfterSeconds: NOW + 600,
    signerKeyIds: [],
  };
  const calls = [
    ['admin', '/spire.api.server.entry.v1.Entry/ListEntries'],
    ['downstream', '/spire.api.server.svid.v1.SVID/NewDownstreamX509CA'],
  ] as const;
  for (const [flag, method] of calls) {
    test(`has nothing of the ${flag} of an entry from before connectors were served`, async (t) => {
      const rig = await opened(t);
      await rig.entryOf(ID.path, { [flag]: true });
      assertRefused(authorizeCall(method, peer, rig.on), 'CALLER_NOT_ALLOWED');
      assert.equal(assertValue(authorizeCall(method, peer, rig.off)).kind, flag);
      const session = '/signet.connector.v1.Connector/Session';
      assert.equal(assertValue(authorizeCall(session, peer, rig.on)).kind, 'connector');
    });
  }

  test('that was revoked is told so where connectors call, and is nobody elsewhere', async (t) => {
    const { on } = await opened(t);
    assertValue(await on.connectors.changeConnector('c1', REVOKED));
    assertValue(await on.registry.revoke([revocation('11')]));
    const called = (path: string, who: SvidFacts = peer) =>
      authorizeCall(`/signet.connector.v1.${path}`, who, on);
    assertRefused(called('Connector/Session'), 'CONNECTOR_REVOKED');
    assert.equal(assertValue(called('Connector/Enrol')).kind, 'anonymous');
    assertRefused(called('ConnectorAdmin/ListGroups'), 'SVID_REVOKED');
    assertRefused(called('Connector/Session', { ...peer, id: id('/web') }), 'SVID_REVOKED');
  });

  test('alone has a session: neither a workload, nor an agent, nor a name of another domain', async (t) => {
    const { on } = await opened(t);
    const foreign = assertValue(parseSpiffeId('spiffe://other.org/connector/edge/c1'));
    const called = (who: SpiffeId, call = 'Connector/Session') => {
      const shown = { ...peer, id: who, serialDecimal: '1' };
      return authorizeCall(`/signet.connector.v1.${call}`, shown, on);
    };
    for (const who of [id('/web'), AGENT, id('/connectors/edge/c1')]) {
      assertRefused(called(who), 'CALLER_NOT_ALLOWED');
    }
    assertRefused(called(foreign), 'CALLER_FOREIGN');
    assertRefused(called(ID), 'CONNECTOR_NOT_ACTIVE');
    assertRefused(called(ID, 'ConnectorAdmin/ListGroups'), 'CALLER_NOT_ALLOWED');
  });

  test('others that an entry names have what it says', async (t) => {
    const rig = await opened(t);
    await rig.entryOf('/connectors', { admin: true });
    const [, method] = calls[0];
    const other = { ...peer, id: id('/connectors') };
    assert.equal(assertValue(authorizeCall(method, other, rig.on)).kind, 'admin');
  });
});
