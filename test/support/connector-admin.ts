import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { createConnectorAdminService } from '../../src/api/connector-admin.ts';
import { rememberCaller } from '../../src/api/context.ts';
import { seededRandom } from '../../src/base/random.ts';
import { ok, type Result, unwrap } from '../../src/base/result.ts';
import { cliCommands } from '../../src/cli/commands.ts';
import { DiagnosticsTable } from '../../src/connectors/diagnostics.ts';
import type { CommandKind, LiveConnectors, Presence } from '../../src/connectors/live.ts';
import { stateOf } from '../../src/connectors/state.ts';
import { ConnectorAdminService, GroupStatus } from '../../src/gen/signet/connector/v1/admin.ts';
import type { RecordedAct } from '../../src/issuance/ledger-recorder.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { listenUnix } from '../../src/rpc/unix-listener.ts';
import type { ConnectorRecord } from '../../src/rules/connector/record.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { type CliOutcome, type CliSurroundings, cli } from './cli.ts';
import { enrolment } from './connector-state.ts';
import { temporaryFolder, testHost } from './rpc.ts';
import { openState, START_SECONDS, type TestState } from './state.ts';

const STAGED_NONCE = Buffer.from('diagnose');

/** Sessions that a test opens and closes at will, in place of those of connectors. */
export class StagedSessions implements LiveConnectors {
  readonly #state: TestState;
  readonly #open = new Map<string, Presence>();
  readonly #listeners = new Set<(ids: ReadonlySet<string>) => void>();
  readonly diagnostics: DiagnosticsTable;
  readonly told: { readonly id: string; readonly command: CommandKind }[] = [];

  constructor(state: TestState) {
    this.#state = state;
    this.diagnostics = new DiagnosticsTable(state.clock);
    state.registry.connectors.onChange(({ connectors }) => this.#changed(connectors));
  }

  /** Whether connectors have so many commands that they get no more. */
  isFull = false;

  /** Called when a connector is asked for diagnostics. */
  onDiagnose: (id: string) => void = () => {};

  /** Has a connector tell what it was asked for. */
  tellDiagnostics(id: string, message: string, more = false): void {
    const event = { reason: 'diagnostics', message, warning: false, more };
    this.diagnostics.take(id, { ...event, commandNonce: STAGED_NONCE });
  }

  /** Has a connector refuse what it was asked for. */
  refuseDiagnostics(id: string, why: string): void {
    this.diagnostics.refused(id, STAGED_NONCE, why);
  }

  /** Opens a session, or has it say something else. */
  say(id: string, said: Partial<Presence> = {}): void {
    const nowMs = this.#state.clock.nowMs();
    this.#open.set(id, {
      health: 'ok',
      reason: '',
      clockOffsetMs: 0,
      lastNack: '',
      unanswered: '',
      remoteAddress: '192.0.2.7:40000',
      openedAtMs: nowMs,
      lastHeardMs: nowMs,
      activeFlows: 0n,
      loadPercent: 0,
      versions: () => [],
      segmentHealth: () => [],
      ...said,
    });
    this.#changed(new Set([id]));
  }

  end(id: string): void {
    this.#open.delete(id);
    this.#changed(new Set([id]));
  }

  /** How many watch. */
  get watchers(): number {
    return this.#listeners.size;
  }

  stateOf(connector: ConnectorRecord) {
    return stateOf(connector, {
      session: this.#open.get(connector.id),
      lastHeardMs: 0,
      nowMs: this.#state.clock.nowMs(),
      servingSinceMs: 0,
      heartbeatSeconds: 30,
    });
  }

  presence(id: string): Presence | undefined {
    return this.#open.get(id);
  }

  isOpen(id: string): boolean {
    return this.#open.has(id);
  }

  wantedSegments(): string {
    return '7-abc';
  }

  groupStatus(name: string): GroupStatus {
    const { connectors } = this.#state.registry;
    const counts: Record<string, number> = {};
    for (const connector of connectors.connectorsIn(name)) {
      const { state } = this.stateOf(connector);
      counts[state] = (counts[state] ?? 0) + 1;
    }
    const segments = connectors.segmentsOf(name).length;
    return { ...GroupStatus.fromJSON({}), connectors: counts, segments, thinSegments: segments };
  }

  segmentStatus(segment: Parameters<LiveConnectors['segmentStatus']>[0]) {
    const servedBy = this.#state.registry.connectors.groupsOf(segment);
    return { servedBy, conflicts: [], healthyConnectors: 0 };
  }

  tell(id: string, command: CommandKind): boolean {
    if (this.isFull) return false;
    if (this.#open.has(id)) {
      this.told.push({ id, command });
      if (command.$case === 'collectDiagnostics') {
        this.diagnostics.asked(id);
        this.diagnostics.sent(id, STAGED_NONCE);
        this.onDiagnose(id);
      }
    }
    return this.#open.has(id);
  }

  onChange(listener: (ids: ReadonlySet<string>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(ids: ReadonlySet<string>): void {
    if (ids.size > 0) for (const listener of this.#listeners) listener(ids);
  }
}

/** The service of connectors on a socket of its own, over a real registry, with staged sessions. */
export interface AdminRig extends TestState {
  readonly socket: string;
  readonly sessions: StagedSessions;
  /** What was written into the ledger. */
  readonly acts: RecordedAct[];
  readonly revoked: string[];
  /** Runs `signet <argv>` against it. */
  signet(argv: readonly string[], more?: CliSurroundings): Promise<CliOutcome>;
  /** A connector that enrolled and has a certificate of an hour, without a session. */
  enrol(id: string, group: string): Promise<ConnectorRecord>;
}

/** Starts the rig; it goes with the test. */
export async function adminRig(context: TestContext): Promise<AdminRig> {
  const state = await openState(context);
  const sessions = new StagedSessions(state);
  const acts: RecordedAct[] = [];
  const revoked: string[] = [];
  const { registry, clock } = state;
  const host = testHost({
    guards: [
      (call) => {
        rememberCaller(call, { kind: 'local', uid: 0, gid: 0, pid: 1 });
        return ok(undefined);
      },
    ],
  });
  const service = createConnectorAdminService({
    api: {
      registry,
      clock,
      random: seededRandom(7),
      log: createLogger({ level: 'silent' }),
      limits: { maxBatchCsrs: 10, maxBatchEntries: 10 },
      recordAct: async (act) => {
        acts.push(act);
        return ok(undefined);
      },
    },
    live: sessions,
    revoke: (connector, reason) => revoke(registry, connector, reason, revoked),
  });
  host.addService(ConnectorAdminService, service);
  const socket = join(temporaryFolder(context), 'api.sock');
  const listener = unwrap(await listenUnix({ path: socket, mode: 0o600, folderMode: 0o700 }, host));
  context.after(async () => {
    await listener.close();
    await host.shutdown(0);
  });
  return {
    ...state,
    socket,
    sessions,
    acts,
    revoked,
    signet: (argv, more = {}) =>
      cli(cliCommands, argv, {
        nowMs: START_SECONDS * 1000,
        env: { SIGNET_SERVER_SOCKET: socket },
        ...more,
      }),
    enrol: (id, group) => enrol(registry, id, group),
  };
}

async function enrol(registry: Registry, id: string, group: string): Promise<ConnectorRecord> {
  const { connectors } = registry;
  const enrolled = unwrap(await connectors.enrolConnector(enrolment(id, group)));
  if (enrolled.outcome !== 'enrolled') throw new TypeError(enrolled.outcome);
  const change = {
    kind: 'certified',
    serial: `${100 + [...connectors.connectors()].length}`,
    expiresAtSeconds: START_SECONDS + 3600,
    keySha256: `key-${id}`,
  } as const;
  const connector = unwrap(await connectors.changeConnector(id, change));
  if (connector === undefined) throw new TypeError('the connector is gone');
  return connector;
}

async function revoke(
  registry: Registry,
  { id }: ConnectorRecord,
  reason: string,
  revoked: string[],
): Promise<Result<void>> {
  const change = { kind: 'revoked', atSeconds: START_SECONDS, reason } as const;
  const changed = await registry.connectors.changeConnector(id, change);
  if (!changed.ok) return changed;
  revoked.push(id);
  return ok(undefined);
}
