import { fail, ok, type Result } from '../base/result.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';
import { callHttp, type HttpAnswer } from '../runtime/http-call.ts';
import type { LokiConfig } from './settings.ts';
import type { AuditLine, AuditSink } from './sink.ts';

/** Largest file with a password, a token or certificates, in bytes. */
const MAX_FILE_BYTES = 1024 * 1024;
/** Longest answer that is read, in bytes. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** Nanoseconds of a millisecond. */
const NS_PER_MS = 1_000_000;

/**
 * Records as lines of one stream of Loki's push API (`POST /loki/api/v1/push`, JSON). Their times are
 * those of their batches; the index makes up the nanoseconds, so that order survives. Fails with
 * AUDIT_SETTINGS where the certificates cannot be read.
 */
export async function openLokiSink(config: LokiConfig): Promise<Result<AuditSink>> {
  const ca = config.caPath === undefined ? ok(undefined) : await readText(config.caPath, 'caPath');
  if (!ca.ok) return ca;
  const url = new URL('/loki/api/v1/push', config.url);
  return ok({
    async deliver(lines, signal) {
      const headers = await headersOf(config);
      if (!headers.ok) return headers;
      let answer: HttpAnswer;
      try {
        answer = await callHttp(url, {
          method: 'POST',
          headers: headers.value,
          body: pushBody(config.labels, lines),
          ca: ca.value,
          maxAnswerBytes: MAX_ANSWER_BYTES,
          signal: AbortSignal.any([signal, AbortSignal.timeout(config.timeout * 1000)]),
        });
      } catch (cause) {
        return fail('AUDIT_SINK_UNAVAILABLE', 'Loki: no answer', { cause });
      }
      return judge(answer);
    },
    reopen: async () => {},
    close: async () => {},
  });
}

/** The body of a push: one stream, a time in nanoseconds and a line for each record. */
export function pushBody(
  labels: Readonly<Record<string, string>>,
  lines: readonly AuditLine[],
): string {
  const values = lines.map(({ index, timeMs, text }) => [
    (BigInt(timeMs) * BigInt(NS_PER_MS) + BigInt(index % NS_PER_MS)).toString(),
    text,
  ]);
  return JSON.stringify({ streams: [{ stream: labels, values }] });
}

function judge({ status, headers, text }: HttpAnswer): Result<void> {
  if (status >= 200 && status < 300) return ok(undefined);
  const message = `Loki: status ${status}: ${text.trim().slice(0, 300)}`;
  if (status === 429 || status === 503) {
    const seconds = Number(headers['retry-after'] ?? 0);
    const retryAfterMs = Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0;
    const code = status === 429 ? 'AUDIT_SINK_THROTTLED' : 'AUDIT_SINK_UNAVAILABLE';
    return fail(code, message, { details: { retryAfterMs } });
  }
  return fail(status >= 500 ? 'AUDIT_SINK_UNAVAILABLE' : 'AUDIT_SINK_REFUSED', message);
}

/** Secrets are read at each push, so that a rotated one needs no restart. */
async function headersOf(config: LokiConfig): Promise<Result<Record<string, string>>> {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (config.tenant !== undefined) headers['x-scope-orgid'] = config.tenant;
  if (config.tokenPath !== undefined) {
    const token = await readText(config.tokenPath, 'tokenPath');
    if (!token.ok) return token;
    headers.authorization = `Bearer ${token.value.trim()}`;
  }
  if (config.username !== undefined && config.passwordPath !== undefined) {
    const password = await readText(config.passwordPath, 'passwordPath');
    if (!password.ok) return password;
    const pair = `${config.username}:${password.value.replace(/\r?\n$/, '')}`;
    headers.authorization = `Basic ${Buffer.from(pair).toString('base64')}`;
  }
  return ok(headers);
}

async function readText(path: string, setting: string): Promise<Result<string>> {
  const read = await readFileIfPresent(path, MAX_FILE_BYTES);
  if (read.ok && read.value !== undefined) return ok(Buffer.from(read.value).toString('utf8'));
  return fail('AUDIT_SETTINGS', `loki.${setting}: cannot read ${path}`);
}
