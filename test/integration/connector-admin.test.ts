import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '../../src/base/clock.ts';
import { cliCommands } from '../../src/cli/commands.ts';
import { type CliSurroundings, cli } from '../support/cli.ts';
import { soon } from '../support/processes.ts';
import { TestServer } from '../support/server.ts';
import { keyOf, WireConnector } from '../support/wire-connector.ts';

describe('operators of a real server, with connectors over the wire', () => {
  let server: TestServer;
  const open: WireConnector[] = [];
  before(async () => {
    server = await TestServer.start({ connectors: { heartbeat: '10s' } });
    const made = await signet('group', 'create', 'db', '--proof', 'provisioning-key');
    assert.equal(made.code, 0, made.err);
  });
  after(async () => {
    for (const connector of open) connector.close();
    await server?.stop();
  });

  const run = (argv: readonly string[], more: CliSurroundings = {}) =>
    cli(cliCommands, ['connector', ...argv], {
      clock: systemClock,
      env: { SIGNET_SERVER_SOCKET: server.config.adminSocket.path },
      ...more,
    });
  const signet = (...argv: string[]) => run(argv);

  async function list(): Promise<readonly { id: string; state: string; activeFlows?: string }[]> {
    const { out, err } = await signet('list', '-o', 'json');
    assert.notEqual(out, '', err);
    return JSON.parse(out).connectors;
  }

  /** A connector with a session whose first heartbeat has come. */
  async function connected(): Promise<WireConnector> {
    const { out, err } = await signet('key', 'create', '--group', 'db');
    assert.notEqual(out, '', err);
    const connector = await WireConnector.enrol(server, 'db', keyOf(out));
    open.push(connector);
    assert.equal((await stateOf(connector.id)).state, 'enrolled');
    await connector.connect();
    await soon(async () => (await stateOf(connector.id)).state === 'active');
    return connector;
  }

  async function stateOf(id: string): Promise<{ state: string; activeFlows?: string }> {
    const found = (await list()).find((one) => one.id === id);
    return found ?? { state: 'gone' };
  }

  test('enrols by a printed key, shows the session, and takes the connector back at once', async () => {
    const connector = await connected();
    const segment = ['segment', 'create', 'orders', '--group', 'db', '--host', 'db.example.org'];
    const made = await signet(...segment, '--port', '5432', '--client', 'spiffe://example.org/web');
    assert.equal(made.code, 0, made.err);
    connector.beat({ activeFlows: 3n });
    await soon(async () => (await stateOf(connector.id)).activeFlows === '3');
    const shown = await signet('show', connector.id);
    assert.match(shown.out, /^Version {10}: 1\.2\.3$/m);
    assert.match(shown.out, /^Proof {12}: provisioning-key$/m);
    await soon(async () => {
      const { out } = await signet('show', connector.id);
      return /^Segments {9}: \d+-[0-9a-f]+$/m.test(out);
    });
    const keys = await signet('key', 'list');
    assert.match(keys.out, / db {5}1\/1 /m);
    assert.equal((await signet('group', 'delete', 'db')).code, 1, 'somebody is in it');
    const revoked = await signet('revoke', connector.id, '--reason', 'test');
    assert.equal(revoked.out, `Revoked 1 connector: ${connector.id}\n`, revoked.err);
    const ended = await connector.ended;
    assert.equal(ended?.metadata.get('signet-error-code')[0], 'CONNECTOR_REVOKED');
    assert.equal((await stateOf(connector.id)).state, 'revoked');
    const again = await signet('drain', connector.id);
    assert.match(again.err, /code: CONNECTOR_ENDED/);
    const gone = await signet('delete', connector.id);
    assert.equal(gone.code, 0, gone.err);
    assert.equal((await stateOf(connector.id)).state, 'gone');
  });

  test('a drain is told to the connector, and waits until it has left', async () => {
    const connector = await connected();
    connector.beat({ activeFlows: 2n });
    await soon(async () => (await stateOf(connector.id)).activeFlows === '2');
    const waiting = signet('drain', connector.id, '--wait', '--reason', 'maintenance');
    await soon(async () => connector.commands.includes('drain'));
    connector.beat({ activeFlows: 0n });
    connector.goodbye();
    const { code, out, err } = await waiting;
    assert.equal(code, 0, err);
    assert.equal(out, `Draining 1 connector: ${connector.id}\n`);
    assert.match(err, /^1 of 1 drained, 0 flows open$/m);
    assert.equal((await stateOf(connector.id)).state, 'stopped');
  });

  test('commands reach the session', async () => {
    const connector = await connected();
    const cases = [
      [['upgrade', '--group', 'db', '--to', '2.0'], 'upgrade'],
      [['renew', connector.id, '--reason', 'test'], 'renewNow'],
    ] as const;
    for (const [argv, command] of cases) {
      const { code, err } = await run(argv);
      assert.equal(code, 0, err);
      await soon(async () => connector.commands.includes(command));
    }
    assert.equal((await signet('resume', connector.id)).code, 1, 'it does not drain');
  });

  test('acts stand in the ledger with the connector that they were done to', async () => {
    const connector = await connected();
    await signet('revoke', connector.id, '--reason', 'ledger test');
    const dataDir = `${server.dir}/data`;
    const search = ['ledger', 'search', '--data-dir', dataDir, '--limit', '1000', '-o', 'json'];
    const acts = async (): Promise<readonly (string | undefined)[]> => {
      const { out, err } = await cli(cliCommands, search);
      assert.equal(err, '');
      const records: readonly { readonly reason?: string; readonly connector?: string }[] =
        JSON.parse(out);
      return records.flatMap(({ reason, connector: id }) => (reason === 'ledger test' ? [id] : []));
    };
    // The search reads up to the last checkpoint, which comes after a while.
    await soon(async () => (await acts()).length > 0);
    assert.deepEqual(await acts(), [connector.id], 'once, by the connector');
  });
});

test('a server without connectors says which setting switches them on', async () => {
  const server = await TestServer.start();
  const { code, err } = await cli(cliCommands, ['connector', 'list'], {
    env: { SIGNET_SERVER_SOCKET: server.config.adminSocket.path },
  });
  assert.equal(code, 1);
  assert.match(err, /code: CONNECTORS_OFF/);
  assert.match(err, /connectors to server\.yaml/);
  await server.stop();
});
