import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { type ServiceError, status } from '@grpc/grpc-js';
import { serveTls, type TestTlsServer, tlsIdentity, validatorFor } from '../../test/support/tls.ts';
import { makeIntermediate, makeLeaf, makeRoot } from '../../test/support/x509.ts';
import type { SignetError } from '../base/errors.ts';
import { unwrap } from '../base/result.ts';
import { type JWTSVIDResponse, SpiffeWorkloadAPIClient } from '../gen/workload.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import type { TlsIdentity } from './identity.ts';
import { identityOptions } from './secure-context.ts';
import {
  openServerChannel,
  type ServerChannelOptions,
  type ServerVerification,
} from './server-channel.ts';

const SERVER_ID = 'spiffe://example.org/spire/server';

function verifying(root = makeRoot(), id = SERVER_ID): ServerVerification {
  return { kind: 'spiffe', expectedId: unwrap(parseSpiffeId(id)), validate: validatorFor(root) };
}

interface Outcome {
  readonly error?: ServiceError;
  readonly value?: JWTSVIDResponse;
  readonly refused: readonly SignetError[];
}

/** Calls the server once over a channel of its own. */
async function call(
  context: TestContext,
  port: number,
  options: Partial<ServerChannelOptions> & { verification: ServerVerification },
): Promise<Outcome> {
  const refused: SignetError[] = [];
  const channel = unwrap(
    openServerChannel({
      host: '127.0.0.1',
      port,
      onRefused: (error) => refused.push(error),
      ...options,
    }),
  );
  context.after(() => channel.close());
  const client = channel.client(SpiffeWorkloadAPIClient);
  return new Promise((resolve) => {
    client.fetchJwtsvid({ audience: [], spiffeId: '' }, (error, value) =>
      resolve(error ? { error, refused } : { value, refused }),
    );
  });
}

function who({ value }: Outcome): string | undefined {
  return value?.svids[0]?.spiffeId;
}

function assertRefused(outcome: Outcome, code: string): void {
  assert.equal(outcome.error?.code, status.UNAVAILABLE);
  assert.equal(outcome.refused[0]?.code, code);
}

async function rooted(context: TestContext, id = SERVER_ID): Promise<TestTlsServer> {
  const root = makeRoot();
  const identity = tlsIdentity(makeLeaf(root, id));
  return { ...(await serveTls(context, { identity, validateClient: validatorFor(root) })), root };
}

test('the right server is called, anonymously and with an SVID', async (context) => {
  const server = await rooted(context);
  const verification = verifying(server.root);
  const { port } = server.listener;
  assert.equal(who(await call(context, port, { verification })), 'anonymous');
  const identity = tlsIdentity(makeLeaf(server.root, 'spiffe://example.org/agent'));
  const known = await call(context, port, { verification, identity });
  assert.equal(who(known), 'spiffe://example.org/agent');
});

test('a server with an intermediate is verified', async (context) => {
  const root = makeRoot();
  const intermediate = makeIntermediate(root);
  const identity = tlsIdentity(makeLeaf(intermediate, SERVER_ID), intermediate);
  const server = await serveTls(context, { identity });
  const outcome = await call(context, server.listener.port, { verification: verifying(root) });
  assert.equal(who(outcome), 'anonymous');
});

test('a server of a foreign root, with another ID or without one is refused', async (context) => {
  const foreign = await rooted(context);
  const toForeign = await call(context, foreign.listener.port, { verification: verifying() });
  assertRefused(toForeign, 'SERVER_CERTIFICATE_REFUSED');
  const agent = await rooted(context, 'spiffe://example.org/spire/agent/join_token/x');
  const toAgent = await call(context, agent.listener.port, { verification: verifying(agent.root) });
  assertRefused(toAgent, 'SERVER_CERTIFICATE_REFUSED');
  assert.match(toAgent.refused[0]?.message ?? '', /expected spiffe:\/\/example.org\/spire\/server/);
  const root = makeRoot();
  const expired = makeLeaf(root, SERVER_ID, { notAfterMs: Date.now() - 1000 });
  const stale = await serveTls(context, { identity: tlsIdentity(expired) });
  const toStale = await call(context, stale.listener.port, { verification: verifying(root) });
  assertRefused(toStale, 'SERVER_CERTIFICATE_REFUSED');
});

test('insecure bootstrap calls anyone', async (context) => {
  const server = await rooted(context, 'spiffe://other.org/else');
  const verification = { kind: 'insecure-bootstrap' } as const;
  assert.equal(who(await call(context, server.listener.port, { verification })), 'anonymous');
});

test('a server without ALPN, without TLS, or gone is a failed handshake', async (context) => {
  const root = makeRoot();
  const verification = verifying(root);
  const identity = tlsIdentity(makeLeaf(root, SERVER_ID));
  const noAlpn = createTlsServer({ ...identityOptions(identity) }).listen(0, '127.0.0.1');
  const plain = createServer((socket) => socket.once('data', () => socket.end('hello'))).listen(
    0,
    '127.0.0.1',
  );
  for (const server of [noAlpn, plain]) {
    context.after(() => server.close());
    if (!server.listening) await once(server, 'listening');
    const { port } = server.address() as { port: number };
    assertRefused(await call(context, port, { verification }), 'TLS_HANDSHAKE_FAILED');
  }
});

test('a certificate and key that do not belong together open no channel', () => {
  const root = makeRoot();
  const identity: TlsIdentity = {
    ...tlsIdentity(makeLeaf(root)),
    privateKeyPkcs8: tlsIdentity(makeLeaf(root)).privateKeyPkcs8,
  };
  const opened = openServerChannel({
    host: 'localhost',
    port: 1,
    verification: verifying(root),
    identity,
  });
  assert.ok(!opened.ok && opened.error.code === 'TLS_CONFIGURATION');
});

test('two channels to one server never share a connection, whoever they are for', async (context) => {
  const server = await rooted(context);
  const verification = verifying(server.root);
  const { port } = server.listener;
  const identity = tlsIdentity(makeLeaf(server.root, 'spiffe://example.org/agent'));
  const outcomes = [
    await call(context, port, { verification, identity }),
    await call(context, port, { verification, identity }),
    await call(context, port, { verification }),
  ];
  assert.equal(new Set(outcomes.map(({ value }) => value?.svids[0]?.svid)).size, 3);
  assert.deepEqual(outcomes.map(who), [
    'spiffe://example.org/agent',
    'spiffe://example.org/agent',
    'anonymous',
  ]);
});

test('IPv6 and host names are called', async (context) => {
  const root = makeRoot();
  const identity = tlsIdentity(makeLeaf(root, SERVER_ID));
  const server = await serveTls(context, { identity, address: '::' });
  for (const host of ['::1', 'localhost']) {
    const outcome = await call(context, server.listener.port, {
      verification: verifying(root),
      host,
    });
    assert.equal(who(outcome), 'anonymous', host);
  }
});
