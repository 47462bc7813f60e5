import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import {
  type AgentMessage,
  AgentSyncService,
  type ServerMessage,
} from '../../src/gen/signet/agent/v1/agent.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { LocalAuthorityService } from '../../src/gen/spire/api/server/localauthority/v1/localauthority.ts';
import { ask, open, type TestAgent, TestServer } from '../support/server.ts';

describe('what a new authority waits for', () => {
  let server: TestServer;
  let polling: TestAgent;
  before(async () => {
    server = await TestServer.start();
    polling = await server.attest();
  });
  after(() => server.stop());

  /** What an agent does that polls. */
  async function poll(): Promise<void> {
    await ask(await server.tcp(polling), BundleService.getBundle, { outputMask: undefined });
  }

  async function prepared(): Promise<string> {
    const { preparedAuthority } = await ask(
      server.admin(),
      LocalAuthorityService.prepareX509Authority,
      {},
    );
    return preparedAuthority?.authorityId ?? '';
  }

  /** Activates; `isDone` tells whether that was answered after all that was asked before. */
  function activate(authorityId: string) {
    const request = { authorityId, force: false };
    let done = false;
    const answer = ask(server.admin(), LocalAuthorityService.activateX509Authority, request).then(
      ({ activatedAuthority }) => {
        done = true;
        return activatedAuthority?.authorityId;
      },
    );
    const isDone = async (): Promise<boolean> => {
      // Writes stand in one line: were it to be activated, that would be written before these.
      for (let i = 0; i < 5; i++) {
        const token = { ttl: 60, token: '', agentId: undefined };
        await ask(server.admin(), AgentService.createJoinToken, token);
      }
      return done;
    };
    return { answer, isDone };
  }

  test('I5 an agent that polls, until it has asked for the bundle; an unknown caller does not count', async () => {
    const next = await prepared();
    const { answer, isDone } = activate(next);
    assert.equal(await isDone(), false);
    await ask(await server.tcp(), BundleService.getBundle, { outputMask: undefined });
    assert.equal(await isDone(), false);
    await poll();
    assert.equal(await answer, next);
  });

  test('I5 an agent with a push stream, until it acknowledges the bundle; then it is told of the taint', async () => {
    const agent = await server.attest();
    const stream: ClientDuplexStream<AgentMessage, ServerMessage> = open(
      await server.tcp(agent),
      AgentSyncService.sync,
    );
    const messages = stream[Symbol.asyncIterator]();
    const next = async () => ((await messages.next()).value as ServerMessage | undefined)?.kind;
    const ack = (bundleSequence: bigint): void => {
      stream.write({ kind: { $case: 'ack', value: { bundleSequence, revision: 0n } } });
    };
    const hello = {
      feedId: '',
      revision: 0n,
      bundleSequence: 0n,
      agentVersion: '1',
      crlNumber: 0n,
      quarantined: false,
    };
    stream.write({ kind: { $case: 'hello', value: hello } });
    assert.equal((await next())?.$case, 'snapshot');
    const first = await next();
    assert.ok(first?.$case === 'bundle');
    ack(first.value.sequenceNumber);
    const show = await ask(server.admin(), LocalAuthorityService.getX509AuthorityState, {});
    const old = show.active?.authorityId ?? '';
    const authorityId = await prepared();
    const second = await next();
    assert.ok(second?.$case === 'bundle');
    const { answer, isDone } = activate(authorityId);
    ack(first.value.sequenceNumber);
    assert.equal(await isDone(), false, 'n - 1');
    await poll();
    assert.equal(await isDone(), false);
    ack(second.value.sequenceNumber);
    assert.equal(await answer, authorityId);

    await ask(server.admin(), LocalAuthorityService.taintX509Authority, { authorityId: old });
    const taint = await next();
    assert.ok(taint?.$case === 'taint');
    assert.deepEqual(
      taint.value.subjectKeyIds.map((id) => id.toString('hex')),
      [old],
    );
    const tainted = await next();
    assert.ok(tainted?.$case === 'bundle');
    assert.ok(tainted.value.x509Authorities.some((each) => each.tainted));
    await ask(server.admin(), LocalAuthorityService.revokeX509Authority, { authorityId: old });
    const revoked = await next();
    assert.ok(revoked?.$case === 'bundle');
    assert.ok(!revoked.value.x509Authorities.some((each) => each.tainted));
    stream.cancel();
  });
});
