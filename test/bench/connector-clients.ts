/**
 * Many connectors in one process, for `connectors.bench.ts`: each a TLS connection with its own SVID and one
 * Session, HTTP/2 written by hand so that the clients cost less than the server that is measured. Takes
 * requests from its parent and answers what it has seen.
 */
import { readFileSync } from 'node:fs';
import type { TcpSocketConnectOpts } from 'node:net';
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from 'node:tls';
import {
  ConnectorHealth,
  ConnectorMessage,
  ResourceType,
  ServerMessage,
} from '../../src/gen/signet/connector/v1/connector.ts';
import { PREFACE } from '../../src/rpc/authority/frames.ts';
import { encodeLiterals, HpackDecoder } from '../../src/rpc/authority/hpack.ts';
import { frame, grpcFields, TYPE } from '../support/http2-frames.ts';

/** A connector that has enrolled. */
export interface EnrolledClient {
  readonly id: string;
  /** PEM. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
  readonly serial: string;
  readonly expiresAt: number;
}

/** What the parent asks. */
export type ClientRequest =
  | {
      readonly kind: 'start';
      /** JSON array of {@link EnrolledClient}. */
      readonly path: string;
      readonly port: number;
      readonly heartbeatMs: number;
      /** Within which all open, at random. */
      readonly windowMs: number;
    }
  | { readonly kind: 'seen' };

/** What was seen since the last question; times in Unix milliseconds. */
export interface ClientSeen {
  readonly open: number;
  /** Of each session that was welcomed. */
  readonly openedMs: readonly number[];
  /** Of each acknowledgement of segments: version and time. */
  readonly acked: readonly (readonly [version: string, atMs: number])[];
  /** Of each connector that was told that it is revoked. */
  readonly revoked: readonly (readonly [id: string, atMs: number])[];
  /** Sessions that ended, by the code of the error table, or by how they ended. */
  readonly ended: Readonly<Record<string, number>>;
}

const WINDOW_BYTES = 1 << 20;
const SLOT_MS = 100;
const INSTANCE = {
  version: 'bench',
  os: 'linux',
  arch: 'amd64',
  hostname: 'h',
  podName: '',
  nodeName: '',
};

const HEADERS = frame(
  TYPE.headers,
  0x4,
  1,
  encodeLiterals(grpcFields('localhost', '/signet.connector.v1.Connector/Session')),
);

/** SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2), and as much for the connection. */
const OPENING = Buffer.concat([
  PREFACE,
  frame(TYPE.settings, 0, 0, Buffer.from([0, 4, ...uint32(WINDOW_BYTES)])),
  frame(TYPE.windowUpdate, 0, 0, uint32(WINDOW_BYTES - 65_535)),
  HEADERS,
]);

const seen = {
  openedMs: [] as number[],
  acked: [] as [string, number][],
  revoked: [] as [string, number][],
  ended: new Map<string, number>(),
};

class Client {
  readonly #own: EnrolledClient;
  readonly #port: number;
  readonly #localAddress: string;
  readonly #context: SecureContext;
  readonly #versions = new Map<ResourceType, string>();
  #socket: TLSSocket | undefined;
  #decoder = new HpackDecoder();
  #bytes: Buffer = Buffer.alloc(0);
  #message: Buffer = Buffer.alloc(0);
  #taken = 0;
  #failures = 0;
  #end = '';
  #waitMs = 0;
  #spreadMs = 0;
  #revoked = false;
  isOpen = false;

  constructor(own: EnrolledClient, port: number, localAddress: string) {
    this.#localAddress = localAddress;
    this.#own = own;
    this.#port = port;
    this.#context = createSecureContext({ cert: own.certificate, key: own.key });
  }

  open(): void {
    const options: ConnectionOptions & TcpSocketConnectOpts = {
      host: '127.0.0.1',
      port: this.#port,
      localAddress: this.#localAddress,
      secureContext: this.#context,
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.3',
    };
    const socket = connect(options);
    this.#socket = socket;
    this.#decoder = new HpackDecoder();
    this.#bytes = Buffer.alloc(0);
    this.#message = Buffer.alloc(0);
    this.#end = '';
    this.#waitMs = 0;
    socket.setNoDelay(true);
    socket.once('secureConnect', () => {
      socket.write(OPENING);
      this.#send(this.#hello());
    });
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#end ||= error.code ?? 'error';
    });
    socket.once('close', () => this.#closed());
  }

  heartbeat(): void {
    if (!this.isOpen) return;
    this.#send({
      $case: 'heartbeat',
      value: {
        health: ConnectorHealth.CONNECTOR_HEALTH_OK,
        reason: '',
        activeFlows: 3n,
        loadPercent: 10,
        clockMs: BigInt(Date.now()),
        serialNumber: this.#own.serial,
        expiresAt: BigInt(this.#own.expiresAt),
        versions: this.#held(),
      },
    });
  }

  #hello(): ConnectorMessage['kind'] {
    const clockMs = BigInt(Date.now());
    const value = { instance: INSTANCE, versions: this.#held(), clockMs, uptimeSeconds: 1 };
    return { $case: 'hello', value };
  }

  #held(): { type: ResourceType; version: string }[] {
    return [...this.#versions].map(([type, version]) => ({ type, version }));
  }

  #send(kind: ConnectorMessage['kind']): void {
    const bytes = ConnectorMessage.encode({ kind }).finish();
    const head = Buffer.alloc(5);
    head.writeUInt32BE(bytes.length, 1);
    this.#socket?.write(frame(TYPE.data, 0, 1, Buffer.concat([head, bytes])));
  }

  #read(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    let at = 0;
    while (at + 9 <= this.#bytes.length) {
      const length = this.#bytes.readUIntBE(at, 3);
      if (at + 9 + length > this.#bytes.length) break;
      const payload = this.#bytes.subarray(at + 9, at + 9 + length);
      this.#frame(this.#bytes.readUInt8(at + 3), this.#bytes.readUInt8(at + 4), payload);
      at += 9 + length;
    }
    this.#bytes =
      at === this.#bytes.length ? Buffer.alloc(0) : Buffer.from(this.#bytes.subarray(at));
  }

  #frame(type: number, flags: number, payload: Buffer): void {
    if (type === TYPE.data) this.#data(payload);
    else if (type === TYPE.headers) this.#headers(payload);
    else if (type === TYPE.settings && (flags & 1) === 0) {
      this.#socket?.write(frame(TYPE.settings, 1, 0));
    } else if (type === TYPE.ping && (flags & 1) === 0) {
      this.#socket?.write(frame(TYPE.ping, 1, 0, payload));
    } else if (type === TYPE.rst || type === TYPE.goaway) {
      this.#end ||= type === TYPE.rst ? 'RST_STREAM' : 'GOAWAY';
      this.#socket?.end();
    }
  }

  #headers(payload: Buffer): void {
    const fields = this.#decoder.decode(payload)?.fields ?? [];
    const value = (name: string) => fields.find((field) => field.name === name)?.value;
    const status = value('grpc-status');
    if (status === undefined) return;
    this.#end = value('signet-error-code') ?? `status ${status}`;
    this.#waitMs = Number(value('signet-retry-after-ms') ?? 0);
    this.#socket?.end();
  }

  #data(payload: Buffer): void {
    this.#taken += payload.length;
    if (this.#taken > WINDOW_BYTES / 2) {
      const update = uint32(this.#taken);
      for (const stream of [0, 1]) this.#socket?.write(frame(TYPE.windowUpdate, 0, stream, update));
      this.#taken = 0;
    }
    this.#message = this.#message.length === 0 ? payload : Buffer.concat([this.#message, payload]);
    while (this.#message.length >= 5) {
      const length = this.#message.readUInt32BE(1);
      if (this.#message.length < 5 + length) break;
      this.#take(ServerMessage.decode(this.#message.subarray(5, 5 + length)));
      this.#message = Buffer.from(this.#message.subarray(5 + length));
    }
  }

  #take({ kind }: ServerMessage): void {
    switch (kind?.$case) {
      case 'welcome':
        this.isOpen = true;
        this.#failures = 0;
        this.#spreadMs = kind.value.reconnectSpreadMs;
        seen.openedMs.push(Date.now());
        return;
      case 'ping':
        this.heartbeat();
        return;
      case 'bundle':
        this.#ack(ResourceType.RESOURCE_TYPE_BUNDLE, kind.value);
        return;
      case 'segments':
        if (!kind.value.last) return;
        this.#ack(ResourceType.RESOURCE_TYPE_SEGMENTS, kind.value);
        seen.acked.push([kind.value.version, Date.now()]);
        return;
      case 'command':
        if (kind.value.kind?.$case !== 'revoke') return;
        seen.revoked.push([this.#own.id, Date.now()]);
        this.#revoked = true;
    }
  }

  #ack(type: ResourceType, { version, nonce }: { version: string; nonce: Buffer }): void {
    this.#versions.set(type, version);
    this.#send({ $case: 'ack', value: { type, version, nonce } });
  }

  /** As the protocol has it: full jitter, the first time too. */
  #closed(): void {
    this.isOpen = false;
    const end = this.#end || 'closed';
    seen.ended.set(end, (seen.ended.get(end) ?? 0) + 1);
    if (this.#revoked) return;
    const paced = end === 'CONNECTOR_SESSION_PACED';
    const backOffMs = Math.min(30_000, 2000 * 2 ** this.#failures);
    const mostMs = paced ? 1000 : Math.max(backOffMs, this.#spreadMs);
    if (!paced) this.#failures += 1;
    setTimeout(() => this.open(), this.#waitMs + Math.random() * mostMs);
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Connectors are machines and pods: an address for each, as limits are for each address. */
function addressOf(pid: number, index: number): string {
  return `127.${1 + (pid % 250)}.${Math.floor(index / 250)}.${1 + (index % 250)}`;
}

const clients: Client[] = [];

function start(request: Extract<ClientRequest, { readonly kind: 'start' }>): void {
  // Our own parent's file.
  const enrolled = JSON.parse(readFileSync(request.path, 'utf8')) as readonly EnrolledClient[];
  for (const [index, own] of enrolled.entries()) {
    clients.push(new Client(own, request.port, addressOf(process.pid, index)));
  }
  for (const client of clients) setTimeout(() => client.open(), Math.random() * request.windowMs);
  const slots = Math.ceil(request.heartbeatMs / SLOT_MS);
  let slot = 0;
  setInterval(() => {
    slot = (slot + 1) % slots;
    for (let at = slot; at < clients.length; at += slots) clients[at]?.heartbeat();
  }, SLOT_MS);
}

function takeSeen(): ClientSeen {
  const { openedMs, acked, revoked, ended } = seen;
  const open = clients.filter((client) => client.isOpen).length;
  const answer = { open, openedMs, acked, revoked, ended: Object.fromEntries(ended) };
  Object.assign(seen, { openedMs: [], acked: [], revoked: [], ended: new Map() });
  return answer;
}

process.on('message', (request: ClientRequest) => {
  if (request.kind === 'start') start(request);
  process.send?.(request.kind === 'start' ? 'started' : takeSeen());
});
