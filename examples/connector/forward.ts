import { constants } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContextOptions, TLSSocket } from 'node:tls';
import { Flows, judge, type Reason, type View, type Wish } from './flows.ts';
import { allAuthorities, chainOf } from './spiffe.ts';
import { openTarget, TargetFailed } from './target.ts';
import type { Shown } from './transport.ts';
import type { Segment } from './wire.ts';

/** What the forwarder asks of the rest, anew for each flow. */
export interface ForwarderSeams {
  readonly view: () => View;
  readonly shown: () => Shown;
  readonly nowMs: () => number;
  /** The last flow has ended. */
  readonly onIdle: () => void;
  /** A target of a segment could be reached, or not. */
  readonly onTarget: (segment: Segment, target: string, error: string | undefined) => void;
}

type Refusal = Reason | 'bad-target' | TargetFailed['reason'];

const STATUS: Readonly<Partial<Record<Refusal, string>>> = {
  'bad-target': '400 Bad Request',
  'udp-not-forwarded': '501 Not Implemented',
  'connector-closed': '503 Service Unavailable',
  'connector-draining': '503 Service Unavailable',
  'segment-draining': '503 Service Unavailable',
  'target-unreachable': '502 Bad Gateway',
  'target-not-trusted': '502 Bad Gateway',
};

/** Takes flows: TLS 1.3 with an X.509-SVID, then HTTP/1.1 `CONNECT host:port` (RFC 9110 §9.3.6). */
export class Forwarder {
  readonly flows: Flows;
  readonly #server: Server;
  readonly #seams: ForwarderSeams;

  constructor(seams: ForwarderSeams) {
    this.#seams = seams;
    this.flows = new Flows(seams.onIdle);
    this.#server = createServer({
      ...this.#context(),
      requestCert: true,
      rejectUnauthorized: true,
      // Who has said all may still be answered.
      allowHalfOpen: true,
      // A resumed session would come without the chain that is to be looked at.
      secureOptions: constants.SSL_OP_NO_TICKET,
      ALPNProtocols: ['http/1.1'],
    });
    this.#server.on('request', (_request: IncomingMessage, response: ServerResponse) => {
      response.writeHead(405, { allow: 'CONNECT', connection: 'close' }).end();
    });
    // For servers of node:https the socket is a TLSSocket.
    this.#server.on('connect', (request, socket, head) => {
      void this.#take(request.url ?? '', socket as TLSSocket, head);
    });
    // Peers that fail in the handshake are none of ours.
    this.#server.on('tlsClientError', () => {});
  }

  async listen(host: string, port: number): Promise<number> {
    this.#server.listen(port, host);
    await once(this.#server, 'listening');
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** SVID or authorities have changed: new connections are met with them. */
  renewContext(): void {
    this.#server.setSecureContext(this.#context());
  }

  /** Something has changed: open flows are judged by it. Answers with how many it has closed. */
  judgeAgain(): number {
    return this.flows.judgeAgain(this.#seams.view());
  }

  async close(): Promise<void> {
    this.flows.closeAll();
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #take(asked: string, socket: TLSSocket, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    const target = readTarget(asked);
    if (target === undefined) return refuse(socket, 'bad-target');
    const wish: Wish = { chain: chainOf(socket), cameAtMs: this.#seams.nowMs(), ...target };
    const verdict = judge(this.#seams.view(), wish);
    if ('reason' in verdict) return refuse(socket, verdict.reason);
    const { segment } = verdict;
    const upstream = await this.#open(wish, segment).catch((error: TargetFailed) => error);
    if (upstream instanceof TargetFailed) return refuse(socket, upstream.reason, upstream.message);
    upstream.on('error', () => upstream.destroy());
    // What held before the target answered may not hold any more.
    const again = judge(this.#seams.view(), wish);
    if ('reason' in again || socket.destroyed) {
      upstream.destroy();
      return 'reason' in again ? refuse(socket, again.reason) : undefined;
    }
    this.flows.add({ wish, segment, ends: [socket, upstream] });
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    upstream.write(head);
    // Half-closed ends stay open for the other direction; a full buffer stops the reader before it.
    socket.pipe(upstream).pipe(socket);
  }

  async #open({ host, port }: Wish, segment: Segment): Promise<Socket> {
    const { view, shown, nowMs, onTarget } = this.#seams;
    const { authorities } = view();
    try {
      const wish = { host, port, segment, shown: shown(), authorities, nowMs };
      const upstream = await openTarget(wish);
      onTarget(segment, `${host}:${port}`, undefined);
      return upstream;
    } catch (error) {
      onTarget(segment, `${host}:${port}`, error instanceof Error ? error.message : '');
      throw error;
    }
  }

  #context(): SecureContextOptions {
    const ca = allAuthorities(this.#seams.view().authorities);
    return { ...this.#seams.shown(), ca, minVersion: 'TLSv1.3' };
  }
}

function readTarget(text: string): { readonly host: string; readonly port: number } | undefined {
  const [, six, other, port] =
    /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]/?#@]+)):(\d{1,5})$/.exec(text) ?? [];
  const number = Number(port);
  const host = six ?? other;
  return host === undefined || number < 1 || number > 65_535 ? undefined : { host, port: number };
}

/** Says no in a way that both programs and people read. */
function refuse(socket: TLSSocket, reason: Refusal, detail = ''): void {
  const body = `${reason}${detail === '' ? '' : `: ${detail}`}\n`;
  socket.end(
    `HTTP/1.1 ${STATUS[reason] ?? '403 Forbidden'}\r\nConnector-Reason: ${reason}\r\n` +
      `Content-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
      `Connection: close\r\n\r\n${body}`,
  );
}
