import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

/** What the fake does with a push in place of taking it. */
export type LokiFault =
  | { readonly status: number; readonly text: string; readonly retryAfter?: string }
  | 'reset'
  | 'silence';

/** A push that came. */
export interface LokiPush {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly stream: Readonly<Record<string, string>>;
  /** Nanoseconds as text, and the line. */
  readonly values: readonly (readonly [string, string])[];
}

/**
 * A fake of Loki's push endpoint, written after its public API page: no real one could be had. It
 * takes one stream a push as JSON and refuses any other form.
 */
export interface FakeLoki {
  readonly url: string;
  /** What was taken, in order. */
  readonly pushes: LokiPush[];
  /** How many requests came in all. */
  readonly requests: number;
  /** What happens to the next requests, one each; then they are taken. */
  readonly faults: LokiFault[];
  close(): Promise<void>;
}

/** Starts the fake on loopback. */
export async function startFakeLoki(): Promise<FakeLoki> {
  const pushes: LokiPush[] = [];
  const faults: LokiFault[] = [];
  let requests = 0;
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    requests += 1;
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const fault = faults.shift();
    if (fault === 'silence') return;
    if (fault === 'reset') return void request.socket.resetAndDestroy();
    if (fault !== undefined) {
      const { status, text, retryAfter } = fault;
      response.writeHead(status, retryAfter === undefined ? {} : { 'retry-after': retryAfter });
      return void response.end(text);
    }
    const push = parsePush(request, Buffer.concat(parts).toString('utf8'));
    if (push === undefined) return void response.writeHead(400).end('not a push');
    pushes.push(push);
    response.writeHead(204).end();
  };
  const server = createServer((request, response) => void serve(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    pushes,
    faults,
    get requests() {
      return requests;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function parsePush({ method, url, headers }: IncomingMessage, body: string): LokiPush | undefined {
  if (method !== 'POST' || url !== '/loki/api/v1/push') return undefined;
  if (headers['content-type'] !== 'application/json') return undefined;
  const { streams } = JSON.parse(body) as {
    streams: { stream: Record<string, string>; values: [string, string][] }[];
  };
  const [only, ...others] = streams;
  if (only === undefined || others.length > 0) return undefined;
  if (Object.keys(only.stream).length === 0) return undefined;
  if (!only.values.every(([time]) => /^\d{19}$/.test(time))) return undefined;
  return { headers, stream: only.stream, values: only.values };
}
