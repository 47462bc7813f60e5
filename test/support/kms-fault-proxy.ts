import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';

/** What the fault proxy does with a call in place of passing it on. */
export type KmsFault =
  /** Answers as KMS would with this refusal. */
  | { readonly refuse: string; readonly status?: number }
  /** Breaks the connection off without an answer. */
  | 'reset'
  /** Never answers. */
  | 'silence'
  /** Passes it on as a call about another key. */
  | { readonly asKey: string };

/** A fault proxy of ours in front of a KMS server: for errors that the server itself cannot give. */
export interface KmsFaultProxy {
  readonly url: string;
  /** Calls seen, by operation. */
  readonly seen: Map<string, number>;
  /** Decides what happens to a call, by its operation such as `Sign`; undefined passes it on. */
  decide: (operation: string) => KmsFault | undefined;
  close(): Promise<void>;
}

/** Starts the proxy in front of a server on a port of this machine. */
export async function startKmsFaultProxy(targetPort: number): Promise<KmsFaultProxy> {
  const silent = new Set<ServerResponse>();
  const proxy: Pick<KmsFaultProxy, 'seen' | 'decide'> = {
    seen: new Map(),
    decide: () => undefined,
  };
  const server = createServer((call, answer) => {
    const operation = String(call.headers['x-amz-target'] ?? '').split('.')[1] ?? '';
    proxy.seen.set(operation, (proxy.seen.get(operation) ?? 0) + 1);
    const fault = proxy.decide(operation);
    if (fault === 'reset') return void call.socket.destroy();
    if (fault === 'silence') return void silent.add(answer);
    if (fault !== undefined && 'refuse' in fault) return refuse(answer, fault);
    void passOn(call, answer, { targetPort, asKey: fault?.asKey });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return Object.assign(proxy, {
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  });
}

function refuse(answer: ServerResponse, fault: { refuse: string; status?: number }): void {
  answer.writeHead(fault.status ?? 400, { 'content-type': 'application/x-amz-json-1.1' });
  answer.end(JSON.stringify({ __type: fault.refuse, message: 'by the fault proxy' }));
}

async function passOn(
  call: IncomingMessage,
  answer: ServerResponse,
  { targetPort, asKey }: { targetPort: number; asKey: string | undefined },
): Promise<void> {
  let body: Buffer = Buffer.concat(await call.toArray());
  if (asKey !== undefined) {
    body = Buffer.from(JSON.stringify({ ...JSON.parse(body.toString()), KeyId: asKey }));
  }
  const headers = { ...call.headers, 'content-length': String(body.length) };
  const options = { port: targetPort, host: '127.0.0.1', method: call.method, path: call.url };
  const onward = request({ ...options, headers }, (reply) => {
    answer.writeHead(reply.statusCode ?? 500, reply.headers);
    reply.pipe(answer);
  });
  onward.on('error', () => call.socket.destroy());
  onward.end(body);
}
