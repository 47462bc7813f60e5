import type { IncomingMessage, ServerResponse } from 'node:http';
import type { OidcDocument } from './documents.ts';

/** What requests are answered from. */
export interface OidcPages {
  /** By path; undefined while there is no bundle. */
  readonly documents: () => ReadonlyMap<string, OidcDocument> | undefined;
  readonly cacheSeconds: number;
  /** A request was answered. */
  readonly answered: (status: number) => void;
}

/**
 * Answers one request from memory, and ends the connection. Nothing of a request is in an answer: paths
 * are compared as they came, and what host it was sent to does not matter.
 */
export function answerOidc(
  request: IncomingMessage,
  response: ServerResponse,
  pages: OidcPages,
): void {
  const { status, document } = judge(request, pages);
  pages.answered(status);
  const body = status === 200 && document !== undefined ? document.body : undefined;
  const text = body ?? Buffer.from(status === 304 ? '' : `${TEXTS[status]}\n`);
  response.writeHead(status, {
    ...(status === 304 ? {} : { 'Content-Type': body ? 'application/json' : 'text/plain' }),
    ...(status === 304 ? {} : { 'Content-Length': text.length }),
    ...(document === undefined
      ? { 'Cache-Control': 'no-store' }
      : { 'Cache-Control': `public, max-age=${pages.cacheSeconds}`, ETag: document.etag }),
    ...(status === 405 ? { Allow: 'GET, HEAD' } : {}),
    'X-Content-Type-Options': 'nosniff',
    // One request a connection: nothing is left to be smuggled behind the first.
    Connection: 'close',
  });
  response.end(request.method === 'HEAD' || status === 304 ? undefined : text);
}

const TEXTS = {
  200: '',
  304: '',
  400: 'a body is not allowed',
  404: 'there are /.well-known/openid-configuration and /keys below the issuer',
  405: 'GET or HEAD only',
  503: 'there is no key yet',
} as const;

interface Judged {
  readonly status: keyof typeof TEXTS;
  readonly document?: OidcDocument;
}

function judge({ method, url, headers }: IncomingMessage, { documents }: OidcPages): Judged {
  if (method !== 'GET' && method !== 'HEAD') return { status: 405 };
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = headers;
  if (encoding !== undefined || length !== '0') return { status: 400 };
  const known = documents();
  if (known === undefined) return { status: 503 };
  const document = known.get(url ?? '');
  if (document === undefined) return { status: 404 };
  return { status: isKnownThere(headers['if-none-match'], document) ? 304 : 200, document };
}

/** RFC 9110 §13.1.2: weak comparison, so `W/` does not matter. */
function isKnownThere(tags: string | undefined, { etag }: OidcDocument): boolean {
  if (tags === undefined) return false;
  const shown = tags.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return shown.includes(etag) || shown.includes('*');
}
