import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
} from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { Client, ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { type Clock, ManualClock, systemClock } from '../../src/base/clock.ts';
import { encodePem } from '../../src/der/pem.ts';
import { ConnectorAdminService } from '../../src/gen/signet/connector/v1/admin.ts';
import {
  type ConnectorMessage,
  ConnectorService,
  Event,
  Heartbeat,
  Hello,
  ResourceType,
  type ServerMessage,
} from '../../src/gen/signet/connector/v1/connector.ts';
import { groupSpec } from '../support/connector-rig.ts';
import { wireSegment } from '../support/scripted-connector-server.ts';
import { ask, open, type TestIdentity, TestServer } from '../support/server.ts';
import { WireConnector } from '../support/wire-connector.ts';
import { makeCsr, makeKey } from '../support/x509.ts';

// What an enrolled connector can do to a server over a real socket, and that others do not feel it.

/**
 * Time of the server in haste, whose patience is 10 s to a minute and a half: a step at each turn of this
 * process, never two. What is ready to be read is read between two steps, however slow the machine is.
 */
const hurried = new ManualClock(0);
const STEP_MS = 150;
const HASTY: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => hurried.monotonicMs(),
  after: (delayMs, action) => hurried.after(delayMs, action),
};

type Kind = NonNullable<ServerMessage['kind']>;
type Said = ConnectorMessage['kind'];
type Value<C extends Kind['$case']> = Extract<Kind, { $case: C }>['value'];

/** Servers with a group, and the key to enrol into it: `calm` by the machine's clock, `hasty` faster. */
let calm: Place;
let hasty: Place;

interface Place {
  readonly server: TestServer;
  readonly key: string;
}

async function place(clock: Clock): Promise<Place> {
  const options = {
    connectors: {},
    listen: { address: '127.0.0.1', port: 0, maxConnectionAge: '20s' },
  };
  const server = await TestServer.start(options, { clock });
  const group = groupSpec();
  await ask(server.admin(), ConnectorAdminService.putGroup, { group, expectedRevision: undefined });
  const about = { group: 'edge', ttlSeconds: 3600, maxUses: 100, cidrs: [], description: '' };
  const { key } = await ask(server.admin(), ConnectorAdminService.createProvisioningKey, about);
  return { server, key };
}

let steps: NodeJS.Timeout;

before(async () => {
  steps = setInterval(() => hurried.advance(STEP_MS), 5);
  [calm, hasty] = await Promise.all([place(systemClock), place(HASTY)]);
});

after(async () => {
  await Promise.all([calm?.server.stop(), hasty?.server.stop()]);
  clearInterval(steps);
});

const enrolled = async ({ server, key }: Place): Promise<TestIdentity> =>
  (await WireConnector.enrol(server, 'edge', key)).identity;

/** A session, of which everything that comes is kept. */
class Session {
  readonly call: ClientDuplexStream<ConnectorMessage, ServerMessage>;
  readonly #kinds: Kind[] = [];
  readonly #ended = Promise.withResolvers<string>();
  #wake: () => void = () => {};

  constructor(client: Client, saysHello = true) {
    this.call = open(client, ConnectorService.session);
    this.call.on('data', ({ kind }: ServerMessage) => {
      if (kind !== undefined) this.#kinds.push(kind);
      this.#wake();
    });
    this.call.on('end', () => this.#ended.resolve('OK'));
    this.call.on('error', ({ code, metadata }: ServiceError) =>
      this.#ended.resolve(String(metadata?.get('signet-error-code')[0] ?? code)),
    );
    void this.#ended.promise.then(() => this.#wake());
    if (saysHello) this.say(hello());
  }

  static async open({ server }: Place, identity: TestIdentity): Promise<Session> {
    for (;;) {
      const session = new Session(await server.tcp(identity));
      const begun = session.next('welcome').then(() => '');
      const code = await Promise.race([begun.catch(() => session.ended), session.ended]);
      if (code === '') return session;
      // A machine that is busy may be too slow for a server in haste.
      assert.equal(code, 'STREAM_IDLE');
    }
  }

  say(kind: Said): void {
    this.call.write({ kind });
  }

  /** How it ends: a code of the error table, the status without one, or OK. */
  get ended(): Promise<string> {
    return this.#ended.promise;
  }

  /** The next message of this kind; what comes before it is dropped. */
  async next<C extends Kind['$case']>(kind: C): Promise<Value<C>> {
    let over: string | undefined;
    void this.#ended.promise.then((code) => {
      over = code;
    });
    for (;;) {
      const found = this.#kinds.shift();
      // What was found is of this case; the compiler does not narrow by a type parameter.
      if (found?.$case === kind) return found.value as never;
      if (found !== undefined) continue;
      await Promise.resolve();
      assert.equal(over, undefined, `ended without ${kind}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Whether it is served: what nobody knows is answered by a notice. */
  async echo(): Promise<void> {
    this.say(undefined);
    assert.equal((await this.next('notice')).code, 'CONNECTOR_MESSAGE_UNKNOWN');
  }
}

const hello = (): Said => {
  return { $case: 'hello', value: { ...Hello.fromJSON({}), clockMs: BigInt(Date.now()) } };
};

const heartbeat = (): Said => {
  const value = { ...Heartbeat.fromJSON({}), clockMs: BigInt(Date.now()) };
  return { $case: 'heartbeat', value };
};

/** An event of about so many bytes. */
const event = (bytes: number): Said => {
  return { $case: 'event', value: { ...Event.fromJSON({}), message: 'x'.repeat(bytes) } };
};

describe('a flood of', { concurrency: true }, () => {
  test('messages is read as it may be sent, and others are served meanwhile', async () => {
    const [flood, other] = [
      await Session.open(calm, await enrolled(calm)),
      await Session.open(calm, await enrolled(calm)),
    ];
    for (let sent = 0; sent < 5_000; sent++) flood.say(heartbeat());
    flood.say(undefined);
    for (let turn = 0; turn < 20; turn++) await other.echo();
    // A hundred seconds of messages are before its own.
    assert.equal(await Promise.race([flood.next('notice'), other.echo()]), undefined);
    flood.call.cancel();
    other.call.cancel();
  });

  test('long messages is read by their bytes', async () => {
    const [flood, other] = [
      await Session.open(calm, await enrolled(calm)),
      await Session.open(calm, await enrolled(calm)),
    ];
    for (let sent = 0; sent < 60; sent++) flood.say(event(1_000_000));
    flood.say(undefined);
    for (let turn = 0; turn < 20; turn++) await other.echo();
    assert.equal(await Promise.race([flood.next('notice'), other.echo()]), undefined);
    flood.call.cancel();
    other.call.cancel();
  });

  for (const [what, bytes, code] of [
    ['a message above 1 MiB', (1 << 20) + 1, 'CONNECTOR_SESSION_PROTOCOL'],
    ['one that the port does not take', (4 << 20) + 1, 'MESSAGE_TOO_LONG'],
  ] as const) {
    test(`${what} ends its session alone`, async () => {
      const identity = await enrolled(calm);
      const session = await Session.open(calm, identity);
      session.say(event(bytes));
      assert.equal(await session.ended, code);
      await (await Session.open(calm, identity)).echo();
    });
  }

  test('unknown messages ends its session', async () => {
    const session = await Session.open(hasty, await enrolled(hasty));
    for (let sent = 0; sent < 5_000; sent++) session.say(undefined);
    assert.equal(await session.ended, 'CONNECTOR_SESSION_PROTOCOL');
  });

  test('answers to what was never sent changes nothing', async () => {
    const session = await Session.open(calm, await enrolled(calm));
    const segments = await session.next('segments');
    for (const type of [0, 1, 2, 3, 4, 99] as ResourceType[]) {
      for (const nonce of [Buffer.alloc(0), Buffer.alloc(8), segments.nonce]) {
        const said = { type, version: `9-${'f'.repeat(2_000)}`, nonce };
        session.say({ $case: 'ack', value: said });
        session.say({ $case: 'nack', value: { ...said, error: 'no' } });
      }
    }
    await session.echo();
    const request = { group: 'edge', pageSize: 0, pageToken: '' };
    const all = await ask(calm.server.admin(), ConnectorAdminService.listConnectors, {
      ...request,
      states: [],
    });
    assert.deepEqual(new Set(all.connectors.map((one) => one.lastNack)), new Set(['']));
    session.call.cancel();
  });
});

describe('sessions of one connector', { concurrency: true }, () => {
  test('many at once come to one; the others are replaced, or too many', async () => {
    const client = await calm.server.tcp(await enrolled(calm));
    const sessions = Array.from({ length: 60 }, () => new Session(client));
    const over: string[] = [];
    for (const { ended } of sessions) void ended.then((code) => over.push(code));
    const last = await Promise.race([
      ...sessions.map(({ ended }) => ended.then(() => undefined)),
      new Promise<undefined>(() => {}),
    ]);
    assert.equal(last, undefined);
    while (over.length < 59) await Promise.race(sessions.map(({ ended }) => ended)).then(tick);
    assert.equal(over.length, 59);
    const allowed = ['CONNECTOR_SESSION_REPLACED', 'CONNECTOR_SESSION_PACED'];
    assert.deepEqual([...new Set(over)].sort(), allowed.sort());
    client.close();
  });

  test('that never say Hello are ended, and keep nobody out', async () => {
    const identity = await enrolled(hasty);
    const client = await hasty.server.tcp(identity);
    const silent = Array.from({ length: 15 }, () => new Session(client, false));
    const codes = await Promise.all(silent.map(({ ended }) => ended));
    assert.deepEqual([...new Set(codes)], ['STREAM_IDLE']);
    await (await Session.open(hasty, identity)).echo();
  });

  test('that are begun and reset again and again end their connection alone', async (context) => {
    const identity = await enrolled(calm);
    const other = await Session.open(calm, await enrolled(calm));
    const session = await raw(context, calm, identity);
    const closed = new Promise((resolve) => session.on('close', resolve));
    while (!session.destroyed && !session.closed) {
      for (let begun = 0; begun < 50 && !session.destroyed && !session.closed; begun++) {
        const request = session.request(HEADERS);
        request.on('error', () => {});
        request.close(constants.NGHTTP2_CANCEL);
      }
      await tick();
    }
    session.destroy();
    await closed;
    await other.echo();
    other.call.cancel();
  });

  test('two renewals at once come to one SVID, and the old one ends with its use', async () => {
    const identity = await enrolled(calm);
    const session = await Session.open(calm, identity);
    const keys = [makeKey(), makeKey()];
    for (const key of keys) {
      session.say({ $case: 'renewCsr', value: { csr: Buffer.from(makeCsr({ key })) } });
    }
    assert.equal((await session.next('notice')).code, 'CONNECTOR_RENEWAL_BUSY');
    const { svid } = await session.next('svid');
    const renewed = { key: keys[0] ?? makeKey(), chain: svid?.chain ?? [] };
    const next = await Session.open(calm, renewed);
    assert.equal(await session.ended, 'CONNECTOR_SESSION_REPLACED');
    const csr = Buffer.from(makeCsr({ key: identity.key }));
    next.say({ $case: 'renewCsr', value: { csr } });
    assert.equal((await next.next('notice')).code, 'CONNECTOR_KEY_REUSED');
    const old = new Session(await calm.server.tcp(identity));
    assert.equal(await old.ended, 'CONNECTOR_NOT_ACTIVE');
    next.call.cancel();
  });

  test('a revocation beside a renewal leaves neither SVID good', async () => {
    const wire = await WireConnector.enrol(calm.server, 'edge', calm.key);
    const session = await Session.open(calm, wire.identity);
    const key = makeKey();
    session.say({ $case: 'renewCsr', value: { csr: Buffer.from(makeCsr({ key })) } });
    const which = { ids: [wire.id], group: '' };
    const revoking = ask(calm.server.admin(), ConnectorAdminService.revokeConnectors, {
      which,
      reason: 'lost',
    });
    const given = session.next('svid').catch(() => undefined);
    assert.equal(await session.ended, 'CONNECTOR_REVOKED');
    await revoking;
    const chain = (await given)?.svid?.chain;
    const all = [wire.identity, ...(chain === undefined ? [] : [{ key, chain }])];
    for (const identity of all) {
      const again = new Session(await calm.server.tcp(identity));
      assert.equal(await again.ended, 'CONNECTOR_REVOKED');
    }
  });
});

describe('a connector that takes or gives nothing', { concurrency: true }, () => {
  test('is asked for a heartbeat, then lost', async () => {
    const session = await Session.open(hasty, await enrolled(hasty));
    await session.next('ping');
    assert.equal(await session.ended, 'CONNECTOR_SESSION_SILENT');
  });

  test('behind a connection that says nothing any more holds it no longer than its time', async (context) => {
    const identity = await enrolled(hasty);
    const { port, stall, closed } = await proxy(context, hasty.server.running.port);
    const session = await raw(context, hasty, identity, port);
    (await begin(session)).resume();
    stall();
    const stalledMs = hurried.monotonicMs();
    await closed;
    // Its age ends a connection too, but leaves it a minute of the machine's time.
    const heldMs = hurried.monotonicMs() - stalledMs;
    assert.ok(heldMs < 10 * 60_000, `held for ${heldMs} ms of the server's clock`);
  });

  test('reads nothing: its connection ends, and others get all', async (context) => {
    const long = 'x'.repeat(60);
    const segment = (at: number) => ({
      ...wireSegment(`wide-${at}`),
      hosts: Array.from({ length: 64 }, (_, host) => `h${host}.${long}.${long}.${long}.s${at}.org`),
    });
    // More than a message of 1 MiB: one that waits to leave is nothing yet.
    for (let at = 0; at < 100; at++) {
      const put = {
        segment: { segment: segment(at), groups: ['edge'] },
        expectedRevision: undefined,
      };
      await ask(hasty.server.admin(), ConnectorAdminService.putSegment, put);
    }
    const slow = await raw(context, hasty, await enrolled(hasty));
    const closed = new Promise((resolve) => slow.on('close', resolve));
    // Nobody listens to what comes: HTTP/2's window fills.
    const request = await begin(slow);
    const other = await Session.open(hasty, await enrolled(hasty));
    const beats = setInterval(() => {
      if (!request.closed) request.write(framed(heartbeat()));
      other.say(heartbeat());
    }, 100);
    context.after(() => clearInterval(beats));
    const seen = new Set<string>();
    while (seen.size < 100) {
      const update = await other.next('segments');
      for (const { id } of update.segments) seen.add(id);
      const { version, nonce } = update;
      const type = ResourceType.RESOURCE_TYPE_SEGMENTS;
      if (update.last) other.say({ $case: 'ack', value: { type, version, nonce } });
    }
    await closed;
    await other.echo();
    other.call.cancel();
  });
});

test('a renewal that a restart cuts off is repeated with the same key and the old SVID', async () => {
  const identity = await enrolled(calm);
  const session = await Session.open(calm, identity);
  const key = makeKey();
  const csr = Buffer.from(makeCsr({ key }));
  session.say({ $case: 'renewCsr', value: { csr } });
  await calm.server.restart();
  const again = await Session.open(calm, identity);
  again.say({ $case: 'renewCsr', value: { csr } });
  const { svid } = await again.next('svid');
  await Session.open(calm, { key, chain: svid?.chain ?? [] });
  assert.equal(await again.ended, 'CONNECTOR_SESSION_REPLACED');
});

const HEADERS = {
  ':method': 'POST',
  ':path': ConnectorService.session.path,
  'content-type': 'application/grpc',
  te: 'trailers',
};

/** A session over a bare connection; what comes of it stays where it is. */
async function begin(session: ClientHttp2Session): Promise<ClientHttp2Stream> {
  for (;;) {
    const request = session.request(HEADERS);
    request.on('error', () => {});
    request.write(framed(hello()));
    const [headers] = await once(request, 'response');
    if (headers['grpc-status'] === undefined) return request;
    // As above.
    assert.equal(headers['signet-error-code'], 'STREAM_IDLE');
  }
}

/** A message as it stands on the wire. */
function framed(kind: Said): Buffer {
  const bytes = ConnectorService.session.requestSerialize({ kind });
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A bare HTTP/2 connection of a connector. */
async function raw(
  context: TestContext,
  { server }: Place,
  { key, chain }: TestIdentity,
  port = server.running.port,
): Promise<ClientHttp2Session> {
  const session = connectHttp2(`https://127.0.0.1:${port}`, {
    ca: await server.bundlePem(),
    key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
    checkServerIdentity: () => undefined,
    servername: 'server.test',
  });
  session.on('error', () => {});
  context.after(() => session.destroy());
  await once(session, 'connect');
  return session;
}

/** What is between a connector and the server; `closed` when the server has given its connection up. */
async function proxy(context: TestContext, to: number) {
  const sockets: Socket[] = [];
  let isStalled = false;
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const listener = createServer((socket) => {
    const onward = connect({ port: to, host: '127.0.0.1' });
    sockets.push(socket, onward);
    socket.on('data', (bytes) => void (isStalled || onward.write(bytes))).on('error', () => {});
    onward.on('data', (bytes) => void (isStalled || socket.write(bytes))).on('error', () => {});
    onward.on('close', () => resolve());
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  const address = listener.address();
  assert.ok(address !== null && typeof address === 'object');
  const stall = (): void => {
    isStalled = true;
  };
  return { port: address.port, stall, closed };
}
