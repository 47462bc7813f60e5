import { createPublicKey, hash, verify } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { Metadata, Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import {
  type ConnectorMessage,
  ConnectorService,
  type EnrolRequest,
  type EnrolResponse,
  type GetChallengeRequest,
  Protocol,
  type Segment,
  type SegmentUpdate,
  type ServerMessage,
  UpstreamTls,
  type X509Svid,
} from '../../src/gen/signet/connector/v1/connector.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { parseCsr } from '../../src/x509/csr.ts';
import { assertValue } from './refused.ts';
import { makeCertificate, makeLeaf, makeRoot, type TestCertificate } from './x509.ts';

/** Of the scripted server; its connectors are of the group `edge`. */
export const SCRIPTED_DOMAIN = 'example.org';

const DAY_MS = 86_400_000;

type Kind = NonNullable<ConnectorMessage['kind']>;
type Says<C extends Kind['$case']> = Extract<Kind, { $case: C }>['value'];

/** A session as the script holds it. */
export class ScriptedSession {
  readonly heard: Kind[] = [];
  readonly #stream: ServerDuplexStream<ConnectorMessage, ServerMessage>;
  readonly #events = new EventEmitter();
  #isOver = false;

  constructor(stream: ServerDuplexStream<ConnectorMessage, ServerMessage>) {
    this.#stream = stream;
    stream.on('data', ({ kind }: ConnectorMessage) => {
      if (kind !== undefined) this.heard.push(kind);
      this.#events.emit('heard');
    });
    const over = (): void => {
      this.#isOver = true;
      this.#events.emit('heard');
    };
    stream.on('end', over).on('cancelled', over).on('error', over);
  }

  say(kind: ServerMessage['kind']): void {
    this.#stream.write({ kind });
  }

  /** Bytes that no message of this .proto is. */
  sayRaw(bytes: Buffer): void {
    // The stream serializes whatever it gets with the method's serializer, which this bears.
    this.#stream.write({ raw: bytes } as unknown as ServerMessage);
  }

  /** The first message of a kind from index `from` on, seen already or still to come. */
  async next<C extends Kind['$case']>(name: C, from = 0): Promise<Says<C>> {
    for (;;) {
      const found = this.heard.slice(from).find(({ $case }) => $case === name);
      if (found !== undefined) return found.value as Says<C>;
      if (this.#isOver) throw new TypeError(`the session ended without ${name}`);
      await once(this.#events, 'heard');
    }
  }

  /** The connector has said all. */
  async over(): Promise<void> {
    while (!this.#isOver) await once(this.#events, 'heard');
  }

  end(): void {
    this.#stream.end();
  }

  /** Ends it with a code of the error table. */
  refuse(code: string, grpcCode: number): void {
    const metadata = new Metadata();
    metadata.set('signet-error-code', code);
    this.#stream.emit('error', { code: grpcCode, details: code, metadata });
  }
}

/** A segment for tests: everything on these ports of this machine, for `/app`. */
export function wireSegment(id: string, fields: Partial<Segment> = {}): Segment {
  return {
    id,
    hosts: ['127.0.0.1'],
    protocol: Protocol.PROTOCOL_TCP,
    ports: [{ first: 1, last: 65_535 }],
    clients: [`spiffe://${SCRIPTED_DOMAIN}/app`],
    upstreamTls: UpstreamTls.UPSTREAM_TLS_NONE,
    upstreamId: '',
    healthCheck: 0,
    healthCheckIntervalSeconds: 0,
    healthCheckPath: '',
    draining: false,
    priority: 0,
    weight: 0,
    labels: {},
    ...fields,
  };
}

/**
 * A server that says what a test wants, over real TLS: what the real one never does. Enrols everybody
 * whose challenge is signed as the protocol says.
 */
export class ScriptedConnectorServer {
  readonly root: TestCertificate = makeRoot(SCRIPTED_DOMAIN);
  readonly enrolments: EnrolRequest[] = [];
  readonly sessions: ScriptedSession[] = [];
  readonly #events = new EventEmitter();
  readonly #server = new Server();
  /** Life of SVIDs. */
  svidMs = DAY_MS;
  port = 0;

  /** @param id What it shows itself as. */
  static async start(
    context: { after(end: () => void): void },
    id = `spiffe://${SCRIPTED_DOMAIN}/spire/server`,
  ): Promise<ScriptedConnectorServer> {
    const scripted = new ScriptedConnectorServer();
    await scripted.#listen(id);
    context.after(() => scripted.#server.forceShutdown());
    return scripted;
  }

  async #listen(id: string): Promise<void> {
    const session = {
      ...ConnectorService.session,
      responseSerialize: (value: ServerMessage & { raw?: Buffer }) =>
        value.raw ?? ConnectorService.session.responseSerialize(value),
    };
    this.#server.addService(
      { ...ConnectorService, session },
      {
        getChallenge: (
          call: { request: GetChallengeRequest },
          done: (e: null, a: object) => void,
        ) =>
          done(null, {
            challenge: Buffer.from(hash('sha256', call.request.publicKey, 'buffer')),
            expiresAtMs: BigInt(Date.now() + 60_000),
            serverTimeMs: BigInt(Date.now()),
          }),
        enrol: (call: { request: EnrolRequest }, done: (e: null, a: EnrolResponse) => void) =>
          done(null, this.#enrol(call.request)),
        session: (stream: ServerDuplexStream<ConnectorMessage, ServerMessage>) => {
          this.sessions.push(new ScriptedSession(stream));
          this.#events.emit('session');
        },
      },
    );
    const leaf = makeLeaf(this.root, id);
    const pair = { private_key: Buffer.from(pemOfKey(leaf)), cert_chain: Buffer.from(leaf.pem) };
    const credentials = ServerCredentials.createSsl(Buffer.from(this.root.pem), [pair]);
    this.port = await new Promise((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', credentials, (error, port) =>
        error === null ? resolve(port) : reject(error),
      );
    });
  }

  /** The session number `at`, once it is there and has said Hello. */
  async session(at: number): Promise<ScriptedSession> {
    for (;;) {
      const found = this.sessions[at];
      if (found !== undefined) {
        await found.next('hello');
        return found;
      }
      await once(this.#events, 'session');
    }
  }

  /** An X.509-SVID for the key of a request. */
  svidFor(csr: Uint8Array): X509Svid {
    const { publicKey } = assertValue(parseCsr(csr));
    const [notBeforeMs, notAfterMs] = [Date.now() - 60_000, Date.now() + this.svidMs];
    const { der } = makeCertificate({
      issuer: this.root,
      uris: [`spiffe://${SCRIPTED_DOMAIN}/connector/edge/c1`],
      // Only the public half goes into a certificate.
      key: { publicKey, spki: publicKey.spki } as TestCertificate['key'],
      notBeforeMs,
      notAfterMs,
    });
    return {
      chain: [Buffer.from(der)],
      serialNumber: assertValue(parseCertificate(der)).serialDecimal,
      notBefore: BigInt(Math.floor(notBeforeMs / 1000)),
      expiresAt: BigInt(Math.floor(notAfterMs / 1000)),
    };
  }

  /** Own bundle, as the wire has it. */
  get bundles() {
    return [
      {
        trustDomain: SCRIPTED_DOMAIN,
        x509Authorities: [Buffer.from(this.root.der)],
        jwks: Buffer.alloc(0),
        sequence: 1n,
        refreshHintSeconds: 60,
      },
    ];
  }

  /** Welcome, the bundle, and these segments. */
  welcome(session: ScriptedSession, segments: readonly Segment[], offlineSeconds = 0): void {
    session.say({
      $case: 'welcome',
      value: {
        connectorId: 'c1',
        serverTimeMs: BigInt(Date.now()),
        heartbeatSeconds: 30,
        clockOffsetMs: 0n,
        offlineSeconds,
        reconnectSpreadMs: 0,
      },
    });
    const update = { bundles: this.bundles, crl: Buffer.alloc(0) };
    session.say({ $case: 'bundle', value: { ...update, version: 'b1', nonce: Buffer.from('b1') } });
    session.say({ $case: 'segments', value: segmentUpdate('s1', { full: true, segments }) });
  }

  #enrol(request: EnrolRequest): EnrolResponse {
    this.enrolments.push(request);
    assertSigned(request);
    return {
      connectorId: 'c1',
      spiffeId: `spiffe://${SCRIPTED_DOMAIN}/connector/edge/c1`,
      svid: this.svidFor(request.csr),
      bundles: this.bundles,
      sessionEndpoints: [],
      serverTimeMs: BigInt(Date.now()),
      clockOffsetMs: 0n,
      heartbeatSeconds: 30,
      recoveryCount: BigInt(this.enrolments.length),
    };
  }
}

/** An update of segments; whole in one chunk unless told. */
export function segmentUpdate(
  version: string,
  fields: Partial<Omit<SegmentUpdate, 'segments'>> & { segments?: readonly Segment[] },
): SegmentUpdate {
  const { segments = [], ...others } = fields;
  return {
    full: false,
    removedIds: [],
    nonce: Buffer.from(version),
    last: true,
    baseVersion: '',
    ...others,
    segments: [...segments],
    version,
  };
}

/** Key of a test certificate, PEM. */
export function pemOfKey({ key }: TestCertificate): string {
  return String(key.privateKey.export({ type: 'pkcs8', format: 'pem' }));
}

/** The text as docs/connector-protocol.md says, put together here once more. */
function assertSigned({ challenge, csr, challengeSignature }: EnrolRequest): void {
  const sha256 = (bytes: Uint8Array) => hash('sha256', bytes, 'buffer');
  const text = ['signet.connector.v1.Enrol', '\0'].map((part) => Buffer.from(part));
  const signed = Buffer.concat([...text, sha256(challenge), sha256(csr)]);
  const { spki } = assertValue(parseCsr(csr)).publicKey;
  const key = createPublicKey({ key: Buffer.from(spki), type: 'spki', format: 'der' });
  if (!verify('sha256', signed, key, challengeSignature)) throw new TypeError('signed wrongly');
}
