import type { Result } from '../../base/result.ts';
import type { DpuRecord } from '../../rules/dpu.ts';
import type { DpuNotice } from '../inventory.ts';

/** What a hook is told, as JSON: version 1 of its form. */
export interface IsolationOrder {
  readonly version: 1;
  /** Take the node off the network, or let it on again: it is released, and has to attest. */
  readonly action: 'isolate' | 'restore';
  readonly serial: string;
  readonly reason: string;
  /** Unix seconds. */
  readonly at: number;
  readonly requestedBy: string;
  readonly zone: number | null;
  readonly rack: string;
  readonly tenant: string;
  readonly bmcHost: string;
  readonly host: DpuRecord['host'];
}

/** Does what is ordered on the network. Fails with ISOLATION_FAILED. */
export type IsolationHook = (order: IsolationOrder, signal: AbortSignal) => Promise<Result<void>>;

/** What is to be ordered at an event; undefined where the network has nothing to do with it. */
export function orderFor({ event, dpu, before, by }: DpuNotice): IsolationOrder | undefined {
  const out = dpu.state === 'quarantined' || dpu.state === 'retired';
  const wasOut = before.state === 'quarantined' || before.state === 'retired';
  if (out === wasOut && event !== 'release') return undefined;
  return {
    version: 1,
    action: out ? 'isolate' : 'restore',
    serial: dpu.serial,
    reason: dpu.reason,
    at: dpu.stateSinceSeconds,
    requestedBy: by,
    zone: dpu.zone ?? null,
    rack: dpu.rack,
    tenant: dpu.tenant,
    bmcHost: dpu.bmc?.host ?? '',
    host: dpu.host,
  };
}
