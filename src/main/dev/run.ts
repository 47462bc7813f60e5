import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../base/clock.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { lockFile } from '../../runtime/file-lock.ts';
import type { SpiffeId } from '../../spiffe/spiffe-id.ts';
import { DevAdmin, isServing } from './admin.ts';
import { type DevChild, lastLines, startChild } from './child.ts';
import { prepareJoin } from './join.ts';
import type { DevLayout } from './layout.ts';
import { DEV_ADDRESS, type DevSettings, writeAgentConfig, writeServerConfig } from './settings.ts';

const READY_LIMIT_MS = 60_000;
const POLL_MS = 20;

/** Both processes, ready. */
export interface RunningDev {
  readonly server: DevChild;
  readonly agent: DevChild;
  readonly agentId: SpiffeId;
  readonly serverAddress: string;
}

/** Starts the server, lets the agent join, and starts the agent; on failure nothing runs on. */
export async function startDev(
  layout: DevLayout,
  settings: DevSettings,
  clock: Clock,
  tell: (step: string) => void,
): Promise<Result<RunningDev>> {
  await waitForFormerChildren(layout);
  const configs = [
    await writeServerConfig(layout, settings),
    await writeAgentConfig(layout, settings),
  ];
  for (const written of configs) if (!written.ok) return written;
  tell('Starting the server');
  const server = startChild(
    'server',
    ['server', 'run', '--config', layout.serverConfig],
    layout.serverLog,
  );
  const agent = await startAgent(layout, server, clock, tell);
  if (!agent.ok) {
    await server.stop();
    return agent;
  }
  const serverAddress = `${DEV_ADDRESS}:${settings.port}`;
  return ok({ server, ...agent.value, serverAddress });
}

async function startAgent(
  layout: DevLayout,
  server: DevChild,
  clock: Clock,
  tell: (step: string) => void,
): Promise<Result<{ agent: DevChild; agentId: SpiffeId }>> {
  const serves = await waitUntilServing(server, layout.adminSocket, clock);
  if (!serves.ok) return serves;
  tell('Letting the agent join');
  const admin = new DevAdmin(layout.adminSocket);
  const bundle = await admin.writeBundle(layout.bundlePath);
  const agentId = bundle.ok ? await prepareJoin(layout, admin, clock) : bundle;
  admin.close();
  if (!agentId.ok) return agentId;
  tell('Starting the agent');
  const agent = startChild(
    'agent',
    ['agent', 'run', '--config', layout.agentConfig],
    layout.agentLog,
  );
  const joined = await waitUntilServing(agent, layout.workloadSocket, clock);
  if (joined.ok) return ok({ agent, agentId: agentId.value });
  await agent.stop();
  return joined;
}

/** Answers once the child says that it serves. Fails with DEV_CHILD_ENDED or DEV_NOT_READY. */
export async function waitUntilServing(
  child: DevChild,
  socketPath: string,
  clock: Clock,
): Promise<Result<void>> {
  let end: string | undefined;
  child.ended.then((how) => {
    end = how;
  });
  const lastMs = clock.monotonicMs() + READY_LIMIT_MS;
  while (end === undefined && clock.monotonicMs() < lastMs) {
    if (await isServing(socketPath)) return ok(undefined);
    await sleep(POLL_MS);
  }
  return end === undefined ? notReady(child) : childEnded(child, end);
}

function notReady({ name, logPath }: DevChild): Result<never> {
  const waited = `the ${name} is not ready after ${READY_LIMIT_MS / 1000} s`;
  return fail('DEV_NOT_READY', `${waited}; the end of ${logPath}:\n${lastLines(logPath)}`);
}

/** The refusal that stands for a child that ended by itself. */
export function childEnded({ name, logPath }: DevChild, how: string): Result<never> {
  const what = `the ${name} ended by itself (${how})`;
  return fail('DEV_CHILD_ENDED', `${what}; the end of ${logPath}:\n${lastLines(logPath)}`);
}

/** Stops the agent, then the server it talks to. */
export async function stopDev({ agent, server }: RunningDev): Promise<void> {
  await agent.stop();
  await server.stop();
}

/** After a kill -9 of the parent its children may take a moment to stop: their locks tell. */
async function waitForFormerChildren(layout: DevLayout): Promise<void> {
  for (const dataDir of [layout.serverData, layout.agentData]) {
    for (let tries = 0; tries < 150; tries++) {
      const lock = lockFile(join(dataDir, 'lock'));
      if (lock.ok) lock.value.release();
      // A folder that does not exist yet has nobody in it.
      if (lock.ok || lock.error.code !== 'DATA_DIR_LOCKED') break;
      await sleep(100);
    }
  }
  for (const socket of [layout.adminSocket, layout.workloadSocket]) rmSync(socket, { force: true });
}

/** A loopback port that is free now. */
export function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, DEV_ADDRESS, () => {
      const address = probe.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}
