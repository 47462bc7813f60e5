import { Agent } from 'node:https';
import type { Clock } from '../base/clock.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { callHttp, type HttpAnswer, type HttpTls } from '../runtime/http-call.ts';
import { broken, readLines } from './lines.ts';
import type { KubeMetrics } from './metrics.ts';
import type { KubeObject } from './objects.ts';
import { type Impersonation, type KubeAccess, type KubePlace, readAccess } from './place.ts';
import { parseKubeObject, refusedBy } from './status.ts';

/** Kinds of PATCH. */
export type KubePatch = 'merge' | 'json' | 'apply';

/** One call. */
export interface KubeRequest {
  readonly verb: 'get' | 'list' | 'create' | 'update' | 'patch' | 'delete';
  /** Made by `pathOf`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>> | undefined;
  /** Sent as JSON. */
  readonly body?: object | undefined;
  /** How `body` is to be taken, with verb patch; `merge` unless told. */
  readonly patch?: KubePatch | undefined;
  /** Longest wait for the whole answer; 10 s unless told. */
  readonly timeoutMs?: number | undefined;
  /** Ends the call: KUBE_UNREACHABLE. */
  readonly signal?: AbortSignal | undefined;
}

/** A watch. */
export interface KubeStream {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** The server has agreed to tell. */
  readonly onOpen?: (() => void) | undefined;
  /** Each event as it arrives; a refusal ends the stream with it. */
  readonly onEvent: (event: KubeObject) => Result<void>;
  readonly signal: AbortSignal;
}

/** The way to one API server. Errors of all calls: KUBE_*. */
export interface KubeApi {
  /** What the cluster is called in metrics and messages. */
  readonly name: string;
  /** How far the server's clock is ahead of ours, by its last answer; undefined before the first. */
  readonly serverAheadMs: number | undefined;
  /** Asks, and reads the answer whole. */
  request(request: KubeRequest): Promise<Result<KubeObject>>;
  /** Reads events until the server ends the stream, which is no failure. */
  stream(stream: KubeStream): Promise<Result<void>>;
  /** Ends what is under way and lets the connections go. */
  close(): void;
}

/** What the way to an API server needs beside its place. */
export interface KubeParts {
  readonly clock: Clock;
  readonly metrics?: KubeMetrics | undefined;
  /** What the cluster is called; `default` unless told. */
  readonly name?: string | undefined;
  /** Longest answer in bytes; 64 MiB unless told. */
  readonly maxAnswerBytes?: number | undefined;
}

/** Longest answer in bytes: a page of 100 large objects. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** Longest event in bytes; etcd takes objects of 1.5 MiB. */
const MAX_EVENT_BYTES = 8 * 1024 * 1024;
const TIMEOUT_MS = 10_000;
/** How old kubeconfig, token and certificates may be; the kubelet renews tokens 12 minutes ahead. */
const MAX_ACCESS_AGE_MS = 60_000;

const METHODS = {
  get: 'GET',
  list: 'GET',
  create: 'POST',
  update: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
} as const;

const PATCH_TYPES: Readonly<Record<KubePatch, string>> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
};

/**
 * Opens the way to a cluster: its files are read, nothing is asked of it yet. They are read again every
 * minute that it is used, and when the server refuses who we are. Fails with KUBE_CONFIG.
 */
export async function openKubeApi(place: KubePlace, parts: KubeParts): Promise<Result<KubeApi>> {
  const access = await readAccess(place);
  return access.ok ? ok(kubeApiOf(place, access.value, parts)) : access;
}

/** Like {@link openKubeApi} where the files of the place were just read. */
export function kubeApiOf(place: KubePlace, access: KubeAccess, parts: KubeParts): KubeApi {
  return new KubeClient(place, access, parts);
}

/** A call as HTTPS takes it. */
interface Prepared {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly ca: string | undefined;
  readonly tls: HttpTls;
}

class KubeClient implements KubeApi {
  readonly name: string;
  readonly #place: KubePlace;
  readonly #clock: Clock;
  readonly #metrics: KubeMetrics | undefined;
  readonly #agent: Agent;
  readonly #closed = new AbortController();
  readonly #maxAnswerBytes: number;
  #access: KubeAccess;
  #readAtMs: number;
  #serverAheadMs: number | undefined;

  constructor(place: KubePlace, access: KubeAccess, parts: KubeParts) {
    const { clock, metrics, name, maxAnswerBytes } = parts;
    this.name = name ?? 'default';
    this.#maxAnswerBytes = maxAnswerBytes ?? MAX_ANSWER_BYTES;
    this.#place = place;
    const { proxyEnv } = access;
    const proxied = proxyEnv === undefined ? {} : { proxyEnv };
    this.#agent = new Agent({ keepAlive: true, maxSockets: 16, ...proxied });
    this.#clock = clock;
    this.#metrics = metrics;
    this.#access = access;
    this.#readAtMs = clock.monotonicMs();
  }

  get serverAheadMs(): number | undefined {
    return this.#serverAheadMs;
  }

  async request(request: KubeRequest): Promise<Result<KubeObject>> {
    const used = await this.#current();
    const first = await this.#request(request, used);
    if (first.ok || first.error.code !== 'KUBE_CREDENTIALS') return first;
    // Token or certificate may have rotated: once more with what the files hold now, if it is another.
    await this.#readAgain();
    const { token, identity } = this.#access;
    const same = token === used.token && identity?.certificate === used.identity?.certificate;
    return same ? first : this.#request(request, this.#access);
  }

  async stream({ path, query, onOpen, onEvent, signal }: KubeStream): Promise<Result<void>> {
    const doing = `watch ${path}`;
    const { url, headers, ca, tls } = this.#prepare(await this.#current(), path, query);
    const result = await readLines(url, {
      doing,
      headers,
      tls: { ...tls, ca },
      maxLineBytes: MAX_EVENT_BYTES,
      signal: AbortSignal.any([signal, this.#closed.signal]),
      onOpen: onOpen ?? (() => {}),
      onLine(line) {
        const event = parseKubeObject(line);
        if (event === undefined) return fail('KUBE_ANSWER', `${doing}: an event is no JSON`);
        return onEvent(event);
      },
    });
    this.#metrics?.called(this.name, 'watch', result.ok ? 'ok' : result.error.code);
    // The next try is with what the files hold then.
    if (!result.ok && result.error.code === 'KUBE_CREDENTIALS') await this.#readAgain();
    return result;
  }

  close(): void {
    this.#closed.abort();
    this.#agent.destroy();
  }

  async #request(request: KubeRequest, access: KubeAccess): Promise<Result<KubeObject>> {
    const { verb, path, query = {}, body, patch = 'merge', timeoutMs = TIMEOUT_MS } = request;
    const { url, headers, ca, tls } = this.#prepare(access, path, query);
    const type = verb === 'patch' ? PATCH_TYPES[patch] : 'application/json';
    const late = new AbortController();
    const cancel = this.#clock.after(timeoutMs, () => late.abort());
    const signals = [late.signal, this.#closed.signal, request.signal];
    const signal = AbortSignal.any(signals.filter((one) => one !== undefined));
    const doing = `${verb} ${path}`;
    let result: Result<KubeObject>;
    try {
      const answer = await callHttp(url, {
        method: METHODS[verb],
        headers: body === undefined ? headers : { ...headers, 'content-type': type },
        body: body === undefined ? undefined : JSON.stringify(body),
        ca,
        tls,
        agent: this.#agent,
        maxAnswerBytes: this.#maxAnswerBytes,
        signal,
      });
      const saidMs = Date.parse(answer.headers.date ?? '');
      if (!Number.isNaN(saidMs)) this.#serverAheadMs = saidMs - this.#clock.nowMs();
      result = judge(doing, answer);
    } catch (cause) {
      result = broken(doing, cause, signal);
    } finally {
      cancel();
    }
    this.#metrics?.called(this.name, verb, result.ok ? 'ok' : result.error.code);
    return result;
  }

  #prepare(access: KubeAccess, path: string, query: Readonly<Record<string, string>>): Prepared {
    const { server, ca, serverName, token, identity, impersonate } = access;
    const url = new URL(server.pathname.replace(/\/$/, '') + path, server);
    url.search = new URLSearchParams(query).toString();
    return {
      url,
      headers: {
        accept: 'application/json',
        'user-agent': 'signet',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(impersonate === undefined ? {} : impersonationOf(impersonate)),
      },
      ca,
      tls: {
        ...(identity === undefined ? {} : { cert: identity.certificate, key: identity.key }),
        ...(serverName === undefined ? {} : { servername: serverName }),
      },
    };
  }

  async #current(): Promise<KubeAccess> {
    if (this.#clock.monotonicMs() - this.#readAtMs >= MAX_ACCESS_AGE_MS) await this.#readAgain();
    return this.#access;
  }

  /** Takes what the files hold now; what could not be read leaves the last in place. */
  async #readAgain(): Promise<void> {
    this.#readAtMs = this.#clock.monotonicMs();
    const access = await readAccess(this.#place);
    if (access.ok) this.#access = access.value;
  }
}

function impersonationOf({ user, groups, uid }: Impersonation): Record<string, string | string[]> {
  return {
    'impersonate-user': user,
    ...(groups.length === 0 ? {} : { 'impersonate-group': [...groups] }),
    ...(uid === undefined ? {} : { 'impersonate-uid': uid }),
  };
}

function judge(doing: string, { status, headers, text }: HttpAnswer): Result<KubeObject> {
  const object = parseKubeObject(text);
  if (status < 200 || status > 299) return refusedBy(doing, status, object, headers);
  return object === undefined ? fail('KUBE_ANSWER', `${doing}: the answer is no JSON`) : ok(object);
}
