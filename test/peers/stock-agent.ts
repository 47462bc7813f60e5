import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Fleet } from '../support/fleet.ts';
import { run, waitForSocket } from '../support/processes.ts';
import { sharedDir } from '../support/shared.ts';
import { alone } from './build.ts';

const JOIN_TOKEN = 'NodeAttestor "join_token" { plugin_data {} }';

/** Builds SPIRE where that was not done yet; answers the folder of its programs. */
export async function spirePrograms(): Promise<string> {
  const built = await alone(() => run(join(sharedDir, 'rig/spire/spire.sh'), ['build']));
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

/**
 * Starts a stock SPIRE agent that joins the fleet's server; answers when its socket is there.
 *
 * @param attestor Its node attestor in SPIRE's configuration; by join token unless told.
 * @param workloads Workload attestors beside `unix`, in SPIRE's configuration.
 */
export async function startStockAgent(
  fleet: Fleet,
  programs: string,
  attestor?: string,
  workloads = '',
): Promise<StockAgent> {
  writeFileSync(fleet.bundlePath, (await fleet.cli('bundle', 'show')).stdout);
  const socket = join(fleet.dir, 'spire.sock');
  mkdirSync(join(fleet.dir, 'spire-agent'));
  const config = join(fleet.dir, 'spire-agent.conf');
  writeFileSync(config, agentConfig(fleet, socket, `${attestor ?? JOIN_TOKEN}\n  ${workloads}`));
  const join_ = attestor === undefined ? ['-joinToken', await tokenOf(fleet)] : [];
  const logPath = join(fleet.dir, 'spire-agent.log');
  const log = openSync(logPath, 'a');
  const child = spawn(join(programs, 'spire-agent'), ['run', '-config', config, ...join_], {
    stdio: ['ignore', log, log],
  });
  await waitForSocket(socket, child);
  return { child, socket, log: () => readFileSync(logPath, 'utf8') };
}

async function tokenOf(fleet: Fleet): Promise<string> {
  return ((await fleet.json('token', 'generate')) as { value: string }).value;
}

function agentConfig(fleet: Fleet, socket: string, attestor: string): string {
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
  ${attestor}
  WorkloadAttestor "unix" { plugin_data {} }
}
`;
}
