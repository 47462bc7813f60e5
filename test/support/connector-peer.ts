import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { connect, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { pemOfKey } from './scripted-connector-server.ts';
import type { TestCertificate } from './x509.ts';

/** Key and chain, PEM. */
export interface PeerIdentity {
  readonly key: string;
  readonly cert: string;
}

/** What a forwarder answered to CONNECT; the socket is the flow where the status is 200. */
export interface FlowAnswer {
  readonly status: number;
  /** Of the header Connector-Reason. */
  readonly reason: string;
  readonly socket: TLSSocket;
}

/**
 * Asks a forwarder for a flow. Rejects where the connection ends without an answer, as it does when the
 * handshake fails.
 */
export async function askFlow(
  port: number,
  target: string,
  identity: PeerIdentity | undefined,
): Promise<FlowAnswer> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...identity });
  await once(socket, 'secureConnect');
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  const head = await readHead(socket);
  socket.on('error', () => {});
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]);
  return { status, reason: /connector-reason: (\S+)/i.exec(head)?.[1] ?? '', socket };
}

/** Up to the empty line; what comes behind it stays in the socket. */
function readHead(socket: TLSSocket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const end = (): void => reject(new TypeError(`no answer, only: ${text}`));
    const take = (): void => {
      for (let bytes = socket.read(1); bytes !== null; bytes = socket.read(1)) {
        text += bytes.toString('latin1');
        if (!text.endsWith('\r\n\r\n')) continue;
        socket.off('readable', take).off('close', end).off('error', reject);
        resolve(text);
        return;
      }
    };
    socket.on('readable', take).on('close', end).on('error', reject);
  });
}

/** Something to forward to: sends back what it gets. Ends with the test. */
export interface Target {
  readonly port: number;
  /** Sockets that are open. */
  readonly open: Set<Socket>;
}

/** Starts a target on this machine. */
export async function startTarget(
  context: TestContext,
  serve: (socket: Socket) => void = (socket) => socket.pipe(socket),
): Promise<Target> {
  const open = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => {});
    serve(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  context.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  const address = server.address();
  return { open, port: typeof address === 'object' && address !== null ? address.port : 0 };
}

/** Sends a text through a flow and reads as many bytes back. */
export async function echo(socket: TLSSocket, text: string): Promise<string> {
  socket.write(text);
  let got = '';
  while (got.length < text.length) {
    const [chunk] = await once(socket, 'data');
    got += chunk.toString();
  }
  return got;
}

/** The same behind TLS that asks for a certificate of this authority; notes the names it was shown. */
export async function startTlsTarget(
  context: TestContext,
  leaf: TestCertificate,
  authority: TestCertificate,
  seen: (string | undefined)[],
): Promise<number> {
  const own = { key: pemOfKey(leaf), cert: leaf.pem, ca: authority.pem };
  const server = createTlsServer({ ...own, requestCert: true, minVersion: 'TLSv1.3' }, (socket) => {
    seen.push(socket.getPeerCertificate().subjectaltname);
    socket.on('error', () => {}).pipe(socket);
  }).listen(0, '127.0.0.1');
  server.on('tlsClientError', () => {});
  await once(server, 'listening');
  context.after(() => server.close());
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
