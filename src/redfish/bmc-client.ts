import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { type Failed, fail, ok, type Result } from '../base/result.ts';
import type { JsonObject } from '../spiffe/json.ts';
import type { BmcCredentials } from './credentials.ts';
import { followStream, type StreamListener } from './event-stream.ts';
import { type BmcAnswer, type Exchange, exchange } from './exchange.ts';
import { type BmcPace, DEFAULT_PACE, deadline } from './pace.ts';
import type { BmcPlace } from './place.ts';
import { parseResourcePath, type ResourcePath, resourcePath } from './resource-path.ts';
import { TargetTurns } from './target-turns.ts';
import { TlsAgent } from './tls-agent.ts';

/** What a client of one BMC needs. */
export interface BmcClientOptions {
  readonly place: BmcPlace;
  readonly credentials: BmcCredentials;
  readonly clock: Clock;
  readonly random: Random;
  readonly pace?: Partial<BmcPace>;
  /** One for all clients of a process, so that its collections do not meet at one target. */
  readonly turns?: TargetTurns;
}

/** How one request is made. */
export interface BmcCall {
  readonly query?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The service root, which a client reads without an account and once. */
export const SERVICE_ROOT = resourcePath('/redfish/v1');
const SESSIONS = resourcePath('/redfish/v1/SessionService/Sessions');
const TOKEN = /^[\x21-\x7e]{1,1024}$/;
/** Ending a session is a courtesy: BMCs hold few of them, and drop them after half an hour. */
const LOGOUT_MS = 3_000;

interface Session {
  readonly token: string;
  readonly path: ResourcePath | undefined;
}

/**
 * Requests to one BMC over HTTPS, as one account. States: open → closed. A session is made at the first
 * request that needs it, made once more where the BMC forgot it, and ended by {@link BmcClient.close}.
 * A wrong password is tried once: BMCs lock accounts.
 */
export class BmcClient {
  readonly origin: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly pace: BmcPace;
  readonly turns: TargetTurns;
  readonly #credentials: BmcCredentials;
  readonly #agent: TlsAgent;
  readonly #closing = new AbortController();
  #session: Promise<Result<Session>> | undefined;
  /** The session that was made last: what is to be ended. */
  #held: Session | undefined;

  constructor(options: BmcClientOptions) {
    const { place, credentials, clock, random, pace, turns = new TargetTurns() } = options;
    this.origin = place.origin;
    this.clock = clock;
    this.random = random;
    this.pace = { ...DEFAULT_PACE, ...pace };
    this.turns = turns;
    this.#credentials = credentials;
    this.#agent = new TlsAgent({ place, clock, connectTimeoutMs: this.pace.connectTimeoutMs });
  }

  /** One resource; asked for once more where the connection broke, as kept ones do. */
  async get(path: ResourcePath, call: BmcCall = {}): Promise<Result<JsonObject>> {
    const first = await this.#follow(path, call);
    const again = !first.ok && first.error.code === 'REDFISH_UNREACHABLE';
    const answer = again && call.signal?.aborted !== true ? await this.#follow(path, call) : first;
    if (!answer.ok) return answer;
    const { body } = answer.value;
    return body === undefined ? fail('REDFISH_ANSWER_SHAPE', `GET ${path}: no content`) : ok(body);
  }

  /** Does something; never twice, unless the BMC said that it did not know the session. */
  async post(
    path: ResourcePath,
    body: Readonly<Record<string, unknown>>,
    call: BmcCall = {},
  ): Promise<Result<BmcAnswer>> {
    const answer = await this.#asAccount({ method: 'POST', path, body }, call);
    return answer.ok && isRedirect(answer.value) ? redirected(path) : answer;
  }

  /**
   * Follows a stream to its end, in a session that is made anew once where the BMC forgot it. Fails as
   * {@link followStream} does.
   */
  async follow(
    path: ResourcePath,
    listener: StreamListener,
    signal: AbortSignal,
  ): Promise<Result<void>> {
    const request = { origin: this.origin, path, agent: this.#agent, signal };
    for (let again = true; ; again = false) {
      const headers = await this.#accountHeaders();
      if (!headers.ok) return headers;
      const followed = await followStream({ ...request, headers: headers.value }, listener);
      const forgotten = !followed.ok && followed.error.code === 'REDFISH_UNAUTHENTICATED';
      if (!forgotten || !again || this.#credentials.method === 'basic') return followed;
      this.#session = undefined;
    }
  }

  /** Ends the session and every connection. A BMC that does not answer is not waited for. */
  async close(): Promise<void> {
    // A session that is being made is not waited for.
    this.#closing.abort();
    if (this.#held?.path !== undefined) {
      const { token, path } = this.#held;
      this.#held = undefined;
      // Whatever comes back: there is nothing that could be done about it.
      await this.#send({ method: 'DELETE', path }, { 'x-auth-token': token }, LOGOUT_MS);
    }
    this.#agent.destroy();
  }

  /** One redirect, for a slash or another spelling, to the same BMC. */
  async #follow(path: ResourcePath, call: BmcCall): Promise<Result<BmcAnswer>> {
    const first = await this.#asAccount({ method: 'GET', path, query: call.query }, call);
    if (!first.ok || !isRedirect(first.value)) return first;
    const next = parseResourcePath(first.value.headers.location ?? '', this.origin);
    if (!next.ok) return redirected(path);
    // Written as it came, where it is a slash that makes the difference.
    const slash = first.value.headers.location?.endsWith('/') === true ? '/' : '';
    const request = { method: 'GET', path: `${next.value}${slash}`, query: call.query } as const;
    const second = await this.#asAccount(request, call);
    return second.ok && isRedirect(second.value) ? redirected(path) : second;
  }

  async #asAccount(request: Asked, call: BmcCall): Promise<Result<BmcAnswer>> {
    const timeoutMs = this.pace.requestTimeoutMs;
    if (this.#credentials.method === 'basic') {
      return this.#send(request, this.#basicHeaders(), timeoutMs, call.signal);
    }
    const before = this.#session;
    const answer = await this.#inSession(request, timeoutMs, call.signal);
    const forgotten = !answer.ok && answer.error.code === 'REDFISH_UNAUTHENTICATED';
    if (!forgotten || (await before)?.ok !== true) return answer;
    // Unless another request noticed it first, and made a new one.
    if (this.#session === before) this.#session = undefined;
    return this.#inSession(request, timeoutMs, call.signal);
  }

  #basicHeaders(): Readonly<Record<string, string>> {
    const { userName, password } = this.#credentials;
    const encoded = Buffer.from(`${userName}:${password}`, 'utf8').toString('base64');
    return { authorization: `Basic ${encoded}` };
  }

  async #accountHeaders(): Promise<Result<Readonly<Record<string, string>>>> {
    if (this.#credentials.method === 'basic') return ok(this.#basicHeaders());
    this.#session ??= this.#logIn();
    const session = await this.#session;
    if (session.ok) return ok({ 'x-auth-token': session.value.token });
    // A refusal stays, so that a wrong password is sent once; what passes by itself is tried again.
    if (session.error.retryable) this.#session = undefined;
    return session;
  }

  async #inSession(
    request: Asked,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Result<BmcAnswer>> {
    const headers = await this.#accountHeaders();
    return headers.ok ? this.#send(request, headers.value, timeoutMs, signal) : headers;
  }

  async #logIn(): Promise<Result<Session>> {
    const { userName, password } = this.#credentials;
    const body = { UserName: userName, Password: password };
    const request = { method: 'POST', path: SESSIONS, body } as const;
    const { signal } = this.#closing;
    const answer = await this.#send(request, {}, this.pace.requestTimeoutMs, signal);
    if (!answer.ok) return answer;
    if (isRedirect(answer.value)) return redirected(SESSIONS);
    const { 'x-auth-token': token, location } = answer.value.headers;
    if (typeof token !== 'string' || !TOKEN.test(token)) {
      return fail('REDFISH_ANSWER_SHAPE', 'the BMC made a session without a token');
    }
    const path = parseResourcePath(location ?? '', this.origin);
    this.#held = { token, path: path.ok ? path.value : undefined };
    return ok(this.#held);
  }

  async #send(
    request: Asked,
    headers: Readonly<Record<string, string>>,
    timeoutMs: number,
    outer?: AbortSignal,
  ): Promise<Result<BmcAnswer>> {
    const { signal, release } = deadline(this.clock, timeoutMs, outer);
    try {
      return await exchange({
        ...request,
        headers,
        origin: this.origin,
        agent: this.#agent,
        signal,
      });
    } finally {
      release();
    }
  }
}

/** A client as its readers see it. */
export type Bmc = Pick<
  BmcClient,
  'origin' | 'clock' | 'random' | 'pace' | 'turns' | 'get' | 'post'
>;

type Asked = Pick<Exchange, 'method' | 'path' | 'query' | 'body'>;

function isRedirect({ status }: BmcAnswer): boolean {
  return status >= 300 && status < 400;
}

function redirected(path: string): Failed {
  return fail('REDFISH_REDIRECT', `${path}: the BMC redirects to where nobody follows`);
}
