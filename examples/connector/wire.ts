import type { ChannelCredentials, ClientOptions, MethodDefinition } from '@grpc/grpc-js';
import { Client, type ClientDuplexStream, Metadata, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

// What the .proto says, as @grpc/proto-loader shows it: camelCase, enums by their names, bytes as
// Buffer, 64-bit numbers as number (times and counters stay far below 2^53).

/** An SVID without its key. */
export interface X509Svid {
  /** DER, leaf first. */
  readonly chain: readonly Buffer[];
  readonly serialNumber: string;
  /** Unix seconds. */
  readonly notBefore: number;
  readonly expiresAt: number;
}

/** Authorities of one trust domain; of the message only what is used here. */
export interface TrustBundle {
  readonly trustDomain: string;
  readonly x509Authorities: readonly Buffer[];
}

/** What an enrolment brings. */
export interface EnrolResponse {
  readonly connectorId: string;
  readonly spiffeId: string;
  readonly svid: X509Svid | null;
  readonly bundles: readonly TrustBundle[];
  readonly sessionEndpoints: readonly string[];
  readonly clockOffsetMs: number;
  readonly recoveryCount: number;
}

/** What may be reached, by whom. */
export interface Segment {
  readonly id: string;
  readonly hosts: readonly string[];
  readonly protocol: string;
  readonly ports: readonly { readonly first: number; readonly last: number }[];
  readonly clients: readonly string[];
  readonly upstreamTls: string;
  readonly upstreamId: string;
  readonly healthCheck: string;
  readonly healthCheckIntervalSeconds: number;
  readonly healthCheckPath: string;
  readonly draining: boolean;
  readonly priority: number;
}

/** All segments or a change of them, or a chunk of that. */
export interface SegmentUpdate {
  readonly full: boolean;
  readonly segments: readonly Segment[];
  readonly removedIds: readonly string[];
  readonly version: string;
  readonly nonce: Buffer;
  readonly last: boolean;
  readonly baseVersion: string;
}

/** All bundles, and the CRL. */
export interface BundleUpdate {
  readonly bundles: readonly TrustBundle[];
  readonly version: string;
  readonly nonce: Buffer;
  readonly crl: Buffer;
}

/** What the server wants done. */
export interface Command {
  readonly nonce: Buffer;
  readonly kind?: string;
  readonly drain?: { readonly deadlineMs: number; readonly reason: string };
  readonly revoke?: { readonly reason: string };
}

/** What a session begins with. */
export interface Welcome {
  readonly heartbeatSeconds: number;
  readonly offlineSeconds: number;
  readonly reconnectSpreadMs: number;
}

/** What the server says in a session. */
export interface ServerMessage {
  /** Its length as it came. */
  readonly bytes: number;
  /** Absent where the message is of a kind that this .proto does not know. */
  readonly kind?: string;
  readonly welcome?: Welcome;
  readonly svid?: { svid: X509Svid | null; readonly version: string; readonly nonce: Buffer };
  readonly bundle?: BundleUpdate;
  readonly segments?: SegmentUpdate;
  readonly command?: Command;
  readonly notice?: { readonly code: string; readonly message: string; readonly action: string };
}

/** One member of the oneof, by its name; fields that are left out have their zero values. */
export type ConnectorMessage = Readonly<Record<string, object>>;

/** The stream of a session. */
export type Session = ClientDuplexStream<ConnectorMessage, ServerMessage>;

/** Why the server said no. The code is the machine's, of docs/errors.md; empty where none came. */
export class Refused extends Error {
  readonly code: string;
  /** The server asks for no attempt before. */
  readonly retryAfterMs: number;

  constructor(code: string, message: string, retryAfterMs = 0) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }

  static of(error: ServiceError): Refused {
    const trailer = (name: string) => String(error.metadata?.get(name)[0] ?? '');
    const waitMs = Number(trailer('signet-retry-after-ms'));
    const retryAfterMs = waitMs > 0 ? Math.min(waitMs, 300_000) : 0;
    return new Refused(trailer('signet-error-code'), error.details || error.message, retryAfterMs);
  }
}

const PROTO = new URL('../../proto/signet/connector/v1/connector.proto', import.meta.url).pathname;
const SERVICE = loadSync(PROTO, { longs: Number, enums: String, defaults: true, oneofs: true })[
  'signet.connector.v1.Connector'
] as Record<string, MethodDefinition<object, unknown>>;

/** The three calls of the service over one connection. */
export class ConnectorClient {
  readonly #client: Client;

  constructor(address: string, credentials: ChannelCredentials, options: ClientOptions) {
    this.#client = new Client(address, credentials, options);
  }

  /** Rejects with `Refused`. */
  unary<T>(name: 'GetChallenge' | 'Enrol', request: object): Promise<T> {
    const method = methodOf(name);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        // What the .proto says of the answer is what T says of it.
        (bytes) => method.responseDeserialize(bytes) as T,
        request,
        new Metadata(),
        { deadline: Date.now() + 30_000 },
        (error, answer) => {
          if (error !== null) reject(Refused.of(error));
          else if (answer !== undefined) resolve(answer);
        },
      );
    });
  }

  session(): Session {
    const { path, requestSerialize, responseDeserialize } = methodOf('Session');
    return this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      // What the .proto says of the message is what ServerMessage says of it.
      (bytes) => ({ ...(responseDeserialize(bytes) as ServerMessage), bytes: bytes.length }),
      new Metadata(),
    );
  }

  close(): void {
    this.#client.close();
  }
}

function methodOf(name: string): MethodDefinition<object, unknown> {
  const method = SERVICE[name];
  if (method === undefined) throw new TypeError(`the .proto has no ${name}`);
  return method;
}
