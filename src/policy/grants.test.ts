import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  agentRecord,
  draft,
  id,
  START_SECONDS as NOW,
  openState,
  selectors,
  TRUST_DOMAIN,
} from '../../test/support/state.ts';
import { type Result, unwrap } from '../base/result.ts';
import type { Registry } from '../registry/registry.ts';
import type { AgentRecord, Entry, EntryDraft } from '../rules/entry.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import { DEFAULT_MAX_STALENESS_MS, type PolicyContext, type PolicyRegistry } from './context.ts';
import type { AgentCaller, JwtGrant, LocalCaller, X509Grant } from './grant.ts';
import {
  grantAttestedAgentX509,
  grantMintJwt,
  grantMintX509,
  grantRenewedAgentX509,
  grantServerX509,
  grantWorkloadJwt,
  grantWorkloadX509,
} from './grants.ts';
import { recheckGrant } from './recheck.ts';

const OPERATOR: LocalCaller = { kind: 'local', uid: 0, gid: 0, pid: 1 };

function codeOf(result: Result<unknown>): string {
  return result.ok ? 'OK' : result.error.code;
}

async function opened(context: TestContext) {
  const { registry, clock } = await openState(context);
  const policy: PolicyContext = {
    registry,
    clock,
    adminIds: [],
    serverUid: 0,
    adminGid: undefined,
    maxStalenessMs: DEFAULT_MAX_STALENESS_MS,
  };
  return { registry, clock, policy };
}

async function attest(registry: Registry, agent: AgentRecord): Promise<AgentCaller> {
  const write = { agent, aliasEntry: undefined, joinTokenAnswer: undefined };
  unwrap(await registry.recordAttestation(write));
  return { kind: 'agent', id: agent.id, agent, firstUseOfSerial: undefined };
}

async function create(registry: Registry, entry: EntryDraft): Promise<Entry> {
  const [created] = unwrap(await registry.createEntries([{ draft: entry }]));
  assert.ok(created !== undefined && 'entry' in created);
  return created.entry;
}

describe('a grant for a workload', () => {
  it('says what the entry says, and by whom it came', async (context) => {
    const { registry, policy } = await opened(context);
    const caller = await attest(registry, agentRecord('a'));
    const entry = await create(
      registry,
      draft('/web', '/spire/agent/a', {
        x509SvidTtlSeconds: 60,
        jwtSvidTtlSeconds: 30,
        dnsNames: ['web.example.org'],
        hint: 'h',
        jwtSvidIncludeJti: true,
      }),
    );
    const origin = {
      spiffeId: entry.spiffeId,
      requestedBy: 'agent:spiffe://example.org/spire/agent/a',
      entry: { id: entry.id, revision: 0n },
      agentId: caller.id,
      agentAttestedAtSeconds: NOW,
      assurance: 'method=join_token',
      hint: 'h',
    };
    assert.deepEqual(unwrap(grantWorkloadX509(caller, entry.id, policy)), {
      ...origin,
      svid: 'x509',
      purpose: 'workload',
      dnsNames: ['web.example.org'],
      ttlSeconds: 60,
    });
    assert.deepEqual(unwrap(grantWorkloadJwt(caller, entry.id, ['db'], policy)), {
      ...origin,
      svid: 'jwt',
      audience: ['db'],
      includeJti: true,
      ttlSeconds: 30,
    });
  });

  it('E10 is refused for entries of another node, for aliases and for none', async (context) => {
    const { registry, policy } = await opened(context);
    const caller = await attest(registry, agentRecord('a', { selectors: selectors('n:1') }));
    await attest(registry, agentRecord('b'));
    const other = await create(registry, draft('/web', '/spire/agent/b'));
    const alias = await create(
      registry,
      draft('/cluster', '/spire/server', { selectors: selectors('n:1') }),
    );
    for (const entryId of [other.id, alias.id, 'none', '', '__proto__']) {
      const granted = grantWorkloadX509(caller, entryId, policy);
      assert.equal(codeOf(granted), 'ENTRY_NOT_AUTHORIZED');
      assert.equal(granted.ok ? '' : granted.error.statusName, 'NotFound');
      const token = grantWorkloadJwt(caller, entryId, ['db'], policy);
      assert.equal(codeOf(token), 'ENTRY_NOT_AUTHORIZED');
    }
  });

  it('E10 is refused for IDs of servers and agents, even if an entry says so', async (context) => {
    const { registry, policy } = await opened(context);
    const caller = await attest(registry, agentRecord('a'));
    for (const path of ['/spire/server', '/spire/agent/b', '/spire', '']) {
      const entry = await create(registry, draft(path, '/spire/agent/a'));
      assert.equal(codeOf(grantWorkloadX509(caller, entry.id, policy)), 'GRANT_SPIFFE_ID');
      assert.equal(codeOf(grantWorkloadJwt(caller, entry.id, ['x'], policy)), 'GRANT_SPIFFE_ID');
    }
    const foreign = {
      ...draft('/x', '/spire/agent/a'),
      spiffeId: unwrap(parseSpiffeId('spiffe://other.org/x')),
    };
    const entry = await create(registry, foreign);
    assert.equal(codeOf(grantWorkloadX509(caller, entry.id, policy)), 'GRANT_SPIFFE_ID');
  });

  it('is refused from the second in which the entry expires, before any timer', async (context) => {
    const { registry, policy, clock } = await opened(context);
    const caller = await attest(registry, agentRecord('a'));
    const expiring = draft('/web', '/spire/agent/a', { expiresAtSeconds: NOW + 10 });
    const entry = await create(registry, expiring);
    clock.setWallClock((NOW + 9) * 1000);
    assert.equal(codeOf(grantWorkloadX509(caller, entry.id, policy)), 'OK');
    clock.setWallClock((NOW + 10) * 1000);
    assert.equal(codeOf(grantWorkloadX509(caller, entry.id, policy)), 'ENTRY_NOT_AUTHORIZED');
  });

  it('I4 is refused when the view is older than allowed', async (context) => {
    const { registry, policy } = await opened(context);
    const caller = await attest(registry, agentRecord('a'));
    const entry = await create(registry, draft('/web', '/spire/agent/a'));
    for (const [staleness, code] of [
      [DEFAULT_MAX_STALENESS_MS, 'OK'],
      [DEFAULT_MAX_STALENESS_MS + 1, 'REGISTRY_STALE'],
    ] as const) {
      const stale = { ...policy, registry: aged(registry, staleness) };
      assert.equal(codeOf(grantWorkloadX509(caller, entry.id, stale)), code);
      assert.equal(codeOf(grantWorkloadJwt(caller, entry.id, ['x'], stale)), code);
      assert.equal(codeOf(grantRenewedAgentX509(caller, stale)), code);
    }
  });

  it('E7 for a JWT is refused without audience and with 1,000', async (context) => {
    const { registry, policy } = await opened(context);
    const caller = await attest(registry, agentRecord('a'));
    const entry = await create(registry, draft('/web', '/spire/agent/a'));
    const many = Array.from({ length: 1000 }, (_, index) => `a${index}`);
    assert.equal(codeOf(grantWorkloadJwt(caller, entry.id, [], policy)), 'AUDIENCE_EMPTY');
    assert.equal(codeOf(grantWorkloadJwt(caller, entry.id, many, policy)), 'AUDIENCE_TOO_MANY');
  });
});

describe('a grant for an agent', () => {
  it('is for agent IDs of this trust domain alone', async (context) => {
    const { policy } = await opened(context);
    const grant = unwrap(
      grantAttestedAgentX509(id('/spire/agent/x/y'), { method: 'x509pop' }, policy),
    );
    assert.deepEqual(
      [grant.purpose, grant.requestedBy, grant.agentId?.path, grant.entry],
      ['agent', 'attestation:x509pop', '/spire/agent/x/y', undefined],
    );
    const foreign = unwrap(parseSpiffeId('spiffe://other.org/spire/agent/x'));
    for (const agentId of [id('/spire/server'), id('/web'), id('/spire/agent'), id(''), foreign]) {
      const granted = grantAttestedAgentX509(agentId, { method: 'x509pop' }, policy);
      assert.equal(codeOf(granted), 'GRANT_SPIFFE_ID');
    }
  });

  it('is refused to a banned one', async (context) => {
    const { registry, policy } = await opened(context);
    const { id: agentId } = await attest(registry, agentRecord('a'));
    unwrap(await registry.changeAgent(agentId, { kind: 'banned' }));
    const granted = grantAttestedAgentX509(agentId, { method: 'x509pop' }, policy);
    assert.equal(codeOf(granted), 'AGENT_BANNED');
    assert.deepEqual(granted.ok ? {} : granted.error.details, { reason: 'AGENT_BANNED' });
  });

  it('is refused where no DPU has the device key that the agent is named after', async (context) => {
    const { policy } = await opened(context);
    const orphan = id(`/spire/agent/dpu/${'ab'.repeat(32)}`);
    const granted = grantAttestedAgentX509(orphan, { method: 'dpu' }, policy);
    assert.equal(codeOf(granted), 'AGENT_QUARANTINED');
  });

  it('A.3-5 is refused at renewal when the agent can attest again', async (context) => {
    const { registry, policy } = await opened(context);
    const plain = await attest(registry, agentRecord('a'));
    assert.equal(unwrap(grantRenewedAgentX509(plain, policy)).spiffeId, plain.id);
    const again = await attest(registry, agentRecord('b', { canReattest: true }));
    const refused = grantRenewedAgentX509(again, policy);
    assert.equal(codeOf(refused), 'AGENT_MUST_REATTEST');
    assert.deepEqual(refused.ok ? {} : refused.error.details, { reason: 'AGENT_MUST_REATTEST' });
  });
});

describe('a grant by an operator', () => {
  const asked = { spiffeId: id('/web'), dnsNames: ['a.org'], audience: ['db'], ttlSeconds: 60 };
  const cases: readonly [name: string, change: Partial<typeof asked>, x509: string, jwt: string][] =
    [
      ['a plain ID', {}, 'OK', 'OK'],
      ['the default lifetime', { ttlSeconds: 0 }, 'OK', 'OK'],
      ['a bare trust domain', { spiffeId: id('') }, 'GRANT_SPIFFE_ID', 'GRANT_SPIFFE_ID'],
      ['the server', { spiffeId: id('/spire/server') }, 'GRANT_SPIFFE_ID', 'GRANT_SPIFFE_ID'],
      ['an agent', { spiffeId: id('/spire/agent/a') }, 'GRANT_SPIFFE_ID', 'GRANT_SPIFFE_ID'],
      [
        'another trust domain',
        { spiffeId: unwrap(parseSpiffeId('spiffe://other.org/web')) },
        'GRANT_SPIFFE_ID',
        'GRANT_SPIFFE_ID',
      ],
      ['a negative lifetime', { ttlSeconds: -1 }, 'TTL_RANGE', 'TTL_RANGE'],
      ['a lifetime over int32', { ttlSeconds: 2 ** 31 }, 'TTL_RANGE', 'TTL_RANGE'],
      ['a malformed DNS name', { dnsNames: ['a b'] }, 'DNS_NAME_INVALID', 'OK'],
      ['no audience', { audience: [] }, 'OK', 'AUDIENCE_EMPTY'],
    ];
  for (const [name, change, x509, jwt] of cases) {
    it(`for ${name}: X.509 ${x509}, JWT ${jwt}`, async (context) => {
      const { policy } = await opened(context);
      const wanted = { ...asked, ...change };
      assert.equal(codeOf(grantMintX509(OPERATOR, wanted, policy)), x509);
      assert.equal(codeOf(grantMintJwt(OPERATOR, wanted, policy)), jwt);
    });
  }

  it('names the operator', async (context) => {
    const { policy } = await opened(context);
    assert.equal(unwrap(grantMintX509(OPERATOR, asked, policy)).requestedBy, 'local:0');
    const admin = { kind: 'admin', id: id('/boss') } as const;
    const grant = unwrap(grantMintJwt(admin, asked, policy));
    assert.equal(grant.requestedBy, 'admin:spiffe://example.org/boss');
  });
});

describe('a grant, looked at once more before its signature is released', () => {
  async function granted(context: TestContext) {
    const { registry, policy } = await opened(context);
    const caller = await attest(registry, agentRecord('a'));
    const entry = await create(registry, draft('/web', '/spire/agent/a'));
    const grant = unwrap(grantWorkloadX509(caller, entry.id, policy));
    assert.equal(codeOf(recheckGrant(grant, policy)), 'OK');
    return { registry, policy, caller, entry, grant };
  }

  it('stands when nothing that concerns it changed, a renewal included', async (context) => {
    const { registry, policy, caller, grant } = await granted(context);
    await create(registry, draft('/db', '/spire/agent/a'));
    const renewed = { kind: 'renewed', newSerial: '2', newExpiresAtSeconds: NOW } as const;
    unwrap(await registry.changeAgent(caller.id, renewed));
    assert.equal(codeOf(recheckGrant(grant, policy)), 'OK');
  });

  it('I8 falls with a ban', async (context) => {
    const { registry, policy, caller, grant } = await granted(context);
    unwrap(await registry.changeAgent(caller.id, { kind: 'banned' }));
    assert.equal(codeOf(recheckGrant(grant, policy)), 'AGENT_BANNED');
  });

  it('I8 falls when its agent was deleted or attested anew', async (context) => {
    const { registry, policy, caller, grant } = await granted(context);
    unwrap(await registry.deleteAgent(caller.id));
    assert.equal(codeOf(recheckGrant(grant, policy)), 'GRANT_OUTDATED');
    await attest(registry, agentRecord('a', { attestedAtSeconds: NOW + 1, serial: '2' }));
    assert.equal(codeOf(recheckGrant(grant, policy)), 'GRANT_OUTDATED');
  });

  it('I4 falls when its entry changed, moved away or was deleted', async (context) => {
    const { registry, policy, entry, grant } = await granted(context);
    const hint = draft('/web', '/spire/agent/a', { hint: 'h' });
    unwrap(await registry.updateEntries([{ id: entry.id, draft: hint }]));
    assert.equal(codeOf(recheckGrant(grant, policy)), 'GRANT_OUTDATED');
    unwrap(await registry.deleteEntries([entry.id]));
    assert.equal(codeOf(recheckGrant(grant, policy)), 'GRANT_OUTDATED');
  });

  it('I4 falls when the entry stayed but its agent lost the way to it', async (context) => {
    const { registry, policy } = await opened(context);
    const caller = await attest(registry, agentRecord('a', { selectors: selectors('n:1') }));
    const alias = await create(
      registry,
      draft('/cluster', '/spire/server', { selectors: selectors('n:1') }),
    );
    const entry = await create(registry, draft('/web', '/cluster'));
    const grant = unwrap(grantWorkloadX509(caller, entry.id, policy));
    unwrap(await registry.deleteEntries([alias.id]));
    assert.equal(codeOf(recheckGrant(grant, policy)), 'GRANT_OUTDATED');
  });

  it('of an agent that attests for the first time stands, unless it is banned', async (context) => {
    const { registry, policy } = await opened(context);
    const { id: agentId } = agentRecord('a');
    const grant = unwrap(grantAttestedAgentX509(agentId, { method: 'join_token' }, policy));
    assert.equal(codeOf(recheckGrant(grant, policy)), 'OK');
    await attest(registry, agentRecord('a'));
    assert.equal(codeOf(recheckGrant(grant, policy)), 'OK');
    unwrap(await registry.changeAgent(agentId, { kind: 'banned' }));
    assert.equal(codeOf(recheckGrant(grant, policy)), 'AGENT_BANNED');
  });

  it('of the server and of an operator stands', async (context) => {
    const { policy } = await opened(context);
    const server = unwrap(grantServerX509(TRUST_DOMAIN));
    assert.deepEqual([server.spiffeId.path, server.requestedBy], ['/spire/server', 'self']);
    assert.equal(codeOf(recheckGrant(server, policy)), 'OK');
    const asked = { spiffeId: id('/web'), dnsNames: [], ttlSeconds: 0 };
    const minted = unwrap(grantMintX509(OPERATOR, asked, policy));
    assert.equal(codeOf(recheckGrant(minted, policy)), 'OK');
  });

  it('falls when policy did not make it, and cannot be changed', async (context) => {
    const { policy, grant } = await granted(context);
    const forged: X509Grant | JwtGrant = { ...grant, spiffeId: id('/spire/server') };
    assert.equal(codeOf(recheckGrant(forged, policy)), 'GRANT_FORGED');
    assert.equal(codeOf(recheckGrant({ ...grant }, policy)), 'GRANT_FORGED');
    assert.throws(() => Object.assign(grant, { spiffeId: id('/x') }), TypeError);
    assert.throws(() => Object.assign(grant.entry ?? {}, { revision: 9n }), TypeError);
  });
});

describe('the makers of grants', () => {
  it('are in this folder alone', () => {
    const root = fileURLToPath(new URL('..', import.meta.url));
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
      (name) => name.endsWith('.ts') && !name.endsWith('.test.ts'),
    );
    assert.ok(files.length > 50);
    const casting = files.filter((name) =>
      /\bas (unknown as )?(X509Grant|JwtGrant)\b/.test(readFileSync(join(root, name), 'utf8')),
    );
    assert.deepEqual(casting, []);
  });
});

/** The registry, but for its age. */
function aged(registry: Registry, stalenessMs: number): PolicyRegistry {
  return {
    trustDomain: registry.trustDomain,
    agent: (agentId) => registry.agent(agentId),
    entry: (entryId) => registry.entry(entryId),
    isAuthorized: (agentId, entryId) => registry.isAuthorized(agentId, entryId),
    adminEntry: (spiffeId) => registry.adminEntry(spiffeId),
    downstreamEntry: (spiffeId) => registry.downstreamEntry(spiffeId),
    issuingCa: (authorityId) => registry.issuingCa(authorityId),
    stalenessMs: () => stalenessMs,
    revocation: (serial) => registry.revocation(serial),
    dpus: registry.dpus,
    derived: registry.derived,
  };
}
