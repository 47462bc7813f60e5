import { chmodSync, chownSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Clock } from '../../src/base/clock.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { claimSocketPath, systemReason } from '../../src/rpc/unix-path.ts';
import type { HealthReport } from '../../src/runtime/health.ts';
import type { ConnectorConfig } from './config.ts';
import type { DrainOutcome } from './drain.ts';

/** Longest that a watch of the segments waits, in milliseconds. */
const WATCH_MS = 55_000;

/** Connections at once. */
const MAX_CONNECTIONS = 64;

/** Watches at once: they must not take the place of those who ask for health, or for a drain. */
const MAX_WATCHES = 32;

/** Longest that a client may take for its request unless told, in milliseconds. */
const REQUEST_MS = 5000;

/** What the local socket shows and does. */
export interface LocalParts {
  readonly settings: ConnectorConfig['local'];
  readonly clock: Clock;
  readonly health: (kind: 'live' | 'ready') => HealthReport;
  readonly status: () => object;
  readonly segments: () => { readonly version: string; readonly document: () => Buffer };
  /** Calls `listener` when the segments changed. Returns what ends that. */
  readonly onSegments: (listener: () => void) => () => void;
  readonly drain: (timeoutMs: number | undefined) => Promise<DrainOutcome>;
  /** Longest that a client may take for its request; 5 s unless told. */
  readonly requestMs?: number;
}

/** The open local socket. */
export interface LocalApi {
  close(): Promise<void>;
}

interface OpenParts extends LocalParts {
  /** Those who wait for other segments. */
  readonly watches: Set<AbortSignal>;
}

interface Answer {
  readonly status: number;
  readonly body?: Buffer | object;
  readonly version?: string;
}

/**
 * Serves the connector beside it over a Unix socket, plain HTTP: `GET /segments` (with `?watch&version=V` it
 * waits for another version), `GET /status`, `/healthz`, `/live`, `/ready`, and `POST /drain`. Who may is
 * the mode of the socket. Fails with SOCKET_IN_USE, SOCKET_PATH_UNSAFE or LISTEN_FAILED.
 */
export async function openLocalApi(parts: LocalParts): Promise<Result<LocalApi>> {
  const { path, mode, group } = parts.settings;
  const claimed = await claimSocketPath({ path, folderMode: 0o755 });
  if (!claimed.ok) return claimed;
  const { createServer } = await import('node:http');
  const { requestMs = REQUEST_MS } = parts;
  const watches = new Set<AbortSignal>();
  const server = createServer(
    {
      maxHeaderSize: 8192,
      headersTimeout: requestMs,
      requestTimeout: requestMs,
      connectionsCheckingInterval: Math.min(1000, requestMs),
    },
    (request, response) => void serve({ ...parts, watches }, request, response),
  );
  server.maxConnections = MAX_CONNECTIONS;
  const bound = await bind(server, { path, mode, group });
  if (!bound.ok) return bound;
  return ok({
    close: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      server.closeAllConnections();
      return promise;
    },
  });
}

interface Place {
  readonly path: string;
  readonly mode: number;
  readonly group: number | undefined;
}

function bind(server: Server, { path, mode, group }: Place): Promise<Result<void>> {
  return new Promise((resolve) => {
    const refuse = (cause: unknown): void => {
      server.close();
      const reason = systemReason(cause);
      resolve(fail('LISTEN_FAILED', `listening on ${path} failed: ${reason}`, { cause }));
    };
    server.once('error', refuse);
    // The socket is made inside `listen`: nobody ever sees it with wider permissions.
    const umask = process.umask(0o777 & ~mode);
    server.listen({ path }, () => {
      server.off('error', refuse);
      // Unheard, a connection that cannot be accepted would end the process.
      server.on('error', () => {});
      try {
        if (group !== undefined) chownSync(path, -1, group);
        chmodSync(path, mode);
        resolve(ok(undefined));
      } catch (cause) {
        refuse(cause);
      }
    });
    process.umask(umask);
  });
}

async function serve(
  parts: OpenParts,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  request.resume();
  const answer = await answerTo(parts, request, gone.signal);
  if (gone.signal.aborted) return;
  const body =
    answer.body === undefined || Buffer.isBuffer(answer.body)
      ? (answer.body ?? Buffer.alloc(0))
      : Buffer.from(`${JSON.stringify(answer.body)}\n`);
  response.writeHead(answer.status, {
    'Content-Type': 'application/json',
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
    Connection: 'close',
    ...(answer.version === undefined ? {} : { ETag: `"${answer.version}"` }),
  });
  response.end(body);
}

async function answerTo(
  parts: OpenParts,
  request: IncomingMessage,
  gone: AbortSignal,
): Promise<Answer> {
  const raw = `http://local${request.url ?? '/'}`;
  if (!URL.canParse(raw)) return { status: 400, body: { error: 'the path cannot be read' } };
  const url = new URL(raw);
  const route = `${request.method} ${url.pathname}`;
  switch (route) {
    case 'GET /segments':
      return segments(parts, url, request.headers['if-none-match'], gone);
    case 'GET /status':
    case 'GET /svid':
      return { status: 200, body: parts.status() };
    case 'GET /live':
      return health(parts.health('live'));
    case 'GET /healthz':
    case 'GET /ready':
      return health(parts.health('ready'));
    case 'POST /drain':
      return drain(parts, url.searchParams.get('timeoutSeconds'));
    default:
      return { status: 404, body: { error: 'GET /segments, /status, /live, /ready; POST /drain' } };
  }
}

function health(report: HealthReport): Answer {
  return { status: report.ok ? 200 : 503, body: report };
}

async function segments(
  parts: OpenParts,
  { searchParams }: URL,
  etag: string | undefined,
  gone: AbortSignal,
): Promise<Answer> {
  const known = searchParams.get('version') ?? etag?.replace(/^"(.*)"$/, '$1');
  if (searchParams.has('watch')) {
    const { watches } = parts;
    if (watches.size >= MAX_WATCHES) return { status: 503, body: { error: 'too many watch' } };
    watches.add(gone);
    await otherVersion(parts, known ?? '', gone).finally(() => watches.delete(gone));
  }
  const { version, document } = parts.segments();
  if (known !== undefined && version === known) return { status: 304, version };
  return { status: 200, body: document(), version };
}

function otherVersion(parts: LocalParts, known: string, gone: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (parts.segments().version !== known) resolve();
  const stop = parts.onSegments(() => {
    if (parts.segments().version !== known) resolve();
  });
  const cancel = parts.clock.after(WATCH_MS, resolve);
  gone.addEventListener('abort', () => resolve(), { once: true });
  return promise.finally(() => {
    stop();
    cancel();
  });
}

async function drain(parts: LocalParts, text: string | null): Promise<Answer> {
  if (text !== null && !/^\d{1,6}$/.test(text)) {
    return { status: 400, body: { error: 'timeoutSeconds is no number of seconds' } };
  }
  const outcome = await parts.drain(text === null ? undefined : Number(text) * 1000);
  return { status: outcome.drained ? 200 : 504, body: outcome };
}
