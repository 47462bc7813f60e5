import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { Status } from '../../src/gen/google/rpc/status.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { PermissionDeniedDetails } from '../../src/gen/spire/api/types/status.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { assertValue } from '../support/refused.ts';
import { ask, assertStatus, attest, open, TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { PUBLISHED_KEY } from '../support/weak-keys.ts';
import { makeCsr, makeKey } from '../support/x509.ts';

let server: TestServer;

before(async () => {
  server = await TestServer.start({
    limits: { attestation: { perSecond: 0 }, anonymousConnections: { perSecond: 0 } },
  });
});

after(() => server.stop());

describe('AttestAgent with a join token', () => {
  test('answers with an SVID for the agent ID of the token, and lists the agent', async () => {
    const agent = await server.attest();
    const leaf = assertValue(parseCertificate(agent.chain[0]!));
    assert.deepEqual(leaf.subjectAltName?.names, [
      { kind: 'uri', text: `spiffe://${TRUST_DOMAIN}${agent.path}` },
    ]);
    assert.equal(agent.chain.length, 1, 'a self-signed CA is not part of the chain');
    const id = { trustDomain: TRUST_DOMAIN, path: agent.path };
    const listed = await ask(server.admin(), AgentService.getAgent, { id, outputMask: undefined });
    assert.equal(listed.attestationType, 'join_token');
    assert.equal(listed.x509svidSerialNumber, leaf.serialDecimal);
    assert.equal(listed.canReattest, false);
  });

  test('F1 a token used by 50 callers at the same moment admits exactly one', async () => {
    const token = await server.token();
    const clients = await Promise.all(Array.from({ length: 50 }, () => server.tcp()));
    const calls = clients.map((client) => attest(client, token, makeCsr()));
    const outcomes = await Promise.allSettled(calls);
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') {
        await assertStatus(Promise.reject(outcome.reason), 'JOIN_TOKEN_UNKNOWN');
      }
    }
  });

  test('A8 the same CSR key asks again and gets the same answer, also at the same moment', async () => {
    const token = await server.token();
    const key = makeKey();
    const client = await server.tcp();
    const both = await Promise.all([
      attest(client, token, makeCsr({ key })),
      attest(client, token, makeCsr({ key })),
    ]);
    const again = await attest(await server.tcp(), token, makeCsr({ key }));
    assert.deepEqual(both[1], both[0]);
    assert.deepEqual(again, both[0]);
  });

  test('a request with a wrong signature or a weak key does not use the token up', async () => {
    const token = await server.token();
    const client = await server.tcp();
    const forged = makeCsr({ key: makeKey(), signer: makeKey() });
    await assertStatus(attest(client, token, forged), 'SIGNATURE_INVALID');
    await assertStatus(
      attest(client, token, makeCsr({ key: makeKey('ed25519') })),
      'KEY_ALGORITHM',
    );
    await assertStatus(attest(client, token, makeCsr({ key: PUBLISHED_KEY })), 'KEY_BLOCKED');
    await attest(client, token, makeCsr());
  });

  const malformed: readonly (readonly [string, string | Buffer])[] = [
    ['with a slash', 'aaaaaaaa/../../server'],
    ['that is a dot segment', '..'],
    ['with a NUL', 'aaaaaaaa\0b'],
    ['with four-byte UTF-8', 'aaaaaaaa\u{1f600}'],
    ['with invalid UTF-8', Buffer.from([0x61, 0xff, 0xfe])],
    ['of 513 characters', 'a'.repeat(513)],
  ];
  for (const [name, token] of malformed) {
    test(`SPI-01-007 refuses a token ${name}`, async () => {
      await assertStatus(attest(await server.tcp(), token, makeCsr()), 'JOIN_TOKEN_MALFORMED');
    });
  }

  test('F2 refuses an unknown and a truncated token', async () => {
    const client = await server.tcp();
    const token = await server.token();
    for (const wrong of [token.slice(0, -1), `${token}0`, token.toUpperCase(), 'a'.repeat(512)]) {
      await assertStatus(attest(client, wrong, makeCsr()), 'JOIN_TOKEN_UNKNOWN');
    }
    await attest(client, token, makeCsr());
  });

  test('refuses an attestation type that the server does not offer', async () => {
    const call = open(await server.tcp(), AgentService.attestAgent);
    const data = { type: 'x509pop', payload: Buffer.from('x') };
    const params = { csr: Buffer.from(makeCsr()) };
    call.write({ step: { $case: 'params', value: { data, params } } });
    await assertStatus(call.toArray(), 'ATTESTATION_TYPE');
  });

  test('refuses a stream that begins with a challenge response, or with nothing in it', async () => {
    const client = await server.tcp();
    for (const step of [
      { $case: 'challengeResponse', value: Buffer.from('x') },
      undefined,
    ] as const) {
      const call = open(client, AgentService.attestAgent);
      call.write({ step });
      await assertStatus(call.toArray(), 'ATTESTATION_PROTOCOL');
    }
    const empty = open(client, AgentService.attestAgent);
    empty.end();
    await assertStatus(empty.toArray(), 'ATTESTATION_PROTOCOL');
  });

  const incomplete: readonly (readonly [string, string, Buffer, Buffer | undefined])[] = [
    ['no type', '', Buffer.from('x'), Buffer.from('x')],
    ['no payload', 'join_token', Buffer.alloc(0), Buffer.from('x')],
    ['no request', 'join_token', Buffer.from('x'), undefined],
  ];
  for (const [name, type, payload, csr] of incomplete) {
    test(`refuses parameters with ${name}`, async () => {
      const call = open(await server.tcp(), AgentService.attestAgent);
      const params = csr === undefined ? undefined : { csr };
      call.write({ step: { $case: 'params', value: { data: { type, payload }, params } } });
      await assertStatus(call.toArray(), 'FIELD_MISSING');
    });
  }
});

describe('time and join tokens', () => {
  test('F2 a token is good for its lifetime and refused after it', async () => {
    const clock = new ManualClock(Date.now());
    const late = await TestServer.start({}, { clock });
    const [first, second] = [await late.token(60), await late.token(60)];
    const client = await late.tcp();
    clock.advance(59_000);
    await attest(client, first, makeCsr());
    clock.advance(2_000);
    await assertStatus(attest(client, second, makeCsr()), 'JOIN_TOKEN_EXPIRED');
    await late.stop();
  });

  test('A8 a retry after 60 s is refused, as if somebody else had asked', async () => {
    const clock = new ManualClock(Date.now());
    const late = await TestServer.start({}, { clock });
    const token = await late.token(600);
    const csr = makeCsr();
    const client = await late.tcp();
    const first = await attest(client, token, csr);
    clock.advance(59_000);
    assert.deepEqual(await attest(client, token, csr), first);
    clock.advance(2_000);
    await assertStatus(attest(client, token, csr), 'JOIN_TOKEN_UNKNOWN');
    await late.stop();
  });

  test('a token that an agent was made with stays taken when it is swept from the store', async () => {
    const clock = new ManualClock(Date.now());
    const late = await TestServer.start({}, { clock });
    const { token } = await late.attest();
    clock.advance(6 * 60_000);
    const request = { ttl: 60, token, agentId: undefined };
    const create = () => ask(late.admin(), AgentService.createJoinToken, request);
    await assertStatus(create(), 'JOIN_TOKEN_EXISTS');
    const id = { trustDomain: TRUST_DOMAIN, path: `/spire/agent/join_token/${token}` };
    await ask(late.admin(), AgentService.deleteAgent, { id });
    await create();
    await late.stop();
  });
});

describe('an agent that may not go on', () => {
  const statusReason = (error: { metadata?: { get(key: string): unknown[] } }): number => {
    const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
    assert.ok(Buffer.isBuffer(bytes));
    const [detail] = Status.decode(bytes).details;
    assert.equal(detail?.typeUrl, 'type.googleapis.com/spire.api.types.PermissionDeniedDetails');
    return PermissionDeniedDetails.decode(detail!.value).reason;
  };
  const status = { currentBundleSerial: 0n, agentVersion: '1' };

  test('banned: every call is refused with the reason AGENT_BANNED, its renewal too', async () => {
    const agent = await server.attest();
    const client = await server.tcp(agent);
    await ask(client, AgentService.postStatus, status);
    const id = { trustDomain: TRUST_DOMAIN, path: agent.path };
    await ask(server.admin(), AgentService.banAgent, { id });
    const error = await assertStatus(ask(client, AgentService.postStatus, status), 'AGENT_BANNED');
    assert.equal(statusReason(error), 4);
    const renewal = { params: { csr: Buffer.from(makeCsr()) } };
    await assertStatus(ask(client, AgentService.renewAgent, renewal), 'AGENT_BANNED');
  });

  test('evicted: refused with the reason AGENT_NOT_ATTESTED', async () => {
    const agent = await server.attest();
    const client = await server.tcp(agent);
    const id = { trustDomain: TRUST_DOMAIN, path: agent.path };
    await ask(server.admin(), AgentService.deleteAgent, { id });
    const call = ask(client, AgentService.postStatus, status);
    assert.equal(statusReason(await assertStatus(call, 'AGENT_NOT_ATTESTED')), 2);
    await assertStatus(ask(server.admin(), AgentService.deleteAgent, { id }), 'AGENT_NOT_FOUND');
  });

  test('renewed: the old SVID is good until the new one is used, then AGENT_NOT_ACTIVE', async () => {
    const agent = await server.attest();
    const old = await server.tcp(agent);
    const key = makeKey();
    const renewed = await ask(old, AgentService.renewAgent, {
      params: { csr: Buffer.from(makeCsr({ key })) },
    });
    await ask(old, AgentService.postStatus, status);
    const next = await server.tcp({ key, chain: renewed.svid!.certChain });
    await ask(next, AgentService.postStatus, status);
    const error = await assertStatus(ask(old, AgentService.postStatus, status), 'AGENT_NOT_ACTIVE');
    assert.equal(statusReason(error), 3);
    await ask(next, AgentService.postStatus, status);
  });

  test('anonymous: refused with details that name no reason', async () => {
    const call = ask(await server.tcp(), AgentService.postStatus, status);
    assert.equal(statusReason(await assertStatus(call, 'CALLER_NOT_ALLOWED')), 0);
  });
});

describe('CreateJoinToken', () => {
  const create = (request: { ttl?: number; token?: string; path?: string }) =>
    ask(server.admin(), AgentService.createJoinToken, {
      ttl: request.ttl ?? 60,
      token: request.token ?? '',
      agentId:
        request.path === undefined ? undefined : { trustDomain: TRUST_DOMAIN, path: request.path },
    });

  test('draws a UUID of version 4, another one each time', async () => {
    const [first, second] = [await create({}), await create({})];
    assert.match(
      first.value,
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    assert.notEqual(first.value, second.value);
  });

  test('takes a lifetime of 1 s and refuses 0 and less', async () => {
    await create({ ttl: 1 });
    for (const ttl of [0, -1]) await assertStatus(create({ ttl }), 'FIELD_INVALID');
  });

  test('takes an own token of 8 characters, once, and refuses 7 and other characters', async () => {
    await create({ token: 'abcdefgh' });
    await assertStatus(create({ token: 'abcdefgh' }), 'JOIN_TOKEN_EXISTS');
    await assertStatus(create({ token: 'abcdefg' }), 'FIELD_INVALID');
    await assertStatus(create({ token: 'abcdefgh/..' }), 'JOIN_TOKEN_MALFORMED');
  });

  test('refuses a token that an agent was made with', async () => {
    const { token } = await server.attest();
    await assertStatus(create({ token }), 'JOIN_TOKEN_EXISTS');
  });

  test('refuses aliases in the reserved area or without a path', async () => {
    for (const path of ['/spire/server', '/spire/agent/x', '/spire', '']) {
      await assertStatus(create({ path }), 'FIELD_INVALID');
    }
  });

  test('an alias gives the agent the entries registered under it, from the first sync on', async () => {
    const { value: token } = await create({ path: '/rack-1' });
    const entry = await server.register({
      parentId: { trustDomain: TRUST_DOMAIN, path: '/rack-1' },
      spiffeId: { trustDomain: TRUST_DOMAIN, path: '/aliased' },
    });
    const key = makeKey();
    const { svid } = await attest(await server.tcp(), token, makeCsr({ key }));
    const client = await server.tcp({ key, chain: svid!.certChain });
    const { EntryService } = await import('../../src/gen/spire/api/server/entry/v1/entry.ts');
    const { entries } = await ask(client, EntryService.getAuthorizedEntries, {
      outputMask: undefined,
    });
    assert.deepEqual(
      entries.map(({ id }) => id),
      [entry.id],
      'the alias entry itself is not sent',
    );
  });
});
