import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { hostHeader } from '../../src/attestation/dpu_host/link-local.ts';
import { DPU_HOST_LIMITS, encodeVoucherAnswer } from '../../src/attestation/dpu_host/payload.ts';
import { SignetError } from '../../src/base/errors.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { errnoCode } from '../../src/runtime/atomic-file.ts';
import { breachOf, type RequestRules } from './request-rules.ts';
import type { VoucherSettings } from './settings.ts';
import type { VoucherOffice } from './voucher-office.ts';

/** Longest that a request may take to come in whole, in milliseconds. */
const REQUEST_MS = 5000;

const MAX_CONNECTIONS = 16;
const MAX_HEADER_BYTES = 4096;

/** What the endpoint stands on. */
export interface VoucherEndpointParts {
  readonly listen: VoucherSettings['listen'];
  readonly office: VoucherOffice;
  /** Told of every request that was answered; of a refusal, why. */
  readonly onOutcome: (error: SignetError | undefined) => void;
  /** {@link REQUEST_MS} unless told. */
  readonly requestMs?: number;
}

/** The endpoint where the agent of the host asks. */
export interface VoucherEndpoint {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Serves vouchers over plain HTTP on a link-local address: nothing in them is secret, and nothing that is
 * changed on the way is of use. One request on a connection. Fails with LISTEN_FAILED.
 */
export async function startVoucherEndpoint(
  parts: VoucherEndpointParts,
): Promise<Result<VoucherEndpoint>> {
  // Loaded only where it is needed: node:http brings an HTTP client of its own, 40 ms of a start.
  const { createServer } = await import('node:http');
  const { requestMs = REQUEST_MS, listen } = parts;
  const server = createServer(
    {
      insecureHTTPParser: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: requestMs,
      requestTimeout: requestMs,
      connectionsCheckingInterval: Math.ceil(requestMs / 5),
      requireHostHeader: true,
    },
    (request, response) => void answer(request, response, parts, rulesOf(server, listen)),
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.maxRequestsPerSocket = 1;
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    else socket.destroy();
  });
  // Without these an `Expect` or `Upgrade` would be answered before a rule is looked at.
  server.on('checkContinue', (_request, response) => refuseEarly(response));
  server.on('upgrade', (_request, socket) => socket.destroy());
  return open(server, listen);
}

function refuseEarly(response: ServerResponse): void {
  send(response, 417, Buffer.from('{"error":"VOUCHER_REQUEST"}'));
}

function rulesOf(server: Server, { address, anyAddress }: VoucherSettings['listen']): RequestRules {
  return { host: hostHeader(address, portOf(server)), linkLocalPeers: !anyAddress };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { office, onOutcome }: VoucherEndpointParts,
  rules: RequestRules,
): Promise<void> {
  const breach = breachOf(request, rules);
  if (breach !== undefined) {
    onOutcome(new SignetError('VOUCHER_REQUEST', `a request with ${breach.reason}`));
    refuse(response, breach.status, 'VOUCHER_REQUEST');
    return;
  }
  const body = await readBody(request);
  // It went away, or took too long: there is nobody to answer.
  if (body === undefined) return;
  const voucher = await office(body);
  onOutcome(voucher.ok ? undefined : voucher.error);
  if (voucher.ok) send(response, 200, encodeVoucherAnswer(voucher.value));
  else refuse(response, statusOf(voucher.error), voucher.error.code);
}

function statusOf({ code, retryable }: SignetError): number {
  if (code === 'DPU_HOST_MESSAGE') return 400;
  // What the card's own files fail with is not the fault of whoever asks.
  return retryable || !/^(VOUCHER|DPU_HOST)_/.test(code) ? 503 : 403;
}

async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const part of request) {
      // Of a request whose length was told and is in bounds; the parser ends it there.
      parts.push(part);
      length += part.length;
      if (length > DPU_HOST_LIMITS.requestBytes) return undefined;
    }
    return Buffer.concat(parts);
  } catch {
    return undefined;
  }
}

function refuse(response: ServerResponse, status: number, code: string): void {
  send(response, status, Buffer.from(JSON.stringify({ error: code })));
}

function send(response: ServerResponse, status: number, body: Buffer): void {
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
    Connection: 'close',
  });
  response.end(body);
}

function open(server: Server, listen: VoucherSettings['listen']): Promise<Result<VoucherEndpoint>> {
  const { address, port } = listen;
  const { promise, resolve } = Promise.withResolvers<Result<VoucherEndpoint>>();
  // Also later, when a connection cannot be accepted: unheard, it would end the process.
  server.on('error', (cause) => {
    const what = `vouchers: cannot listen on ${address} port ${port} (${errnoCode(cause)})`;
    resolve(fail('LISTEN_FAILED', what, { cause }));
  });
  server.listen({ host: address, port, exclusive: true }, () =>
    resolve(ok({ port: portOf(server), close: () => closeServer(server) })),
  );
  return promise;
}

function portOf(server: Server): number {
  const bound = server.address();
  return typeof bound === 'object' ? (bound?.port ?? 0) : 0;
}

function closeServer(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  return promise;
}
