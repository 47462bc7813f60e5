/**
 * The reference connector as a process of its own: how much one mTLS flow carries through it beside a plain
 * TCP relay, and how soon its flows are closed once somebody revokes it. Prints a table and writes
 * `bench-connectors-forwarder.json`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConnectorAdminService } from '../../src/gen/signet/connector/v1/admin.ts';
import { askFlow, type FlowAnswer } from '../support/connector-peer.ts';
import { ConnectorRig } from '../support/connector-rig.ts';
import { freePort, JsonLines, stopChild } from '../support/processes.ts';
import { ask } from '../support/server.ts';
import { quantile, report } from './report.ts';

const FLOW_BYTES = 1 << 30;
const ROUNDS = 3;
const FLOWS = 200;
const REVOKES = 5;

interface Line {
  readonly event: string;
  readonly port: number;
  readonly spiffeId?: string;
}

const ends: (() => Promise<void> | void)[] = [];

async function startNode(
  ...args: readonly string[]
): Promise<{ lines: JsonLines<Line>; port: number }> {
  const lines = new JsonLines<Line>(process.execPath, args);
  ends.push(() => lines.stop());
  const { port } = await lines.next(({ event }) => event === 'listening');
  return { lines, port };
}

/** Sends all there is through a socket; answers with MiB a second, from the first byte to the answer. */
async function throughput(socket: Socket): Promise<number> {
  const chunk = Buffer.alloc(256 << 10, 1);
  const startMs = performance.now();
  for (let sent = 0; sent < FLOW_BYTES; sent += chunk.length) {
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  socket.end();
  await once(socket, 'data');
  const seconds = (performance.now() - startMs) / 1000;
  socket.destroy();
  return FLOW_BYTES / (1 << 20) / seconds;
}

async function rates(
  open: () => Promise<Socket>,
): Promise<{ 'MiB/s': number; 'most MiB/s': number }> {
  const samples: number[] = [];
  for (let round = 0; round < ROUNDS; round++) samples.push(await throughput(await open()));
  return { 'MiB/s': quantile(samples, 0.5), 'most MiB/s': Math.max(...samples) };
}

async function plain(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  return socket;
}

/** socat in front of the sink, where the machine has it. */
async function startSocat(sink: number): Promise<number | undefined> {
  if (spawnSync('socat', ['-V']).status !== 0) return undefined;
  const port = await freePort();
  const listen = `TCP-LISTEN:${port},fork,reuseaddr,bind=127.0.0.1`;
  const child = spawn('socat', ['-b', '262144', listen, `TCP:127.0.0.1:${sink}`]);
  ends.push(() => stopChild(child, 'SIGKILL'));
  for (;;) {
    const open = await plain(port).catch(() => undefined);
    open?.destroy();
    if (open !== undefined) return port;
  }
}

const rig = await ConnectorRig.start();
ends.push(() => rig.stop());
await rig.putGroup();
await rig.putSegment('all', { ports: [{ first: 1024, last: 65_535 }] });
const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
writeFileSync(join(folder, 'bundle.pem'), rig.root.pem);
writeFileSync(join(folder, 'key.txt'), await rig.createKey());
const app = await rig.mint('/app');
let started = 0;

async function startConnector() {
  const at = started++;
  const { lines, port } = await startNode(
    'examples/connector/main.ts',
    ...['--server', `127.0.0.1:${rig.port}`, '--trust-domain', 'example.org'],
    ...['--bundle', join(folder, 'bundle.pem'), '--group', 'edge'],
    ...['--state', join(folder, `state${at}`), '--provisioning-key-file', join(folder, 'key.txt')],
  );
  await lines.next(({ event }) => event === 'segments');
  const { spiffeId = '' } = lines.seen.find(({ event }) => event === 'enrolled') ?? {};
  return { id: spiffeId.split('/').at(-1) ?? '', port };
}

/** From the operator's call to the close of each flow, as its peer sees it. */
async function closings(sink: number): Promise<readonly number[]> {
  const { id, port } = await startConnector();
  const flows: FlowAnswer[] = [];
  for (let at = 0; at < FLOWS; at++) flows.push(await askFlow(port, `127.0.0.1:${sink}`, app));
  const startMs = performance.now();
  const closed = flows.map(async ({ socket }) => {
    await once(socket.resume(), 'close');
    return performance.now() - startMs;
  });
  const request = { which: { ids: [id], group: '' }, reason: 'bench' };
  await ask(rig.admin(), ConnectorAdminService.revokeConnectors, request);
  return Promise.all(closed);
}

const sink = await startNode('test/bench/relay-child.ts', 'sink');
const relay = await startNode('test/bench/relay-child.ts', 'relay', String(sink.port));
const socat = await startSocat(sink.port);
const forwarder = await startConnector();
const mtls = async (): Promise<Socket> =>
  (await askFlow(forwarder.port, `127.0.0.1:${sink.port}`, app)).socket;
const figures = {
  'no relay': await rates(() => plain(sink.port)),
  ...(socat === undefined ? {} : { 'socat, plain TCP': await rates(() => plain(socat)) }),
  'relay in Node, plain TCP': await rates(() => plain(relay.port)),
  'reference connector, mTLS': await rates(mtls),
};
const samples: number[] = [];
for (let round = 0; round < REVOKES; round++) samples.push(...(await closings(sink.port)));
report('connectors-forwarder', {
  ...figures,
  [`RevokeConnectors called → each of ${FLOWS} flows closed`]: {
    'p50 ms': quantile(samples, 0.5),
    'p99 ms': quantile(samples, 0.99),
    'most ms': Math.max(...samples),
  },
});
for (const end of ends) await end();
rmSync(folder, { recursive: true, force: true });
