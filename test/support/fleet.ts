import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Finished, freePort, run, stopChild, waitForSocket } from './processes.ts';

const signet = join(process.cwd(), 'bin/signet');

/** What may be set for a fleet of one server and one agent. */
export interface FleetOptions {
  readonly x509SvidTtl?: string;
  readonly caTtl?: string;
  readonly jwtTtl?: string;
  /** Starts no agent. */
  readonly serverOnly?: boolean;
  /** Of the server; a free one unless told. */
  readonly port?: number;
  readonly agentTtl?: string;
  /** What `keys`, `ca` and `jwt` say, beside the lives above; keys are on disk unless told. */
  readonly keys?: string;
  readonly ca?: string;
  readonly jwt?: string;
  /** Lines that end `server.yaml`. */
  readonly serverYaml?: string;
  /** Lines that end `agent.yaml`. */
  readonly agentYaml?: string;
}

/** A server and an agent as processes of their own, through the launcher, on loopback. */
export class Fleet {
  readonly dir: string;
  readonly port: number;
  readonly trustDomain = 'example.org';
  readonly #options: FleetOptions;
  #server: ChildProcess | undefined;
  #agent: ChildProcess | undefined;
  #agentId: string | undefined;

  private constructor(dir: string, port: number, options: FleetOptions) {
    this.dir = dir;
    this.port = port;
    this.#options = options;
  }

  static async start(options: FleetOptions = {}): Promise<Fleet> {
    const port = options.port ?? (await freePort());
    const fleet = new Fleet(mkdtempSync(join(tmpdir(), 'sgn-')), port, options);
    try {
      fleet.#writeConfigs();
      await fleet.startServer();
      if (options.serverOnly !== true) await fleet.#attestAgent();
      return fleet;
    } catch (error) {
      await fleet.stop();
      throw error;
    }
  }

  get adminSocket(): string {
    return join(this.dir, 'server/admin/api.sock');
  }

  get workloadSocket(): string {
    return join(this.dir, 'agent/api.sock');
  }

  get bundlePath(): string {
    return join(this.dir, 'bundle.pem');
  }

  get serverPid(): number {
    return this.#server?.pid ?? 0;
  }

  get agentPid(): number {
    return this.#agent?.pid ?? 0;
  }

  /** SPIFFE ID of the fleet's own agent; of the only one where the fleet started none. */
  async agentId(): Promise<string> {
    if (this.#agentId !== undefined) return this.#agentId;
    const { agents } = (await this.json('agent', 'list')) as {
      agents: { id: { trustDomain: string; path: string } }[];
    };
    const [only, ...others] = agents;
    if (only === undefined || others.length > 0) throw new TypeError(`${agents.length} agents`);
    return `spiffe://${only.id.trustDomain}${only.id.path}`;
  }

  /** Runs a command of the CLI against this fleet. */
  cli(...args: string[]): Promise<Finished> {
    return run(signet, args, {
      env: {
        ...process.env,
        SIGNET_SERVER_SOCKET: this.adminSocket,
        SIGNET_AGENT_SOCKET: this.workloadSocket,
      },
    });
  }

  /** Runs a command with `-o json` and reads what it prints; fails with what it said. */
  async json(...args: string[]): Promise<unknown> {
    const { code, stdout, stderr } = await this.cli(...args, '-o', 'json');
    if (code !== 0) throw new TypeError(`signet ${args.join(' ')}: exit ${code}\n${stderr}`);
    return JSON.parse(stdout);
  }

  /** Registers an identity for processes of this user under the fleet's agent; answers its id. */
  async register(path: string, ...extra: string[]): Promise<string> {
    const created = (await this.json(
      'entry',
      'create',
      '--parent-id',
      await this.agentId(),
      '--spiffe-id',
      `spiffe://${this.trustDomain}${path}`,
      '--selector',
      `unix:uid:${process.getuid?.() ?? 0}`,
      ...extra,
    )) as { results: { entry: { id: string } }[] };
    return created.results[0]?.entry.id ?? '';
  }

  /** @param flags Say otherwise than its `server.yaml`. */
  async startServer(...flags: string[]): Promise<void> {
    const argv = ['server', 'run', '--config', this.#config('server'), ...flags];
    this.#server = this.#spawn('server', argv);
    await waitForSocket(this.adminSocket, this.#server);
  }

  async startAgent(): Promise<void> {
    this.#agent = this.#spawn('agent', ['agent', 'run', '--config', this.#config('agent')]);
    await waitForSocket(this.workloadSocket, this.#agent);
  }

  async stopServer(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#server !== undefined) await stopChild(this.#server, signal);
  }

  async stopAgent(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#agent !== undefined) await stopChild(this.#agent, signal);
  }

  /** What a process wrote to its log so far. */
  log(who: 'server' | 'agent'): string {
    return readFileSync(join(this.dir, `${who}.log`), 'utf8');
  }

  /** Ends the processes and removes the folder. */
  async stop(): Promise<void> {
    await this.stopAgent();
    await this.stopServer();
    rmSync(this.dir, { recursive: true, force: true });
  }

  async #attestAgent(): Promise<void> {
    const bundle = await this.cli('bundle', 'show');
    writeFileSync(this.bundlePath, bundle.stdout);
    const token = (await this.json('token', 'generate')) as { value: string };
    writeFileSync(join(this.dir, 'join-token'), token.value, { mode: 0o600 });
    this.#agentId = `spiffe://${this.trustDomain}/spire/agent/join_token/${token.value}`;
    await this.startAgent();
    await this.#untilHealthy();
  }

  async #untilHealthy(): Promise<void> {
    for (let tries = 0; tries < 100; tries++) {
      const { code } = await this.cli('healthcheck', 'agent');
      if (code === 0) return;
      if (this.#agent?.exitCode !== null) break;
    }
    throw new TypeError(`the agent is not healthy:\n${this.log('agent')}`);
  }

  #spawn(name: string, args: readonly string[]): ChildProcess {
    const log = openSync(join(this.dir, `${name}.log`), 'a');
    const child = spawn(signet, args, { stdio: ['ignore', log, log] });
    once(child, 'error').catch(() => {});
    return child;
  }

  #config(name: string): string {
    return join(this.dir, `${name}.yaml`);
  }

  #writeConfigs(): void {
    const { dir, port, trustDomain } = this;
    const { x509SvidTtl = '1h', caTtl = '24h', jwtTtl = '5m' } = this.#options;
    const { agentTtl = x509SvidTtl, serverYaml = '', agentYaml = '' } = this.#options;
    const { keys = 'manager: disk', ca = '', jwt = '' } = this.#options;
    for (const folder of ['server', 'server/admin', 'agent-data']) {
      mkdirSync(join(dir, folder), { mode: 0o700 });
    }
    mkdirSync(join(dir, 'agent'), { mode: 0o755 });
    writeFileSync(
      this.#config('server'),
      `trustDomain: ${trustDomain}
dataDir: ${dir}/server/data
listen: { address: 127.0.0.1, port: ${port} }
adminSocket: { path: ${this.adminSocket} }
keys: { ${keys} }
ca: { ttl: ${caTtl}, ${ca} }
jwt: { ttl: ${jwtTtl}, ${jwt} }
svid: { x509Ttl: ${x509SvidTtl}, agentTtl: ${agentTtl} }
${serverYaml}`,
    );
    writeFileSync(
      this.#config('agent'),
      `trustDomain: ${trustDomain}
dataDir: ${dir}/agent-data
server: { address: 127.0.0.1, port: ${port} }
bootstrap: { bundlePath: ${this.bundlePath} }
join: { tokenPath: ${dir}/join-token }
workloadSocket: { path: ${this.workloadSocket} }
${agentYaml}`,
    );
  }
}
