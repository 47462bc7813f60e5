import { type IncomingHttpHeaders, request as plainRequest } from 'node:http';
import { type Agent, request as tlsRequest } from 'node:https';
import { SignetError } from '../base/errors.ts';

/** One request over HTTP or HTTPS. */
export interface HttpCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Uint8Array | undefined;
  /** Certificates in PEM that the other side's own must lead to; the system's unless given. */
  readonly ca?: string | undefined;
  /** How else HTTPS goes to the other side: who we are to it, and the name in its certificate. */
  readonly tls?: HttpTls | undefined;
  /** A Unix socket that plain HTTP goes over, in place of the URL's host. */
  readonly socketPath?: string | undefined;
  /** Makes and keeps the connections of HTTPS, in place of Node.js's own. */
  readonly agent?: Agent | undefined;
  /** A longer answer ends the call. */
  readonly maxAnswerBytes: number;
  readonly signal: AbortSignal;
  /** Address that plain HTTP connects to in place of the URL's, such as a link-local one with its interface. */
  readonly address?: string | undefined;
}

/** Of TLS, beside the roots. */
export interface HttpTls {
  /** PEM: client certificate and its key. */
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
}

/** What came back, whole. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Lenient UTF-8: what is not is replaced. */
  readonly text: string;
  readonly bytes: Uint8Array;
}

/**
 * Sends a request and reads the answer; redirects are not followed. Rejects where there is no whole
 * answer: no connection, ended early, told to stop by the signal, or HTTP_ANSWER_TOO_LONG.
 */
export function callHttp(url: URL, call: HttpCall): Promise<HttpAnswer> {
  const { method, headers = {}, body, ca, tls, agent, maxAnswerBytes, signal, socketPath } = call;
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
  // Node says the length of a body by itself, but not with DELETE: its server would take it for a request.
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const options = { method, headers: { ...length, ...headers }, signal };
  const request =
    url.protocol === 'https:'
      ? tlsRequest(url, {
          ...options,
          ...tls,
          ...(ca === undefined ? {} : { ca }),
          ...(agent === undefined ? {} : { agent }),
        })
      : plainRequest(url, {
          ...options,
          hostname: call.address ?? url.hostname,
          ...(socketPath === undefined ? {} : { socketPath }),
        });
  request.on('error', reject).on('response', (response) => {
    const parts: Buffer[] = [];
    let length = 0;
    response.on('error', reject).on('data', (part: Buffer) => {
      parts.push(part);
      length += part.length;
      if (length > maxAnswerBytes) response.destroy(tooLong(maxAnswerBytes));
    });
    response.on('end', () => {
      const bytes = Buffer.concat(parts);
      const { statusCode: status = 0, headers: answered } = response;
      resolve({ status, headers: answered, text: bytes.toString('utf8'), bytes });
    });
  });
  request.end(body);
  return promise;
}

function tooLong(maxAnswerBytes: number): SignetError {
  return new SignetError(
    'HTTP_ANSWER_TOO_LONG',
    `an answer over HTTP of over ${maxAnswerBytes} bytes`,
  );
}
