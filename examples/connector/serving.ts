import type { ConnectorOptions } from './connector.ts';
import type { View } from './flows.ts';
import { Forwarder } from './forward.ts';
import { HealthChecks, type TargetState } from './health.ts';
import { Held } from './held.ts';
import { pemOf } from './spiffe.ts';
import type { Identity } from './state.ts';
import type { Shown } from './transport.ts';

/** What serving tells the side that talks with the server. */
export interface ServingSeams {
  readonly identity: () => Identity;
  readonly onHealth: (changes: readonly TargetState[]) => void;
  /** It drains and no flow is open any more, or the deadline has come. */
  readonly onDrained: (openFlows: number) => void;
}

/** The half that faces peers: flows, whether they may be, and whether targets are up. */
export class Serving {
  readonly held: Held;
  readonly health: HealthChecks;
  readonly #options: ConnectorOptions;
  readonly #seams: ServingSeams;
  readonly #forwarder: Forwarder;
  readonly #tick: NodeJS.Timeout;
  #standing: View['standing'] = 'open';
  #drainDeadlineMs: number | undefined;
  #revoked = false;
  #suspended = false;
  #offline: { readonly sinceMs: number; readonly seconds: number };

  constructor(options: ConnectorOptions, seams: ServingSeams) {
    this.#options = options;
    this.#seams = seams;
    this.#offline = { sinceMs: options.nowMs(), seconds: 0 };
    this.held = new Held(options.trustDomain, seams.identity().bundles);
    this.health = new HealthChecks(seams.onHealth);
    this.#forwarder = new Forwarder({
      view: () => this.#view(),
      shown: () => this.shown(),
      nowMs: options.nowMs,
      onIdle: () => this.#lookWhetherDrained(),
      onTarget: ({ id, healthCheck }, target, error) => {
        if (healthCheck === 'HEALTH_CHECK_KIND_ON_ACCESS') this.health.note(id, target, 0, error);
      },
    });
    this.#tick = setInterval(() => this.#everySecond(), 1000);
  }

  listen(): Promise<number> {
    return this.#forwarder.listen(this.#options.listen.host, this.#options.listen.port);
  }

  get flows(): number {
    return this.#forwarder.flows.count;
  }

  get standing(): View['standing'] {
    return this.#standing;
  }

  /** Key and chain of the SVID in use, PEM. */
  shown(): Shown {
    const { key, svid } = this.#seams.identity();
    return { key, cert: pemOf(svid.chain) };
  }

  /** Something has changed: all that is open is judged again. */
  refresh(): void {
    this.#standing = this.#standingNow();
    const closed = this.#forwarder.judgeAgain();
    if (this.#standing === 'closed') this.#forwarder.flows.closeAll();
    if (closed > 0) this.#options.say('flows-closed', { flows: closed });
  }

  /** The SVID, bundles or the CRL have come. */
  takeTrust(): void {
    this.#forwarder.renewContext();
    this.refresh();
  }

  /** Segments have come. */
  takeSegments(): void {
    this.health.follow(this.held.table.segments);
    this.refresh();
  }

  online(offlineSeconds: number): void {
    this.#suspended = false;
    this.#offline = { sinceMs: Number.POSITIVE_INFINITY, seconds: offlineSeconds };
    this.refresh();
  }

  offline(): void {
    if (this.#offline.sinceMs !== Number.POSITIVE_INFINITY) return;
    this.#offline = { ...this.#offline, sinceMs: this.#options.nowMs() };
  }

  drain(deadlineMs: number): void {
    this.#drainDeadlineMs = deadlineMs;
    this.refresh();
    // After the Ack that is about to be sent.
    setImmediate(() => this.#lookWhetherDrained());
  }

  resume(): void {
    this.#drainDeadlineMs = undefined;
    this.refresh();
  }

  /** No flows until a session is open again. */
  suspend(): void {
    this.#suspended = true;
    this.refresh();
  }

  revoke(): void {
    this.#revoked = true;
    this.refresh();
  }

  async close(): Promise<void> {
    clearInterval(this.#tick);
    await this.#forwarder.close();
  }

  #view(): View {
    const { table, authorities, revoked } = this.held;
    return { table, authorities, revoked, standing: this.#standing };
  }

  #standingNow(): View['standing'] {
    const nowMs = this.#options.nowMs();
    const { sinceMs, seconds } = this.#offline;
    const tooLong = seconds > 0 && nowMs - sinceMs >= seconds * 1000;
    const expired = nowMs >= this.#seams.identity().svid.expiresAt * 1000;
    if (this.#revoked || this.#suspended || tooLong || expired) return 'closed';
    return this.#drainDeadlineMs === undefined ? 'open' : 'draining';
  }

  #everySecond(): void {
    if (this.#standingNow() !== this.#standing) this.refresh();
    this.health.tick(this.held.table.segments, this.#options.nowMs());
    this.#lookWhetherDrained();
  }

  #lookWhetherDrained(): void {
    if (this.#drainDeadlineMs === undefined) return;
    const open = this.flows;
    if (open > 0 && this.#options.nowMs() < this.#drainDeadlineMs) return;
    // Before the last flows are closed: their end would be taken for a drain that went well.
    this.#seams.onDrained(open);
    this.#forwarder.flows.closeAll();
  }
}
