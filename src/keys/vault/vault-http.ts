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

/** What Vault's refusals, and the lack of an answer, come down to. */
export type VaultRefusal =
  | 'settings'
  | 'credentials'
  | 'permission'
  | 'missing'
  | 'disabled'
  | 'unsupported'
  /** What is to be decrypted was not encrypted so. */
  | 'broken'
  | 'throttled'
  | 'sealed'
  | 'dependency'
  | 'fault'
  | 'refused'
  | 'timeout'
  | 'unreachable';

/** The codes that they have for who asks. */
export type VaultCodes = Readonly<Record<VaultRefusal, ErrorCode>>;

/** Longest answer that is read, in bytes. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

const REFUSALS: ReadonlyMap<number, VaultRefusal> = new Map<number, VaultRefusal>([
  [401, 'credentials'],
  [403, 'permission'],
  [404, 'missing'],
  [429, 'throttled'],
  [502, 'dependency'],
  [503, 'sealed'], // Or a standby without a leader.
  [504, 'dependency'],
]);

/** Refusals that share a status and are told apart by their words. */
const WORDS: readonly (readonly [number, RegExp, VaultRefusal])[] = [
  [400, /minimum (encryption|decryption) key version|disallowed by policy/i, 'disabled'],
  [400, /message authentication failed|invalid ciphertext/i, 'broken'],
  [400, /key not found/i, 'missing'],
  [400, /unsupported|does not support/i, 'unsupported'],
  [403, /(invalid|bad|missing) (client )?token/i, 'credentials'],
];

/**
 * Asks Vault; the value is the answer's JSON, undefined where it has none. Redirects are refused.
 * Errors: those of `codes`.
 */
export async function askVault(
  place: VaultPlace,
  request: VaultRequest,
  codes: VaultCodes,
): Promise<Result<unknown>> {
  let answer: HttpAnswer;
  try {
    answer = await send(place, request);
  } catch (cause) {
    const code = request.signal.aborted ? codes.timeout : codes.unreachable;
    return fail(code, `Vault, ${request.method} ${request.path}: no answer`, { cause });
  }
  const { status, text } = answer;
  if (status < 200 || status >= 300) {
    const words = WORDS.find(([each, pattern]) => each === status && pattern.test(text));
    const other = status >= 500 ? 'fault' : 'refused';
    const code = codes[words?.[2] ?? REFUSALS.get(status) ?? other];
    const message = `Vault, ${request.method} ${request.path}: status ${status}`;
    return fail(code, message, { cause: text.slice(0, 500) });
  }
  if (text === '') return ok(undefined);
  try {
    return ok(JSON.parse(text));
  } catch (cause) {
    return fail(codes.fault, `Vault, ${request.path}: the answer is no JSON`, { cause });
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
