import { setTimeout as sleep } from 'node:timers/promises';
import { enrol, INSTANCE, newKey, type Proof } from './enrol.ts';
import { Serving } from './serving.ts';
import { SessionTalk } from './session.ts';
import { type Authorities, authoritiesOf } from './spiffe.ts';
import * as state from './state.ts';
import { connectTo, type Server } from './transport.ts';
import { type Command, Refused, type Welcome } from './wire.ts';

/** What a connector has to be told. */
export interface ConnectorOptions {
  /** host:port */
  readonly server: string;
  readonly trustDomain: string;
  /** To know the server by before there is a bundle of its own. */
  readonly authorities: Authorities;
  readonly group: string;
  readonly proof: Proof;
  /** Folder that keeps the identity. */
  readonly state: string;
  readonly listen: { readonly host: string; readonly port: number };
  /** Silence after which the connection to the server is tested. */
  readonly keepaliveMs: number;
  /** The first wait between sessions is up to twice this; 1,000 unless there is a reason. */
  readonly backoffMs: number;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  readonly say: (event: string, detail?: object) => void;
}

/** How a connector's life ended: it left, it was revoked, or it was only switched off. */
export type Ended = 'stopped' | 'revoked' | 'closed';

/** The SVID is worth nothing more, but the proof may get another one. */
const ENROL_ANEW: ReadonlySet<string> = new Set([
  'CONNECTOR_UNKNOWN',
  'CONNECTOR_EXPIRED',
  'CONNECTOR_NOT_ACTIVE',
  'CONNECTOR_STOPPED',
]);

/** The half that faces the server: enrols, keeps a session open, does what it is told. */
export class Connector {
  readonly serving: Serving;
  readonly #options: ConnectorOptions;
  readonly #waiting = new AbortController();
  readonly #startedMs = performance.now();
  #identity: state.Identity;
  #talk: SessionTalk | undefined;
  #end: Ended | undefined;
  #leaving = false;
  #mustEnrol = false;
  /** The session has ended because there is a better one to be had. */
  #redial = false;
  #spreadMs = 0;

  private constructor(options: ConnectorOptions, identity: state.Identity) {
    this.#options = options;
    this.#identity = identity;
    this.serving = new Serving(options, {
      identity: () => this.#identity,
      onHealth: (segments) => this.#talk?.send('segmentHealth', { segments }),
      onDrained: (openFlows) => void this.#leave(openFlows),
    });
  }

  /** Takes up the identity that its folder keeps, or enrols. Rejects with `Refused`. */
  static async start(options: ConnectorOptions): Promise<Connector> {
    const kept = state.loadIdentity(options.state);
    const identity = kept ?? (await enrolInto(options, options.authorities, 0));
    return new Connector(options, identity);
  }

  get spiffeId(): string {
    return this.#identity.spiffeId;
  }

  /** Keeps a session open until the connector ends. */
  async run(): Promise<Ended> {
    for (let failures = 0; this.#end === undefined; ) {
      const { welcomed, problem } = await this.#once(failures);
      if (this.#end !== undefined) break;
      failures = welcomed ? 0 : failures + 1;
      if (!this.#redial) await this.#pause(problem, failures);
    }
    await this.serving.close();
    return this.#end;
  }

  /** Told to go by whoever runs it: flows may finish until the deadline. */
  drain(deadlineMs: number): void {
    this.serving.drain(deadlineMs);
    this.#talk?.heartbeat();
  }

  /** Ends at once and without a word: the identity stays good for the next start. */
  close(): void {
    this.#finish('closed');
    this.#talk?.cancel();
  }

  /** One session from the dialling to its end, with a new identity first where one is needed. */
  async #once(failures: number): Promise<{ welcomed: boolean; problem?: Refused | undefined }> {
    let welcomed = false;
    this.#redial = false;
    try {
      const ended = this.#options.nowMs() >= this.#identity.svid.expiresAt * 1000;
      if (this.#mustEnrol || ended) await this.#enrolAnew();
      const { client } = connectTo(this.#server(failures), this.serving.shown());
      const talk = new SessionTalk(
        client.session(),
        this.#hello(),
        {
          held: this.serving.held,
          onWelcome: (welcome) => {
            welcomed = true;
            this.#welcome(welcome);
          },
          onHeld: (update) => this.#takeHeld(update),
          onRenewed: (renewed) => this.#takeRenewed(renewed),
          onCommand: (command) => this.#obey(command),
          heartbeat: () => this.#heartbeat(),
          say: this.#options.say,
        },
        this.#options.keepaliveMs,
      );
      this.#talk = talk;
      const problem = await talk.ended;
      client.close();
      return { welcomed, problem };
    } catch (error) {
      if (error instanceof Refused) return { welcomed, problem: error };
      throw error;
    } finally {
      this.#talk = undefined;
      this.serving.offline();
    }
  }

  #server(failures: number): Server {
    const { server, trustDomain, keepaliveMs } = this.#options;
    const { endpoints, bundles } = this.#identity;
    const address = endpoints[failures % Math.max(endpoints.length, 1)] ?? server;
    return { address, trustDomain, keepaliveMs, authorities: authoritiesOf(bundles) };
  }

  /** Full jitter, so that thousands do not come back together (docs/connector-protocol.md, back-off). */
  async #pause(problem: Refused | undefined, failures: number): Promise<void> {
    const code = problem?.code ?? '';
    this.#options.say('session-ended', { code, message: problem?.message ?? '' });
    if (code === 'CONNECTOR_REVOKED') {
      this.serving.revoke();
      return this.#finish('revoked');
    }
    // Its node is banned or in quarantine, which may pass.
    if (code === 'CONNECTOR_NODE') this.serving.suspend();
    this.#mustEnrol ||= ENROL_ANEW.has(code);
    // Somebody else runs with this identity: to come back at once would throw them out in turn.
    const leastMs = code === 'CONNECTOR_SESSION_REPLACED' ? 60_000 : (problem?.retryAfterMs ?? 0);
    const backoffMs = Math.min(30_000, this.#options.backoffMs * 2 ** (failures + 1));
    // A server that paces has drawn the time itself.
    const paced = code === 'CONNECTOR_SESSION_PACED';
    const windowMs = paced ? 1000 : Math.max(backoffMs, this.#spreadMs, leastMs);
    const waiting = { signal: this.#waiting.signal };
    await sleep(leastMs + Math.random() * windowMs, undefined, waiting).catch(() => {});
  }

  async #enrolAnew(): Promise<void> {
    const { authorities, recoveryCount } = {
      authorities: this.serving.held.authorities,
      recoveryCount: this.#identity.recoveryCount,
    };
    this.#identity = await enrolInto(this.#options, authorities, recoveryCount);
    this.#mustEnrol = false;
    this.serving.held.trust(this.#identity.bundles);
    this.serving.takeTrust();
  }

  #hello(): object {
    return {
      instance: INSTANCE,
      versions: this.serving.held.versions(),
      clockMs: this.#options.nowMs(),
      uptimeSeconds: Math.floor((performance.now() - this.#startedMs) / 1000),
    };
  }

  #welcome({ offlineSeconds, reconnectSpreadMs }: Welcome): void {
    this.#spreadMs = reconnectSpreadMs;
    this.serving.online(offlineSeconds);
    this.#options.say('session', { spiffeId: this.spiffeId });
    const segments = this.serving.health.known();
    if (segments.length > 0) this.#talk?.send('segmentHealth', { segments });
  }

  #takeHeld(update: Pick<state.Identity, 'bundles'> | undefined): void {
    if (update !== undefined) {
      this.#keep(update);
      this.serving.takeTrust();
      this.#options.say('bundle', { trustDomains: update.bundles.map((one) => one.trustDomain) });
    } else {
      this.serving.takeSegments();
      this.#options.say('segments', { segments: this.serving.held.table.segments.length });
    }
  }

  #takeRenewed(renewed: Pick<state.Identity, 'key' | 'svid'>): void {
    this.#keep(renewed);
    this.serving.takeTrust();
    this.#options.say('renewed', { serialNumber: renewed.svid.serialNumber });
    // The new SVID is in use when a session is: after the Ack, and with no word of parting.
    this.#endSession();
  }

  #obey({ kind, nonce, drain, revoke }: Command): string | undefined {
    this.#options.say('command', { kind, reason: drain?.reason ?? revoke?.reason });
    if (this.#leaving && kind !== 'revoke') return 'it has said Goodbye';
    if (kind === 'drain' && drain !== undefined) this.serving.drain(drain.deadlineMs);
    else if (kind === 'resume') this.serving.resume();
    else if (kind === 'revoke') {
      this.serving.revoke();
      this.#finish('revoked');
      this.#endSession();
    } else if (kind === 'reEnrol') {
      state.forgetEnrolmentKey(this.#options.state);
      this.#mustEnrol = true;
      this.#endSession();
    } else if (kind === 'collectDiagnostics') {
      const message = JSON.stringify({ ...this.#heartbeat(), memory: process.memoryUsage() });
      this.#talk?.send('event', { reason: 'diagnostics', message, commandNonce: nonce });
    } else if (kind !== 'renewNow') return `not done by this connector: ${kind}`;
    return undefined;
  }

  #heartbeat(): object {
    const { svid } = this.#identity;
    const nowMs = this.#options.nowMs();
    const dueMs = 1000 * (svid.notBefore + ((svid.expiresAt - svid.notBefore) * 2) / 3);
    if (nowMs > dueMs) setImmediate(() => this.#talk?.renew());
    const draining = this.serving.standing === 'draining';
    return {
      health: draining ? 'CONNECTOR_HEALTH_DRAINING' : 'CONNECTOR_HEALTH_OK',
      activeFlows: this.serving.flows,
      clockMs: nowMs,
      serialNumber: svid.serialNumber,
      expiresAt: svid.expiresAt,
      versions: this.serving.held.versions(),
    };
  }

  /** The last word, after which the server ends the session. */
  async #leave(openFlows: number): Promise<void> {
    if (this.#leaving || this.#end !== undefined) return;
    this.#leaving = true;
    this.#talk?.send('goodbye', { drained: openFlows === 0, openFlows });
    await this.#talk?.finish();
    this.#finish('stopped');
  }

  #endSession(): void {
    this.#redial = true;
    setImmediate(() => void this.#talk?.finish());
  }

  #keep(change: Partial<state.Identity>): void {
    this.#identity = { ...this.#identity, ...change };
    state.saveIdentity(this.#options.state, this.#identity);
  }

  #finish(how: Ended): void {
    this.#end ??= how;
    this.#waiting.abort();
  }
}

/** Enrols and keeps what came of it. */
async function enrolInto(
  options: ConnectorOptions,
  authorities: Authorities,
  recoveryCount: number,
): Promise<state.Identity> {
  const { server: address, trustDomain, keepaliveMs, group, proof, nowMs } = options;
  const server: Server = { address, trustDomain, authorities, keepaliveMs };
  const key = state.enrolmentKey(options.state, newKey);
  const identity = await enrol({ server, group, proof, recoveryCount, nowMs, key });
  state.saveIdentity(options.state, identity);
  options.say('enrolled', { spiffeId: identity.spiffeId });
  return identity;
}
