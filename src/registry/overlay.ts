import { type DpuRecord, dpuObjection } from '../rules/dpu.ts';
import type { AgentRecord, Entry } from '../rules/entry.ts';

/** A DPU that this server holds in quarantine though the store does not know it yet. */
export interface HeldDpu {
  readonly serial: string;
  readonly reason: string;
  /** Unix seconds. */
  readonly sinceSeconds: number;
}

/** What a node may be given by configuration: judged once for a node, then for each of its entries. */
export type Admission = (
  agent: AgentRecord,
  dpu: DpuRecord | undefined,
) => ((entry: Entry) => boolean) | undefined;

/** What is laid over the state of the store. */
export interface Overlay {
  /** Whether an agent is banned whatever the store says of it. */
  readonly isBannedHere?: (agentUri: string) => boolean;
  /** Whether a DPU is in quarantine whatever the store says of it. */
  readonly heldHere?: (serial: string) => HeldDpu | undefined;
  /** Entries that a node may have of those that its agent reaches; undefined admits all. */
  readonly admits?: Admission | undefined;
}

/** A DPU as everybody is to see it: in quarantine also where only this server holds it. */
export function judgeDpu(stated: DpuRecord, { heldHere }: Overlay): DpuRecord {
  const held = heldHere?.(stated.serial);
  if (held === undefined || stated.state === 'retired') return stated;
  const { reason, sinceSeconds: stateSinceSeconds } = held;
  return { ...stated, state: 'quarantined', reason, stateSinceSeconds, mustAttest: true };
}

/** An agent as everybody is to see it: banned also where only this server bans it, and out with its DPU. */
export function judgeAgent(
  stated: AgentRecord,
  dpu: DpuRecord | undefined,
  { isBannedHere }: Overlay,
): AgentRecord {
  const banned = stated.banned || (isBannedHere?.(stated.id.uri) ?? false);
  const quarantine = dpuObjection(stated.id, dpu);
  if (banned === stated.banned && quarantine === stated.quarantine) return stated;
  return { ...stated, banned, quarantine };
}
