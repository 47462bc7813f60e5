import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent, createServer, request, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KubeAccess, readAccess } from '../../src/kube/place.ts';
import { assertValue } from './refused.ts';
import { makeCertificate, makeRoot } from './x509.ts';

/** A call as the proxy sees it. */
export interface ProxiedCall {
  readonly method: string;
  readonly path: string;
  readonly isWatch: boolean;
}

/** What the proxy does in place of passing a call on. */
export type ProxyFault =
  | 'reset'
  /** Nothing is ever answered. */
  | 'silence'
  /** A watch that the server has opened, and ends by saying that the version is gone. */
  | 'gone'
  /** Half of the first piece of the answer, then the connection breaks off. */
  | 'half'
  /** Half of it, as if that were all. */
  | 'half-whole'
  | { readonly status: number }
  /** Passed on so much later. */
  | { readonly lateMs: number };

/**
 * A proxy of ours in front of a real API server, for faults that it does not show when asked to. Whoever
 * asks needs the proxy's token, and is to the server who the kubeconfig says.
 */
export class KubeFaultProxy {
  readonly #server: Server;
  readonly #dir: string;
  readonly #access: KubeAccess;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  readonly #watches = new Set<ServerResponse>();
  #token = '';
  /** Nobody gets a connection, and those that are open break. */
  #isDown = false;
  /** Decides what happens to a call; undefined passes it on. */
  decide: (call: ProxiedCall) => ProxyFault | undefined = () => undefined;
  /** Calls seen so far. */
  readonly calls: ProxiedCall[] = [];

  private constructor(server: Server, dir: string, access: KubeAccess) {
    this.#server = server;
    this.#dir = dir;
    this.#access = access;
  }

  /** Starts one on loopback, in front of the server of a kubeconfig. */
  static async start(kubeconfigPath: string): Promise<KubeFaultProxy> {
    const root = makeRoot();
    const leaf = makeCertificate({ issuer: root, ips: [Uint8Array.of(127, 0, 0, 1)] });
    const key = leaf.key.privateKey.export({ type: 'pkcs8', format: 'pem' });
    const server = createServer({ cert: leaf.pem, key });
    const dir = await mkdtemp(join(tmpdir(), 'sgn-kube-proxy-'));
    const proxy = new KubeFaultProxy(
      server,
      dir,
      assertValue(await readAccess({ kubeconfigPath })),
    );
    server.on('connection', (socket) => {
      if (proxy.#isDown) socket.destroy();
    });
    server.on('request', (call, answer) => void proxy.#serve(call, answer));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    await writeFile(join(dir, 'ca.crt'), root.pem);
    await proxy.rotate('first');
    return proxy;
  }

  get kubeconfigPath(): string {
    return join(this.#dir, 'kubeconfig');
  }

  /** Takes another token and no more the one before; writes it to the kubeconfig unless told not to. */
  async rotate(token: string, inFile = true): Promise<void> {
    this.#token = token;
    if (!inFile) return;
    const address = this.#server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const server = `https://127.0.0.1:${port}`;
    const config = {
      'current-context': 'c',
      clusters: [{ name: 'c', cluster: { server, 'certificate-authority': 'ca.crt' } }],
      users: [{ name: 'c', user: { token } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }],
    };
    await writeFile(this.kubeconfigPath, JSON.stringify(config));
  }

  down(): void {
    this.#isDown = true;
    this.#server.closeAllConnections();
  }

  up(): void {
    this.#isDown = false;
  }

  /** Breaks the watches that are open, so that each of them is asked for again. */
  breakWatches(): void {
    for (const answer of this.#watches) answer.destroy();
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await once(this.#server, 'close');
    await rm(this.#dir, { recursive: true, force: true });
  }

  async #serve(call: IncomingMessage, answer: ServerResponse): Promise<void> {
    const url = new URL(call.url ?? '/', 'https://proxy');
    const { method = 'GET' } = call;
    const body = Buffer.concat(await call.toArray());
    const seen = { method, path: url.pathname, isWatch: url.searchParams.has('watch') };
    this.calls.push(seen);
    if (seen.isWatch) {
      this.#watches.add(answer);
      answer.on('close', () => this.#watches.delete(answer));
    }
    if (call.headers.authorization !== `Bearer ${this.#token}`) return refuse(answer, 401);
    const fault = this.decide(seen);
    if (fault === 'reset') return void answer.destroy();
    if (fault === 'silence') return;
    if (fault === 'gone') {
      const object = { kind: 'Status', code: 410, message: 'too old resource version' };
      return void answer.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
    }
    if (typeof fault === 'object' && 'status' in fault) return refuse(answer, fault.status);
    if (typeof fault === 'object') await new Promise((done) => setTimeout(done, fault.lateMs));
    this.#passOn(call, body, answer, typeof fault === 'string' ? fault : undefined);
  }

  #passOn(
    call: IncomingMessage,
    body: Buffer,
    answer: ServerResponse,
    fault: 'half' | 'half-whole' | undefined,
  ): void {
    const { server, ca, token, identity } = this.#access;
    const { authorization: _, host: __, ...headers } = call.headers;
    const onward = request(
      new URL(call.url ?? '/', server),
      {
        method: call.method,
        agent: this.#agent,
        headers: token === undefined ? headers : { ...headers, authorization: `Bearer ${token}` },
        ...(ca === undefined ? {} : { ca }),
        ...(identity === undefined ? {} : { cert: identity.certificate, key: identity.key }),
      },
      (reply) => {
        const { 'content-length': _length, 'transfer-encoding': __, ...kept } = reply.headers;
        answer.writeHead(reply.statusCode ?? 500, kept);
        answer.flushHeaders();
        if (fault === undefined) return void reply.pipe(answer);
        reply.once('data', (bytes: Buffer) => {
          const half = bytes.subarray(0, Math.ceil(bytes.length / 2));
          if (fault === 'half-whole') answer.end(half);
          else answer.write(half, () => answer.destroy());
          reply.destroy();
        });
      },
    );
    onward.on('error', () => answer.destroy());
    answer.on('close', () => onward.destroy());
    onward.end(body);
  }
}

function refuse(answer: ServerResponse, code: number): void {
  answer.writeHead(code, { 'content-type': 'application/json' });
  answer.end(JSON.stringify({ kind: 'Status', status: 'Failure', code, message: 'by the proxy' }));
}
