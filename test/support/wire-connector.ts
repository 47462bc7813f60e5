import assert from 'node:assert/strict';
import { createHash, sign } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import { type ClientDuplexStream, credentials, type ServiceError } from '@grpc/grpc-js';
import { encodePem } from '../../src/der/pem.ts';
import {
  ConnectorClient,
  ConnectorHealth,
  type ConnectorMessage,
  EnrolRequest,
  type EnrolResponse,
  type GetChallengeResponse,
  Heartbeat,
  Hello,
  Instance,
  ResourceType,
  type ServerMessage,
} from '../../src/gen/signet/connector/v1/connector.ts';
import type { TestIdentity, TestServer } from './server.ts';
import { makeCsr, makeKey, type TestKey } from './x509.ts';

type Kind = NonNullable<ServerMessage['kind']>;

const INSTANCE = Instance.fromJSON({ version: '1.2.3', os: 'linux', arch: 'arm64' });

/** A connector of a test that speaks over the wire: it enrols by provisioning key and holds a session. */
export class WireConnector {
  readonly id: string;
  readonly #answer: EnrolResponse;
  readonly #key: TestKey;
  readonly #server: TestServer;
  #client: ConnectorClient | undefined;
  #call: ClientDuplexStream<ConnectorMessage, ServerMessage> | undefined;
  /** Commands that came. */
  readonly commands: string[] = [];
  /** What it tells when it is asked for diagnostics; it says that it does not without. */
  diagnostics: readonly string[] | undefined;
  /** Status that the session ended with. */
  ended: Promise<ServiceError | undefined> = Promise.resolve(undefined);

  private constructor(server: TestServer, key: TestKey, answer: EnrolResponse) {
    this.#server = server;
    this.#key = key;
    this.#answer = answer;
    this.id = answer.connectorId;
  }

  /** Enrols with a key of its own. */
  static async enrol(server: TestServer, group: string, text: string): Promise<WireConnector> {
    let shown = Buffer.alloc(0);
    const client = await clientOf(server, undefined, (raw) => {
      shown = createHash('sha256').update(raw).digest();
    });
    const key = makeKey();
    const csr = Buffer.from(makeCsr({ key }));
    const publicKey = Buffer.from(key.spki);
    const { challenge } = await unary<GetChallengeResponse>((done) =>
      client.getChallenge({ publicKey }, done),
    );
    const hash = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();
    const signed = [Buffer.from('signet.connector.v1.Enrol\0'), hash(challenge), hash(csr)];
    const answer = await unary<EnrolResponse>((done) =>
      client.enrol(
        {
          ...EnrolRequest.fromJSON({}),
          csr,
          group,
          challenge,
          challengeSignature: sign('sha256', Buffer.concat(signed), key.privateKey),
          clockMs: BigInt(Date.now()),
          serverCertificateSha256: shown,
          instance: INSTANCE,
          proof: { $case: 'provisioningKey', value: { key: text, kubernetesToken: '' } },
        },
        done,
      ),
    );
    client.close();
    return new WireConnector(server, key, answer);
  }

  /** What it shows of itself. */
  get identity(): TestIdentity {
    return { key: this.#key, chain: this.#answer.svid?.chain ?? [] };
  }

  /** Opens the session, and accepts what comes. */
  async connect(): Promise<void> {
    const chain = (this.#answer.svid?.chain ?? []).map((der) => encodePem('CERTIFICATE', der));
    this.#client = await clientOf(this.#server, { key: this.#key, chain: chain.join('') });
    const call = this.#client.session();
    this.#call = call;
    const { promise, resolve } = Promise.withResolvers<ServiceError | undefined>();
    this.ended = promise;
    call.on('error', (error: ServiceError) => resolve(error));
    call.on('end', () => resolve(undefined));
    call.on('data', ({ kind }: ServerMessage) => {
      if (kind !== undefined) this.#take(kind);
    });
    const hello = {
      ...Hello.fromJSON({}),
      instance: INSTANCE,
      clockMs: BigInt(Date.now()),
    };
    call.write({ kind: { $case: 'hello', value: hello } });
    this.beat();
  }

  /** Says how it is. */
  beat(said: Partial<Heartbeat> = {}): void {
    const value: Heartbeat = {
      ...Heartbeat.fromJSON({}),
      health: ConnectorHealth.CONNECTOR_HEALTH_OK,
      clockMs: BigInt(Date.now()),
      serialNumber: this.#answer.svid?.serialNumber ?? '',
      expiresAt: this.#answer.svid?.expiresAt ?? 0n,
      ...said,
    };
    this.#call?.write({ kind: { $case: 'heartbeat', value } });
  }

  /** Leaves for good. */
  goodbye(): void {
    this.#call?.write({ kind: { $case: 'goodbye', value: { drained: true, openFlows: 0n } } });
    this.#call?.end();
  }

  close(): void {
    this.#call?.cancel();
    this.#client?.close();
  }

  #take(kind: Kind): void {
    switch (kind.$case) {
      case 'bundle':
        this.#ack(ResourceType.RESOURCE_TYPE_BUNDLE, kind.value);
        break;
      case 'segments':
        if (kind.value.last) this.#ack(ResourceType.RESOURCE_TYPE_SEGMENTS, kind.value);
        break;
      case 'command':
        this.commands.push(kind.value.kind?.$case ?? '');
        if (kind.value.kind?.$case === 'collectDiagnostics' && !this.#diagnose(kind.value.nonce)) {
          break;
        }
        this.#ack(ResourceType.RESOURCE_TYPE_COMMAND, { version: '', nonce: kind.value.nonce });
        break;
      default:
    }
  }

  #diagnose(commandNonce: Buffer): boolean {
    const told = this.diagnostics;
    if (told === undefined) {
      const type = ResourceType.RESOURCE_TYPE_COMMAND;
      const value = { type, version: '', nonce: commandNonce, error: 'not built in' };
      this.#call?.write({ kind: { $case: 'nack', value } });
    }
    for (const [at, message] of (told ?? []).entries()) {
      const event = { reason: 'diagnostics', message, warning: false };
      const value = { ...event, commandNonce, more: at + 1 < (told ?? []).length };
      this.#call?.write({ kind: { $case: 'event', value } });
    }
    return told !== undefined;
  }

  #ack(type: ResourceType, of: { readonly version: string; readonly nonce: Buffer }): void {
    const { version, nonce } = of;
    this.#call?.write({ kind: { $case: 'ack', value: { type, version, nonce } } });
  }
}

async function clientOf(
  server: TestServer,
  identity: { readonly key: TestKey; readonly chain: string } | undefined,
  onCertificate: (raw: Buffer) => void = () => {},
): Promise<ConnectorClient> {
  const pem = identity?.key.privateKey.export({ type: 'pkcs8', format: 'pem' });
  const tls = credentials.createSsl(
    Buffer.from(await server.bundlePem()),
    pem === undefined ? null : Buffer.from(pem),
    identity === undefined ? null : Buffer.from(identity.chain),
    {
      checkServerIdentity: (_host: string, { raw }: PeerCertificate): undefined => {
        onCertificate(raw);
      },
    },
  );
  const options = { 'grpc.ssl_target_name_override': 'server.test' };
  return new ConnectorClient(`127.0.0.1:${server.running.port}`, tls, options);
}

function unary<T>(start: (done: (error: ServiceError | null, answer: T) => void) => unknown) {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  start((error, answer) => (error === null ? resolve(answer) : reject(error)));
  return promise;
}

/** The text of the key that `signet connector key create` printed. */
export function keyOf(out: string): string {
  const [, key] = /^Key: +(\S+)$/m.exec(out) ?? [];
  assert.ok(key !== undefined, out);
  return key;
}
