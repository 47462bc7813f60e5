import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import { fail, ok, type Result } from '../base/result.ts';
import { errnoCode } from '../runtime/atomic-file.ts';
import type { Bundle } from '../spiffe/bundle.ts';
import { formatSpiffeBundle } from '../spiffe/bundle-format.ts';
import type { TlsIdentity } from '../tls/identity.ts';
import { identityOptions, loadIdentity } from '../tls/secure-context.ts';

/** Mozilla's intermediate list for TLS 1.2 (Federation §5), RSA key exchange and CBC left out. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

const MAX_CONNECTIONS = 512;

/** What a bundle endpoint serves, and as whom. */
export interface BundleEndpointOptions {
  readonly address: string;
  readonly port: number;
  readonly identity: TlsIdentity;
  /** The bundle as it is now; undefined while there is none. */
  readonly bundle: () => Bundle | undefined;
}

/** A bundle endpoint that answers. */
export interface BundleEndpoint {
  readonly port: number;
  /** Shows another certificate to new connections. Fails with TLS_CONFIGURATION. */
  setIdentity(identity: TlsIdentity): Result<void>;
  close(): Promise<void>;
}

/**
 * Serves the bundle of this trust domain over HTTPS: `GET /`, to anybody (FED-1, FED-7), from memory.
 * Fails with LISTEN_FAILED or TLS_CONFIGURATION.
 */
export async function startBundleEndpoint(
  options: BundleEndpointOptions,
): Promise<Result<BundleEndpoint>> {
  const loaded = loadIdentity(options.identity);
  if (!loaded.ok) return loaded;
  const { createServer } = await import('node:https');
  const document = documentOf(options.bundle);
  const server = createServer(
    {
      ...identityOptions(options.identity),
      minVersion: 'TLSv1.2',
      ciphers: CIPHERS,
      honorCipherOrder: false,
      handshakeTimeout: 10_000,
      maxHeaderSize: 8192,
      headersTimeout: 5000,
      requestTimeout: 5000,
      connectionsCheckingInterval: 5000,
    },
    (request, response) => answer(request, response, document),
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    else socket.destroy();
  });
  return listen(server, options);
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  document: () => Uint8Array | undefined,
): void {
  const page = render(request, document);
  // One request a connection: nothing is left to be smuggled behind the first.
  response.writeHead(page.status, {
    'Content-Type': page.type,
    'Content-Length': page.body.length,
    'Cache-Control': 'no-store',
    Connection: 'close',
    ...(page.status === 405 ? { Allow: 'GET, HEAD' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : page.body);
}

interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: Uint8Array;
}

function render(request: IncomingMessage, document: () => Uint8Array | undefined): Page {
  if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'GET or HEAD only');
  if (request.url?.split('?', 1)[0] !== '/') return text(404, 'the bundle is at /');
  const body = document();
  if (body === undefined) return text(503, 'there is no bundle yet');
  return { status: 200, type: 'application/json', body };
}

function text(status: number, message: string): Page {
  return { status, type: 'text/plain; charset=utf-8', body: Buffer.from(`${message}\n`) };
}

/** The document, made once for each bundle. */
function documentOf(bundle: () => Bundle | undefined): () => Uint8Array | undefined {
  let made: { readonly of: Bundle; readonly bytes: Uint8Array } | undefined;
  return () => {
    const now = bundle();
    if (now === undefined) return undefined;
    if (made?.of === now) return made.bytes;
    const bytes = formatSpiffeBundle(now);
    if (!bytes.ok) return undefined;
    made = { of: now, bytes: bytes.value };
    return made.bytes;
  };
}

function listen(
  server: Server,
  { address, port }: BundleEndpointOptions,
): Promise<Result<BundleEndpoint>> {
  const { promise, resolve } = Promise.withResolvers<Result<BundleEndpoint>>();
  // Also later, when a connection cannot be accepted: unheard, it would end the process.
  server.on('error', (cause) => {
    const why = `the bundle endpoint cannot listen on ${address} port ${port}`;
    resolve(fail('LISTEN_FAILED', `${why} (${errnoCode(cause)})`, { cause }));
  });
  server.listen({ host: address, port, exclusive: true }, () => {
    const bound = server.address();
    resolve(
      ok({
        port: typeof bound === 'object' ? (bound?.port ?? port) : port,
        setIdentity(identity) {
          const loaded = loadIdentity(identity);
          if (!loaded.ok) return loaded;
          server.setSecureContext({
            ...identityOptions(identity),
            minVersion: 'TLSv1.2',
            ciphers: CIPHERS,
          });
          return ok(undefined);
        },
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
