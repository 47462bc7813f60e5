import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Fleet } from '../support/fleet.ts';
import { run, waitForSocket } from '../support/processes.ts';
import { sharedDir } from '../support/shared.ts';

/** Builds SPIRE where that was not done yet; answers the folder of its programs. */
export async function spirePrograms(): Promise<string> {
  const built = await run(join(sharedDir, 'rig/spire/spire.sh'), ['build']);
  assert.equal(built.code, 0, built.stderr);
  return built.stdout.trim();
}

/** A stock SPIRE agent that joined the server of a fleet. */
export interface StockAgent {
  readonly child: ChildProcess;
  /** Its Workload API. */
  readonly socket: string;
  /** What it wrote to its log so far. */
  log(): string;
}

/** Starts a stock SPIRE agent that joins the fleet's server; answers when its socket is there. */
export async function startStockAgent(fleet: Fleet, programs: string): Promise<StockAgent> {
  writeFileSync(fleet.bundlePath, (await fleet.cli('bundle', 'show')).stdout);
  const socket = join(fleet.dir, 'spire.sock');
  mkdirSync(join(fleet.dir, 'spire-agent'));
  const config = join(fleet.dir, 'spire-agent.conf');
  writeFileSync(config, agentConfig(fleet, socket));
  const { value } = (await fleet.json('token', 'generate')) as { value: string };
  const logPath = join(fleet.dir, 'spire-agent.log');
  const log = openSync(logPath, 'a');
  const child = spawn(
    join(programs, 'spire-agent'),
    ['run', '-config', config, '-joinToken', value],
    {
      stdio: ['ignore', log, log],
    },
  );
  await waitForSocket(socket, child);
  return { child, socket, log: () => readFileSync(logPath, 'utf8') };
}

function agentConfig(fleet: Fleet, socket: string): string {
  return `agent {
  server_address = "127.0.0.1"
  server_port = "${fleet.port}"
  socket_path = "${socket}"
  trust_bundle_path = "${fleet.bundlePath}"
  trust_domain = "${fleet.trustDomain}"
  data_dir = "${fleet.dir}/spire-agent"
  log_level = "DEBUG"
}
plugins {
  KeyManager "memory" { plugin_data {} }
  NodeAttestor "join_token" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {} }
}
`;
}
