/**
 * Thousands of connectors with a session each on one server, in processes of their own on loopback: memory
 * for each session, CPU at rest, how soon a change of a segment is applied by all and a revocation is told,
 * and how they come back when the server is killed. Prints a table and writes `bench-connectors.json`.
 * `SIGNET_BENCH_CONNECTORS` says how many, 5,000 unless set.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  type ConnectorAdminClient,
  RevokeConnectorsRequest,
} from '../../src/gen/signet/connector/v1/admin.ts';
import { Fleet } from '../support/fleet.ts';
import type { ClientRequest, ClientSeen, EnrolledClient } from './connector-clients.ts';
import { adminOf, answerOf, enrolAll, prepareGroup, putSegment } from './connector-setup.ts';
import { cpuMs, peakMib, residentMib } from './process-figures.ts';
import { quantile, report } from './report.ts';

const COUNT = Number(process.env.SIGNET_BENCH_CONNECTORS ?? 5000);
const SEGMENTS = 100;
const HEARTBEAT_MS = 30_000;
const PROCESSES = 2;
const CHANGES = 5;
const REVOKED = 20;
const LIMIT_MS = 120_000;
const REST_MS = 30_000;
const CLIENTS = fileURLToPath(new URL('connector-clients.ts', import.meta.url));

/** The processes that hold the clients. */
class Clients {
  readonly #children: readonly ChildProcess[];

  constructor() {
    this.#children = Array.from({ length: PROCESSES }, () => fork(CLIENTS));
  }

  async start(fleet: Fleet, enrolled: readonly EnrolledClient[]): Promise<void> {
    const each = Math.ceil(enrolled.length / PROCESSES);
    const starts = this.#children.map((child, index) => {
      const path = join(fleet.dir, `clients-${index}.json`);
      const mine = enrolled.slice(index * each, (index + 1) * each);
      writeFileSync(path, JSON.stringify(mine), { mode: 0o600 });
      const heartbeatMs = HEARTBEAT_MS;
      return ask(child, { kind: 'start', path, port: fleet.port, heartbeatMs, windowMs: 15_000 });
    });
    await Promise.all(starts);
  }

  /** What all of them saw since the last question. */
  async seen(): Promise<ClientSeen> {
    const all = await Promise.all(this.#children.map((child) => ask(child, { kind: 'seen' })));
    // Our own children's answers.
    const seen = all as readonly ClientSeen[];
    return {
      open: seen.reduce((sum, { open }) => sum + open, 0),
      openedMs: seen.flatMap(({ openedMs }) => openedMs),
      acked: seen.flatMap(({ acked }) => acked),
      revoked: seen.flatMap(({ revoked }) => revoked),
      ended: sumOf(seen.map(({ ended }) => ended)),
    };
  }

  stop(): void {
    for (const child of this.#children) child.kill('SIGKILL');
  }
}

function sumOf(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const [code, times] of all.flatMap((one) => Object.entries(one))) {
    sum[code] = (sum[code] ?? 0) + times;
  }
  return sum;
}

async function ask(child: ChildProcess, request: ClientRequest): Promise<unknown> {
  const answered = once(child, 'message');
  child.send(request);
  const [answer] = await answered;
  return answer;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Gathers what the clients see until `done` says that it is enough. */
async function gather(clients: Clients, done: (seen: ClientSeen) => boolean): Promise<ClientSeen> {
  const lastMs = performance.now() + LIMIT_MS;
  let all: ClientSeen = { open: 0, openedMs: [], acked: [], revoked: [], ended: {} };
  for (;;) {
    const seen = await clients.seen();
    all = {
      open: seen.open,
      openedMs: [...all.openedMs, ...seen.openedMs],
      acked: [...all.acked, ...seen.acked],
      revoked: [...all.revoked, ...seen.revoked],
      ended: sumOf([all.ended, seen.ended]),
    };
    if (done(all)) return all;
    if (performance.now() > lastMs) {
      throw new TypeError(`${all.open} of ${COUNT} are open; ended: ${JSON.stringify(all.ended)}`);
    }
    await sleep(200);
  }
}

/** Most sessions that opened within one second. */
function mostInASecond(times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  let most = 0;
  let first = 0;
  for (const [index, atMs] of sorted.entries()) {
    while ((sorted[first] ?? atMs) <= atMs - 1000) first += 1;
    most = Math.max(most, index - first + 1);
  }
  return most;
}

async function measureChanges(
  admin: ConnectorAdminClient,
  clients: Clients,
): Promise<readonly number[]> {
  const samples: number[] = [];
  for (let change = 1; change <= CHANGES; change++) {
    await clients.seen();
    const startMs = Date.now();
    await putSegment(admin, 'segment-0', change);
    const { acked } = await gather(clients, (seen) => seen.acked.length >= COUNT);
    samples.push(...acked.map(([, atMs]) => atMs - startMs));
    await sleep(500);
  }
  return samples;
}

async function measureRevocations(
  admin: ConnectorAdminClient,
  clients: Clients,
  enrolled: readonly EnrolledClient[],
): Promise<readonly number[]> {
  const samples: number[] = [];
  for (const { id } of enrolled.slice(0, REVOKED)) {
    await clients.seen();
    const startMs = Date.now();
    const request = RevokeConnectorsRequest.fromJSON({ which: { ids: [id] }, reason: 'bench' });
    await answerOf<unknown>((done) => admin.revokeConnectors(request, done));
    const { revoked } = await gather(clients, (seen) => seen.revoked.length > 0);
    samples.push(...revoked.map(([, atMs]) => atMs - startMs));
  }
  return samples;
}

/** Cores that the server takes while nothing happens but heartbeats. */
async function coresAtRest(pid: number): Promise<number> {
  const before = cpuMs(pid);
  const startMs = performance.now();
  await sleep(REST_MS);
  return (cpuMs(pid) - before) / (performance.now() - startMs);
}

const fleet = await Fleet.start({
  serverOnly: true,
  serverYaml: `connectors: { heartbeat: 30s, enrolmentsPerSecond: 10000, enrolmentBurst: 100000 }
limits:
  anonymousCalls: { perSecond: 0, burst: 1 }
  anonymousConnections: { perSecond: 0, burst: 1 }
  connectionsPerAddress: 20000
`,
});
const clients = new Clients();
try {
  let admin = adminOf(fleet);
  const key = await prepareGroup(admin, { segments: SEGMENTS, uses: COUNT });
  const enrolStartMs = performance.now();
  const path = join(fleet.dir, 'enrolled.json');
  const enrolled = await enrolAll(fleet, key, { count: COUNT, path });
  const enrolMs = performance.now() - enrolStartMs;
  say(`${COUNT} enrolled in ${(enrolMs / 1000).toFixed(1)} s`);
  admin.close();
  // What enrolling has left in memory is not the sessions'.
  await fleet.stopServer();
  await fleet.startServer();
  admin = adminOf(fleet);
  await sleep(5000);
  const emptyMib = residentMib(fleet.serverPid);
  const openCpu = cpuMs(fleet.serverPid);
  await clients.start(fleet, enrolled);
  const opened = await gather(clients, (seen) => seen.open >= COUNT && seen.acked.length >= COUNT);
  const openingMs = cpuMs(fleet.serverPid) - openCpu;
  say(`all are open; ended on the way: ${JSON.stringify(opened.ended)}`);
  await sleep(15_000);
  const cores = await coresAtRest(fleet.serverPid);
  const heldMib = residentMib(fleet.serverPid);
  const changeMs = await measureChanges(admin, clients);
  const revokeMs = await measureRevocations(admin, clients, enrolled);
  const left = COUNT - REVOKED;
  const mostMib = peakMib(fleet.serverPid);
  await clients.seen();
  admin.close();
  const killedMs = Date.now();
  await fleet.stopServer('SIGKILL');
  await fleet.startServer();
  const servedMs = Date.now();
  const back = await gather(clients, (seen) => seen.open >= left && seen.openedMs.length >= left);
  say(`all are back; ended on the way: ${JSON.stringify(back.ended)}`);
  const backMs = back.openedMs.map((atMs) => atMs - servedMs);
  report('connectors', {
    sessions: { value: COUNT },
    'server memory for each session (KiB)': { value: ((heldMib - emptyMib) * 1024) / COUNT },
    'server memory, none open (MiB)': { value: emptyMib },
    'server memory, all open (MiB)': { value: heldMib },
    'server memory, peak (MiB)': { value: mostMib },
    'server CPU to open one session (ms)': { value: openingMs / COUNT },
    'server CPU at rest (1/1000 cores)': { value: cores * 1000 },
    'enrolments in a second': { value: COUNT / (enrolMs / 1000) },
    'segment change to ack (ms)': {
      median: quantile(changeMs, 0.5),
      p99: quantile(changeMs, 0.99),
      most: Math.max(...changeMs),
    },
    'revocation to session told (ms)': {
      median: quantile(revokeMs, 0.5),
      p99: Math.max(...revokeMs),
    },
    'server killed to serving again (ms)': { value: servedMs - killedMs },
    'serving again to sessions back (ms)': {
      median: quantile(backMs, 0.5),
      p99: quantile(backMs, 0.99),
      most: Math.max(...backMs),
    },
    'sessions opened in the busiest second': {
      value: mostInASecond(opened.openedMs),
      most: mostInASecond(back.openedMs),
    },
  });
} finally {
  clients.stop();
  await fleet.stop();
}
