import type { IncomingHttpHeaders } from 'node:http';
import type { Agent } from 'node:https';
import { type ErrorCode, SignetError } from '../base/errors.ts';
import { type Failed, fail, ok, type Result } from '../base/result.ts';
import { callHttp, type HttpAnswer } from '../runtime/http-call.ts';
import { isJsonObject, type JsonObject, parseJsonObject } from '../spiffe/json.ts';

/** One request to a BMC. */
export interface Exchange {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly origin: string;
  readonly path: string;
  /** Such as `$expand=.($levels=1)`; sent as it is. */
  readonly query?: string | undefined;
  /** Sent as JSON. */
  readonly body?: Readonly<Record<string, unknown>> | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly agent: Agent;
  readonly signal: AbortSignal;
}

/** What a BMC answered, where it is neither a refusal nor a fault. */
export interface BmcAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Undefined where the answer has no body. */
  readonly body: JsonObject | undefined;
}

/** Longest answer that is read: evidence of 64 KiB in base64 fits three times. */
export const MAX_ANSWER_BYTES = 256 * 1024;
const MAX_ANSWER_DEPTH = 16;
const MAX_HINT_SECONDS = 86_400;

const CODES: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [401, 'REDFISH_UNAUTHENTICATED'],
  [403, 'REDFISH_FORBIDDEN'],
  [404, 'REDFISH_NOT_FOUND'],
  [429, 'REDFISH_BUSY'],
  [503, 'REDFISH_BUSY'],
]);

/**
 * One request and its answer, judged: statuses and error objects become refusals, JSON is read strictly.
 * Nothing of what was sent, and of the answer at most its message identifier, gets into a refusal.
 */
export async function exchange(request: Exchange): Promise<Result<BmcAnswer>> {
  const { method, origin, path, query, body, agent, signal } = request;
  const url = new URL(origin + path);
  if (query !== undefined) url.search = query;
  const what = `${method} ${path}`;
  let answer: HttpAnswer;
  try {
    answer = await callHttp(url, {
      method,
      headers: headersOf(request),
      body: body === undefined ? undefined : JSON.stringify(body),
      agent,
      maxAnswerBytes: MAX_ANSWER_BYTES,
      signal,
    });
  } catch (cause) {
    return noAnswer(what, cause, signal);
  }
  return judgeAnswer(what, answer);
}

/** What an answer is worth: its content, or why it is a refusal. `what` stands in messages. */
export function judgeAnswer(
  what: string,
  answer: Pick<HttpAnswer, 'status' | 'headers' | 'bytes'>,
): Result<BmcAnswer> {
  const { status, headers, bytes } = answer;
  const redirected = status >= 300 && status < 400;
  const read = bytes.length === 0 ? ok(undefined) : parseAnswer(bytes, what);
  if (status < 200 || (status >= 300 && !redirected)) {
    return refused(what, answer, read.ok ? read.value : undefined);
  }
  if (redirected) return ok({ status, headers, body: undefined });
  if (!read.ok) return read;
  // Beside valid fields too: what a BMC could not find out must never be taken for a finding.
  if (read.value?.has('error') === true) return fault(what, status, read.value);
  return ok({ status, headers, body: read.value });
}

function headersOf({ headers, body }: Exchange): Readonly<Record<string, string>> {
  return {
    accept: 'application/json',
    'accept-encoding': 'identity',
    'odata-version': '4.0',
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...headers,
  };
}

function parseAnswer(bytes: Uint8Array, what: string): Result<JsonObject> {
  const parsed = parseJsonObject(bytes, { maxBytes: MAX_ANSWER_BYTES, maxDepth: MAX_ANSWER_DEPTH });
  if (parsed.ok) return parsed;
  return fail('REDFISH_ANSWER_MALFORMED', `${what}: ${parsed.error.message}`);
}

/** Why there is no whole answer. `what` stands in messages. */
export function noAnswer(what: string, cause: unknown, signal: AbortSignal): Failed {
  if (signal.aborted) return fail('REDFISH_TIMEOUT', `${what}: no answer in time`);
  if (cause instanceof SignetError) {
    if (cause.code !== 'HTTP_ANSWER_TOO_LONG') return { ok: false, error: cause };
    return fail('REDFISH_ANSWER_TOO_LARGE', `${what}: longer than ${MAX_ANSWER_BYTES} bytes`);
  }
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'no code';
  if (code === 'HPE_HEADER_OVERFLOW') {
    return fail('REDFISH_ANSWER_TOO_LARGE', `${what}: its headers are too long`);
  }
  return fail('REDFISH_UNREACHABLE', `${what}: no whole answer (${code})`, { cause });
}

function refused(
  what: string,
  { status, headers }: Pick<HttpAnswer, 'status' | 'headers'>,
  body?: JsonObject,
): Failed {
  const code = CODES.get(status) ?? (status >= 500 ? 'REDFISH_FAULT' : 'REDFISH_REFUSED');
  const hintMs = retryAfterMs(headers);
  const details = { status, ...(hintMs === undefined ? {} : { retryAfterMs: hintMs }) };
  return fail(code, `${what}: status ${status}${messageId(body)}`, { details });
}

function fault(what: string, status: number, body: JsonObject): Failed {
  const message = `${what}: status ${status}, but an error object in it${messageId(body)}`;
  return fail('REDFISH_FAULT', message, { details: { status } });
}

/** Redfish §8.6: `error.code`, shown where it has the form of a message identifier and nothing else. */
function messageId(body: JsonObject | undefined): string {
  const error = body?.get('error');
  const code = isJsonObject(error) ? error.get('code') : undefined;
  return typeof code === 'string' && /^[A-Za-z0-9._]{1,80}$/.test(code) ? ` (${code})` : '';
}

/** RFC 9110 §10.2.3, seconds only: the date form needs a clock that BMCs do not have. */
function retryAfterMs(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['retry-after'] ?? '';
  if (!/^[0-9]{1,6}$/.test(text)) return undefined;
  return Math.min(Number(text), MAX_HINT_SECONDS) * 1000;
}
