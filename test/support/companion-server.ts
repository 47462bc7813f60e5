import { createHash, verify } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { connectorConfigSchema } from '../../agent/connector/config.ts';
import { type CompanionSurroundings, startCompanion } from '../../agent/connector/start.ts';
import { seededRandom } from '../../src/base/random.ts';
import { fail, ok, type Result, unwrap } from '../../src/base/result.ts';
import {
  type ConnectorMessage,
  ConnectorService,
  type EnrolRequest,
  type EnrolResponse,
  type Segment,
  type ServerMessage,
  type X509Svid,
} from '../../src/gen/signet/connector/v1/connector.ts';
import type { RpcHost } from '../../src/rpc/host.ts';
import type { ResponseStream } from '../../src/rpc/service.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { listenTls, type TlsListener } from '../../src/tls/listener.ts';
import { parseCsr } from '../../src/x509/csr.ts';
import { parsePublicKey } from '../../src/x509/public-key.ts';
import { testHost } from './rpc.ts';
import { tlsIdentity, validatorFor } from './tls.ts';
import { testFolder } from './workload-api.ts';
import { makeLeaf, makeRoot, type TestCertificate } from './x509.ts';

const GROUP = 'edge';
const ID = `spiffe://example.org/connector/${GROUP}/c1`;

/** One session as the scripted server has it. */
export interface CompanionSession {
  readonly received: NonNullable<ConnectorMessage['kind']>[];
  send(kind: NonNullable<ServerMessage['kind']>): void;
  end(outcome?: Result<void>): void;
  readonly ended: Promise<void>;
}

/**
 * A server of the connector protocol that says what a test wants. It stands in for the real one (marked as
 * such): it signs whatever key comes, and judges nothing but the signature over the challenge.
 */
export class CompanionServer {
  readonly root: TestCertificate = makeRoot();
  /** Signs the SVIDs; another one is trusted beside the root. */
  signer: TestCertificate = this.root;
  readonly enrolments: EnrolRequest[] = [];
  readonly sessions: CompanionSession[] = [];
  /** Replaces the answer of an enrolment. */
  refuse: (() => Result<never> | undefined) | undefined;
  refuseSession: (() => Result<never> | undefined) | undefined;
  /** Whether it goes on with a session that the companion has half-closed. */
  lingers = false;
  /** Life of SVIDs, in milliseconds. */
  ttlMs = 3_600_000;
  /** Sent in Welcome. */
  offlineSeconds = 0;
  reconnectSpreadMs = 0;
  heartbeatSeconds = 30;
  /** Whether it takes sessions and never says Welcome. */
  silent = false;
  /** Enrolments are answered after this. */
  enrolling: Promise<void> | undefined;
  /** How far its clock is ahead of the machine's. */
  aheadMs = 0;
  port = 0;
  #host: RpcHost | undefined;
  #listener: TlsListener | undefined;

  async open(): Promise<void> {
    this.#host = testHost();
    this.#host.addService(ConnectorService, {
      getChallenge: () =>
        ok({
          challenge: Buffer.from('a challenge'),
          expiresAtMs: BigInt(this.#nowMs() + 60_000),
          serverTimeMs: BigInt(this.#nowMs()),
        }),
      enrol: (request: EnrolRequest) => this.#enrol(request),
      session: (requests, stream) => this.#session(requests, stream),
    });
    this.#listener = unwrap(
      await listenTls(
        {
          address: '127.0.0.1',
          port: this.port,
          minTlsVersion: '1.3',
          identity: tlsIdentity(makeLeaf(this.root, 'spiffe://example.org/spire/server')),
          validateClient: (chain) => {
            const valid = validatorFor(this.root)(chain);
            return valid.ok ? valid : validatorFor(this.signer)(chain);
          },
          maxConnectionAgeMs: 0,
          random: seededRandom(1),
        },
        this.#host,
      ),
    );
    this.port = this.#listener.port;
  }

  async close(): Promise<void> {
    await this.#listener?.close();
    await this.#host?.shutdown(0);
    this.#listener = undefined;
  }

  /** An SVID for a key. */
  svid(publicKeySpki: Uint8Array, id = ID): X509Svid {
    const nowMs = this.#nowMs();
    const publicKey = unwrap(parsePublicKey(publicKeySpki));
    // The private key is not needed: the signer signs.
    const key = { publicKey, spki: publicKeySpki, privateKey: this.signer.key.privateKey };
    const leaf = makeLeaf(this.signer, id, {
      key,
      // Its own listener is under the machine's clock.
      notBeforeMs: Date.now() - 1000,
      notAfterMs: nowMs + this.ttlMs,
    });
    return {
      chain: [Buffer.from(leaf.der)],
      serialNumber: leaf.certificate.serialDecimal,
      notBefore: BigInt(Math.floor(nowMs / 1000)),
      expiresAt: BigInt(Math.floor((nowMs + this.ttlMs) / 1000)),
    };
  }

  #nowMs(): number {
    return Date.now() + this.aheadMs;
  }

  async #enrol(request: EnrolRequest): Promise<Result<EnrolResponse>> {
    this.enrolments.push(request);
    await this.enrolling;
    const refused = this.refuse?.();
    if (refused !== undefined) return refused;
    const csr = parseCsr(request.csr);
    if (!csr.ok) return csr;
    const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();
    const { spki } = csr.value.publicKey;
    const words = Buffer.concat([
      Buffer.from('signet.connector.v1.Enrol\0'),
      sha256(request.challenge),
      sha256(request.csr),
    ]);
    const key = { key: Buffer.from(spki), format: 'der', type: 'spki' } as const;
    if (!verify('sha256', words, key, request.challengeSignature)) {
      return fail('INTERNAL', 'the signature over the challenge does not verify');
    }
    return ok({
      connectorId: 'c1',
      spiffeId: ID,
      svid: this.svid(spki),
      bundles: this.bundles(),
      sessionEndpoints: [],
      serverTimeMs: BigInt(this.#nowMs()),
      clockOffsetMs: 0n,
      heartbeatSeconds: this.heartbeatSeconds,
      recoveryCount: BigInt(this.enrolments.length),
    });
  }

  bundles() {
    return [
      {
        trustDomain: 'example.org',
        x509Authorities: [Buffer.from(this.root.der)],
        jwks: Buffer.from('{"keys":[]}'),
        sequence: 1n,
        refreshHintSeconds: 60,
      },
    ];
  }

  #welcome(session: CompanionSession): void {
    session.send({
      $case: 'welcome',
      value: {
        connectorId: 'c1',
        serverTimeMs: BigInt(this.#nowMs()),
        heartbeatSeconds: this.heartbeatSeconds,
        clockOffsetMs: BigInt(-this.aheadMs),
        offlineSeconds: this.offlineSeconds,
        reconnectSpreadMs: this.reconnectSpreadMs,
      },
    });
  }

  async #session(
    requests: AsyncIterable<ConnectorMessage>,
    stream: ResponseStream<ServerMessage>,
  ): Promise<Result<void>> {
    const refused = this.refuseSession?.();
    if (refused !== undefined) return refused;
    const { promise, resolve } = Promise.withResolvers<Result<void>>();
    const over = Promise.withResolvers<void>();
    const session: CompanionSession = {
      received: [],
      send: (kind) => stream.write({ kind }),
      end: (outcome = ok(undefined)) => resolve(outcome),
      ended: over.promise,
    };
    this.sessions.push(session);
    if (!this.silent) this.#welcome(session);
    const reading = (async () => {
      for await (const { kind } of requests) if (kind !== undefined) session.received.push(kind);
      if (!this.lingers) resolve(ok(undefined));
    })().catch(() => resolve(ok(undefined)));
    const outcome = await promise;
    over.resolve();
    void reading;
    return outcome;
  }
}

/** A companion of a test beside a scripted server. */
export interface TestCompanion {
  readonly folder: string;
  /** Settings as `connector.yaml` would have them. */
  readonly settings: Record<string, unknown>;
}

/** The settings of a companion in a folder of its own, with the server's bundle and a provisioning key. */
export function companionSettings(
  context: TestContext,
  server: CompanionServer,
  more: Readonly<Record<string, unknown>> = {},
): TestCompanion {
  const folder = testFolder(context);
  mkdirSync(join(folder, 'data'), { mode: 0o700 });
  writeFileSync(join(folder, 'bundle.pem'), server.root.pem);
  writeFileSync(join(folder, 'key'), 'sck1.test.key\n');
  const settings = {
    trustDomain: 'example.org',
    group: GROUP,
    dataDir: join(folder, 'data'),
    server: { address: '127.0.0.1', port: server.port },
    bootstrap: { bundlePath: join(folder, 'bundle.pem') },
    enrol: { method: 'provisioning-key', keyPath: join(folder, 'key') },
    outputs: { directory: join(folder, 'out') },
    segments: { path: join(folder, 'segments.json') },
    local: { path: join(folder, 'local.sock') },
    session: { reconnectWithin: '20ms', reconnectAtMost: '100ms' },
    drain: { timeout: '10s', quiet: '0s' },
    log: { level: 'silent' },
    ...more,
  };
  return { folder, settings };
}

/** Starts a companion; it ends with the test. */
export async function runCompanion(
  context: TestContext,
  { settings }: TestCompanion,
  { env = {}, ...more }: CompanionSurroundings = {},
) {
  const config = connectorConfigSchema.parse(settings);
  const companion = unwrap(
    await startCompanion(config, {
      env,
      log: createLogger({ level: 'silent' }),
      ...more,
    }),
  );
  context.after(() => companion.stop('the test is over'));
  return companion;
}

/** A segment that a connector can go by. */
export function testSegment(id: string, more: Partial<Segment> = {}): Segment {
  return {
    id,
    hosts: [`${id}.example.org`],
    protocol: 1,
    ports: [{ first: 443, last: 443 }],
    clients: ['spiffe://example.org/web'],
    upstreamTls: 0,
    upstreamId: '',
    healthCheck: 0,
    healthCheckIntervalSeconds: 0,
    healthCheckPath: '',
    draining: false,
    priority: 0,
    weight: 0,
    labels: {},
    ...more,
  };
}
