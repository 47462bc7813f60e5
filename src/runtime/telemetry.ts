import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { z } from 'zod';
import { fail, ok, type Result } from '../base/result.ts';
import { errnoCode } from './atomic-file.ts';
import { hostSetting } from './config.ts';
import type { Health, HealthReport } from './health.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';

/** Schema of the `telemetry` section; without a port nothing listens. */
export const telemetrySchema = z
  .strictObject({
    address: hostSetting.default('127.0.0.1').describe('Address of /metrics, /live, /ready.'),
    port: z.int().min(0).max(65535).optional().describe('Nothing listens unless set.'),
  })
  .prefault({});

/** The `telemetry` section. */
export type TelemetryConfig = z.output<typeof telemetrySchema>;

/** What the pages show. */
export interface TelemetryParts {
  readonly metrics: Metrics;
  readonly health: Health;
  readonly log: Logger;
  /** Further pages, by the start of their path. */
  readonly extra?: readonly ExtraPages[];
}

/** Pages that a part of the process adds. */
export interface ExtraPages {
  /** What their paths start with, such as `/ledger/`. */
  readonly prefix: string;
  render(path: string): Promise<ExtraPage>;
}

/** A page with text or bytes. */
export interface ExtraPage {
  readonly status: number;
  readonly type: string;
  readonly body: string | Uint8Array;
}

/** The listener of /metrics, /live and /ready. */
export interface Telemetry {
  /** The port listened on; undefined when there is none. */
  readonly port: number | undefined;
  close(): Promise<void>;
}

/**
 * Serves /metrics, /live and /ready over plain HTTP where configuration names a port. Anything else
 * is refused; each connection carries one request. Fails with LISTEN_FAILED.
 */
export async function startTelemetry(
  config: TelemetryConfig,
  parts: TelemetryParts,
): Promise<Result<Telemetry>> {
  if (config.port === undefined) return ok({ port: undefined, close: async () => {} });
  // Loaded only where it is needed: node:http brings an HTTP client of its own, 40 ms of a start.
  const { createServer } = await import('node:http');
  const server = createServer(
    {
      insecureHTTPParser: false,
      maxHeaderSize: 8192,
      headersTimeout: 5000,
      requestTimeout: 5000,
      connectionsCheckingInterval: 5000,
    },
    (request, response) => void answer(request, response, parts),
  );
  server.maxConnections = 32;
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    else socket.destroy();
  });
  return listen(server, config.address, config.port);
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  parts: TelemetryParts,
): Promise<void> {
  const page = await render(request, parts);
  // One request a connection: nothing is left to be smuggled behind the first.
  response.writeHead(page.status, {
    'Content-Type': page.type,
    'Content-Length': Buffer.byteLength(page.body),
    'Cache-Control': 'no-store',
    Connection: 'close',
    ...(page.status === 405 ? { Allow: 'GET, HEAD' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : page.body);
}

async function render(request: IncomingMessage, parts: TelemetryParts): Promise<ExtraPage> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'GET or HEAD only');
  if (hasBody(request)) return text(400, 'a body is not allowed');
  switch (request.url) {
    case '/metrics':
      return metricsPage(parts);
    case '/live':
      return healthPage(parts.health.report('live'));
    case '/ready':
      return healthPage(parts.health.report('ready'));
    default:
      return extraPage(request.url ?? '', parts);
  }
}

async function extraPage(path: string, { extra, log }: TelemetryParts): Promise<ExtraPage> {
  const pages = extra?.find(({ prefix }) => path.startsWith(prefix));
  if (pages === undefined) return text(404, 'pages: /metrics, /live, /ready');
  try {
    return await pages.render(path);
  } catch (error) {
    log.error({ err: error, path: path.slice(0, 200) }, 'rendering a page failed');
    return text(500, 'rendering the page failed');
  }
}

async function metricsPage(parts: TelemetryParts): Promise<ExtraPage> {
  const { registry } = parts.metrics;
  try {
    return { status: 200, type: registry.contentType, body: await registry.metrics() };
  } catch (error) {
    parts.log.error({ err: error }, 'collecting metrics failed');
    return text(500, 'collecting metrics failed');
  }
}

function healthPage(report: HealthReport): ExtraPage {
  const body = `${JSON.stringify({ ok: report.ok, failures: report.failures })}\n`;
  return { status: report.ok ? 200 : 503, type: 'application/json', body };
}

function text(status: number, message: string): ExtraPage {
  return { status, type: 'text/plain; charset=utf-8', body: `${message}\n` };
}

function hasBody(request: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  return encoding !== undefined || (length !== undefined && length !== '0');
}

function listen(server: Server, address: string, port: number): Promise<Result<Telemetry>> {
  const { promise, resolve } = Promise.withResolvers<Result<Telemetry>>();
  // Also later, when a connection cannot be accepted: unheard, it would end the process.
  server.on('error', (error) => {
    const code = errnoCode(error);
    resolve(
      fail('LISTEN_FAILED', `telemetry cannot listen on ${address} port ${port} (${code})`, {
        cause: error,
      }),
    );
  });
  server.listen({ host: address, port, exclusive: true }, () => {
    const bound = server.address();
    resolve(
      ok({
        port: typeof bound === 'object' ? (bound?.port ?? port) : port,
        close: () => closeServer(server),
      }),
    );
  });
  return promise;
}

function closeServer(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  return promise;
}
