import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, beforeEach, describe, type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import type { Client } from '@grpc/grpc-js';
import { GRPC_STATUS } from '../../src/base/errors/define.ts';
import { ERRORS, type ErrorCode } from '../../src/base/errors.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import type { Entry } from '../../src/gen/spire/api/types/entry.ts';
import { SelectorMatch_MatchBehavior } from '../../src/gen/spire/api/types/selector.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { basicConstraintsExtension } from '../../src/x509/extension-writer.ts';
import { lives } from '../support/dev.ts';
import { Fleet } from '../support/fleet.ts';
import { CLIENT_HELLO, frame, messageFrame, requestFrame, TYPE } from '../support/http2-frames.ts';
import { assertValue } from '../support/refused.ts';
import { rawClient } from '../support/rpc.ts';
import { ask, assertStatus, attest, type TestAgent, wireEntry } from '../support/server.ts';
import { makeCsr, makeKey, makeLeaf, makeRoot } from '../support/x509.ts';
import { Clients, NO_RATE_LIMITS, openDescriptors } from './field.ts';
import { between, runSeed } from './seed.ts';

const { seed, random } = runSeed('bad input');

let fleet: Fleet;
let clients: Clients;
let admin: Client;
let agent: TestAgent;
let agentClient: Client;
let entryId: string;

const td = (path: string) => ({ trustDomain: fleet.trustDomain, path });

before(async () => {
  fleet = await Fleet.start({ serverYaml: NO_RATE_LIMITS });
  clients = new Clients(fleet);
  admin = clients.admin();
  agent = await clients.attest();
  agentClient = await clients.tcp(agent);
  entryId = (await create({ spiffeId: td('/web'), parentId: td(agent.path) })).entry?.id ?? '';
  await fleet.register('/here');
});

after(async () => {
  clients?.close();
  await fleet?.stop();
});

async function create(entry: Partial<Entry>) {
  const request = { entries: [wireEntry(entry)], outputMask: undefined };
  const { results } = await ask(admin, EntryService.batchCreateEntry, request);
  assert.ok(results[0]);
  return results[0];
}

async function entryCount(): Promise<number> {
  return (await ask(admin, EntryService.countEntries, { filter: undefined })).count;
}

async function agentCount(): Promise<number> {
  return (await ask(admin, AgentService.countAgents, { filter: undefined })).count;
}

/** What must hold whatever was sent: nothing half-written, both processes alive and serving. */
async function unharmed<T>(work: () => Promise<T>): Promise<T> {
  const state = async () => [await entryCount(), await agentCount()];
  const before = await state();
  const value = await work();
  assert.deepEqual(await state(), before, 'entries and agents are those of before');
  assert.ok(lives(fleet.serverPid) && lives(fleet.agentPid));
  return value;
}

/** The one result of a batch of one, refused: its status and text. */
async function refusedItem(call: ReturnType<typeof create>): Promise<string> {
  const { status } = await call;
  assert.ok(status);
  assert.equal(status.code, GRPC_STATUS.InvalidArgument, status.message);
  return status.message;
}

describe('registration', () => {
  const selectors = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ type: 'unix', value: `uid:${index}` }));

  test('an entry with 10,000 selectors is refused, over the wire and on the command line', async () => {
    await unharmed(async () => {
      const entry = { spiffeId: td('/many'), selectors: selectors(10_000) };
      assert.match(await refusedItem(create(entry)), /10000 selectors; at most 256/);
      const flags = selectors(10_000).flatMap(({ value }) => ['--selector', `unix:${value}`]);
      const parent = `spiffe://example.org${agent.path}`;
      const ids = ['--spiffe-id', 'spiffe://example.org/many', '--parent-id', parent];
      const { code, stderr } = await fleet.cli('entry', 'create', ...ids, ...flags);
      assert.equal(code, 1);
      assert.match(stderr, /10000 selectors; at most 256/);
      assert.match(stderr, /^ {2}next: ./m);
    });
  });

  test('a filter of 10,000 selectors is refused', async () => {
    await unharmed(async () => {
      const filter = {
        bySpiffeId: undefined,
        byParentId: undefined,
        bySelectors: {
          selectors: selectors(10_000),
          match: SelectorMatch_MatchBehavior.MATCH_EXACT,
        },
        byFederatesWith: undefined,
        byHint: undefined,
        byDownstream: undefined,
      };
      const call = ask(admin, EntryService.countEntries, { filter });
      const { details } = await assertStatus(call, 'FIELD_INVALID');
      assert.match(details, /10000 selectors, at most 256/);
    });
  });

  test('ID-13 ID-14 SPIFFE IDs of 2,048 bytes are taken, of 2,049 refused', async () => {
    const path = (bytes: number) => {
      const room = bytes - 'spiffe://example.org'.length;
      return `/${'a'.repeat(room - 1)}`;
    };
    const taken = await create({ spiffeId: td(path(2048)), parentId: td(agent.path) });
    assert.equal(taken.status?.code, 0);
    await unharmed(async () => {
      const tooLong = { spiffeId: td(path(2049)), parentId: td(agent.path) };
      assert.match(await refusedItem(create(tooLong)), /2048/);
      const parent = { spiffeId: td('/x'), parentId: td(path(2049)) };
      assert.match(await refusedItem(create(parent)), /2048/);
    });
    const csr = Buffer.from(makeCsr());
    const params = [{ entryId: taken.entry?.id ?? '', csr }];
    const { results } = await ask(agentClient, SVIDService.batchNewX509Svid, { params });
    assert.equal(results[0]?.svid?.id?.path, path(2048));
  });
});

describe('certificate requests', () => {
  const key = makeKey();
  const offCurve = Uint8Array.from(key.spki);
  offCurve[offCurve.length - 1]! ^= 1;

  /** Requests that no SVID comes of: name, DER, the code where a code travels. */
  const refused: readonly (readonly [string, () => Uint8Array, ErrorCode])[] = [
    ['a wrong signature', () => makeCsr({ key, signer: makeKey() }), 'SIGNATURE_INVALID'],
    ['an RSA key of 1,024 bits', () => makeCsr({ key: makeKey('rsa-1024') }), 'KEY_RSA_SIZE'],
    ['a key of another kind', () => makeCsr({ key: makeKey('ed25519') }), 'KEY_ALGORITHM'],
    ['a point off the curve', () => makeCsr({ key, spki: offCurve }), 'PUBLIC_KEY_INVALID'],
    ['its last byte cut off', () => makeCsr().slice(0, -1), 'DER_TRUNCATED'],
    ['a byte after it', () => Uint8Array.of(...makeCsr(), 0), 'DER_TRAILING_BYTES'],
  ];
  for (const [name, csr, code] of refused) {
    test(`X509 a request with ${name} gets no SVID, and no agent joins with it`, async () => {
      await unharmed(async () => {
        const params = [{ entryId, csr: Buffer.from(csr()) }];
        const { results } = await ask(agentClient, SVIDService.batchNewX509Svid, { params });
        assert.equal(results[0]?.status?.code, GRPC_STATUS.InvalidArgument);
        assert.equal(results[0].svid, undefined);
        await assertStatus(attest(await clients.tcp(), await clients.token(), csr()), code);
      });
    });
  }

  test('SPI-01-004 E10 CA:TRUE and foreign names in a request are not in the SVID', async () => {
    await unharmed(async () => {
      const csr = makeCsr({
        uris: ['spiffe://other.test/admin', 'spiffe://example.org/spire/server'],
        dnsNames: ['evil.test'],
        extraExtensions: [basicConstraintsExtension(true)],
      });
      const params = [{ entryId, csr: Buffer.from(csr) }];
      const { results } = await ask(agentClient, SVIDService.batchNewX509Svid, { params });
      const leaf = assertValue(parseCertificate(results[0]!.svid!.certChain[0]!));
      assert.equal(leaf.basicConstraints?.ca, false);
      assert.deepEqual(leaf.subjectAltName?.names, [
        { kind: 'uri', text: 'spiffe://example.org/web' },
      ]);
    });
  });

  test('E10 the entry of another node is not found', async () => {
    const other = await clients.attest();
    const { entry } = await create({ spiffeId: td('/elsewhere'), parentId: td(other.path) });
    await unharmed(async () => {
      const params = [{ entryId: entry!.id, csr: Buffer.from(makeCsr()) }];
      const { results } = await ask(agentClient, SVIDService.batchNewX509Svid, { params });
      assert.equal(results[0]?.status?.code, GRPC_STATUS.NotFound);
      const audience = ['x'];
      await assertStatus(
        ask(agentClient, SVIDService.newJwtsvid, { entryId: entry!.id, audience }),
        'ENTRY_NOT_AUTHORIZED',
      );
    });
  });
});

describe('join tokens', () => {
  test('F1 a token used twice at the same moment admits one', async () => {
    const token = await clients.token();
    const before = await agentCount();
    const callers = await Promise.all(Array.from({ length: 8 }, () => clients.tcp()));
    const all = await Promise.allSettled(callers.map((each) => attest(each, token, makeCsr())));
    assert.equal(all.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const each of all) {
      if (each.status !== 'rejected') continue;
      assert.equal(each.reason.metadata.get('signet-error-code')[0], 'JOIN_TOKEN_UNKNOWN');
      assert.equal(each.reason.code, GRPC_STATUS[ERRORS.JOIN_TOKEN_UNKNOWN.status]);
    }
    assert.equal(await agentCount(), before + 1);
  });

  test('F2 an expired and a truncated token admit nobody', async () => {
    await unharmed(async () => {
      const client = await clients.tcp();
      const token = await clients.token();
      await assertStatus(attest(client, token.slice(0, -1), makeCsr()), 'JOIN_TOKEN_UNKNOWN');
      const short = await clients.token(1);
      await new Promise((resolve) => setTimeout(resolve, 2100));
      await assertStatus(attest(client, short, makeCsr()), 'JOIN_TOKEN_EXPIRED');
    });
  });

  test('an agent without a good token ends with what to do next', async () => {
    const other = await Fleet.start({ serverOnly: true });
    try {
      for (const token of ['truncated', 'x'.repeat(513), '../../server']) {
        const { code, stderr } = await fleet.cli(
          ...['agent', 'run', '--trust-domain', 'example.org', '--data-dir', `${other.dir}/a`],
          ...['--server-address', '127.0.0.1', '--server-port', `${other.port}`],
          ...['--insecure-bootstrap', '--socket-path', `${other.dir}/w/api.sock`],
          ...['--join-token', token],
        );
        assert.equal(code, 1, stderr);
        assert.match(stderr, /^signet: .*\n {2}code: [A-Z_]+.*\n {2}next: .*token/ms);
        assert.ok(!stderr.includes(token.slice(0, 40)) || token.length < 10, 'not in the log');
      }
    } finally {
      await other.stop();
    }
  });
});

describe('callers that may not', () => {
  test('F4 the SVID of a banned agent is refused by every RPC of agents', async () => {
    const banned = await clients.attest();
    const client = await clients.tcp(banned);
    await ask(admin, AgentService.banAgent, { id: td(banned.path) });
    await unharmed(async () => {
      const csr = Buffer.from(makeCsr());
      for (const call of [
        ask(client, SVIDService.batchNewX509Svid, { params: [{ entryId, csr }] }),
        ask(client, SVIDService.newJwtsvid, { entryId, audience: ['x'] }),
        ask(client, EntryService.getAuthorizedEntries, { outputMask: undefined }),
        ask(client, AgentService.renewAgent, { params: { csr } }),
      ]) {
        await assertStatus(call, 'AGENT_BANNED');
      }
    });
  });

  test('a certificate of another trust domain, or of nobody, ends the connection', async () => {
    const foreign = makeRoot('other.test');
    const path = `spiffe://example.org${agent.path}`;
    const strangers = [
      makeLeaf(foreign, 'spiffe://other.test/spire/agent/x'),
      makeLeaf(foreign, path),
      makeLeaf(makeRoot('example.org'), path),
    ];
    await unharmed(async () => {
      for (const { der, key } of strangers) {
        const client = await clients.tcp({ chain: [der], key });
        const call = ask(client, BundleService.getBundle, { outputMask: undefined });
        await assert.rejects(call, { code: GRPC_STATUS.Unavailable });
      }
      const lines = fleet.log('server').split('\n');
      const told = lines.filter((line) => /"client-certificate".*"[A-Z0-9_]+: /.test(line));
      assert.equal(told.length, strangers.length, 'each with its code and reason in the log');
    });
  });
});

describe('raw HTTP/2 garbage', () => {
  /** Bytes that no HTTP/2 client sends. */
  const garbage: readonly (readonly [string, () => Buffer])[] = [
    ['HTTP/1', () => Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n')],
    ['4 KiB of ones', () => Buffer.alloc(4096, 0xff)],
    ['random bytes', () => Buffer.from(random.bytes(between(random, 1, 9000)))],
    [
      'random bytes after a good preface',
      () => Buffer.concat([CLIENT_HELLO, random.bytes(between(random, 1, 9000))]),
    ],
    ['a frame of 16 MiB', () => Buffer.concat([CLIENT_HELLO, Buffer.alloc(9, 0xff)])],
    ['DATA on stream 0', () => Buffer.concat([CLIENT_HELLO, frame(TYPE.data, 0, 0)])],
    [
      'headers that are no HPACK',
      () => Buffer.concat([CLIENT_HELLO, frame(TYPE.headers, 4, 1, Buffer.alloc(64, 0xff))]),
    ],
    [
      'a request without an end, half of its message',
      () =>
        Buffer.concat([
          CLIENT_HELLO,
          requestFrame(1, 'x'),
          messageFrame(1, Buffer.alloc(99)).subarray(0, 20),
        ]),
    ],
  ];
  const listeners: readonly (readonly [string, () => Socket])[] = [
    ['the admin socket', () => connect(fleet.adminSocket)],
    ['the TCP port, before TLS', () => connect(fleet.port, '127.0.0.1')],
    [
      'the TCP port, in TLS',
      () =>
        connectTls({
          host: '127.0.0.1',
          port: fleet.port,
          rejectUnauthorized: false,
          ALPNProtocols: ['h2'],
        }),
    ],
    ['the Workload API socket', () => connect(fleet.workloadSocket)],
  ];
  let descriptors: number;
  beforeEach(() => {
    descriptors = openDescriptors(fleet.serverPid) + openDescriptors(fleet.agentPid);
  });

  for (const [name, open] of listeners) {
    test(`on ${name} ends its connection and nothing else`, async (context: TestContext) => {
      await unharmed(async () => {
        for (const [, bytes] of garbage) {
          for (let round = 0; round < 5; round++) {
            const { socket, closed } = rawClient(context, open());
            socket.end(bytes());
            await closed;
          }
        }
      });
      const now = () => openDescriptors(fleet.serverPid) + openDescriptors(fleet.agentPid);
      for (let tries = 0; now() > descriptors + 4; tries++) {
        assert.ok(tries < 500, `${now()} descriptors, ${descriptors} before, seed ${seed}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      const { code, stdout } = await fleet.cli('api', 'fetch', 'x509');
      assert.equal(code, 0);
      assert.match(stdout, /spiffe:\/\/example\.org\/here/);
    });
  }
});

test('E12 no log holds a token, a key or a stack trace', () => {
  for (const log of [fleet.log('server'), fleet.log('agent')]) {
    assert.doesNotMatch(log, /PRIVATE KEY|"token"|"stack"|\n {4}at /);
    assert.ok(!log.includes(agent.token) || !new RegExp(`[^/]${agent.token}`).test(log));
  }
});
