import { fail, ok, type Result } from '../base/result.ts';

/** A proxy that connections are made through by HTTP CONNECT (RFC 9110 §9.3.6). */
export interface HttpProxy {
  readonly host: string;
  readonly port: number;
  /** `user:password`, sent to the proxy by Basic authentication. */
  readonly credentials: string | undefined;
}

/**
 * Reads the URL of a proxy, such as `http://user:password@proxy.example.org:3128`. The way to the proxy is
 * plain; what goes through it is TLS. Fails with CONFIG_INVALID; never says the password.
 */
export function parseHttpProxy(text: string): Result<HttpProxy> {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.hostname === '') {
    return fail('CONFIG_INVALID', 'a proxy is no URL: write http://host:port');
  }
  if (url.protocol !== 'http:' || (url.pathname !== '/' && url.pathname !== '') || url.search) {
    return fail('CONFIG_INVALID', `a proxy has to be http://host:port, not ${url.protocol}//…`);
  }
  const login = loginOf(url);
  if (!login.ok) return login;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return ok({ host, port: url.port === '' ? 80 : Number(url.port), credentials: login.value });
}

function loginOf({ username, password }: URL): Result<string | undefined> {
  if (username === '') return ok(undefined);
  try {
    return ok(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`);
  } catch {
    return fail('CONFIG_INVALID', 'user or password of a proxy is not percent-encoded as URLs are');
  }
}

/** Variables of a process. */
type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy that the environment names for a host: HTTPS_PROXY, unless NO_PROXY excludes the host; either
 * may be in lower case. Undefined where there is none. Fails with CONFIG_INVALID.
 */
export function proxyFromEnvironment(
  env: Environment,
  host: string,
): Result<HttpProxy | undefined> {
  const text = env.https_proxy ?? env.HTTPS_PROXY ?? '';
  if (text === '' || isExcluded(env.no_proxy ?? env.NO_PROXY ?? '', host.toLowerCase())) {
    return ok(undefined);
  }
  return parseHttpProxy(text);
}

/** `*`, names, and suffixes of names with or without a leading dot, parted by commas. */
function isExcluded(list: string, host: string): boolean {
  return list
    .toLowerCase()
    .split(',')
    .map((item) =>
      item
        .trim()
        .replace(/:\d+$/, '')
        .replace(/^\*?\./, ''),
    )
    .some((item) => item === '*' || (item !== '' && (host === item || host.endsWith(`.${item}`))));
}
