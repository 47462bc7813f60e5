import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import type { SignetError } from '../../src/base/errors.ts';
import { unwrap } from '../../src/base/result.ts';
import { parseWorkloadAddress } from '../../src/client/address.ts';
import {
  authorizeMemberOf,
  createMtlsServer,
  tlsClientOptions,
  WorkloadClient,
  type X509Context,
  X509Source,
} from '../../src/client/index.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { Fleet } from '../support/fleet.ts';
import { Followed, rootsOf, signerOf } from '../support/followed.ts';
import { soon } from '../support/processes.ts';

const authorize = authorizeMemberOf(unwrap(parseTrustDomain('example.org')));

/** Sends a word over a connection and waits for it to come back. */
async function echo(socket: TLSSocket, word: string): Promise<void> {
  const answer = once(socket, 'data');
  socket.write(word);
  assert.equal(String((await answer)[0]), word);
}

async function dial(context: X509Context, port: number): Promise<TLSSocket> {
  const socket = connect({ ...tlsClientOptions(context, authorize), host: '127.0.0.1', port });
  await once(socket, 'secureConnect');
  return socket;
}

interface States {
  active: { authorityId: string };
  prepared?: { authorityId: string };
}

describe('a forced rotation, from prepare to revoke', () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await Fleet.start();
  });
  after(() => fleet?.stop());

  test('renews everything at once and breaks no connection', async () => {
    await fleet.register('/web');
    const address = unwrap(parseWorkloadAddress(`unix://${fleet.workloadSocket}`));
    const client = new WorkloadClient(address);
    const stream = new Followed(client);
    const source = new X509Source(client);
    const first = await stream.until(() => true);
    await source.ready();
    const refused: SignetError[] = [];
    const server = unwrap(
      createMtlsServer(source, {
        authorize,
        onConnection: (socket) => socket.pipe(socket),
        onRefused: (error) => refused.push(error),
      }),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const live = await dial(first, port);
    await echo(live, 'before');

    const act = ['localauthority', 'x509'];
    const { active } = (await fleet.json(...act, 'show')) as States;
    assert.equal(signerOf(first), active.authorityId);
    const agentBefore = await agentSerial(fleet);

    await fleet.json(...act, 'prepare');
    const { prepared } = (await fleet.json(...act, 'show')) as States;
    const next = prepared?.authorityId ?? '';
    const published = await stream.until((context) => rootsOf(context).includes(next));
    assert.deepEqual(rootsOf(published), [active.authorityId, next]);
    assert.equal(signerOf(published), active.authorityId);

    const activated = await fleet.cli(...act, 'activate', '-authorityID', next);
    assert.equal(activated.code, 0, activated.stderr);
    const second = await dial(await stream.until(() => true), port);
    await echo(second, 'activated');

    await fleet.json(...act, 'taint', '-authorityID', active.authorityId);
    const renewed = await stream.until((context) => signerOf(context) === next);
    assert.deepEqual(rootsOf(renewed), [active.authorityId, next], 'both verify meanwhile');
    const third = await dial(renewed, port);
    // The holder of an old SVID is still accepted, and accepts.
    const old = await dial(published, port);
    await untilAgentRenewed(fleet, agentBefore);

    await fleet.json(...act, 'revoke', '-authorityID', active.authorityId);
    const revoked = await stream.until((context) => !rootsOf(context).includes(active.authorityId));
    assert.deepEqual(rootsOf(revoked), [next]);
    assert.equal(signerOf(revoked), next);
    const fourth = await dial(revoked, port);
    const sockets = [live, second, third, old, fourth];
    for (const [index, socket] of sockets.entries()) await echo(socket, `after ${index}`);

    assert.deepEqual(stream.errors, [], 'the stream never ended');
    assert.deepEqual(refused, []);
    // The agent's own connection goes on: what is registered now arrives, over a stream.
    await fleet.register('/late');
    const late = await stream.until(({ svids }) => svids.length === 2);
    assert.deepEqual(late.svids.map(({ id }) => id.path).toSorted(), ['/late', '/web']);
    assert.equal((await fleet.cli('healthcheck', 'agent')).code, 0);

    for (const socket of sockets) socket.destroy();
    source.close();
    stream.close();
    client.close();
    server.close();
  });

  test('of a JWT authority has tokens signed by the new key, and the old ones refused', async () => {
    const fetch = async () =>
      JSON.parse(
        (await fleet.cli('api', 'fetch', 'jwt', '-audience', 'orders', '-o', 'json')).stdout,
      ) as unknown;
    const tokenOf = (answer: unknown): string => {
      const [token] = /eyJ[\w-]+\.[\w-]+\.[\w-]+/.exec(JSON.stringify(answer)) ?? [];
      return token ?? '';
    };
    const keyId = (token: string): string => {
      const [header = ''] = token.split('.');
      return (JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string }).kid;
    };
    const validate = (token: string) =>
      fleet.cli('api', 'validate', 'jwt', '-audience', 'orders', '-svid', token);
    const act = ['localauthority', 'jwt'];
    const { active } = (await fleet.json(...act, 'show')) as States;
    const old = tokenOf(await fetch());
    assert.equal(keyId(old), active.authorityId);

    await fleet.json(...act, 'prepare');
    const { prepared } = (await fleet.json(...act, 'show')) as States;
    const next = prepared?.authorityId ?? '';
    await fleet.json(...act, 'activate', '-authorityID', next);
    assert.equal((await validate(old)).code, 0);
    await fleet.json(...act, 'taint', '-authorityID', active.authorityId);
    // Told by push; the agent drops the token that it kept.
    let token = old;
    await soon(async () => {
      token = tokenOf(await fetch());
      return token !== old;
    });
    assert.equal(keyId(token), next);
    assert.equal((await validate(token)).code, 0);

    await fleet.json(...act, 'revoke', '-authorityID', active.authorityId);
    await soon(async () => (await validate(old)).code !== 0);
    assert.equal((await validate(token)).code, 0);
  });

  test('is in the ledger', async () => {
    const found = (
      await fleet.cli('ledger', 'search', '--data-dir', `${fleet.dir}/server/data`, '-o', 'json')
    ).stdout;
    for (const act of ['taint', 'revoke']) assert.match(found, new RegExp(`"act": ?"${act}"`));
  });
});

async function agentSerial(fleet: Fleet): Promise<string> {
  const agent = (await fleet.json('agent', 'show', '-spiffeID', await fleet.agentId())) as {
    x509svidSerialNumber: string;
  };
  return agent.x509svidSerialNumber;
}

/** The new serial counts from its first use on. */
function untilAgentRenewed(fleet: Fleet, before: string): Promise<void> {
  return soon(async () => (await agentSerial(fleet)) !== before);
}
