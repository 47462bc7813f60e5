import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { systemClock } from '../../../src/base/clock.ts';
import { unwrap } from '../../../src/base/result.ts';
import { type KubeApi, type KubeRequest, openKubeApi } from '../../../src/kube/kube-api.ts';
import { type KubeObject, textAt } from '../../../src/kube/objects.ts';
import { type KubeRig, startKubeRig } from '../../peers/kube-rig.ts';
import { Fleet } from '../../support/fleet.ts';
import { stopChild } from '../../support/processes.ts';
import { applyFiles, OBJECTS, SERVER_YAML, serverAccount } from './objects.ts';

/** Asks again and again until the answer is yes; gives up after three minutes. */
export async function until(ask: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await ask()); tries += 1) {
    if (tries === 9_000) throw new TypeError('what was waited for never came');
    await setTimeout(20);
  }
}

/** How many nodes have an agent. */
export const NODES = 4;

/** One line of an agent's log, as far as benches read it. */
export interface AgentLine {
  /** Unix milliseconds. */
  readonly timeMs: number;
  readonly msg: string;
  readonly spiffeId?: string;
  readonly upserted?: number;
  readonly removed?: number;
}

/** A node with a real agent, and no kubelet. */
export class BenchNode {
  readonly name: string;
  readonly uid: string;
  readonly #start: () => ChildProcess;
  readonly #logPath: string;
  #child: ChildProcess | undefined;
  #read = 0;

  constructor(parts: {
    readonly name: string;
    readonly uid: string;
    readonly logPath: string;
    readonly start: () => ChildProcess;
  }) {
    this.name = parts.name;
    this.uid = parts.uid;
    this.#start = parts.start;
    this.#logPath = parts.logPath;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  start(): void {
    this.#child = this.#start();
  }

  async stop(): Promise<void> {
    if (this.#child !== undefined) await stopChild(this.#child);
  }

  /** What the agent has written since this was asked last. */
  newLines(): readonly AgentLine[] {
    const bytes = readFileSync(this.#logPath);
    const end = bytes.lastIndexOf(10) + 1;
    const text = bytes.toString('utf8', this.#read, end);
    this.#read = end;
    return text
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => {
        const { time, ...rest } = JSON.parse(line) as AgentLine & { readonly time: string };
        return { ...rest, timeMs: Date.parse(time) };
      });
  }
}

/** A real API server, a server that follows it, and agents on nodes that have no kubelets. */
export class BenchCluster {
  readonly rig: KubeRig;
  readonly api: KubeApi;
  readonly fleet: Fleet;
  readonly nodes: readonly BenchNode[];
  readonly auditPath: string;

  private constructor(
    rig: KubeRig,
    parts: {
      readonly api: KubeApi;
      readonly fleet: Fleet;
      readonly nodes: readonly BenchNode[];
      readonly auditPath: string;
    },
  ) {
    this.rig = rig;
    this.api = parts.api;
    this.fleet = parts.fleet;
    this.nodes = parts.nodes;
    this.auditPath = parts.auditPath;
  }

  /** Starts API server and server; the agents are started by {@link startAgents}. */
  static async start(scratch: string): Promise<BenchCluster> {
    // Neither scheduler nor controllers: who binds, evicts and approves is the bench alone.
    process.env.RIG_CONTROLLERS = '0';
    const auditPath = join(scratch, 'audit.log');
    const policyPath = join(scratch, 'audit-policy.json');
    writeFileSync(policyPath, JSON.stringify(AUDIT_POLICY));
    const rig = await startKubeRig({
      apiArgs: `--audit-policy-file=${policyPath} --audit-log-path=${auditPath}`,
    });
    const api = unwrap(
      await openKubeApi({ kubeconfigPath: rig.kubeconfig }, { clock: systemClock }),
    );
    await applyFiles(rig);
    await rig.kubectl(['apply', '-f', '-'], serverAccount());
    await rig.kubectl(['apply', '-f', '-'], OBJECTS);
    const serverYaml = SERVER_YAML.replaceAll('KUBECONFIG', await rig.user('signet'));
    const fleet = await Fleet.start({ serverOnly: true, serverYaml });
    writeFileSync(fleet.bundlePath, (await fleet.cli('bundle', 'show')).stdout);
    const nodes: BenchNode[] = [];
    for (let index = 0; index < NODES; index += 1) {
      nodes.push(await makeNode(api, fleet, `node-${index}`));
    }
    return new BenchCluster(rig, { api, fleet, nodes, auditPath });
  }

  /** Makes a call that has to succeed; answers what came. */
  async call(request: KubeRequest): Promise<KubeObject> {
    return unwrap(await this.api.request({ timeoutMs: 120_000, ...request }));
  }

  /** Starts the agents and waits until each has attested. */
  async startAgents(): Promise<void> {
    for (const node of this.nodes) node.start();
    const waiting = new Set(this.nodes);
    await until(async () => {
      for (const node of waiting) {
        if (node.newLines().some(({ msg }) => msg === 'agent is ready')) waiting.delete(node);
      }
      return waiting.size === 0;
    });
  }

  async stopAgents(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  /** Starts the server anew and answers, in Unix milliseconds, when its rules were in force. */
  async restartServer(): Promise<number> {
    await this.fleet.stopServer();
    return this.startServer();
  }

  /** As {@link restartServer}, of one that is stopped. */
  async startServer(): Promise<number> {
    const before = this.fleet.log('server').length;
    await this.fleet.startServer();
    return this.serverSaid(/"msg":"rules are in force"/, before);
  }

  /** When the server first wrote a line like this, in Unix milliseconds; waits for it. */
  async serverSaid(pattern: RegExp, after = 0): Promise<number> {
    let atMs: number | undefined;
    await until(async () => {
      const lines = this.fleet.log('server').slice(after).split('\n');
      const line = lines.find((one) => pattern.test(one));
      if (line === undefined) return false;
      atMs = Date.parse((JSON.parse(line) as { time: string }).time);
      return true;
    });
    return atMs ?? 0;
  }

  /** Process id of the API server. */
  get apiServerPid(): number {
    return Number(readFileSync(join(this.rig.dir, 'pid/kube-apiserver'), 'utf8'));
  }

  async stop(): Promise<void> {
    await this.stopAgents();
    await this.fleet.stop();
    this.api.close();
    await this.rig.stop();
  }
}

/** What the server asks of the API server, and nothing else. */
const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  rules: [{ level: 'Metadata', users: ['signet'] }, { level: 'None' }],
};

/** A Node, the pod of an agent on it with its token, and the agent's configuration. */
async function makeNode(api: KubeApi, fleet: Fleet, name: string): Promise<BenchNode> {
  const make = async (path: string, body: object): Promise<KubeObject> =>
    unwrap(await api.request({ verb: 'create', path, body }));
  const node = await make('/api/v1/nodes', { metadata: { name } });
  await make('/api/v1/namespaces/signet/pods', {
    metadata: { name: `agent-${name}` },
    spec: {
      nodeName: name,
      serviceAccountName: 'agent',
      automountServiceAccountToken: false,
      containers: [{ name: 'agent', image: 'none' }],
    },
  });
  const pod = { kind: 'Pod', apiVersion: 'v1', name: `agent-${name}` };
  const token = await make('/api/v1/namespaces/signet/serviceaccounts/agent/token', {
    spec: { audiences: ['spire-server'], expirationSeconds: 3600, boundObjectRef: pod },
  });
  const home = join(fleet.dir, name);
  for (const folder of ['data', 'api']) {
    mkdirSync(join(home, folder), { recursive: true, mode: 0o700 });
  }
  writeFileSync(join(home, 'token'), textAt(token, 'status', 'token') ?? '');
  writeFileSync(
    join(home, 'agent.yaml'),
    `trustDomain: ${fleet.trustDomain}
dataDir: ${home}/data
server: { address: 127.0.0.1, port: ${fleet.port} }
bootstrap: { bundlePath: ${fleet.bundlePath} }
attestation: { k8sPsat: { cluster: rack, tokenPath: ${home}/token } }
workloadSocket: { path: ${home}/api/api.sock }
log: { level: debug }
`,
  );
  const logPath = join(home, 'agent.log');
  const args = ['agent', 'run', '--config', join(home, 'agent.yaml')];
  return new BenchNode({
    name,
    uid: textAt(node, 'metadata', 'uid') ?? '',
    logPath,
    start: () => {
      const log = openSync(logPath, 'a');
      return spawn(join(process.cwd(), 'bin/signet'), args, { stdio: ['ignore', log, log] });
    },
  });
}
