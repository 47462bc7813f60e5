import { MultiMap } from '../base/multi-map.ts';
import type { Result } from '../base/result.ts';
import { type DpuFilter, type DpuRecord, dpuMatcher, isStopped } from '../rules/dpu.ts';
import { deviceIdOfAgent } from '../rules/reserved-ids.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import { countMatching, listPage } from './listing.ts';
import type { Page, PageQuery } from './registry.ts';
import { SortedKeys } from './sorted-keys.ts';

/** The inventory of DPUs, in memory, for reading. */
export interface DpuView {
  /** The DPU with a serial number. */
  get(serial: string): DpuRecord | undefined;
  /** DPUs that a device key is pinned to (SHA-256 of its SubjectPublicKeyInfo, hex): one, where all is well. */
  ofDevice(deviceId: string): readonly DpuRecord[];
  /** The DPU of an agent's node, by the agent's ID or by what the inventory says; a stopped one first. */
  ofAgent(agentId: SpiffeId): DpuRecord | undefined;
  /** DPUs in the order of their serial numbers. Fails with PAGE_TOKEN. */
  list(filter: DpuFilter, query: PageQuery): Result<Page<DpuRecord>>;
  count(filter?: DpuFilter): number;
  /** Calls `listener` after DPUs came or changed. Returns what ends it. */
  onChange(listener: () => void): () => void;
}

/** The inventory as the view keeps it: found by serial, by device key and by agent. */
export class Dpus implements DpuView {
  /** As everybody sees them, and as the store states them. */
  readonly #shown = new Map<string, DpuRecord>();
  readonly #stated = new Map<string, DpuRecord>();
  readonly #byDevice = new MultiMap<DpuRecord>();
  readonly #byAgent = new MultiMap<DpuRecord>();
  readonly #listeners = new Set<() => void>();
  readonly #judge: (dpu: DpuRecord) => DpuRecord;
  #serials = new SortedKeys([]);

  /** @param judge A DPU as everybody is to see it: in quarantine also where only this server says so. */
  constructor(judge: (dpu: DpuRecord) => DpuRecord) {
    this.#judge = judge;
  }

  get(serial: string): DpuRecord | undefined {
    return this.#shown.get(serial);
  }

  ofDevice(deviceId: string): readonly DpuRecord[] {
    return [...this.#byDevice.get(deviceId)];
  }

  ofAgent(agentId: SpiffeId): DpuRecord | undefined {
    const deviceId = deviceIdOfAgent(agentId);
    let found: DpuRecord | undefined;
    for (const dpu of this.#byAgent.get(agentId.uri)) found = stricter(found, dpu);
    if (deviceId === undefined) return found;
    for (const dpu of this.#byDevice.get(deviceId)) found = stricter(found, dpu);
    return found;
  }

  list(filter: DpuFilter, query: PageQuery): Result<Page<DpuRecord>> {
    const source = {
      keys: this.#serials,
      get: (serial: string) => this.#shown.get(serial),
      matches: dpuMatcher(filter),
      keyOf: (dpu: DpuRecord) => dpu.serial,
      candidates: undefined,
    };
    return listPage(source, query);
  }

  count(filter: DpuFilter = {}): number {
    return countMatching(this.#shown.values(), dpuMatcher(filter));
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Adds a DPU as the store states it, or replaces the one with its serial number. */
  put(stated: DpuRecord): void {
    const before = this.#shown.get(stated.serial);
    if (before === undefined) this.#serials.add(stated.serial);
    else this.#unindex(before);
    const shown = this.#judge(stated);
    this.#stated.set(stated.serial, stated);
    this.#shown.set(stated.serial, shown);
    for (const deviceId of shown.deviceIds) this.#byDevice.add(deviceId, shown);
    for (const { uri } of shown.agentIds) this.#byAgent.add(uri, shown);
  }

  /** A DPU as the store states it. */
  stated(serial: string): DpuRecord | undefined {
    return this.#stated.get(serial);
  }

  /** Forgets everything: the whole state is read again. */
  clear(): void {
    this.#shown.clear();
    this.#stated.clear();
    this.#byDevice.clear();
    this.#byAgent.clear();
    this.#serials = new SortedKeys([]);
  }

  /** Tells the listeners, once for all that came together. */
  notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #unindex(dpu: DpuRecord): void {
    for (const deviceId of dpu.deviceIds) this.#byDevice.remove(deviceId, dpu);
    for (const { uri } of dpu.agentIds) this.#byAgent.remove(uri, dpu);
  }
}

function stricter(one: DpuRecord | undefined, other: DpuRecord): DpuRecord {
  return one !== undefined && isStopped(one) ? one : other;
}
