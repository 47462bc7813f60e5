import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, describe, test } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { Client, credentials } from '@grpc/grpc-js';
import { ManualClock } from '../../src/base/clock.ts';
import { HealthService } from '../../src/gen/grpc/health/v1/health.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { loadServerConfig } from '../../src/server/config.ts';
import { startServer } from '../../src/server/server.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { stopChild, waitForSocket } from '../support/processes.ts';
import { assertValue } from '../support/refused.ts';
import {
  ask,
  assertStatus,
  attest,
  open,
  TestServer,
  TRUST_DOMAIN,
  testConfig,
  wireEntry,
} from '../support/server.ts';
import { makeCsr, makeKey, makeLeaf, makeRoot } from '../support/x509.ts';

const OFF = { perSecond: 0 };
const QUIET = { log: { level: 'silent' } };
const SILENT = createLogger({ level: 'silent' });
const CHILD = new URL('../support/server-child.ts', import.meta.url).pathname;
const status = { currentBundleSerial: 0n, agentVersion: '1' };

/** A server as a process of its own. */
class ChildServer {
  readonly dir = mkdtempSync(join(tmpdir(), 'sgn-'));
  readonly socket = join(this.dir, 'admin', 'api.sock');
  process: ChildProcess | undefined;
  stderr = '';

  writeConfig(extra = ''): void {
    writeFileSync(
      join(this.dir, 'server.yaml'),
      `trustDomain: ${TRUST_DOMAIN}
dataDir: ${this.dir}/data
listen: { address: 127.0.0.1, port: 0 }
adminSocket: { path: ${this.socket} }
${extra}`,
    );
  }

  spawn(): ChildProcess {
    const child = spawn(process.execPath, [CHILD, join(this.dir, 'server.yaml')], {
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    child.stderr.on('data', (bytes) => {
      this.stderr += bytes;
    });
    this.process = child;
    return child;
  }

  async start(): Promise<void> {
    await waitForSocket(this.socket, this.spawn());
    while (!this.stderr.includes('server is ready')) await once(this.process!.stderr!, 'data');
  }

  client(): Client {
    return new Client(`unix:${this.socket}`, credentials.createInsecure());
  }

  /** Runs to its end; answers the exit code. */
  async fail(): Promise<number> {
    const [code] = await once(this.spawn(), 'close');
    return code;
  }

  async remove(): Promise<void> {
    if (this.process !== undefined) await stopChild(this.process);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

describe('a server as a process', () => {
  const child = new ChildServer();
  after(() => child.remove());

  test('A1 kill -9 and start again: entries, agents, keys and the bundle are the same', async () => {
    child.writeConfig();
    await child.start();
    const client = child.client();
    const entries = [wireEntry({ spiffeId: { trustDomain: TRUST_DOMAIN, path: '/kept' } })];
    const created = await ask(client, EntryService.batchCreateEntry, {
      entries,
      outputMask: undefined,
    });
    const bundle = await ask(client, BundleService.getBundle, { outputMask: undefined });
    client.close();
    await stopChild(child.process!, 'SIGKILL');
    assert.ok(existsSync(child.socket), 'a killed process leaves its socket');
    await child.start();
    const again = child.client();
    const id = created.results[0]!.entry!.id;
    const kept = await ask(again, EntryService.getEntry, { id, outputMask: undefined });
    assert.deepEqual(kept, created.results[0]!.entry);
    assert.deepEqual(await ask(again, BundleService.getBundle, { outputMask: undefined }), bundle);
    again.close();
  });

  test('A5 a second process on the same data directory is refused, the first goes on', async () => {
    const second = new ChildServer();
    writeFileSync(
      join(second.dir, 'server.yaml'),
      `trustDomain: ${TRUST_DOMAIN}
dataDir: ${child.dir}/data
listen: { address: 127.0.0.1, port: 0 }
adminSocket: { path: ${second.socket} }
`,
    );
    assert.equal(await second.fail(), 1);
    assert.match(second.stderr, /DATA_DIR_LOCKED/);
    assert.match(second.stderr, new RegExp(`process ${child.process!.pid}`));
    const client = child.client();
    await ask(client, EntryService.countEntries, { filter: undefined });
    client.close();
    await second.remove();
  });

  test('SIGHUP takes over what can be changed, and names what cannot', async () => {
    const said = async (text: string) => {
      while (!child.stderr.includes(text)) await once(child.process!.stderr!, 'data');
    };
    child.writeConfig('limits: { batchEntries: 1 }\n');
    child.process!.kill('SIGHUP');
    await said('configuration reloaded');
    const client = child.client();
    const entries = [wireEntry({}), wireEntry({})];
    const create = () =>
      ask(client, EntryService.batchCreateEntry, { entries, outputMask: undefined });
    await assertStatus(create(), 'BATCH_TOO_LARGE');
    child.writeConfig('limits: { batchEntries: 5 }\nca: { ttl: 48h }\n');
    child.process!.kill('SIGHUP');
    await said('only a restart changes: ca.ttl');
    await assertStatus(create(), 'BATCH_TOO_LARGE');
    child.writeConfig('limitz: {}\n');
    child.process!.kill('SIGHUP');
    await said('did you mean');
    await assertStatus(create(), 'BATCH_TOO_LARGE');
    client.close();
  });

  test('SIGTERM: exit code 0, the socket is gone, the lock is free', async () => {
    child.process!.kill('SIGTERM');
    const [code] = await once(child.process!, 'exit');
    assert.equal(code, 0);
    assert.equal(existsSync(child.socket), false);
    child.writeConfig();
    await child.start();
    await stopChild(child.process!);
  });

  test('E12 the log holds no token and no private key', async () => {
    assert.doesNotMatch(child.stderr, /PRIVATE KEY|"token"/);
  });
});

describe('a server that does not start', () => {
  const refused: readonly (readonly [string, string, RegExp])[] = [
    [
      'an unknown key',
      'lisen: {}\n',
      /CONFIG_INVALID: .*server\.yaml:5:1: lisen: unknown key; did you mean "listen"\?/,
    ],
    ['a value without a unit', 'ca: { ttl: 24 }\n', /ca\.ttl: must be a string/],
    ['leaves that outlive their CA', 'ca: { ttl: 30m }\n', /ca\.ttl: must not be shorter/],
    [
      'a socket path of 108 bytes',
      '',
      /CONFIG_INVALID: .*adminSocket\.path: socket path has 108 bytes/,
    ],
  ];
  for (const [name, extra, message] of refused) {
    test(`says so: ${name}`, async () => {
      const child = new ChildServer();
      child.writeConfig(extra);
      if (extra === '') {
        const path = `/tmp/${'x'.repeat(108 - 5)}`;
        const config = readFileSync(join(child.dir, 'server.yaml'), 'utf8');
        writeFileSync(join(child.dir, 'server.yaml'), config.replace(child.socket, path));
      }
      assert.equal(await child.fail(), 1);
      assert.match(child.stderr, message);
      assert.ok(!existsSync(join(child.dir, 'data')), 'nothing was written');
      await child.remove();
    });
  }

  test('says so: a file that a setting names, by the setting', async () => {
    const child = new ChildServer();
    child.writeConfig('svid: { blockedKeys: /nonexistent/keys }\n');
    assert.equal(await child.fail(), 1);
    assert.match(child.stderr, /svid\.blockedKeys: \/nonexistent\/keys does not exist/);
    await child.remove();
  });

  test('a configuration that is not there', async () => {
    const loaded = await loadServerConfig('/nonexistent/server.yaml');
    assert.equal(loaded.ok ? '' : loaded.error.code, 'CONFIG_UNREADABLE');
  });

  test('a newer database schema', async () => {
    const server = await TestServer.start();
    await server.running.stop('test');
    const database = new DatabaseSync(join(server.dir, 'data', 'server.sqlite'));
    database.exec('INSERT INTO migrations (version) VALUES (999)');
    database.close();
    const started = await startServer(server.config, { log: SILENT });
    assert.equal(started.ok ? '' : started.error.code, 'STORE_SCHEMA_NEWER');
    await server.stop();
  });

  test('a database of another trust domain', async () => {
    const server = await TestServer.start();
    await server.running.stop('test');
    const other = {
      ...server.config,
      trustDomain: testConfig(server.dir, { trustDomain: 'other.test' }).trustDomain,
    };
    const started = await startServer(other, { log: SILENT });
    assert.equal(started.ok ? '' : started.error.code, 'STORE_FOREIGN');
    await server.stop();
  });

  test('a key file of which one bit is flipped', async () => {
    const server = await TestServer.start();
    await server.running.stop('test');
    const path = join(server.dir, 'data', 'keys', 'x509-CA-A.key');
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(path, bytes);
    const started = await startServer(server.config, { log: SILENT });
    assert.equal(started.ok ? '' : started.error.code, 'KEY_FILE_CORRUPT');
    await server.stop();
  });

  test('a TCP port that is taken, and an admin socket that a live process holds', async () => {
    const server = await TestServer.start();
    const dir = mkdtempSync(join(tmpdir(), 'sgn-'));
    const port = { listen: { address: '127.0.0.1', port: server.running.port } };
    const taken = await startServer(testConfig(dir, { ...port, ...QUIET }));
    assert.equal(taken.ok ? '' : taken.error.code, 'LISTEN_FAILED');
    const { path } = server.config.adminSocket;
    const socket = await startServer(testConfig(dir, { adminSocket: { path }, ...QUIET }));
    assert.equal(socket.ok ? '' : socket.error.code, 'SOCKET_IN_USE');
    // What had started was stopped again: the directory is free.
    const retry = await startServer(testConfig(dir, QUIET));
    assert.ok(retry.ok);
    await retry.value.stop('test');
    rmSync(dir, { recursive: true });
    await server.stop();
  });
});

describe('a running server', () => {
  test('its admin socket is 0600 in a folder of 0700, its keys are 0600', async () => {
    const server = await TestServer.start();
    const mode = (path: string) => statSync(join(server.dir, path)).mode & 0o777;
    assert.equal(mode('admin'), 0o700);
    assert.equal(mode('admin/api.sock'), 0o600);
    assert.equal(mode('data'), 0o700);
    assert.equal(mode('data/keys/x509-CA-A.key'), 0o600);
    assert.equal(mode('data/server.sqlite'), 0o600);
    await server.stop();
  });

  test('tells its health on the admin socket and over HTTP', async () => {
    const server = await TestServer.start({ telemetry: { port: 0 } });
    const health = await ask(server.admin(), HealthService.check, { service: '' });
    assert.equal(health.status, 1);
    const get = (path: string) => fetch(`http://127.0.0.1:${server.running.telemetryPort}${path}`);
    assert.equal((await get('/live')).status, 200);
    assert.equal((await get('/ready')).status, 200);
    await server.attest();
    const metrics = await (await get('/metrics')).text();
    for (const name of [
      'agents 1',
      'entries 0',
      'push_streams 0',
      'rpc_calls_total{',
      'svids_total{',
    ]) {
      assert.ok(metrics.includes(`signet_server_${name}`), name);
    }
    await server.stop();
  });

  test('stops being ready when its authority has expired, and says why', async () => {
    const clock = new ManualClock(Date.now());
    const server = await TestServer.start({}, { clock });
    const check = () => ask(server.admin(), HealthService.check, { service: '' });
    assert.equal((await check()).status, 1);
    // The wall clock alone: no timer has had its turn to make a new authority.
    clock.setWallClock(clock.nowMs() + 25 * 3_600_000);
    assert.equal((await check()).status, 2);
    assert.match(server.running.health.report('ready').failures.authority ?? '', /expired|ended/);
    await server.stop();
  });

  test('a reload changes lifetimes and operators at once', async () => {
    const server = await TestServer.start();
    const mint = async (client: Client) => {
      const csr = Buffer.from(makeCsr({ uris: [`spiffe://${TRUST_DOMAIN}/minted`], key }));
      return (await ask(client, SVIDService.mintX509Svid, { csr, ttl: 0 })).svid!;
    };
    const key = makeKey();
    const before = await mint(server.admin());
    const operator = await server.tcp({ key, chain: before.certChain });
    await assertStatus(mint(operator), 'CALLER_NOT_ALLOWED');
    const next = { svid: { x509Ttl: '2h' }, adminIds: [`spiffe://${TRUST_DOMAIN}/minted`] };
    const port = { address: '127.0.0.1', port: 0 };
    const reloaded = server.running.reload(testConfig(server.dir, { ...next, listen: port }));
    assert.ok(reloaded.ok);
    const after = await mint(operator);
    assert.ok(after.expiresAt - before.expiresAt >= 3600n);
    await server.stop();
  });

  test('memory keys: a restart makes new authorities; the old ones stay in the bundle', async () => {
    const server = await TestServer.start({ keys: { manager: 'memory' } });
    const agent = await server.attest();
    const before = await server.bundlePem();
    await server.restart();
    assert.notEqual(await server.bundlePem(), before);
    const client = await server.tcp(agent);
    // Its SVID is of an authority that is still in the bundle, so it is known and active.
    await ask(client, AgentService.postStatus, status);
    await server.stop();
  });

  test('survives a restart with agents connected: their SVIDs go on', async () => {
    const server = await TestServer.start();
    const agent = await server.attest();
    const entry = await server.register({
      spiffeId: { trustDomain: TRUST_DOMAIN, path: '/a' },
      parentId: { trustDomain: TRUST_DOMAIN, path: agent.path },
    });
    await server.restart();
    const params = [{ entryId: entry.id, csr: Buffer.from(makeCsr()) }];
    const { results } = await ask(await server.tcp(agent), SVIDService.batchNewX509Svid, {
      params,
    });
    assert.equal(results[0]?.status?.code, 0);
    await server.stop();
  });

  test('listens on IPv6 and IPv4 at once', async (context) => {
    const probe = createServer();
    const usable = await new Promise((resolve) => {
      probe.once('error', () => resolve(false)).listen(0, '::1', () => resolve(true));
    });
    probe.close();
    if (usable === false) {
      context.skip('no IPv6 here');
      return;
    }
    const server = await TestServer.start({ listen: { address: '::', port: 0 } });
    const pem = Buffer.from(await server.bundlePem());
    for (const host of ['127.0.0.1', '[::1]']) {
      const channel = credentials.createSsl(pem, null, null, {
        checkServerIdentity: () => undefined,
      });
      const client = new Client(`${host}:${server.running.port}`, channel, {
        'grpc.ssl_target_name_override': 'server.test',
      });
      await ask(client, BundleService.getBundle, { outputMask: undefined });
      client.close();
    }
    await server.stop();
  });
});

describe('limits', () => {
  test('attestations of one address are refused beyond the burst, with what to do', async () => {
    const server = await TestServer.start({
      limits: { attestation: { perSecond: 0.001, burst: 2 } },
    });
    const client = await server.tcp();
    await attest(client, await server.token(), makeCsr());
    await attest(client, await server.token(), makeCsr());
    const error = await assertStatus(
      attest(client, await server.token(), makeCsr()),
      'RATE_LIMITED',
    );
    assert.match(error.details, /limits\.attestation/);
    await server.stop();
  });

  test('anonymous calls of one address, calls of one agent and signatures for it each have their own', async () => {
    const slow = (burst: number) => ({ perSecond: 0.001, burst });
    const server = await TestServer.start({
      limits: { anonymousCalls: slow(2), agentCalls: slow(4), agentSignatures: slow(3) },
    });
    const agent = await server.attest();
    const other = await server.attest();
    const anonymous = await server.tcp();
    const bundle = () => ask(anonymous, BundleService.getBundle, { outputMask: undefined });
    await bundle();
    await bundle();
    await assertStatus(bundle(), 'RATE_LIMITED');

    const client = await server.tcp(agent);
    const csr = Buffer.from(makeCsr());
    const batch = (count: number) =>
      ask(client, SVIDService.batchNewX509Svid, {
        params: Array.from({ length: count }, () => ({ entryId: 'none', csr })),
      });
    await batch(3);
    await assertStatus(batch(1), 'RATE_LIMITED');
    await batch(0);
    await ask(client, AgentService.postStatus, status);
    await assertStatus(ask(client, AgentService.postStatus, status), 'RATE_LIMITED');
    await ask(await server.tcp(other), AgentService.postStatus, status);
    await server.stop();
  });

  test('a message above the limit of its caller is refused, one just below is read', async () => {
    await assertMessageLimits({}, { anonymous: 256 * 1024, attested: 4 * 1024 * 1024 });
  });

  test('the longest message is what configuration says, for each kind of caller', async () => {
    const settings = { messageSize: '32KiB', anonymous: { messageSize: '8KiB' } };
    await assertMessageLimits(settings, { anonymous: 8 * 1024, attested: 32 * 1024 });
  });

  const assertMessageLimits = async (
    settings: object,
    limits: { readonly anonymous: number; readonly attested: number },
  ) => {
    const server = await TestServer.start({ limits: { attestation: OFF, ...settings } });
    const params = { csr: Buffer.from(makeCsr()) };
    const message = (client: Client, bytes: number) => {
      const call = open(client, AgentService.attestAgent);
      const data = { type: 'join_token', payload: Buffer.alloc(bytes, 'a') };
      call.write({ step: { $case: 'params', value: { data, params } } });
      return call.toArray();
    };
    const agent = await server.attest();
    for (const [client, limit] of [
      [await server.tcp(), limits.anonymous],
      [await server.tcp(agent), limits.attested],
    ] as const) {
      // Read, and judged by the method: the longest payload of any join token is 256 KiB.
      const longest = limit - 1024;
      const read = longest > 256 * 1024 ? 'ATTESTATION_TOO_LARGE' : 'JOIN_TOKEN_MALFORMED';
      await assertStatus(message(client, longest), read);
      await assert.rejects(message(client, limit + 1), { code: 8 });
      await ask(client, BundleService.getBundle, { outputMask: undefined });
    }
    await server.stop();
  };

  test('I-5 malformed protobuf ends the call, not the process', async () => {
    const server = await TestServer.start({ limits: { attestation: OFF } });
    const raw = {
      requestSerialize: (bytes: Buffer) => bytes,
      responseDeserialize: (bytes: Buffer) => bytes,
    };
    const hostile: readonly Buffer[] = [
      Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
      Buffer.from([0x0a, 0x05, 0x01]),
      Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
      Buffer.concat(Array.from({ length: 1000 }, () => Buffer.from([0x0b]))),
      Buffer.from([0x0f]),
    ];
    for (const client of [server.admin(), await server.tcp()]) {
      for (const bytes of hostile) {
        for (const path of [EntryService.batchCreateEntry.path, AgentService.attestAgent.path]) {
          const call = open(client, { path, ...raw });
          call.write(bytes);
          call.end();
          const error: { code?: number } = await call.toArray().then(
            () => ({}),
            (thrown) => thrown,
          );
          assert.ok([3, 7, 13].includes(error.code ?? -1), `${path}: ${error.code}`);
        }
      }
    }
    await ask(server.admin(), EntryService.countEntries, { filter: undefined });
    await server.stop();
  });
});

/** The certificate that the TCP port presents to a new connection. */
async function presented(server: TestServer, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({
    host: '127.0.0.1',
    port: server.running.port,
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    ...options,
  });
  await once(socket, 'secureConnect');
  return socket;
}

describe('the TCP port', () => {
  test('A.3.13 presents spiffe://<td>/spire/server, h2 and TLS 1.3', async () => {
    const server = await TestServer.start();
    const socket = await presented(server);
    const certificate = assertValue(parseCertificate(socket.getPeerX509Certificate()!.raw));
    assert.deepEqual(certificate.subjectAltName?.names, [
      { kind: 'uri', text: `spiffe://${TRUST_DOMAIN}/spire/server` },
    ]);
    assert.equal(socket.alpnProtocol, 'h2');
    assert.equal(socket.getProtocol(), 'TLSv1.3');
    socket.destroy();
    await assert.rejects(presented(server, { maxVersion: 'TLSv1.2' }));
    await server.stop();
  });

  test('TLS 1.2 is there where configuration says so', async () => {
    const listen = { address: '127.0.0.1', port: 0, minTlsVersion: '1.2' };
    const server = await TestServer.start({ listen });
    const socket = await presented(server, { maxVersion: 'TLSv1.2' });
    assert.equal(socket.getProtocol(), 'TLSv1.2');
    socket.destroy();
    await server.stop();
  });

  test('its own SVID is renewed at half of its life; open connections go on', async () => {
    const clock = new ManualClock(Date.now());
    const listen = { address: '127.0.0.1', port: 0, maxConnectionAge: '0s' };
    const server = await TestServer.start({ svid: { x509Ttl: '10m' }, listen }, { clock });
    const client = await server.tcp();
    const bundle = () => ask(client, BundleService.getBundle, { outputMask: undefined });
    await bundle();
    const serial = async () => {
      const socket = await presented(server);
      const { serialNumber } = socket.getPeerX509Certificate()!;
      socket.destroy();
      return serialNumber;
    };
    const first = await serial();
    clock.advance(299_000);
    assert.equal(await serial(), first);
    clock.advance(2_000);
    // A key is made and signed meanwhile: it is asked until the new one is there.
    while ((await serial()) === first);
    await bundle();
    await server.stop();
  });

  test('a client certificate of another trust domain, or of nobody, ends the connection', async () => {
    const server = await TestServer.start();
    const foreign = makeRoot('other.test');
    const strangers = [
      makeLeaf(foreign, 'spiffe://other.test/agent'),
      makeLeaf(foreign, `spiffe://${TRUST_DOMAIN}/spire/agent/join_token/x`),
      makeLeaf(makeRoot(TRUST_DOMAIN), `spiffe://${TRUST_DOMAIN}/spire/server`),
    ];
    for (const stranger of strangers) {
      const client = await server.tcp({ chain: [stranger.der], key: stranger.key });
      await assert.rejects(ask(client, BundleService.getBundle, { outputMask: undefined }), {
        code: 14,
      });
    }
    await ask(await server.tcp(), BundleService.getBundle, { outputMask: undefined });
    await server.stop();
  });

  test('raw garbage on either listener ends its connection, not the process', async () => {
    const server = await TestServer.start();
    const garbage = [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(4096, 0xff)];
    for (const bytes of garbage) {
      const plain = createConnection(server.running.port, '127.0.0.1');
      plain.on('error', () => {}).end(bytes);
      await once(plain.resume(), 'close');
      const secure = await presented(server);
      secure.on('error', () => {}).end(bytes);
      await once(secure.resume(), 'close');
      const local = createConnection(server.config.adminSocket.path);
      local.on('error', () => {}).end(bytes);
      await once(local.resume(), 'close');
    }
    await ask(server.admin(), EntryService.countEntries, { filter: undefined });
    await ask(await server.tcp(), BundleService.getBundle, { outputMask: undefined });
    await server.stop();
  });
});
