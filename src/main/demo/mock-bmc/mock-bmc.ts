import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { type Clock, systemClock } from '../../../base/clock.ts';
import { type Random, systemRandom } from '../../../base/random.ts';
import { cardResources, MOCK_CARD, type MockCard, type MockResource } from './card.ts';
import { MockEvents } from './events.ts';
import { errorBody, type MockAnswer, MockMeasurements, type MockTarget } from './measurements.ts';

/** What a mock BMC does with a request in place of serving it. */
export type MockFault = MockAnswer | 'reset' | 'silence';

/** What a mock BMC is made of. */
export interface MockBmcOptions {
  /** Private key and certificate in PEM. */
  readonly tls: { readonly key: string; readonly cert: string };
  readonly account: { readonly userName: string; readonly password: string };
  /** Roots of trust by the name of their component, such as `Bluefield_DPU_IRoT`. */
  readonly targets: Readonly<Record<string, MockTarget>>;
  readonly card?: Partial<MockCard>;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Whether `$expand` is answered, overlooked or refused; answered unless told. */
  readonly expand?: 'answered' | 'overlooked' | 'refused';
}

const SESSIONS = '/redfish/v1/SessionService/Sessions';
const MAX_BODY_BYTES = 16 * 1024;

/**
 * A BMC of a BlueField card that is none: it serves the resources that attestation needs, in the shape
 * and with the habits of the real one, and proves nothing. For tests and the demo. States: open → closed.
 */
export class MockBmc {
  readonly measurements: MockMeasurements;
  readonly events = new MockEvents();
  /** Decides what becomes of a request, by `METHOD path`; undefined serves it. */
  decide: (request: string) => MockFault | undefined = () => undefined;
  /** Called with each request, for those who want to know what was sent. */
  seen: (request: string, headers: IncomingMessage['headers']) => void = () => {};
  /** Tokens of the sessions that are open, with their numbers. */
  readonly sessions = new Map<string, number>();
  readonly #options: MockBmcOptions;
  readonly #server: Server;
  readonly #random: Random;
  #card: MockCard;
  #resources: ReadonlyMap<string, MockResource>;
  #sessionsMade = 0;

  constructor(options: MockBmcOptions) {
    this.#options = options;
    this.#random = options.random ?? systemRandom;
    this.#card = { ...MOCK_CARD, ...options.card };
    this.#resources = cardResources(this.#card);
    this.measurements = new MockMeasurements(options.targets, options.clock ?? systemClock);
    this.#server = createServer(
      options.tls,
      (request, answer) => void this.#serve(request, answer),
    );
  }

  /** Listens on loopback; answers the origin. */
  async listen(port = 0): Promise<string> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    return `https://127.0.0.1:${typeof address === 'object' ? (address?.port ?? 0) : 0}`;
  }

  /** Changes what it tells of the card. */
  tell(change: Partial<MockCard>): void {
    this.#card = { ...this.#card, ...change };
    this.#resources = cardResources(this.#card);
  }

  /** Ends every connection. */
  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { method = '', headers } = request;
    const [path = '', query = ''] = (request.url ?? '').split('?');
    const line = `${method} ${path}`;
    this.seen(line, headers);
    const fault = this.decide(line);
    if (fault === 'reset') return void request.socket.destroy();
    if (fault === 'silence') return;
    const body = await readBody(request).catch(() => undefined);
    if (body === undefined) return void request.socket.destroy();
    const plain = path.replace(/\/$/, '');
    if (fault === undefined && method === 'GET' && this.#knows(headers)) {
      if (this.events.follow(plain, answer)) return;
    }
    send(answer, fault ?? this.#answer({ method, path: plain, query, body, headers }));
  }

  #answer(request: Asked): MockAnswer {
    const { method, path, query, body, headers } = request;
    if (method === 'POST' && path === SESSIONS) return this.#logIn(body);
    if (path !== '/redfish/v1' && !this.#knows(headers)) {
      return { status: 401, body: errorBody('NoValidSession') };
    }
    if (method === 'DELETE') return this.#logOut(path);
    const expanding = query.includes('expand');
    if (expanding && this.#options.expand === 'refused') {
      return { status: 400, body: errorBody('QueryNotSupportedOnResource') };
    }
    const expanded = expanding && this.#options.expand !== 'overlooked';
    const served =
      method === 'POST'
        ? this.measurements.post(path, body)
        : (this.measurements.get(path, expanded) ?? this.#resource(path));
    return served ?? { status: 404, body: errorBody('ResourceNotFound') };
  }

  #resource(path: string): MockAnswer | undefined {
    const body = this.#resources.get(path) ?? this.events.get(path);
    return body === undefined ? undefined : { status: 200, body };
  }

  #knows({ authorization, 'x-auth-token': token }: IncomingMessage['headers']): boolean {
    const { userName, password } = this.#options.account;
    const basic = `Basic ${Buffer.from(`${userName}:${password}`).toString('base64')}`;
    return authorization === basic || (typeof token === 'string' && this.sessions.has(token));
  }

  #logIn({ UserName, Password }: MockResource): MockAnswer {
    const { userName, password } = this.#options.account;
    if (UserName !== userName || Password !== password) {
      return { status: 401, body: errorBody('ResourceAtUriUnauthorized') };
    }
    const token = Buffer.from(this.#random.bytes(15)).toString('base64url');
    this.#sessionsMade += 1;
    this.sessions.set(token, this.#sessionsMade);
    const location = `${SESSIONS}/s${this.#sessionsMade}`;
    return { status: 201, headers: { 'x-auth-token': token, location }, body: { Id: 'session' } };
  }

  #logOut(path: string): MockAnswer {
    for (const [token, number] of this.sessions) {
      if (path === `${SESSIONS}/s${number}`) this.sessions.delete(token);
    }
    return { status: 204 };
  }
}

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly body: MockResource;
  readonly headers: IncomingMessage['headers'];
}

async function readBody(request: IncomingMessage): Promise<MockResource> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length > MAX_BODY_BYTES) throw new RangeError('a body of more than 16 KiB');
    parts.push(part);
  }
  const text = Buffer.concat(parts).toString('utf8').trim();
  return text === '' ? {} : JSON.parse(text);
}

function send(answer: ServerResponse, { status, headers = {}, body }: MockAnswer): void {
  const text = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body);
  answer.writeHead(status, { 'content-type': 'application/json', ...headers });
  answer.end(text);
}
