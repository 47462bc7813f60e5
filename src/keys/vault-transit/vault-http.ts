import type { ErrorCode } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { callHttp, type HttpAnswer } from '../../runtime/http-call.ts';

/** Where Vault is. */
export interface VaultPlace {
  /** Such as `https://vault.example.org:8200`. */
  readonly address: string;
  readonly namespace?: string | undefined;
  /** Certificates in PEM that its own must lead to; those of the system unless given. */
  readonly ca?: string | undefined;
}

/** One request; the body is sent as JSON. */
export interface VaultRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Below `/v1/`. */
  readonly path: string;
  readonly body?: unknown;
  readonly token?: string;
  readonly signal: AbortSignal;
}

/** Longest answer that is read, in bytes. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

const CODES: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [401, 'KEY_MANAGER_CREDENTIALS'],
  [403, 'KEY_PERMISSION'],
  [404, 'KEY_DELETED'],
  [429, 'KEY_MANAGER_THROTTLED'],
  [502, 'KEY_MANAGER_DEPENDENCY'],
  [503, 'KEY_UNAVAILABLE'], // Sealed, or a standby without a leader.
  [504, 'KEY_MANAGER_DEPENDENCY'],
]);

/** Refusals that share a status and are told apart by their words. */
const WORDS: readonly (readonly [number, RegExp, ErrorCode])[] = [
  [400, /minimum encryption key version/i, 'KEY_DISABLED'],
  [400, /key not found/i, 'KEY_DELETED'],
  [400, /unsupported|does not support/i, 'KEY_SIGNING_UNSUPPORTED'],
  [403, /(invalid|bad|missing) (client )?token/i, 'KEY_MANAGER_CREDENTIALS'],
];

/** Asks Vault; the value is the answer's JSON, undefined where it has none. Redirects are refused. */
export async function askVault(place: VaultPlace, request: VaultRequest): Promise<Result<unknown>> {
  let answer: HttpAnswer;
  try {
    answer = await send(place, request);
  } catch (cause) {
    const code = request.signal.aborted ? 'KEY_MANAGER_TIMEOUT' : 'KEY_MANAGER_UNREACHABLE';
    return fail(code, `Vault, ${request.method} ${request.path}: no answer`, { cause });
  }
  const { status, text } = answer;
  if (status < 200 || status >= 300) {
    const words = WORDS.find(([each, pattern]) => each === status && pattern.test(text));
    const code =
      words?.[2] ?? CODES.get(status) ?? (status >= 500 ? 'KEY_MANAGER_FAULT' : undefined);
    const message = `Vault, ${request.method} ${request.path}: status ${status}`;
    return fail(code ?? 'KEY_MANAGER_REFUSED', message, { cause: text.slice(0, 500) });
  }
  if (text === '') return ok(undefined);
  try {
    return ok(JSON.parse(text));
  } catch (cause) {
    return fail('KEY_MANAGER_FAULT', `Vault, ${request.path}: the answer is no JSON`, { cause });
  }
}

function send(place: VaultPlace, request: VaultRequest): Promise<HttpAnswer> {
  const { method, path, body, token, signal } = request;
  const headers = {
    'x-vault-request': 'true',
    'content-type': 'application/json',
    ...(token === undefined ? {} : { 'x-vault-token': token }),
    ...(place.namespace === undefined ? {} : { 'x-vault-namespace': place.namespace }),
  };
  return callHttp(new URL(`/v1/${path}`, place.address), {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    ca: place.ca,
    maxAnswerBytes: MAX_ANSWER_BYTES,
    signal,
  });
}
