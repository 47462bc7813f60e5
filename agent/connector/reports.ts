import type { Clock } from '../../src/base/clock.ts';
import {
  ConnectorHealth,
  type Heartbeat,
  type Hello,
  type Instance,
} from '../../src/gen/signet/connector/v1/connector.ts';
import type { StateFile } from '../state-file.ts';
import { acceptedVersions } from './accepted-versions.ts';
import type { HeldBundles } from './bundles.ts';
import type { Conditions } from './conditions.ts';
import type { FlowSource } from './flows.ts';
import type { ConnectorSvid } from './own-svid.ts';
import { printable } from './printable.ts';
import type { SegmentSet } from './segments.ts';
import type { ConnectorState } from './state.ts';

/** What a report is made of. */
export interface ReportParts {
  readonly clock: Clock;
  readonly instance: Instance;
  readonly state: StateFile<ConnectorState>;
  readonly segments: SegmentSet;
  readonly conditions: Conditions;
  /** Undefined where nothing says how many flows are open. */
  readonly flows: FlowSource | undefined;
  readonly svid: () => ConnectorSvid | undefined;
  readonly bundles: () => HeldBundles | undefined;
  /** Whether flows are taken. */
  readonly serving: () => boolean;
}

/** What the connector says of itself to the server: Hello and heartbeats. */
export class Reports {
  readonly #parts: ReportParts;
  readonly #startedMs: number;
  #flows: number | undefined;

  constructor(parts: ReportParts) {
    this.#parts = parts;
    this.#startedMs = parts.clock.monotonicMs();
  }

  /** Open flows as they were counted last; undefined where they are not known. */
  get flows(): number | undefined {
    return this.#flows;
  }

  hello(): Hello {
    const { clock, instance } = this.#parts;
    return {
      instance,
      versions: this.#versions(),
      clockMs: BigInt(Math.round(clock.nowMs())),
      uptimeSeconds: Math.round((clock.monotonicMs() - this.#startedMs) / 1000),
    };
  }

  /** Counts the flows, then says how things stand. */
  async heartbeat(): Promise<Heartbeat> {
    const { clock, conditions, flows } = this.#parts;
    this.#flows = await flows?.();
    const svid = this.#parts.svid();
    return {
      health: this.#health(),
      reason: printable(conditions.text),
      activeFlows: BigInt(this.#flows ?? 0),
      loadPercent: 0,
      clockMs: BigInt(Math.round(clock.nowMs())),
      serialNumber: svid?.serial ?? '',
      expiresAt: BigInt(Math.floor((svid?.notAfterMs ?? 0) / 1000)),
      versions: this.#versions(),
    };
  }

  #versions() {
    const { state, segments, bundles } = this.#parts;
    return acceptedVersions({
      svid: state.current.svidVersion,
      bundle: bundles()?.version ?? '',
      segments: segments.version,
    });
  }

  #health(): ConnectorHealth {
    if (!this.#parts.serving()) return ConnectorHealth.CONNECTOR_HEALTH_DRAINING;
    if (this.#parts.conditions.text !== '') return ConnectorHealth.CONNECTOR_HEALTH_DEGRADED;
    return ConnectorHealth.CONNECTOR_HEALTH_OK;
  }
}
