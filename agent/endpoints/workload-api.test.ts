import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Client, credentials, Metadata, status } from '@grpc/grpc-js';
import { type Clock, ManualClock, systemClock } from '../../src/base/clock.ts';
import { seededRandom } from '../../src/base/random.ts';
import { HealthClient } from '../../src/gen/grpc/health/v1/health.ts';
import {
  ServerReflectionClient,
  type ServerReflectionResponse,
} from '../../src/gen/grpc/reflection/v1/reflection.ts';
import { SpiffeWorkloadAPIService, type X509SVIDResponse } from '../../src/gen/workload.ts';
import { createHealth } from '../../src/runtime/health.ts';
import { Lifecycle } from '../../src/runtime/lifecycle.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { parseX509Svid } from '../../src/spiffe/x509-svid.ts';
import { parseCertificates } from '../../src/x509/certificate.ts';
import { AGENT_TEST_DOMAIN, settle, TestAgentCa, wireEntry } from '../../test/support/agent-ca.ts';
import { assertValue } from '../../test/support/refused.ts';
import {
  answerOf,
  Reading,
  securityHeader,
  testFolder,
  workloadClient,
} from '../../test/support/workload-api.ts';
import type { AgentBase } from '../agent.ts';
import { agentConfigSchema } from '../config.ts';
import { Identities } from '../identity/identities.ts';
import { createAccountNames } from '../workload/account-names.ts';
import { createWorkloadAttestation } from '../workload/attestation.ts';
import { createUnixAttestor, kernelFacts } from '../workload/unix-attestor.ts';
import { openWorkloadSocket } from '../workload-socket.ts';
import { createReadyGate } from './ready-gate.ts';
import { createStreamLimits } from './stream-limits.ts';
import { createWorkloadApi } from './workload-api.ts';

const MINE = { selectors: [{ type: 'unix', value: `uid:${process.geteuid?.()}` }] };
const NOBODY = { selectors: [{ type: 'unix', value: 'uid:4000000000' }] };

interface Options {
  readonly allowUnauthenticatedVerifiers?: boolean;
  readonly allowedForeignClaims?: readonly string[];
  /** Judges the time of callers who wait. */
  readonly gateClock?: Clock;
  readonly limits?: Record<string, number>;
}

/** The Workload API on a real socket, over identities that the test fills. */
async function setUp(context: TestContext, options: Options = {}) {
  const path = join(testFolder(context), 'api.sock');
  const config = agentConfigSchema.parse({
    trustDomain: 'example.org',
    server: { address: 'localhost' },
    bootstrap: { insecure: true },
    workloadSocket: { path },
    limits: options.limits ?? {},
  });
  const clock = systemClock;
  const log = createLogger({ level: 'silent' });
  const life = new Lifecycle(log, clock);
  const random = seededRandom(1);
  const base: AgentBase = {
    config,
    clock,
    random,
    log,
    metrics: createMetrics('signet_agent'),
    health: createHealth(),
    life,
    version: 'test',
  };
  const ca = new TestAgentCa(() => clock.nowMs());
  const identities = new Identities({
    trustDomain: AGENT_TEST_DOMAIN,
    x509: { clock, random, keyType: 'ec-p256', mint: ca.mintX509, onFailure: () => {} },
    jwt: { clock, random, mint: ca.mintJwt, maxTokens: 100, maxRequests: 100 },
    onBadAnswer: () => {},
    onOwnBundle: () => {},
    onTaint: () => {},
  });
  const limits = createStreamLimits(config.limits);
  const handlers = createWorkloadApi({
    identities,
    attest: createWorkloadAttestation({
      attestors: [
        createUnixAttestor({
          ...kernelFacts,
          names: createAccountNames(),
          hashes: undefined,
          discoverPath: false,
        }),
      ],
      clock,
      onOutcome: () => {},
    }),
    ready: createReadyGate(identities, options.gateClock ?? clock, 5000),
    limits,
    allowUnauthenticatedVerifiers: options.allowUnauthenticatedVerifiers ?? false,
    validation: {
      trustDomain: AGENT_TEST_DOMAIN,
      clock,
      allowedForeignClaims: new Set(options.allowedForeignClaims ?? []),
    },
  });
  const opened = await openWorkloadSocket(base, handlers);
  assertValue(opened);
  context.after(() => life.stop('test is over'));
  context.after(() => identities.close());
  const { api } = workloadClient(context, path);
  return { path, api, ca, identities, limits, life };
}

/** As above, with the first synchronisation done. */
async function setUpReady(context: TestContext, options: Options = {}) {
  const set = await setUp(context, options);
  set.identities.installBundle(set.ca.bundle());
  set.identities.replaceEntries([]);
  set.identities.synchronised();
  return set;
}

const STREAMS = ['fetchX509Svid', 'fetchX509Bundles', 'fetchJwtBundles'] as const;

test('WEP-3 WEP-4 without the exact header every RPC is refused, before anything else', async (context) => {
  const { path } = await setUp(context);
  const client = new Client(`unix:${path}`, credentials.createInsecure());
  context.after(() => client.close());
  const headers: readonly [string, readonly string[]][] = [
    ['absent', []],
    ['TRUE', ['TRUE']],
    ['True', ['True']],
    ['1', ['1']],
    ['empty', ['']],
    ['false', ['false']],
    ['with a comma', ['true,true']],
    ['twice', ['true', 'true']],
  ];
  for (const method of Object.values(SpiffeWorkloadAPIService)) {
    for (const [name, values] of headers) {
      const metadata = new Metadata();
      for (const value of values) metadata.add('workload.spiffe.io', value);
      const stream = client.makeServerStreamRequest(
        method.path,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.alloc(0),
        metadata,
      );
      const end = await new Reading(stream).ended();
      assert.deepEqual(
        end,
        { code: status.INVALID_ARGUMENT, details: 'security header missing from request' },
        `${method.path} ${name}`,
      );
    }
  }
});

test('WEP-12 callers are held until the first synchronisation, then answered at once', async (context) => {
  const { api, ca, identities, limits } = await setUp(context);
  const reading = new Reading(api.fetchX509Svid({}, securityHeader()));
  await settle(() => limits.open === 1);
  identities.installBundle(ca.bundle());
  identities.replaceEntries([wireEntry('a', MINE)]);
  assert.deepEqual(reading.messages, []);
  identities.synchronised();
  const first = await reading.message(1);
  assert.equal(first.svids[0]?.spiffeId, 'spiffe://example.org/a');
});

test('WEP-12 when the grace is over callers are told Unavailable, never PermissionDenied', async (context) => {
  const gateClock = new ManualClock(0);
  const { api, limits } = await setUp(context, { gateClock });
  const readings = STREAMS.map(
    (name) => new Reading<unknown>(api[name]({}, securityHeader()) as never),
  );
  const jwt = answerOf<unknown>((done) =>
    api.fetchJwtsvid({ audience: ['x'], spiffeId: '' }, securityHeader(), done),
  );
  await settle(() => limits.open === readings.length);
  for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
  gateClock.advance(5000);
  for (const reading of readings) assert.equal((await reading.ended()).code, status.UNAVAILABLE);
  assert.equal((await jwt).code, status.UNAVAILABLE);
});

test('WEP-13 WLAPI-10 a process without an entry is denied, and by every RPC', async (context) => {
  const { api, identities } = await setUpReady(context);
  identities.replaceEntries([wireEntry('other', NOBODY)]);
  const denied = { code: status.PERMISSION_DENIED, details: 'no identity issued' };
  for (const name of STREAMS) {
    const stream = api[name]({}, securityHeader());
    let headers = 0;
    stream.on('metadata', () => headers++);
    assert.deepEqual(await new Reading<unknown>(stream as never).ended(), denied, name);
    // Trailers only: some clients look for the status when the stream opens.
    assert.equal(headers, 0, name);
  }
  for (const call of [
    answerOf<unknown>((done) =>
      api.fetchJwtsvid({ audience: ['x'], spiffeId: '' }, securityHeader(), done),
    ),
    answerOf<unknown>((done) =>
      api.validateJwtsvid({ audience: 'x', svid: 'x' }, securityHeader(), done),
    ),
  ]) {
    const { code, details } = await call;
    assert.deepEqual({ code, details }, denied);
  }
});

function firstSvid(response: X509SVIDResponse) {
  const svid = response.svids[0];
  assert.ok(svid);
  return svid;
}

test('WLAPI-17 WLAPI-18 chain, key and bundle are bare DER that belong together', async (context) => {
  const { api, identities } = await setUpReady(context);
  identities.replaceEntries([wireEntry('a', MINE)]);
  const reading = new Reading(api.fetchX509Svid({}, securityHeader()));
  const { x509Svid, x509SvidKey, bundle, spiffeId } = firstSvid(await reading.message(1));
  const svid = assertValue(parseX509Svid(x509Svid, x509SvidKey));
  assert.equal(svid.id.uri, spiffeId);
  assert.equal(assertValue(parseCertificates(bundle)).length, 1);
});

test('WLAPI-15 E8 an entry taken away ends open streams with PermissionDenied', async (context) => {
  const { api, identities } = await setUpReady(context);
  identities.replaceEntries([wireEntry('a', MINE)]);
  const readings = STREAMS.map(
    (name) => new Reading<unknown>(api[name]({}, securityHeader()) as never),
  );
  for (const reading of readings) await reading.message(1);
  identities.changeEntries([], ['a']);
  for (const reading of readings) {
    assert.deepEqual(await reading.ended(), {
      code: status.PERMISSION_DENIED,
      details: 'no identity issued',
    });
  }
});

test('a process whose SVID does not come yet waits on its stream and is not refused', async (context) => {
  const { api, ca, identities, limits } = await setUpReady(context);
  ca.down = true;
  identities.replaceEntries([wireEntry('a', MINE)]);
  const reading = new Reading(api.fetchX509Svid({}, securityHeader()));
  await settle(() => limits.open === 1 && ca.x509Calls.length === 1);
  assert.equal(reading.end, undefined);
  ca.down = false;
  identities.synchronised();
  assert.equal(firstSvid(await reading.message(1)).spiffeId, 'spiffe://example.org/a');
});

test('WLAPI-3 WLAPI-14 an entry added is pushed with the whole state, the default first', async (context) => {
  const { api, identities } = await setUpReady(context);
  identities.replaceEntries([wireEntry('a', { ...MINE, createdAt: 5n })]);
  const reading = new Reading(api.fetchX509Svid({}, securityHeader()));
  await reading.message(1);
  identities.changeEntries([wireEntry('b', { ...MINE, createdAt: 9n })], []);
  const second = await reading.message(2);
  assert.deepEqual(
    second.svids.map(({ spiffeId }) => spiffeId),
    ['spiffe://example.org/a', 'spiffe://example.org/b'],
  );
});

test('WLAPI-12 of two entries with one hint the older is served, of X.509- and JWT-SVIDs', async (context) => {
  const { api, identities } = await setUpReady(context);
  identities.replaceEntries([
    wireEntry('new', { ...MINE, createdAt: 9n, hint: 'web' }),
    wireEntry('old', { ...MINE, createdAt: 5n, hint: 'web' }),
    wireEntry('plain', { ...MINE, createdAt: 7n }),
    wireEntry('bare', { ...MINE, createdAt: 8n }),
  ]);
  const expected = [
    ['spiffe://example.org/old', 'web'],
    ['spiffe://example.org/plain', ''],
    ['spiffe://example.org/bare', ''],
  ];
  const reading = new Reading(api.fetchX509Svid({}, securityHeader()));
  const { svids } = await reading.message(1);
  assert.deepEqual(
    svids.map(({ spiffeId, hint }) => [spiffeId, hint]),
    expected,
  );
  const tokens = await answerOf<{ svids: { spiffeId: string; hint: string }[] }>((done) =>
    api.fetchJwtsvid({ audience: ['x'], spiffeId: '' }, securityHeader(), done),
  );
  assert.deepEqual(
    tokens.value?.svids.map(({ spiffeId, hint }) => [spiffeId, hint]),
    expected,
  );
});

test('WLAPI-8 WLAPI-22 WLAPI-23 WLAPI-24 FetchJWTSVID answers what was asked for, or refuses', async (context) => {
  const { api, ca, identities } = await setUpReady(context);
  identities.replaceEntries([wireEntry('a', MINE), wireEntry('b', MINE), wireEntry('z', NOBODY)]);
  const fetch = (audience: string[], spiffeId = '') =>
    answerOf<{ svids: { spiffeId: string; svid: string }[] }>((done) =>
      api.fetchJwtsvid({ audience, spiffeId }, securityHeader(), done),
    );
  const all = await fetch(['x', 'y', 'x']);
  assert.deepEqual(
    all.value?.svids.map(({ spiffeId }) => spiffeId),
    ['spiffe://example.org/a', 'spiffe://example.org/b'],
  );
  assert.deepEqual(ca.jwtCalls[0]?.[1], ['x', 'y']);
  const one = await fetch(['x'], 'spiffe://example.org/b');
  assert.equal(one.value?.svids.length, 1);
  const refused: readonly [string[], string, number, string][] = [
    [[], '', status.INVALID_ARGUMENT, 'audience must be specified'],
    [[''], '', status.INVALID_ARGUMENT, 'an audience is empty'],
    [
      Array.from({ length: 1000 }, (_, index) => `${index}`),
      '',
      status.INVALID_ARGUMENT,
      'more than 32 audiences',
    ],
    [['x'], 'spiffe://example.org/a/', status.INVALID_ARGUMENT, 'invalid requested SPIFFE ID: '],
    [['x'], 'https://example.org/a', status.INVALID_ARGUMENT, 'invalid requested SPIFFE ID: '],
    [['x'], 'spiffe://example.org/z', status.PERMISSION_DENIED, 'no identity issued'],
    [['x'], 'spiffe://other.org/a', status.PERMISSION_DENIED, 'no identity issued'],
  ];
  for (const [audience, spiffeId, code, details] of refused) {
    const answer = await fetch(audience, spiffeId);
    assert.equal(answer.code, code, `${audience.length} ${spiffeId}`);
    assert.ok(answer.details.startsWith(details), answer.details);
  }
  ca.down = true;
  const away = await fetch(['never asked before']);
  assert.equal(away.code, status.UNAVAILABLE);
  assert.ok(away.details.startsWith('could not fetch JWT-SVID: '), away.details);
});

test('WLAPI-24 a token that comes after its entry was withdrawn is not handed out', async (context) => {
  const { api, ca, identities } = await setUpReady(context);
  identities.replaceEntries([wireEntry('a', MINE), wireEntry('b', MINE)]);
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  ca.beforeJwt = () => held;
  const fetch = () =>
    answerOf<{ svids: { spiffeId: string }[] }>((done) =>
      api.fetchJwtsvid({ audience: ['x'], spiffeId: '' }, securityHeader(), done),
    );
  const both = fetch();
  await settle(() => ca.jwtCalls.length === 2);
  identities.changeEntries([], ['a']);
  release();
  assert.deepEqual(
    (await both).value?.svids.map(({ spiffeId }) => spiffeId),
    ['spiffe://example.org/b'],
  );
  ca.beforeJwt = () => {
    identities.changeEntries([], ['b']);
    return Promise.resolve();
  };
  identities.changeEntries([wireEntry('b', { ...MINE, revisionNumber: 1n })], []);
  assert.equal((await fetch()).code, status.PERMISSION_DENIED);
});

test('WLAPI-28 WLAPI-29 WLAPI-30 ValidateJWTSVID applies the rules and shows the claims', async (context) => {
  const { api, ca, identities } = await setUpReady(context);
  identities.replaceEntries([wireEntry('a', MINE)]);
  const validate = (audience: string, svid: string) =>
    answerOf<{ spiffeId: string; claims: Record<string, unknown> | undefined }>((done) =>
      api.validateJwtsvid({ audience, svid }, securityHeader(), done),
    );
  const token = ca.token('spiffe://example.org/peer', ['me', 'you'], { role: 'x', deep: { n: 1 } });
  const valid = await validate('me', token);
  assert.equal(valid.value?.spiffeId, 'spiffe://example.org/peer');
  const claims = valid.value?.claims;
  assert.deepEqual(claims?.aud, ['me', 'you']);
  assert.equal(claims?.role, 'x');
  assert.deepEqual({ ...(claims?.deep as object) }, { n: 1 });
  const single = ca.token('spiffe://example.org/peer', [], { aud: 'me' });
  assert.deepEqual((await validate('me', single)).value?.claims?.aud, ['me']);
  const refused: readonly [string, string, string, string][] = [
    ['no audience', '', token, 'audience must be specified'],
    ['no token', 'me', '', 'svid must be specified'],
    ['another audience', 'they', token, 'token is not for the audience'],
    ['over', 'me', ca.token('spiffe://example.org/peer', ['me'], { exp: 1 }), 'token has expired'],
    ['unknown trust domain', 'me', ca.token('spiffe://evil.org/peer', ['me']), 'no bundle'],
    ['changed', 'me', `${token.slice(0, -4)}AAAA`, ''],
    ['no token at all', 'me', 'x.y.z', ''],
  ];
  for (const [name, audience, svid, details] of refused) {
    const answer = await validate(audience, svid);
    assert.equal(answer.code, status.INVALID_ARGUMENT, name);
    assert.ok(answer.details.includes(details), `${name}: ${answer.details}`);
  }
});

test('WLAPI-29 tokens of other trust domains show SPIFFE claims and those allowed', async (context) => {
  const { api, identities } = await setUpReady(context, { allowedForeignClaims: ['role'] });
  const other = assertValue(parseTrustDomain('other.org'));
  const otherCa = new TestAgentCa(() => Date.now(), other);
  identities.installBundle(otherCa.bundle());
  identities.replaceEntries([wireEntry('a', { ...MINE, federatesWith: ['other.org'] })]);
  const svid = otherCa.token('spiffe://other.org/x', ['me'], { role: 'x', internal: 'y' });
  const answer = await answerOf<{ claims: Record<string, unknown> | undefined }>((done) =>
    api.validateJwtsvid({ audience: 'me', svid }, securityHeader(), done),
  );
  assert.deepEqual(Object.keys(answer.value?.claims ?? {}).sort(), ['aud', 'exp', 'role', 'sub']);
});

test('WLAPI-21 unregistered verifiers get the own bundles only, and only where allowed', async (context) => {
  const { api, ca, identities } = await setUpReady(context, {
    allowUnauthenticatedVerifiers: true,
  });
  const other = assertValue(parseTrustDomain('other.org'));
  identities.installBundle(new TestAgentCa(() => Date.now(), other).bundle());
  identities.replaceEntries([wireEntry('z', { ...NOBODY, federatesWith: ['other.org'] })]);
  for (const name of ['fetchX509Bundles', 'fetchJwtBundles'] as const) {
    const reading = new Reading<{ bundles: object }>(api[name]({}, securityHeader()) as never);
    const { bundles } = await reading.message(1);
    assert.deepEqual(Object.keys(bundles), ['spiffe://example.org']);
    reading.cancel();
  }
  const svid = ca.token('spiffe://example.org/peer', ['me']);
  const valid = await answerOf<{ spiffeId: string }>((done) =>
    api.validateJwtsvid({ audience: 'me', svid }, securityHeader(), done),
  );
  assert.equal(valid.value?.spiffeId, 'spiffe://example.org/peer');
  const own = new Reading(api.fetchX509Svid({}, securityHeader()));
  assert.equal((await own.ended()).code, status.PERMISSION_DENIED);
});

test('WLAPI-26 WLAPI-27 JWT bundles are JWK Sets of JWT keys with kid and nothing else', async (context) => {
  const { api, identities } = await setUpReady(context);
  identities.replaceEntries([wireEntry('a', MINE)]);
  const reading = new Reading(api.fetchJwtBundles({}, securityHeader()));
  const { bundles } = await reading.message(1);
  const set = JSON.parse((bundles['spiffe://example.org'] ?? '').toString());
  assert.deepEqual(
    set.keys.map((key: object) => Object.keys(key).sort()),
    [['crv', 'kid', 'kty', 'x', 'y']],
  );
});

test('WLAPI-33 WEP-15 the WIT profile is Unimplemented', async (context) => {
  const { api, identities } = await setUpReady(context);
  identities.replaceEntries([wireEntry('a', MINE)]);
  const svid = new Reading(api.fetchWitsvid({ spiffeId: '' }, securityHeader()));
  assert.equal((await svid.ended()).code, status.UNIMPLEMENTED);
  const bundles = new Reading(api.fetchWitBundles({}, securityHeader()));
  assert.equal((await bundles.ended()).code, status.UNIMPLEMENTED);
});

test('WLAPI-38 at the end every stream is told Unavailable, also those still waiting', async (context) => {
  const { api, ca, identities, limits, life } = await setUpReady(context);
  identities.replaceEntries([wireEntry('a', MINE)]);
  const readings = STREAMS.map(
    (name) => new Reading<unknown>(api[name]({}, securityHeader()) as never),
  );
  for (const reading of readings) await reading.message(1);
  ca.down = true;
  const waiting = new Reading(api.fetchX509Svid({}, securityHeader()));
  await settle(() => limits.open === 4);
  await life.stop('test');
  for (const reading of [...readings, waiting]) {
    assert.equal((await reading.ended()).code, status.UNAVAILABLE);
  }
  await settle(() => limits.open === 0);
  assert.equal(limits.open, 0);
});

test('D5 a stream over the limit is refused with its reason, and others go on', async (context) => {
  const { path, api, identities, limits } = await setUpReady(context, {
    limits: { streamsPerConnection: 2 },
  });
  identities.replaceEntries([wireEntry('a', MINE)]);
  const open = [1, 2].map(() => new Reading(api.fetchX509Svid({}, securityHeader())));
  for (const reading of open) await reading.message(1);
  const refused = new Reading(api.fetchX509Svid({}, securityHeader()));
  const end = await refused.ended();
  assert.equal(end.code, status.UNAVAILABLE);
  assert.ok(end.details.startsWith('rate limit exceeded for'), end.details);
  const second = workloadClient(context, path);
  await new Reading(second.api.fetchX509Svid({}, securityHeader())).message(1);
  open[0]?.cancel();
  await settle(() => limits.open === 2);
  await new Reading(api.fetchX509Svid({}, securityHeader())).message(1);
});

test('WEP-18 health and reflection answer without the header', async (context) => {
  const { path } = await setUpReady(context);
  const { channel } = workloadClient(context, path);
  const health = channel.client(HealthClient);
  const answer = await answerOf<{ status: number }>((done) => health.check({ service: '' }, done));
  assert.equal(answer.code, 0);
  const stream = channel.client(ServerReflectionClient).serverReflectionInfo();
  const listed = new Reading<ServerReflectionResponse>(stream);
  stream.write({ host: '', messageRequest: { $case: 'listServices', value: '' } });
  const { messageResponse } = await listed.message(1);
  assert.ok(messageResponse?.$case === 'listServicesResponse');
  const names = messageResponse.value.service.map(({ name }) => name);
  assert.ok(names.includes('SpiffeWorkloadAPI'), names.join());
  stream.end();
});
