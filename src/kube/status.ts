import type { IncomingHttpHeaders } from 'node:http';
import type { ErrorCode } from '../base/errors.ts';
import { type Failed, fail } from '../base/result.ts';
import { isKubeObject, type KubeObject, textAt } from './objects.ts';

const CODES: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [401, 'KUBE_CREDENTIALS'],
  [403, 'KUBE_FORBIDDEN'],
  [404, 'KUBE_NOT_FOUND'],
  [409, 'KUBE_CONFLICT'],
  [410, 'KUBE_GONE'],
  // Throttled by priority and fairness: the server is there, and will answer later.
  [429, 'KUBE_UNREACHABLE'],
]);

/** Longest part of the API server's own words that is told, in characters. */
const MAX_SAID = 300;
/** Longest wait that a server may ask for, in seconds. */
const MAX_RETRY_SECONDS = 60;

/** The refusal that a status other than 2xx stands for; its own words are quoted, nothing that was sent. */
export function refusedBy(
  doing: string,
  status: number,
  body: unknown,
  headers: IncomingHttpHeaders = {},
): Failed {
  const other = status >= 500 ? 'KUBE_UNREACHABLE' : 'KUBE_REFUSED';
  const said = isKubeObject(body) ? textAt(body, 'message') : undefined;
  const words = said === undefined ? '' : ` ${JSON.stringify(said.slice(0, MAX_SAID))}`;
  const waitMs = retryAfterMs(headers);
  return fail(CODES.get(status) ?? other, `${doing}: status ${status}${words}`, {
    details: { status, ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }) },
  });
}

/** One JSON object of the API server; undefined where the text is none. */
export function parseKubeObject(text: string): KubeObject | undefined {
  try {
    // The API server is trusted to write no key twice, and no number here is a 64-bit one.
    const value: unknown = JSON.parse(text);
    return isKubeObject(value) ? value : undefined;
  } catch {
    // A page of a proxy, or half an answer.
    return undefined;
  }
}

/** RFC 9110 §10.2.3, seconds, as priority and fairness says it. */
function retryAfterMs({ 'retry-after': text = '' }: IncomingHttpHeaders): number | undefined {
  if (!/^[0-9]{1,6}$/.test(text)) return undefined;
  return Math.min(Number(text), MAX_RETRY_SECONDS) * 1000;
}
