/**
 * A server and an agent as a user runs them: how soon each answers, what they hold at rest, and how
 * long an entry takes from its creation to the SVID on an open stream. Prints a table and writes
 * `bench-fleet.json`.
 */
import { promisify } from 'node:util';
import { credentials } from '@grpc/grpc-js';
import { unwrap } from '../../src/base/result.ts';
import { parseWorkloadAddress, WorkloadClient } from '../../src/client/index.ts';
import {
  type BatchCreateEntryRequest,
  type BatchCreateEntryResponse,
  EntryClient,
} from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { Entry } from '../../src/gen/spire/api/types/entry.ts';
import { Fleet } from '../support/fleet.ts';
import { residentMib } from './process-figures.ts';
import { quantile, report } from './report.ts';

const STARTS = 7;
const ENTRIES = 100;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

function openClient(fleet: Fleet): WorkloadClient {
  return new WorkloadClient(unwrap(parseWorkloadAddress(`unix:${fleet.workloadSocket}`)));
}

/** Time until a workload holds its first SVID, for an agent that resumes with its own. */
async function firstSvid(fleet: Fleet): Promise<void> {
  await fleet.startAgent();
  const client = openClient(fleet);
  unwrap(await client.fetchX509Context());
  client.close();
}

/** Milliseconds from the request that creates an entry to the update that holds its SVID, each in turn. */
async function measurePush(fleet: Fleet): Promise<readonly number[]> {
  const [, parentPath = ''] = /^spiffe:\/\/[^/]+(\/.+)$/.exec(await fleet.agentId()) ?? [];
  const admin = new EntryClient(`unix:${fleet.adminSocket}`, credentials.createInsecure());
  const create = promisify<BatchCreateEntryRequest, BatchCreateEntryResponse>((request, done) =>
    admin.batchCreateEntry(request, done),
  );
  const client = openClient(fleet);
  const seen = new Map<string, () => void>();
  const watch = client.watchX509Context({
    onUpdate: ({ svids }) => {
      for (const { id } of svids) seen.get(id.uri)?.();
    },
    onError: () => {},
  });
  const samples: number[] = [];
  for (let index = 0; index < ENTRIES; index++) {
    const path = `/pushed/${index}`;
    const arrived = new Promise<void>((resolve) => {
      seen.set(`spiffe://${fleet.trustDomain}${path}`, resolve);
    });
    const entry = Entry.fromJSON({
      spiffeId: { trustDomain: fleet.trustDomain, path },
      parentId: { trustDomain: fleet.trustDomain, path: parentPath },
      selectors: [{ type: 'unix', value: `uid:${process.getuid?.() ?? 0}` }],
    });
    const request = { entries: [entry], outputMask: undefined };
    samples.push(await timed(() => Promise.all([arrived, create(request)])));
  }
  watch.close();
  client.close();
  admin.close();
  return samples;
}

const fleet = await Fleet.start();
try {
  const atRest = { server: residentMib(fleet.serverPid), agent: residentMib(fleet.agentPid) };
  await fleet.register('/first');
  const serverMs: number[] = [];
  const agentMs: number[] = [];
  for (let turn = 0; turn < STARTS; turn++) {
    await fleet.stopAgent();
    await fleet.stopServer();
    serverMs.push(await timed(() => fleet.startServer()));
    agentMs.push(await timed(() => firstSvid(fleet)));
  }
  const pushMs = await measurePush(fleet);
  report('fleet', {
    'entry created to SVID on an open stream (ms)': {
      median: quantile(pushMs, 0.5),
      p99: quantile(pushMs, 0.99),
    },
    'start to first answer, server (ms)': { median: quantile(serverMs, 0.5) },
    'start to first SVID, agent (ms)': { median: quantile(agentMs, 0.5) },
    'memory at rest, server (MiB)': { median: atRest.server },
    'memory at rest, agent (MiB)': { median: atRest.agent },
  });
} finally {
  await fleet.stop();
}
