import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { connect as connectUnix } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { encodePem } from '../../src/der/pem.ts';
import type { TestIdentity } from '../support/server.ts';

/** How a call ended. */
export interface RawAnswer {
  /** gRPC status; undefined where the connection or the stream ended without one. */
  readonly status: number | undefined;
  /** Code of the error table that came with it. */
  readonly code: string;
  readonly message: string;
  /** Bytes of messages that came before the end. */
  readonly received: number;
}

/** Longer than any limit of ours on a message that does not come. */
const LIMIT_MS = 40_000;

/** The client counts what it could not send to a stream that was refused; in megabytes. */
const ROOM = { maxSessionMemory: 10_000 };

/** A caller that sends whatever bytes it is given: no library stands between test and listener. */
export class RawCaller {
  readonly #open: () => ClientHttp2Session;
  readonly #headers: Readonly<Record<string, string>>;
  #session: ClientHttp2Session | undefined;

  private constructor(open: () => ClientHttp2Session, headers: Record<string, string> = {}) {
    this.#open = open;
    this.#headers = headers;
  }

  /** A caller on a Unix socket. */
  static unix(path: string, headers: Record<string, string> = {}): RawCaller {
    const open = () =>
      connect('http://localhost', { ...ROOM, createConnection: () => connectUnix({ path }) });
    return new RawCaller(open, headers);
  }

  /** A caller on a TCP port; without an identity an anonymous one. */
  static tls(port: number, identity?: TestIdentity): RawCaller {
    const shown =
      identity === undefined
        ? {}
        : {
            cert: identity.chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
            key: identity.key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
          };
    const open = () =>
      connect('https://server.test', {
        ...ROOM,
        createConnection: () =>
          connectTls({
            host: '127.0.0.1',
            port,
            rejectUnauthorized: false,
            ALPNProtocols: ['h2'],
            ...shown,
          }),
      });
    return new RawCaller(open);
  }

  /**
   * Sends the bytes as a call's whole body. Resolves at the call's end, or with status 0 at the
   * first message where `untilMessage` is set (streams that go on for ever).
   */
  call(method: string, body: Uint8Array, untilMessage = false): Promise<RawAnswer> {
    const session = this.#live();
    const stream = session.request({
      ':method': 'POST',
      ':path': method,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...this.#headers,
    });
    return new Promise((resolve) => {
      let end: Partial<RawAnswer> = {};
      let received = 0;
      const take = (headers: Record<string, unknown>): void => {
        if (headers['grpc-status'] === undefined) return;
        end = {
          status: Number(headers['grpc-status']),
          code: String(headers['signet-error-code'] ?? ''),
          message: decodeURIComponent(String(headers['grpc-message'] ?? '')),
        };
      };
      stream.on('response', take).on('trailers', take);
      stream.on('error', () => {});
      stream.on('data', (chunk: Buffer) => {
        received += chunk.length;
        if (!untilMessage) return;
        end = { status: 0 };
        stream.close(constants.NGHTTP2_CANCEL);
      });
      const limit = setTimeout(() => {
        end = { message: `no end within ${LIMIT_MS} ms` };
        stream.destroy();
      }, LIMIT_MS);
      stream.on('close', () => {
        clearTimeout(limit);
        resolve({ status: undefined, code: '', message: '', ...end, received });
      });
      stream.end(body);
    });
  }

  close(): void {
    this.#session?.destroy();
  }

  /** Hostile bytes may end a connection: the next call opens another. */
  #live(): ClientHttp2Session {
    if (this.#session !== undefined && !this.#session.closed && !this.#session.destroyed) {
      return this.#session;
    }
    this.#session = this.#open();
    this.#session.on('error', () => {});
    return this.#session;
  }
}

/** A message with its five-byte prefix, uncompressed. */
export function grpcFrame(message: Uint8Array, length = message.length): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}
