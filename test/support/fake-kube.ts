import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KubeObject, keyOf, metaOf, textAt, textMapAt } from '../../src/kube/objects.ts';
import { makeCertificate, makeRoot } from './x509.ts';

type PlainFault =
  | { readonly status: number; readonly headers?: Record<string, string> }
  | { readonly text: string; readonly status?: number };

/** What the fake does in place of an answer. */
export type KubeFault =
  | PlainFault
  /** It is served, and the answer held back until then. */
  | { readonly after: Promise<void> }
  | 'reset'
  | 'silence';

/** A call as the fake's tests see it. */
export interface FakeKubeCall {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly token: string | undefined;
}

interface KubeEvent {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  /** Collection without its namespace, such as `/api/v1/pods`. */
  readonly collection: string;
  readonly object: KubeObject;
}

interface OpenWatch {
  readonly answer: ServerResponse;
  readonly address: Address;
  readonly query: URLSearchParams;
}

interface Address {
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

const ADDRESS =
  /^(\/api\/v1|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+)(?=\/[^/]))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/;

/**
 * A fake of an API server: objects in memory over HTTPS, with watch, paging, versions and the faults that
 * a real one does not show when asked to. It checks nothing of what is in objects, and knows neither
 * roles nor admission: real behaviour is tried on a real one in test/peers.
 */
export class FakeKube {
  readonly #server: Server;
  readonly #dir: string;
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  readonly #watches = new Set<OpenWatch>();
  #events: KubeEvent[] = [];
  #version = 100;
  #oldest = 0;
  #watchers: (() => void)[] = [];
  /** The one good bearer token. */
  token = 'hush';
  /** Calls so far. */
  readonly calls: FakeKubeCall[] = [];
  /** What goes wrong with a call; undefined serves it. */
  fault: (call: FakeKubeCall) => KubeFault | undefined = () => undefined;
  /** Kinds by the path of their version, as `/apis/certificates.k8s.io/v1`; asked for none else. */
  readonly serves = new Map<string, readonly string[]>();
  /** Answers a TokenReview: its status. */
  review: (token: string, audiences: readonly string[]) => object = () => ({});

  private constructor(server: Server, dir: string) {
    this.#server = server;
    this.#dir = dir;
  }

  /** Starts one on loopback. */
  static async start(): Promise<FakeKube> {
    const root = makeRoot();
    const leaf = makeCertificate({ issuer: root, ips: [Uint8Array.of(127, 0, 0, 1)] });
    const key = leaf.key.privateKey.export({ type: 'pkcs8', format: 'pem' });
    const server = createServer({ cert: leaf.pem, key });
    const dir = await mkdtemp(join(tmpdir(), 'sgn-fake-kube-'));
    const fake = new FakeKube(server, dir);
    server.on('request', (request, answer) => void fake.#serve(request, answer));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    await writeFile(join(dir, 'ca.crt'), root.pem);
    await fake.rotateToken('hush');
    return fake;
  }

  get kubeconfigPath(): string {
    return join(this.#dir, 'kubeconfig');
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Watches that are open. */
  get watching(): number {
    return this.#watches.size;
  }

  /** Makes another token the good one; in the kubeconfig's file too, unless told not to. */
  async rotateToken(token: string, inFile = true): Promise<void> {
    this.token = token;
    if (!inFile) return;
    const config = {
      'current-context': 'c',
      clusters: [
        {
          name: 'c',
          cluster: { server: `https://127.0.0.1:${this.port}`, 'certificate-authority': 'ca.crt' },
        },
      ],
      users: [{ name: 'c', user: { token } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }],
    };
    await writeFile(this.kubeconfigPath, JSON.stringify(config));
  }

  /** Puts an object, as by somebody else; version and uid are filled in where they are missing. */
  put(collection: string, object: object): KubeObject {
    const copy = structuredClone(object) as KubeObject;
    const key = keyOf(metaOf(copy));
    const held = this.#collection(collection).get(key);
    const uid =
      metaOf(copy).uid || (held === undefined ? `uid-${this.#version}` : metaOf(held).uid);
    const metadata = {
      ...(copy.metadata as object),
      uid,
      resourceVersion: String(++this.#version),
    };
    const put = { ...copy, metadata };
    this.#collection(collection).set(key, put);
    this.#happened(collection, held === undefined ? 'ADDED' : 'MODIFIED', put);
    return put;
  }

  /** An object by its key, as it stands. */
  object(collection: string, key: string): KubeObject | undefined {
    return this.#collection(collection).get(key);
  }

  /** Deletes an object by its key. */
  remove(collection: string, key: string): void {
    const held = this.#collection(collection).get(key);
    if (held === undefined || !this.#collection(collection).delete(key)) return;
    const metadata = { ...(held.metadata as object), resourceVersion: String(++this.#version) };
    this.#happened(collection, 'DELETED', { ...held, metadata });
  }

  /** Forgets what happened so far, so that older versions are gone. */
  compact(): void {
    this.#events = [];
    this.#oldest = this.#version;
  }

  /** Sends a line to every open watch. */
  say(line: string): void {
    for (const { answer } of this.#watches) answer.write(line);
  }

  /** Tells the version, as API servers do from time to time. */
  bookmark(): void {
    const object = { metadata: { resourceVersion: String(this.#version) } };
    this.say(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  }

  /** Ends every open watch, whole or by a broken connection. */
  endWatches(how: 'end' | 'reset' = 'end'): void {
    for (const watch of this.#watches) {
      this.#watches.delete(watch);
      if (how === 'end') watch.answer.end();
      else watch.answer.destroy();
    }
  }

  /** Answers when so many watches are open. */
  async whenWatching(count = 1): Promise<void> {
    while (this.#watches.size < count) {
      await new Promise<void>((resolve) => this.#watchers.push(resolve));
    }
  }

  async stop(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
    await rm(this.#dir, { recursive: true, force: true });
  }

  #collection(path: string): Map<string, KubeObject> {
    const held = this.#objects.get(path) ?? new Map<string, KubeObject>();
    this.#objects.set(path, held);
    return held;
  }

  #happened(collection: string, type: KubeEvent['type'], object: KubeObject): void {
    const event = { version: this.#version, type, collection, object };
    this.#events.push(event);
    for (const watch of this.#watches) tell(watch, event);
  }

  async #serve(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'https://fake');
    const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1];
    const { method = '' } = request;
    const call = { method, path: url.pathname, query: url.searchParams, token };
    const body = Buffer.concat(await request.toArray()).toString();
    this.calls.push(call);
    const planted = this.fault(call);
    const held = typeof planted === 'object' && 'after' in planted;
    const fault = held ? undefined : planted;
    // What is asked has its effect at once, as far as others can see.
    if (held) holdBack(answer, planted.after);
    if (fault === 'reset') request.socket.destroy();
    else if (fault !== undefined && fault !== 'silence') fail(answer, fault);
    else if (fault === undefined && token !== this.token) refuse(answer, 401);
    else if (fault === undefined) {
      const object: KubeObject = body === '' ? {} : JSON.parse(body);
      const isApply = request.headers['content-type'] === 'application/apply-patch+yaml';
      this.#answer({ ...call, method: isApply ? 'APPLY' : method }, object, answer);
    }
  }

  #answer(call: FakeKubeCall, body: KubeObject, answer: ServerResponse): ServerResponse {
    const kinds = this.serves.get(call.path);
    if (kinds !== undefined) {
      return reply(answer, 200, { resources: kinds.map((kind) => ({ name: kind })) });
    }
    const [, root, namespace, plural, name, subresource] = ADDRESS.exec(call.path) ?? [];
    if (root === undefined || plural === undefined) return refuse(answer, 404);
    const address = { collection: `${root}/${plural}`, namespace, name, subresource };
    if (plural === 'tokenreviews') {
      const spec = (body.spec ?? {}) as { token: string; audiences: string[] };
      return reply(answer, 201, { ...body, status: this.review(spec.token, spec.audiences) });
    }
    if (call.method === 'GET' && name !== undefined) return this.#get(address, answer);
    if (call.method === 'GET') {
      if (call.query.has('watch')) return this.#watch(address, call.query, answer);
      return this.#list(address, call.query, answer);
    }
    return this.#write(call.method, address, body, answer);
  }

  #get({ collection, namespace = '', name = '' }: Address, answer: ServerResponse): ServerResponse {
    const held = this.#collection(collection).get(keyOf({ namespace, name }));
    return held === undefined ? refuse(answer, 404) : reply(answer, 200, held);
  }

  #write(
    method: string,
    address: Address,
    body: KubeObject,
    answer: ServerResponse,
  ): ServerResponse {
    const { collection, namespace = '', name = metaOf(body).name } = address;
    const key = keyOf({ namespace, name });
    const held = this.#collection(collection).get(key);
    if (method === 'POST') {
      if (held !== undefined) return refuse(answer, 409);
      const metadata = { ...(body.metadata as object), name, namespace };
      return reply(answer, 201, this.put(collection, { ...body, metadata }));
    }
    if (held === undefined && method === 'APPLY') {
      const metadata = { ...(body.metadata as object), name, namespace };
      return reply(answer, 201, this.put(collection, { ...body, metadata }));
    }
    if (held === undefined) return refuse(answer, 404);
    if (method === 'DELETE') {
      this.remove(collection, key);
      return reply(answer, 200, { kind: 'Status', status: 'Success' });
    }
    const { resourceVersion } = metaOf(body);
    if (resourceVersion !== '' && resourceVersion !== metaOf(held).resourceVersion) {
      return refuse(answer, 409);
    }
    const changed = method === 'PUT' ? body : merged(held, body);
    const metadata = { ...(changed.metadata as object), name, namespace, uid: metaOf(held).uid };
    return reply(answer, 200, this.put(collection, { ...changed, metadata }));
  }

  #list(address: Address, query: URLSearchParams, answer: ServerResponse): ServerResponse {
    const wanted = [...this.#collection(address.collection).values()].filter((object) =>
      matches(object, address, query),
    );
    const [version = this.#version, from = 0] = (query.get('continue') ?? '')
      .split(',')
      .filter((text) => text !== '')
      .map(Number);
    if (version < this.#oldest) return refuse(answer, 410);
    const limit = Number(query.get('limit') ?? wanted.length);
    const items = wanted.slice(from, from + limit);
    const more = from + limit < wanted.length ? `${version},${from + limit}` : undefined;
    return reply(answer, 200, {
      items,
      metadata: { resourceVersion: String(version), continue: more },
    });
  }

  #watch(address: Address, query: URLSearchParams, answer: ServerResponse): ServerResponse {
    const from = Number(query.get('resourceVersion'));
    answer.writeHead(200, { 'content-type': 'application/json' });
    answer.flushHeaders();
    if (from < this.#oldest) {
      const object = { kind: 'Status', code: 410, message: 'too old resource version' };
      return answer.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
    }
    const watch = { answer, address, query };
    for (const event of this.#events) if (event.version > from) tell(watch, event);
    this.#watches.add(watch);
    answer.on('close', () => this.#watches.delete(watch));
    for (const resolve of this.#watchers.splice(0)) resolve();
    return answer;
  }
}

function tell(watch: OpenWatch, { type, collection, object }: KubeEvent): void {
  if (collection !== watch.address.collection) return;
  if (!matches(object, watch.address, watch.query)) return;
  watch.answer.write(`${JSON.stringify({ type, object })}\n`);
}

function matches(object: KubeObject, { namespace }: Address, query: URLSearchParams): boolean {
  if (namespace !== undefined && metaOf(object).namespace !== namespace) return false;
  const equal = (selector: string, at: (key: string) => string | undefined): boolean =>
    (query.get(selector) ?? '')
      .split(',')
      .filter((term) => term !== '')
      .every((term) => {
        const [key = '', value] = term.split('=');
        return at(key) === value;
      });
  const labels = textMapAt(object, 'metadata', 'labels');
  return (
    equal('fieldSelector', (key) => textAt(object, ...key.split('.'))) &&
    equal('labelSelector', (key) => labels.get(key))
  );
}

/** RFC 7396. */
function merged(target: KubeObject, patch: KubeObject): KubeObject {
  const result: Record<string, unknown> = { ...target };
  for (const [key, value] of Object.entries(patch)) {
    const below = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (value === null) delete result[key];
    else if (below) result[key] = merged((result[key] ?? {}) as KubeObject, value as KubeObject);
    else result[key] = value;
  }
  return result;
}

/** Keeps what is answered to itself until told. */
function holdBack(answer: ServerResponse, until: Promise<void>): void {
  const end = answer.end.bind(answer);
  Object.assign(answer, {
    end(text: string) {
      void until.then(() => end(text));
      return answer;
    },
  });
}

function fail(answer: ServerResponse, fault: PlainFault): void {
  if ('text' in fault) answer.writeHead(fault.status ?? 200).end(fault.text);
  else refuse(answer, fault.status, fault.headers);
}

function refuse(
  answer: ServerResponse,
  code: number,
  headers: Record<string, string> = {},
): ServerResponse {
  answer.writeHead(code, { 'content-type': 'application/json', ...headers });
  return answer.end(
    JSON.stringify({ kind: 'Status', status: 'Failure', code, message: `fake ${code}` }),
  );
}

function reply(answer: ServerResponse, status: number, body: object): ServerResponse {
  answer.writeHead(status, { 'content-type': 'application/json' });
  return answer.end(JSON.stringify(body));
}
