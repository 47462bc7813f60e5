import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '../../../src/base/clock.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { containerId } from '../../../test/support/node-pods.ts';
import { assertRefused, assertValue } from '../../../test/support/refused.ts';
import { temporaryFolder } from '../../../test/support/rpc.ts';
import type { ContainerPlace } from '../container/locate.ts';
import { createEngineAttestor } from './attestor.ts';
import { engineAt, parseContainer } from './engine-api.ts';

const PEER = { pid: 42, uid: 1000, gid: 1000, isAlive: () => true };
const ID = containerId('a');

/** What Docker says of a container, as far as it matters. */
function described(changes: Record<string, unknown> = {}): string {
  return JSON.stringify({
    Id: ID,
    Name: '/web',
    State: { Running: true, Pid: 42 },
    Image: `sha256:${'b'.repeat(64)}`,
    Config: {
      Image: 'web:1.2',
      Labels: { 'com.example.team': 'shop', empty: '' },
      Env: ['MODE=fast', 'TEXT=a=b\nc'],
    },
    ...changes,
  });
}

/** A fake of the Docker Engine API on a Unix socket: knows one container, or answers as it is told. */
async function fakeEngine(context: TestContext, answer?: (response: ServerResponse) => void) {
  const paths: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    paths.push(request.url);
    if (answer !== undefined) return answer(response);
    if (request.url === `/containers/${ID}/json`) return void response.end(described());
    response.writeHead(404).end('{"message":"No such container"}');
  });
  const socketPath = join(temporaryFolder(context), 'engine.sock');
  server.listen(socketPath);
  await once(server, 'listening');
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { paths, socketPath, engine: engineAt(socketPath, systemClock) };
}

const at = (owner: ContainerPlace['owner'], id = ID): Result<ContainerPlace> =>
  ok({ owner, containerId: id, podUid: undefined });

const SELECTORS = [
  'docker:env:MODE=fast',
  'docker:env:TEXT=a=b\nc',
  `docker:image_config_digest:sha256:${'b'.repeat(64)}`,
  'docker:image_id:web:1.2',
  'docker:label:com.example.team:shop',
  'docker:label:empty:',
];

describe('the docker attestor', () => {
  for (const owner of ['docker', 'podman', 'unknown'] as const) {
    test(`gives SPIRE's selectors to a container that is ${owner}'s`, async (context) => {
      const { engine, paths } = await fakeEngine(context);
      const attestor = createEngineAttestor({
        locate: () => at(owner),
        docker: owner === 'podman' ? undefined : engine,
        podman: owner === 'podman' ? engine : undefined,
      });
      const selectors = assertValue(await attestor.attest(PEER));
      assert.deepEqual([...selectors].sort(), SELECTORS);
      assert.deepEqual(paths, [`/containers/${ID}/json`]);
      assert.ok(attestor.holds(PEER, selectors));
    });
  }

  const none: readonly [string, Result<ContainerPlace | undefined>][] = [
    ['in no container', ok(undefined)],
    ['in a pod', at('pod')],
    ['in a container of an engine that is not configured', at('podman')],
    ['in what may be a container, and the engine has none', at('unknown', containerId('c'))],
  ];
  for (const [name, place] of none) {
    test(`gives none to a process ${name}`, async (context) => {
      const { engine } = await fakeEngine(context);
      const attestor = createEngineAttestor({
        locate: () => place,
        docker: engine,
        podman: undefined,
      });
      assert.deepEqual(assertValue(await attestor.attest(PEER)), []);
      assert.ok(attestor.holds(PEER, []));
    });
  }

  test('refuses a container that its engine does not have', async (context) => {
    const { engine } = await fakeEngine(context);
    const locate = () => at('docker', containerId('c'));
    const attestor = createEngineAttestor({ locate, docker: engine, podman: undefined });
    assertRefused(await attestor.attest(PEER), 'AGENT_ENGINE');
    assert.equal(attestor.holds(PEER, []), false);
  });

  test('refuses what cannot be placed', async (context) => {
    const { engine, paths } = await fakeEngine(context);
    const locate = () => fail('AGENT_CONTAINER_LAYOUT', 'planted');
    const attestor = createEngineAttestor({ locate, docker: engine, podman: undefined });
    assertRefused(await attestor.attest(PEER), 'AGENT_CONTAINER_LAYOUT');
    assert.deepEqual(paths, []);
  });

  test('does not hold for a process that moved', async (context) => {
    const { engine } = await fakeEngine(context);
    let place: Result<ContainerPlace | undefined> = at('docker');
    const attestor = createEngineAttestor({
      locate: () => place,
      docker: engine,
      podman: undefined,
    });
    assertValue(await attestor.attest(PEER));
    place = ok(undefined);
    assert.equal(attestor.holds(PEER, []), false);
  });
});

describe('the answer of an engine', () => {
  const refused: readonly [string, string][] = [
    ['another container, by its name', described({ Id: containerId('c'), Name: `/${ID}` })],
    ['a container that does not run', described({ State: { Running: false } })],
    ['a container of no image', described({ Image: '' })],
    ['a container without its configuration', described({ Config: undefined })],
    ['no container', '[]'],
    ['no JSON', '{'],
  ];
  for (const [name, text] of refused) {
    test(`is refused where it is ${name}`, () => {
      assertRefused(parseContainer(text, ID), 'AGENT_ENGINE');
    });
  }

  test('may leave out labels, environment and the name of the hash', () => {
    const container = assertValue(
      parseContainer(described({ Config: {}, Image: 'b'.repeat(64) }), ID),
    );
    assert.deepEqual([...container.labels, ...container.env, container.image], ['']);
    assert.equal(container.imageDigest, `sha256:${'b'.repeat(64)}`);
  });

  test('is never an exception', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        parseContainer(text, ID);
      }),
    );
  });

  test('is refused where it is a fault, or where nobody answers', async (context) => {
    const faulty = await fakeEngine(context, (response) => response.writeHead(500).end());
    assertRefused(await faulty.engine(ID), 'AGENT_ENGINE');
    const silent = await fakeEngine(context, (response) => response.destroy());
    assertRefused(await silent.engine(ID), 'AGENT_ENGINE');
    assertRefused(await engineAt(`${silent.socketPath}-absent`, systemClock)(ID), 'AGENT_ENGINE');
  });
});
