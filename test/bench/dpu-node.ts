import { createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MockBmc } from '../../src/main/demo/mock-bmc/mock-bmc.ts';
import { eventually } from '../support/dev.ts';
import { DPU_CLASS, mockTarget, TestCard } from '../support/dpu.ts';
import { Fleet } from '../support/fleet.ts';
import {
  IROT,
  manifestBytes,
  signManifest,
  writtenManifest,
  writtenTarget,
} from '../support/manifest.ts';
import { MOCK_ACCOUNT, MOCK_TLS } from '../support/mock-bmc.ts';
import { makeKey } from '../support/x509.ts';

/** What differs between the nodes of benchmarks. */
export interface DpuNodeOptions {
  readonly agentTtl: string;
  /** Milliseconds that the BMC takes for each collection. */
  readonly taskMs: number;
  /** Further lines of `attestation.dpu`, such as `binding: in-band`. */
  readonly settings?: string;
  /** Lines that end `agent.yaml`. */
  readonly agentYaml?: string;
}

/** What `signet dpu show -o json` says, as far as it is needed. */
export interface ShownDpu {
  readonly state: string;
  readonly assessment?: { readonly binding?: string; readonly code?: string };
}

/** A line of a log. */
export interface LogLine {
  readonly time: string;
  readonly msg: string;
  readonly decidedAt?: string;
}

const SERIAL = 'MT0000X00001';
const LIMIT_MS = 60_000;

/** A server with one commissioned card behind a mock BMC, and the agent on that card; processes of their own. */
export class DpuNode {
  readonly fleet: Fleet;
  readonly card: TestCard;
  readonly #mock: MockBmc;
  readonly #folder: string;

  private constructor(fleet: Fleet, card: TestCard, mock: MockBmc, folder: string) {
    this.fleet = fleet;
    this.card = card;
    this.#mock = mock;
    this.#folder = folder;
  }

  /** Starts the server and commissions the card; the agent is started with {@link startAgent}. */
  static async start(options: DpuNodeOptions): Promise<DpuNode> {
    const folder = mkdtempSync(join(tmpdir(), 'signet-bench-'));
    const card = new TestCard(SERIAL);
    const mock = new MockBmc({
      tls: MOCK_TLS,
      account: MOCK_ACCOUNT,
      targets: { [IROT]: mockTarget(card) },
      card: { serialNumber: SERIAL },
    });
    mock.measurements.taskMs = options.taskMs;
    const origin = await mock.listen();
    const fleet = await startServer(folder, origin, options);
    const node = new DpuNode(fleet, card, mock, folder);
    try {
      await node.#enrol(origin);
      return node;
    } catch (error) {
      await node.stop();
      throw error;
    }
  }

  /** ID of the agent on the card. */
  get agentId(): string {
    return `spiffe://${this.fleet.trustDomain}/spire/agent/dpu/${this.card.deviceId}`;
  }

  /** Starts the agent with nothing of an earlier one, and waits until it is attested; milliseconds. */
  async startAgent(): Promise<number> {
    const before = this.fleet.log('agent').length;
    await this.fleet.startAgent();
    const said = (msg: string): LogLine | undefined =>
      linesOf(this.fleet.log('agent').slice(before)).find((line) => line.msg === msg);
    await eventually(() => said('attested') !== undefined, LIMIT_MS);
    const [started, attested] = [said('agent has started'), said('attested')];
    return Date.parse(attested?.time ?? '') - Date.parse(started?.time ?? '');
  }

  /** Stops the agent and forgets its key and SVID. */
  async dropAgent(): Promise<void> {
    await this.fleet.stopAgent();
    rmSync(join(this.fleet.dir, 'agent-data'), { recursive: true });
  }

  /** Lines of the server's log. */
  serverLog(): readonly LogLine[] {
    return linesOf(this.fleet.log('server'));
  }

  /** Waits until the DPU stands as it should. */
  async until(fits: (dpu: ShownDpu) => boolean): Promise<void> {
    const lastMs = performance.now() + LIMIT_MS;
    for (;;) {
      // Our own program's output.
      const shown = (await this.fleet.json('dpu', 'show', SERIAL)) as ShownDpu;
      if (fits(shown)) return;
      if (performance.now() > lastMs) throw new TypeError(`the DPU stays ${shown.state}`);
    }
  }

  /** Runs a command of the CLI that has to succeed. */
  async done(...args: readonly string[]): Promise<void> {
    const { code, stderr } = await this.fleet.cli(...args);
    if (code !== 0) throw new TypeError(`signet ${args.join(' ')}: ${stderr}`);
  }

  /** An operator releases the card. */
  release(): Promise<void> {
    return this.done('dpu', 'release', SERIAL, '--reason', 'bench');
  }

  async stop(): Promise<void> {
    await this.fleet.stop();
    await this.#mock.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #enrol(origin: string): Promise<void> {
    const { port } = new URL(origin);
    const rows = join(this.#folder, 'dpus.csv');
    const row = [SERIAL, '127.0.0.1', port, MOCK_TLS.spkiSha256].join(',');
    writeFileSync(rows, `serial,bmc_host,bmc_port,bmc_tls_pin\n${row}\n`);
    await this.done('dpu', 'import', rows);
    await this.done('dpu', 'commission', SERIAL, '--from-bmc', '--reason', 'bench');
    // Read before the agent has written any of it.
    writeFileSync(join(this.fleet.dir, 'agent.log'), '');
    writeFileSync(this.fleet.bundlePath, (await this.fleet.cli('bundle', 'show')).stdout);
  }
}

function startServer(folder: string, origin: string, options: DpuNodeOptions): Promise<Fleet> {
  const { agentTtl, settings = '', agentYaml = '' } = options;
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const signer = makeKey();
  const targets = [writtenTarget({ deviceClass: DPU_CLASS.name })];
  const manifest = signManifest(manifestBytes(writtenManifest({ targets })), signer);
  const publisher = createPublicKey(signer.privateKey).export({ type: 'spki', format: 'pem' });
  const user = file('bmc-user', MOCK_ACCOUNT.userName);
  const password = file('bmc-password', MOCK_ACCOUNT.password);
  const account = `userNamePath: ${user}, passwordPath: ${password}`;
  return Fleet.start({
    serverOnly: true,
    agentTtl,
    serverYaml: `attestation:
  dpu:
    classes:
      - name: ${DPU_CLASS.name}
        roots: [${DPU_CLASS.roots[0]}]
        classCas: [${DPU_CLASS.classCas[0]}]
    targets: [{ id: ${IROT}, class: ${DPU_CLASS.name} }]
    manifests: { paths: [${file('manifest.json', manifest)}], signerPaths: [${file('signer.pem', publisher)}] }
    bmc: { ${account} }
    ${settings}
`,
    agentYaml: `attestation:
  dpu:
    serial: ${SERIAL}
    bmc: { address: "${origin}", tlsPin: "${MOCK_TLS.pin}", ${account} }
${agentYaml}`,
  });
}

/** Whole lines of a log of ours; the last may still be written. */
function linesOf(log: string): readonly LogLine[] {
  const whole = log.slice(0, log.lastIndexOf('\n') + 1).trimEnd();
  return whole === '' ? [] : whole.split('\n').flatMap(parsed);
}

function parsed(line: string): LogLine[] {
  // Whatever else a process says on standard error is no line of its log.
  return line.startsWith('{') ? [JSON.parse(line) as LogLine] : [];
}
