import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { connect } from 'node:tls';
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { GRPC_STATUS } from '../../src/base/errors/define.ts';
import { ERRORS, type ErrorCode } from '../../src/base/errors.ts';
import { encodePem } from '../../src/der/pem.ts';
import {
  AgentService,
  type AttestAgentRequest,
  type AttestAgentResponse,
} from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import type { Bundle as WireBundle } from '../../src/gen/spire/api/types/bundle.ts';
import { Entry as WireEntry } from '../../src/gen/spire/api/types/entry.ts';
import { checkConfigValue } from '../../src/runtime/config.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { type ServerConfig, serverConfigSchema } from '../../src/server/config.ts';
import {
  type RunningServer,
  type ServerSurroundings,
  startServer,
} from '../../src/server/server.ts';
import { makeCsr, makeKey, makeRoot, type TestKey } from './x509.ts';

/** Trust domain of test servers. */
export const TRUST_DOMAIN = 'example.org';

/** What a client shows of itself on the TCP port. */
export interface TestIdentity {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly key: TestKey;
}

/** An attested agent of a test. */
export interface TestAgent extends TestIdentity {
  readonly token: string;
  /** `/spire/agent/join_token/<token>`. */
  readonly path: string;
}

interface Method<Req, Res> {
  readonly path: string;
  readonly requestSerialize: (request: Req) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Res;
}

/** One call's answer; rejects with the status. */
export function ask<Req, Res>(
  client: Client,
  method: Method<Req, Res>,
  request: Req,
): Promise<Res> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      (error, answer) => {
        if (error !== null) reject(error);
        else if (answer === undefined) reject(new TypeError('no answer'));
        else resolve(answer);
      },
    );
  });
}

/** The certificate (DER) that a new connection to the TCP port sees. */
export function servedCertificate({ running }: TestServer): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const where = { port: running.port, host: '127.0.0.1', rejectUnauthorized: false };
  const socket = connect({ ...where, ALPNProtocols: ['h2'] }, () => {
    resolve(socket.getPeerCertificate().raw);
    socket.destroy();
  }).on('error', reject);
  return promise;
}

/** A bidirectional call. */
export function open<Req, Res>(
  client: Client,
  method: Method<Req, Res>,
): ClientDuplexStream<Req, Res> {
  const { path, requestSerialize, responseDeserialize } = method;
  return client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata());
}

/** Asserts that a call was refused with a code of the error table and its status. */
export async function assertStatus(call: Promise<unknown>, code: ErrorCode): Promise<ServiceError> {
  const error = await refusal(call);
  assert.equal(error.metadata?.get('signet-error-code')[0], code, error.message);
  assert.equal(error.code, GRPC_STATUS[ERRORS[code].status]);
  return error;
}

/** The status that a call was refused with. */
export async function refusal(call: Promise<unknown>): Promise<ServiceError> {
  try {
    await call;
  } catch (error) {
    // grpc-js rejects with nothing else.
    return error as ServiceError;
  }
  assert.fail('the call was not refused');
}

const started = new Set<TestServer>();

// A failed test leaves its server running, which would keep the file from ending.
after(async () => {
  for (const server of started) await server.stop();
});

/** A server in this process, on loopback, with its state in a folder of its own. */
export class TestServer {
  readonly dir: string;
  readonly #options: object;
  readonly #surroundings: ServerSurroundings;
  readonly #clients: Client[] = [];
  #running: RunningServer | undefined;

  private constructor(dir: string, options: object, surroundings: ServerSurroundings) {
    this.dir = dir;
    this.#options = options;
    this.#surroundings = { log: createLogger({ level: 'silent' }), ...surroundings };
  }

  /** @param options Settings of `server.yaml` beside those that every test server has. */
  static async start(
    options: object = {},
    surroundings: ServerSurroundings = {},
  ): Promise<TestServer> {
    const dir = mkdtempSync(join(tmpdir(), 'sgn-'));
    const server = new TestServer(dir, options, surroundings);
    started.add(server);
    await server.restart();
    return server;
  }

  get running(): RunningServer {
    assert.ok(this.#running);
    return this.#running;
  }

  get config(): ServerConfig {
    return testConfig(this.dir, { ...this.#options });
  }

  /** Starts, or stops and starts again on the same state. */
  async restart(): Promise<void> {
    await this.halt();
    const running = await startServer(this.config, this.#surroundings);
    if (!running.ok) assert.fail(`${running.error.code}: ${running.error.message}`);
    this.#running = running.value;
  }

  /** A client on the admin socket. */
  admin(): Client {
    return this.#keep(
      new Client(`unix:${this.config.adminSocket.path}`, credentials.createInsecure()),
    );
  }

  /** A client on the TCP port; without an identity an anonymous one. */
  async tcp(identity?: TestIdentity): Promise<Client> {
    const { key, chain } = identity ?? {};
    const channel = credentials.createSsl(
      Buffer.from(await this.bundlePem()),
      key === undefined
        ? null
        : Buffer.from(key.privateKey.export({ type: 'pkcs8', format: 'pem' })),
      chain === undefined
        ? null
        : Buffer.from(chain.map((der) => encodePem('CERTIFICATE', der)).join('')),
      // A SPIFFE server has no DNS name; who it is shows in its URI, which other tests look at.
      { checkServerIdentity: () => undefined },
    );
    // Node refuses an IP address as server name.
    const options = { 'grpc.ssl_target_name_override': 'server.test' };
    return this.#keep(new Client(`127.0.0.1:${this.running.port}`, channel, options));
  }

  async bundlePem(): Promise<string> {
    const bundle = await ask(this.admin(), BundleService.getBundle, { outputMask: undefined });
    return bundle.x509Authorities.map(({ asn1 }) => encodePem('CERTIFICATE', asn1)).join('');
  }

  async token(ttl = 60): Promise<string> {
    const request = { ttl, token: '', agentId: undefined };
    return (await ask(this.admin(), AgentService.createJoinToken, request)).value;
  }

  /** Joins an agent with a fresh token. */
  async attest(): Promise<TestAgent> {
    const token = await this.token();
    const key = makeKey();
    const result = await attest(await this.tcp(), token, makeCsr({ key }));
    const chain = result.svid?.certChain ?? [];
    return { token, key, chain, path: `/spire/agent/join_token/${token}` };
  }

  /** Registers an entry and answers it as the server gave it back. */
  async register(entry: Partial<WireEntry>): Promise<WireEntry> {
    const request = { entries: [wireEntry(entry)], outputMask: undefined };
    const { results } = await ask(this.admin(), EntryService.batchCreateEntry, request);
    const [result] = results;
    assert.equal(result?.status?.code, 0, result?.status?.message ?? 'no result');
    assert.ok(result.entry);
    return result.entry;
  }

  async stop(): Promise<void> {
    started.delete(this);
    await this.halt();
    rmSync(this.dir, { recursive: true, force: true });
  }

  #keep(client: Client): Client {
    this.#clients.push(client);
    return client;
  }

  /** Stops the server and keeps its state. */
  async halt(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.close();
    await this.#running?.stop('test');
    this.#running = undefined;
  }
}

/** A checked configuration for a server in `dir`; `adminGroup` is a group for its own admin socket. */
export function testConfig(
  dir: string,
  { adminGroup, ...options }: { readonly [key: string]: unknown } = {},
): ServerConfig {
  const group = adminGroup === undefined ? {} : { group: String(adminGroup) };
  const checked = checkConfigValue(
    {
      trustDomain: TRUST_DOMAIN,
      dataDir: join(dir, 'data'),
      listen: { address: '127.0.0.1', port: 0 },
      adminSocket: { path: join(dir, 'admin', 'api.sock'), ...group },
      ...options,
    },
    serverConfigSchema,
  );
  if (!checked.ok) assert.fail(JSON.stringify(checked.problems));
  return checked.value;
}

/** An entry as it travels, with what is left out filled in. */
export function wireEntry(entry: Partial<WireEntry>): WireEntry {
  return {
    ...WireEntry.fromJSON({}),
    spiffeId: { trustDomain: TRUST_DOMAIN, path: '/web' },
    parentId: { trustDomain: TRUST_DOMAIN, path: '/spire/agent/none' },
    selectors: [{ type: 'unix', value: 'uid:1000' }],
    ...entry,
  };
}

/** A bundle of another trust domain as it travels: one fresh CA, one fresh JWT key. */
export function wireBundle(trustDomain: string, extra: Partial<WireBundle> = {}): WireBundle {
  const { certificate } = makeRoot(trustDomain);
  const publicKey = Buffer.from(makeKey().spki);
  return {
    trustDomain,
    x509Authorities: [{ asn1: Buffer.from(certificate.der), tainted: false }],
    jwtAuthorities: [{ publicKey, keyId: 'key-1', expiresAt: 0n, tainted: false }],
    refreshHint: 60n,
    sequenceNumber: 1n,
    witAuthorities: [],
    ...extra,
  };
}

/** One attestation by join token; rejects with the status. */
export function attest(
  client: Client,
  token: string | Buffer,
  csr: Uint8Array,
): Promise<AttestResult> {
  const call = open(client, AgentService.attestAgent);
  const result = answerOf(call);
  const data = { type: 'join_token', payload: Buffer.from(token) };
  call.write({ step: { $case: 'params', value: { data, params: { csr: Buffer.from(csr) } } } });
  return result;
}

/** The result that an attestation ends with. */
export type AttestResult = Extract<
  NonNullable<AttestAgentResponse['step']>,
  { $case: 'result' }
>['value'];

async function answerOf(
  call: ClientDuplexStream<AttestAgentRequest, AttestAgentResponse>,
): Promise<AttestResult> {
  for await (const { step } of call) {
    call.end();
    if (step?.$case === 'result') return step.value;
  }
  assert.fail('the stream ended without a result');
}
