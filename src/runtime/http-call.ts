import { type IncomingHttpHeaders, request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';

/** One request over HTTP or HTTPS. */
export interface HttpCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | undefined;
  /** Certificates in PEM that the other side's own must lead to; the system's unless given. */
  readonly ca?: string | undefined;
  /** A longer answer ends the call. */
  readonly maxAnswerBytes: number;
  readonly signal: AbortSignal;
}

/** What came back, whole. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/**
 * Sends a request and reads the answer; redirects are not followed. Rejects where there is no whole
 * answer: no connection, ended early, too long, or told to stop by the signal.
 */
export function callHttp(url: URL, call: HttpCall): Promise<HttpAnswer> {
  const { method, headers = {}, body, ca, maxAnswerBytes, signal } = call;
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
  const options = { method, headers, signal };
  const request =
    url.protocol === 'https:'
      ? tlsRequest(url, { ...options, ...(ca === undefined ? {} : { ca }) })
      : plainRequest(url, options);
  request.on('error', reject).on('response', (response) => {
    const parts: Buffer[] = [];
    let length = 0;
    response.on('error', reject).on('data', (part: Buffer) => {
      parts.push(part);
      length += part.length;
      if (length > maxAnswerBytes) response.destroy(new TypeError('the answer is too long'));
    });
    response.on('end', () => {
      const text = Buffer.concat(parts).toString('utf8');
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
    });
  });
  request.end(body);
  return promise;
}
