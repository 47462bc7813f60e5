import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import {
  agentRecord,
  draft,
  id,
  START_SECONDS as NOW,
  openState,
  type TestState,
} from '../../test/support/state.ts';
import { type Result, unwrap } from '../base/result.ts';
import { HealthService } from '../gen/grpc/health/v1/health.ts';
import { IstioCertificateServiceService } from '../gen/istio/v1/auth/ca.ts';
import { AgentSyncService } from '../gen/signet/agent/v1/agent.ts';
import { AttestationService } from '../gen/signet/attestation/v1/attestation.ts';
import { ConnectorAdminService } from '../gen/signet/connector/v1/admin.ts';
import { ConnectorService } from '../gen/signet/connector/v1/connector.ts';
import { VendorAdminService, VendorKeysService } from '../gen/signet/connector/v1/vendor.ts';
import { DpuInventoryService } from '../gen/signet/dpu/v1/dpu.ts';
import { RevocationService } from '../gen/signet/revocation/v1/revocation.ts';
import { RuleService } from '../gen/signet/rule/v1/rule.ts';
import { AgentService } from '../gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../gen/spire/api/server/entry/v1/entry.ts';
import { LocalAuthorityService } from '../gen/spire/api/server/localauthority/v1/localauthority.ts';
import { SVIDService } from '../gen/spire/api/server/svid/v1/svid.ts';
import { TrustDomainService } from '../gen/spire/api/server/trustdomain/v1/trustdomain.ts';
import { PermissionDeniedDetails_Reason as Reason } from '../gen/spire/api/types/status.ts';
import type { AgentRecord } from '../rules/entry.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import { authorizeCall, type PeerFacts, resolveAgent, type SvidFacts } from './caller.ts';
import { DEFAULT_MAX_STALENESS_MS, type PolicyContext } from './context.ts';
import { METHOD_CALLERS } from './methods.ts';

const SERVED = [
  AgentService,
  BundleService,
  EntryService,
  SVIDService,
  TrustDomainService,
  AgentSyncService,
  LocalAuthorityService,
  RevocationService,
  DpuInventoryService,
  AttestationService,
  RuleService,
  ConnectorService,
  ConnectorAdminService,
  VendorAdminService,
  VendorKeysService,
  IstioCertificateServiceService,
  HealthService,
].flatMap((service) => Object.values(service).map(({ path }) => path as string));

const REFLECTION = [
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
];

/** spire-compatibility A.1, written down once more: everything else is refused. */
const LOCAL_ADMIN = [
  'Agent/CountAgents',
  'Agent/ListAgents',
  'Agent/GetAgent',
  'Agent/DeleteAgent',
  'Agent/BanAgent',
  'Agent/CreateJoinToken',
  'Entry/CountEntries',
  'Entry/ListEntries',
  'Entry/GetEntry',
  'Entry/BatchCreateEntry',
  'Entry/BatchUpdateEntry',
  'Entry/BatchDeleteEntry',
  'Bundle/CountBundles',
  'Bundle/ListFederatedBundles',
  'Bundle/BatchCreateFederatedBundle',
  'Bundle/BatchUpdateFederatedBundle',
  'Bundle/BatchSetFederatedBundle',
  'Bundle/BatchDeleteFederatedBundle',
  'TrustDomain/ListFederationRelationships',
  'TrustDomain/GetFederationRelationship',
  'TrustDomain/BatchCreateFederationRelationship',
  'TrustDomain/BatchUpdateFederationRelationship',
  'TrustDomain/BatchDeleteFederationRelationship',
  'TrustDomain/RefreshBundle',
  'SVID/MintX509SVID',
  'SVID/MintJWTSVID',
  'Attestation/GetAssurance',
  'Rule/ExplainPod',
  'Rule/GetEntrySources',
  'DpuInventory/ImportDpus',
  'DpuInventory/ListDpus',
  'DpuInventory/GetDpu',
  'DpuInventory/CommissionDpu',
  'DpuInventory/BaselineDpu',
  'DpuInventory/RetireDpu',
  'DpuInventory/QuarantineDpu',
  'DpuInventory/ReleaseDpu',
  'DpuInventory/ConfirmHost',
  'DpuInventory/AttestDpus',
  'DpuInventory/GetDpuEvidence',
  'Revocation/ListRevokedX509SVIDs',
  'Revocation/RevokeX509SVID',
];
const AGENT = [
  'Agent/RenewAgent',
  'Agent/PostStatus',
  'Entry/GetAuthorizedEntries',
  'Entry/SyncAuthorizedEntries',
  'SVID/BatchNewX509SVID',
  'SVID/NewJWTSVID',
  'AgentSync/Sync',
];
const DOWNSTREAM = ['SVID/NewDownstreamX509CA', 'Bundle/PublishJWTAuthority'];
const ANYONE = ['Agent/AttestAgent', 'Bundle/GetBundle'];
const OVER_TCP = [
  'IstioCertificateService/CreateCertificate',
  'Connector/GetChallenge',
  'Connector/Enrol',
];
const LOCAL = ['Health/Check', 'Health/Watch', 'ServerReflection/ServerReflectionInfo'];

function expectedCallers(path: string): readonly string[] {
  const short = path.slice(path.lastIndexOf('.') + 1);
  if (LOCAL_ADMIN.includes(short) || /^(LocalAuthority|ConnectorAdmin|VendorAdmin)\//.test(short)) {
    return ['local', 'admin'];
  }
  if (short === 'Connector/Session' || short === 'VendorKeys/GetVendorKey') return ['connector'];
  if (AGENT.includes(short)) return ['agent'];
  if (DOWNSTREAM.includes(short)) return ['downstream'];
  if (ANYONE.includes(short)) return ['local', 'admin', 'downstream', 'agent', 'anonymous'];
  if (OVER_TCP.includes(short)) return ['admin', 'downstream', 'agent', 'anonymous'];
  if (LOCAL.includes(short)) return ['local'];
  if (short === 'Bundle/GetFederatedBundle') return ['local', 'admin', 'agent'];
  return [];
}

function codeOf(result: Result<unknown>): string {
  return result.ok ? 'OK' : result.error.code;
}

function svid(path: string, extra: Partial<SvidFacts> = {}): SvidFacts {
  return {
    kind: 'svid',
    id: id(path),
    serialDecimal: '1',
    notAfterSeconds: NOW,
    signerKeyIds: [],
    ...extra,
  };
}

/** An SVID that ended while its connection stayed open. */
const PAST: Partial<SvidFacts> = { notAfterSeconds: NOW - 1 };

const process = (uid: number, gid = 5, groups: readonly number[] = []): PeerFacts => ({
  kind: 'process',
  uid,
  gid,
  groups,
  pid: 7,
});

async function attest(state: TestState, agent: AgentRecord): Promise<void> {
  unwrap(
    await state.registry.recordAttestation({
      agent,
      aliasEntry: undefined,
      joinTokenAnswer: undefined,
    }),
  );
}

/** A registry with an agent `a`, an admin entry `/boss` and a downstream entry `/down`. */
async function opened(
  context: TestContext,
): Promise<{ readonly state: TestState; readonly policy: PolicyContext }> {
  const state = await openState(context);
  await attest(state, agentRecord('a'));
  unwrap(
    await state.registry.createEntries([
      { draft: draft('/boss', '/p', { admin: true }) },
      { draft: draft('/down', '/p', { downstream: true }) },
      { draft: draft('/web', '/spire/agent/a') },
    ]),
  );
  const policy: PolicyContext = {
    registry: state.registry,
    clock: state.clock,
    adminIds: [id('/operator'), unwrap(parseSpiffeId('spiffe://other.org/operator'))],
    serverUid: 999,
    adminGid: 4242,
    maxStalenessMs: DEFAULT_MAX_STALENESS_MS,
  };
  return { state, policy };
}

describe('the table of calls', () => {
  it('lists every method of every service that the server has, and nothing else', () => {
    assert.deepEqual([...METHOD_CALLERS.keys()].sort(), [...SERVED, ...REFLECTION].sort());
  });

  const peers: readonly [name: string, peer: PeerFacts, kinds: readonly string[]][] = [
    ['root on the admin socket', process(0), ['local']],
    ['the server itself on the admin socket', process(999), ['local']],
    ['a member by its first group', process(1000, 4242), ['local']],
    ['a member by another group', process(1000, 5, [6, 4242]), ['local']],
    ['a stranger on the admin socket', process(1000, 5, [6]), []],
    ['nobody', { kind: 'anonymous' }, ['anonymous']],
    ['a listed admin', svid('/operator'), ['admin', 'anonymous']],
    [
      'a listed admin of another trust domain',
      { ...svid('/x'), id: unwrap(parseSpiffeId('spiffe://other.org/operator')) },
      ['admin'],
    ],
    [
      'another of another trust domain',
      { ...svid('/x'), id: unwrap(parseSpiffeId('spiffe://other.org/boss')) },
      [],
    ],
    ['an admin by its entry', svid('/boss'), ['admin', 'anonymous']],
    ['a downstream server', svid('/down'), ['downstream', 'anonymous']],
    ['an agent', svid('/spire/agent/a'), ['agent', 'anonymous']],
    ['an agent that is not known', svid('/spire/agent/b'), ['anonymous']],
    ['a workload', svid('/web'), ['anonymous']],
    ['a listed admin after its end', svid('/operator', PAST), ['anonymous']],
    ['an admin by its entry, after its end', svid('/boss', PAST), ['anonymous']],
    ['a downstream server after its end', svid('/down', PAST), ['anonymous']],
    ['an agent after its end', svid('/spire/agent/a', PAST), ['anonymous']],
  ];

  for (const [name, peer, kinds] of peers) {
    it(`lets ${name} make exactly its calls`, async (context) => {
      const { policy } = await opened(context);
      for (const method of METHOD_CALLERS.keys()) {
        const judged = authorizeCall(method, peer, policy);
        const expected = kinds.find((kind) => expectedCallers(method).includes(kind));
        assert.equal(judged.ok ? judged.value.kind : undefined, expected, method);
        if (!judged.ok) assert.equal(judged.error.statusName, 'PermissionDenied');
      }
      for (const method of ['', '/spire.api.server.agent.v1.Agent/New', 'constructor']) {
        assert.equal(codeOf(authorizeCall(method, peer, policy)), 'METHOD_NOT_LISTED');
      }
    });
  }
});

describe('an agent that calls', () => {
  const judge = async (
    context: TestContext,
    peer: Partial<SvidFacts>,
    agent: Partial<AgentRecord> = {},
  ) => {
    const { state, policy } = await opened(context);
    await attest(state, agentRecord('a', agent));
    if (agent.banned === true) {
      unwrap(await state.registry.changeAgent(id('/spire/agent/a'), { kind: 'banned' }));
    }
    return resolveAgent(svid('/spire/agent/a', peer), policy);
  };

  const refusals: readonly [
    name: string,
    reason: keyof typeof Reason,
    peer: Partial<SvidFacts>,
    agent?: Partial<AgentRecord>,
  ][] = [
    ['one second after its end', 'AGENT_EXPIRED', { notAfterSeconds: NOW - 1 }],
    ['unknown to the server', 'AGENT_NOT_ATTESTED', { id: id('/spire/agent/b') }],
    ['with an SVID that was replaced', 'AGENT_NOT_ACTIVE', { serialDecimal: '2' }],
    [
      'with a serial that only looks alike',
      'AGENT_NOT_ACTIVE',
      { serialDecimal: '01' },
      { newSerial: '3', newExpiresAtSeconds: NOW },
    ],
    ['when it is banned', 'AGENT_BANNED', {}, { banned: true }],
  ];
  for (const [name, reason, peer, agent] of refusals) {
    it(`${name} is refused with ${reason}`, async (context) => {
      const judged = await judge(context, peer, agent);
      assert.equal(codeOf(judged), reason);
      assert.deepEqual(judged.ok ? {} : judged.error.details, { reason });
      assert.equal(typeof Reason[reason], 'number');
    });
  }

  it('in the last second of its SVID is heard', async (context) => {
    const judged = unwrap(await judge(context, { notAfterSeconds: NOW }));
    assert.deepEqual([judged.kind, judged.firstUseOfSerial], ['agent', undefined]);
  });

  it('with a renewed SVID is heard, and the first use is told', async (context) => {
    const renewed = { newSerial: '2', newExpiresAtSeconds: NOW + 9 };
    const old = unwrap(await judge(context, {}, renewed));
    assert.equal(old.firstUseOfSerial, undefined);
    const fresh = unwrap(await judge(context, { serialDecimal: '2' }, renewed));
    assert.equal(fresh.firstUseOfSerial, '2');
  });

  it('gets its reason from the table of calls too', async (context) => {
    const { policy } = await opened(context);
    const method = '/spire.api.server.svid.v1.SVID/BatchNewX509SVID';
    const judged = authorizeCall(method, svid('/spire/agent/b'), policy);
    assert.deepEqual(judged.ok ? {} : judged.error.details, { reason: 'AGENT_NOT_ATTESTED' });
    const admin = authorizeCall(method, svid('/operator'), policy);
    assert.equal(codeOf(admin), 'AGENT_NOT_ATTESTED');
    assert.equal(codeOf(authorizeCall(method, process(0), policy)), 'CALLER_NOT_ALLOWED');
  });
});
