import { createHmac } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { errnoCode } from '../../runtime/atomic-file.ts';
import { callHttp } from '../../runtime/http-call.ts';
import { readSecret } from '../../runtime/secret.ts';
import type { IsolationHook } from './isolation.ts';

/** Longest answer that is read, in bytes: only its status counts. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** Waits between attempts, doubling. */
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;

/** An address to be called. */
export interface Webhook {
  /** HTTPS. */
  readonly url: URL;
  /** File with a token that goes with each call. */
  readonly bearerPath: string | undefined;
  /** File with a key that signs the body: `Signet-Signature: t=<seconds>,v1=<hex HMAC-SHA-256 of "<seconds>.<body>">`. */
  readonly hmacKeyPath: string | undefined;
  /** Certificates in PEM that the other side's must lead to; the system's unless given. */
  readonly ca: string | undefined;
  /** Of one attempt. */
  readonly timeoutMs: number;
  readonly attempts: number;
  readonly clock: Clock;
}

/** Posts the order as JSON; 2xx is done. What may pass is tried again, a refusal (4xx) is not. */
export function createWebhook(hook: Webhook): IsolationHook {
  return async (order, signal) => {
    const body = JSON.stringify(order);
    let waitMs = FIRST_RETRY_MS;
    let last: Result<void> = fail('ISOLATION_FAILED', 'it was not called');
    for (let attempt = 1; attempt <= hook.attempts; attempt++) {
      const outcome = await post(hook, body, signal);
      if (outcome.ok || !outcome.error.details.again || signal.aborted) return outcome;
      last = outcome;
      if (attempt < hook.attempts) await pause(hook.clock, waitMs, signal);
      waitMs = Math.min(waitMs * 2, LONGEST_RETRY_MS);
    }
    return last;
  };
}

async function post(hook: Webhook, body: string, signal: AbortSignal): Promise<Result<void>> {
  const { url, ca, timeoutMs, clock } = hook;
  const headers = await headersFor(hook, body);
  if (!headers.ok) return headers;
  const controller = new AbortController();
  const cancel = clock.after(timeoutMs, () => controller.abort());
  try {
    const answer = await callHttp(url, {
      method: 'POST',
      headers: headers.value,
      body,
      ca,
      maxAnswerBytes: MAX_ANSWER_BYTES,
      signal: AbortSignal.any([signal, controller.signal]),
    });
    if (answer.status >= 200 && answer.status < 300) return ok(undefined);
    const again = answer.status >= 500 || answer.status === 429 || answer.status === 408;
    return failed(`${url.host} answered ${answer.status}`, again);
  } catch (cause) {
    const why = controller.signal.aborted
      ? `no answer in ${timeoutMs} ms`
      : `no answer (${errnoCode(cause)})`;
    return failed(`${url.host}: ${why}`, true, cause);
  } finally {
    cancel();
  }
}

async function headersFor(
  { bearerPath, hmacKeyPath, clock }: Webhook,
  body: string,
): Promise<Result<Readonly<Record<string, string>>>> {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  const place = { variable: '', code: 'ISOLATION_FAILED' } as const;
  if (bearerPath !== undefined) {
    const setting = 'dpu.isolation.webhook.bearerPath';
    const bearer = await readSecret({ ...place, path: bearerPath, setting });
    if (!bearer.ok) return bearer;
    headers.authorization = `Bearer ${bearer.value}`;
  }
  if (hmacKeyPath !== undefined) {
    const setting = 'dpu.isolation.webhook.hmacKeyPath';
    const key = await readSecret({ ...place, path: hmacKeyPath, setting });
    if (!key.ok) return key;
    const seconds = Math.floor(clock.nowMs() / 1000);
    const mac = createHmac('sha256', key.value).update(`${seconds}.${body}`).digest('hex');
    headers['signet-signature'] = `t=${seconds},v1=${mac}`;
  }
  return ok(headers);
}

function failed(message: string, again: boolean, cause?: unknown): Result<never> {
  return fail('ISOLATION_FAILED', message, { details: { again }, cause });
}

function pause(clock: Clock, waitMs: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = clock.after(waitMs, resolve);
  signal.addEventListener('abort', () => resolve(), { once: true });
  return promise.finally(cancel);
}
