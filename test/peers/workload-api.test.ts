import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Fleet } from '../support/fleet.ts';
import { JsonLines, run } from '../support/processes.ts';
import { skipNow } from '../support/shared.ts';
import { type PeerEvent, type WorkloadClient, workloadClients } from './workload-clients.ts';

const WEB = 'spiffe://example.org/web';
const API = 'spiffe://example.org/api';

const idsOf = (event: PeerEvent): readonly string[] => (event.svids ?? []).map(({ id }) => id);
const serialsOf = (event: PeerEvent): string => (event.svids ?? []).map((s) => s.serial).join();

/** Runs one of the peer's one-shot commands and reads the last thing that it said. */
async function ask(client: WorkloadClient, ...args: string[]): Promise<PeerEvent> {
  const [command, rest] = client.command(args);
  const { stdout, stderr } = await run(command, rest);
  const line = stdout.trim().split('\n').at(-1) ?? '';
  assert.ok(line.startsWith('{'), `${client.name} ${args[0]} said: ${stdout}${stderr}`);
  return JSON.parse(line) as PeerEvent;
}

function watch(client: WorkloadClient, fleet: Fleet): JsonLines<PeerEvent> {
  return new JsonLines(...client.command(['watch', fleet.workloadSocket]));
}

for (const client of workloadClients) {
  describe(`Workload API as ${client.name} sees it`, () => {
    let fleet: Fleet;
    let missing: string | undefined;

    before(async () => {
      ({ missing } = await client.prepare());
      if (missing === undefined) fleet = await Fleet.start({ x509SvidTtl: '16s' });
    });
    after(() => fleet?.stop());

    test('WLAPI-15 refuses a process without an entry', async (context) => {
      if (missing !== undefined) return skipNow(context, missing);
      const event = await ask(client, 'jwt', fleet.workloadSocket, 'aud');
      assert.equal(event.event, 'error');
      assert.equal(event.code, 'PermissionDenied');
      assert.match(event.message ?? '', /no identity issued/);
    });

    test('WLAPI-3, WLAPI-5 streams identities, rotates them, ends them when the entry goes', async (context) => {
      if (missing !== undefined) return skipNow(context, missing);
      const web = await fleet.register('/web', '--hint', 'internal');
      const api = await fleet.register('/api', '--hint', 'external');
      const stream = watch(client, fleet);
      try {
        const first = await stream.next((e) => idsOf(e).length === 2);
        assert.deepEqual([...idsOf(first)].sort(), [API, WEB]);
        assert.deepEqual(first.bundles, { 'spiffe://example.org': 1 });
        assert.ok(first.svids?.every(({ verified }) => verified));
        if (client.hints) {
          assert.deepEqual(first.svids?.map(({ hint }) => hint).sort(), ['external', 'internal']);
        }
        const serials = serialsOf(first);
        const rotated = await stream.next((e) => e.event === 'x509' && serialsOf(e) !== serials);
        assert.ok(rotated.svids?.every(({ verified }) => verified));

        const seen = stream.seen.length;
        await fleet.json('entry', 'delete', '--entry-id', api);
        const one = await stream.next((e) => idsOf(e).length === 1, seen);
        assert.deepEqual(idsOf(one), [WEB]);
        await fleet.json('entry', 'delete', '--entry-id', web);
        if (client.tellsRefusals) {
          const told = await stream.next((e) => e.event === 'error', seen);
          assert.equal(told.code, 'PermissionDenied');
        }
        const denied = await ask(client, 'fetch', fleet.workloadSocket);
        assert.equal(denied.code, 'PermissionDenied');
      } finally {
        await stream.stop();
      }
    });

    test('WLAPI-22, WLAPI-23 fetches a JWT-SVID for each identity and validates it offline', async (context) => {
      if (missing !== undefined) return skipNow(context, missing);
      const entries = [
        await fleet.register('/web', '--hint', 'internal'),
        await fleet.register('/api', '--hint', 'external'),
      ];
      const event = await ask(client, 'jwt', fleet.workloadSocket, 'orders');
      assert.deepEqual([...idsOf(event)].sort(), [API, WEB]);
      assert.ok(event.svids?.every(({ verified }) => verified));
      for (const id of entries) await fleet.json('entry', 'delete', '--entry-id', id);
    });

    test('makes 1,000 calls on one connection', async (context) => {
      if (missing !== undefined) return skipNow(context, missing);
      const entry = await fleet.register('/web');
      const event = await ask(client, 'calls', fleet.workloadSocket, '1000');
      assert.deepEqual(event, { ...event, event: 'calls', count: 1000 });
      await fleet.json('entry', 'delete', '--entry-id', entry);
    });

    test('WLAPI-6 comes back when the agent restarts', async (context) => {
      if (missing !== undefined) return skipNow(context, missing);
      const entry = await fleet.register('/web');
      const stream = watch(client, fleet);
      try {
        const first = await stream.next((e) => idsOf(e).length === 1);
        const seen = stream.seen.length;
        await fleet.stopAgent();
        await fleet.startAgent();
        const again = await stream.next((e) => e.event === 'x509', seen);
        assert.deepEqual(idsOf(again), idsOf(first));
      } finally {
        await stream.stop();
        await fleet.json('entry', 'delete', '--entry-id', entry);
      }
    });
  });
}
