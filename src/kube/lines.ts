import type { IncomingMessage } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { SignetError } from '../base/errors.ts';
import { LineSplitter } from '../base/line-splitter.ts';
import { type Failed, fail, ok, type Result } from '../base/result.ts';
import { errnoCode } from '../runtime/atomic-file.ts';
import type { HttpTls } from '../runtime/http-call.ts';
import { parseKubeObject, refusedBy } from './status.ts';

/** An answer that is read line by line. */
export interface LineCall {
  /** For messages. */
  readonly doing: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly tls: HttpTls & { readonly ca: string | undefined };
  readonly maxLineBytes: number;
  readonly signal: AbortSignal;
  /** The server has answered with status 200. */
  readonly onOpen: () => void;
  /** Each line that is not empty; a refusal ends the reading with it. */
  readonly onLine: (line: string) => Result<void>;
}

/** Longest body of a refusal that is read, in bytes. */
const MAX_REFUSAL_BYTES = 64 * 1024;
/** How soon the kernel asks whether the other side of a silent connection is still there. */
const KEEP_ALIVE_MS = 30_000;

/**
 * Asks by GET on a connection of its own, and reads lines until the server ends its answer. Fails with
 * KUBE_*: a status other than 200, a connection that breaks, a line that is too long.
 */
export function readLines(url: URL, call: LineCall): Promise<Result<void>> {
  const { headers, tls, signal, doing } = call;
  const { promise, resolve } = Promise.withResolvers<Result<void>>();
  const { ca, ...identity } = tls;
  const request = tlsRequest(url, {
    headers,
    signal,
    agent: false,
    ...identity,
    ...(ca === undefined ? {} : { ca }),
  });
  request.on('error', (cause) => resolve(broken(doing, cause, signal)));
  request.on('response', (response) => {
    response.socket.setKeepAlive(true, KEEP_ALIVE_MS);
    response.on('error', (cause) => resolve(broken(doing, cause, signal)));
    if (response.statusCode !== 200) return takeRefusal(response, doing, resolve);
    call.onOpen();
    takeLines(response, call, resolve);
  });
  request.end();
  return promise;
}

/** The refusal that a connection without a whole answer stands for. */
export function broken(doing: string, cause: unknown, signal: AbortSignal): Failed {
  if (signal.aborted) return fail('KUBE_UNREACHABLE', `${doing}: no answer in time`);
  if (cause instanceof SignetError) {
    const details = { tooLong: cause.code === 'HTTP_ANSWER_TOO_LONG' };
    return fail('KUBE_ANSWER', `${doing}: ${cause.message}`, { details });
  }
  return fail('KUBE_UNREACHABLE', `${doing}: no answer (${errnoCode(cause)})`, { cause });
}

function takeLines(
  response: IncomingMessage,
  { doing, maxLineBytes, onLine }: LineCall,
  resolve: (result: Result<void>) => void,
): void {
  const splitter = new LineSplitter(maxLineBytes);
  const end = (refusal: Failed): void => {
    resolve(refusal);
    response.destroy();
  };
  response.on('data', (chunk: Buffer) => {
    const { lines, tooLong } = splitter.split(chunk);
    for (const line of lines) {
      const taken = line.length === 0 ? ok(undefined) : onLine(Buffer.from(line).toString('utf8'));
      if (!taken.ok) return end(taken);
    }
    if (tooLong) end(fail('KUBE_ANSWER', `${doing}: an event of over ${maxLineBytes} bytes`));
  });
  response.on('end', () => resolve(ok(undefined)));
}

function takeRefusal(
  response: IncomingMessage,
  doing: string,
  resolve: (result: Result<void>) => void,
): void {
  const { statusCode = 0, headers } = response;
  const parts: Buffer[] = [];
  let length = 0;
  const done = (): void => {
    const text = Buffer.concat(parts).toString('utf8');
    resolve(refusedBy(doing, statusCode, parseKubeObject(text), headers));
  };
  response.on('end', done).on('data', (chunk: Buffer) => {
    parts.push(chunk);
    length += chunk.length;
    if (length <= MAX_REFUSAL_BYTES) return;
    done();
    response.destroy();
  });
}
