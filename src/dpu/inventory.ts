import type { Clock } from '../base/clock.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { BanReach } from '../registry/ban-keeper.ts';
import type { Registry } from '../registry/registry.ts';
import type { DpuAssessment, DpuDraft, DpuHost, DpuRecord } from '../rules/dpu.ts';
import type { DpuWrite } from '../store/store.ts';
import { type DeviceSession, DeviceSessions } from './sessions.ts';
import { applyEvent, type DpuEvent, isStanding, nextState } from './states.ts';

/** Attempts to write a change over whatever else changes the same DPU. */
const TRIES = 8;

/** Something that happened to a DPU. */
export interface DpuNotice {
  readonly event: DpuEvent;
  /** The DPU afterwards. */
  readonly dpu: DpuRecord;
  readonly before: DpuRecord;
  /** Who did it, as grants name callers; `self` for the server. */
  readonly by: string;
  /** An attack is the likeliest explanation: a person is to look at it now. */
  readonly alarm: boolean;
  /** How far a quarantine reaches; undefined for other events. */
  readonly reach: BanReach | undefined;
  /** Of a quarantine: when it was decided, before it was written; Unix milliseconds. */
  readonly decidedMs?: number;
}

/** What the inventory stands on. */
export interface InventoryParts {
  readonly registry: Pick<Registry, 'dpus' | 'writeDpus' | 'quarantineDpu'>;
  readonly clock: Clock;
  /** How long a BMC may be silent before its DPU is put out, in seconds. */
  readonly unreachableGraceSeconds: number;
}

/** Why something is done to a DPU, and by whom. */
export interface DpuAct {
  readonly reason: string;
  /** `self` unless told. */
  readonly by?: string;
  readonly alarm?: boolean;
}

/**
 * The inventory of DPUs as attestors and operators use it: reads come from the view, each write is one
 * step of the state machine on the DPU as it stands.
 */
export class DpuInventory {
  readonly #parts: InventoryParts;
  readonly #sessions = new DeviceSessions();
  readonly #listeners = new Set<(notice: DpuNotice) => void>();

  constructor(parts: InventoryParts) {
    this.#parts = parts;
  }

  /** The DPU with a serial number. Fails with DPU_NOT_FOUND. */
  find(serial: string): Result<DpuRecord> {
    const dpu = this.#parts.registry.dpus.get(serial);
    return dpu === undefined ? fail('DPU_NOT_FOUND', `no DPU ${serial}`) : ok(dpu);
  }

  /** DPUs that a device key is pinned to. */
  ofDevice(deviceId: string): readonly DpuRecord[] {
    return this.#parts.registry.dpus.ofDevice(deviceId);
  }

  /** Calls `listener` after each event, once it is in force. Returns what ends it. */
  onNotice(listener: (notice: DpuNotice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Changes a DPU as it stands; `change` may be called again when another change came first. Answers it
   * as it stands afterwards. Fails with DPU_NOT_FOUND, STORE_CONFLICT, or as `change` or the store does.
   */
  async change(
    serial: string,
    change: (dpu: DpuRecord) => Result<DpuDraft>,
  ): Promise<Result<DpuRecord>> {
    for (let tries = 0; tries < TRIES; tries++) {
      const write = this.#plan(serial, change);
      if (!write.ok) return write;
      const written = await this.#parts.registry.writeDpus([write.value]);
      if (!written.ok) return written;
      const [result] = written.value;
      if (result?.outcome === 'written' && result.dpu !== undefined) return ok(result.dpu);
    }
    return fail('STORE_CONFLICT', `the DPU ${serial} keeps changing`);
  }

  /** Moves a DPU by an event other than into quarantine. Fails with DPU_STATE, or as {@link change} does. */
  async move(
    serial: string,
    event: Exclude<DpuEvent, 'quarantine' | 'contradicted' | 'lost'>,
    act: DpuAct,
    more: (draft: DpuDraft) => Result<DpuDraft> = ok,
  ): Promise<Result<DpuRecord>> {
    const before = this.find(serial);
    if (!before.ok) return before;
    const cause = { reason: act.reason, atSeconds: this.#nowSeconds() };
    const moved = await this.change(serial, (dpu) => {
      const applied = applyEvent(dpu, event, cause);
      return applied.ok ? more(applied.value) : applied;
    });
    if (moved.ok) this.#tell({ event, dpu: moved.value, before: before.value }, act);
    return moved;
  }

  /**
   * Puts a DPU into quarantine: in force on this server before anything is waited for. Fails with
   * DPU_NOT_FOUND, DPU_STATE where it is retired, BAN_NOT_KEPT where it would not outlive the process.
   */
  async quarantine(
    serial: string,
    act: DpuAct,
    event: 'quarantine' | 'contradicted' | 'lost' = 'quarantine',
  ): Promise<Result<BanReach>> {
    const before = this.find(serial);
    if (!before.ok) return before;
    const { state } = before.value;
    if (state === 'quarantined') return ok('everywhere');
    if (nextState(state, event) === undefined) {
      return fail('DPU_STATE', `DPU ${serial} is ${state} and cannot be put into quarantine`);
    }
    const decidedMs = this.#parts.clock.nowMs();
    const held = { serial, reason: act.reason, sinceSeconds: Math.floor(decidedMs / 1000) };
    const reach = await this.#parts.registry.quarantineDpu(held);
    const inForce = reach.ok || reach.error.code === 'BAN_NOT_KEPT';
    const after = this.find(serial);
    if (inForce && after.ok) {
      const told = { event, dpu: after.value, before: before.value, decidedMs };
      this.#tell(told, act, reach.ok ? reach.value : 'here');
    }
    return reach;
  }

  /**
   * The write that makes an attestation in full durable together with its agent; part of
   * `recordAttestation`. Fails with DPU_NOT_FOUND, DPU_STATE or DPU_KEY_MISSING.
   */
  attested(
    serial: string,
    assessment: DpuAssessment,
    more: (draft: DpuDraft) => Result<DpuDraft> = ok,
  ): Result<DpuWrite> {
    const event = assessment.verdict === 'affirming' ? 'attested' : 'warned';
    const cause = { reason: assessment.detail, atSeconds: assessment.atSeconds };
    return this.#plan(serial, (dpu) => {
      if (assessment.verdict === 'contraindicated') {
        return fail('DPU_STATE', `DPU ${serial} was found not to be trusted`);
      }
      const applied = applyEvent(dpu, event, cause);
      if (!applied.ok) return applied;
      return more({ ...applied.value, assessment, attestDemand: undefined });
    });
  }

  /**
   * Takes in an appraisal that no agent waits for, such as the server's own look at a BMC: to be trusted,
   * with a warning, or out. It does not end the wait for a full attestation.
   */
  async assess(serial: string, assessment: DpuAssessment): Promise<Result<DpuRecord>> {
    const found = this.find(serial);
    if (!found.ok) return found;
    if (assessment.verdict === 'contraindicated') {
      const reason = assessment.detail === '' ? assessment.code : assessment.detail;
      const out = await this.quarantine(serial, { reason, alarm: true }, 'contradicted');
      // In force whatever becomes of the note of it.
      const noted = await this.#note(serial, assessment);
      return out.ok ? noted : out;
    }
    return this.#see(found.value, assessment.detail, (draft) => ({ ...draft, assessment }));
  }

  /**
   * Has the agent of a DPU attest in full, as soon as it is told; until then the DPU stands as it did.
   * Fails with DPU_STATE where it is out, DPU_KEY_MISSING where it could not, or as {@link change} does.
   */
  demand(serial: string, reason: string): Promise<Result<DpuRecord>> {
    return this.change(serial, ({ revision: _revision, ...draft }) => {
      const { state, deviceIds } = draft;
      if (state === 'quarantined' || state === 'retired') {
        return fail('DPU_STATE', `DPU ${serial} is ${state} and may not attest`);
      }
      if (deviceIds.length === 0) {
        return fail('DPU_KEY_MISSING', `DPU ${serial} has no device key pinned`);
      }
      const sinceSeconds = this.#nowSeconds();
      return ok({
        ...draft,
        attestDemand: { reason, sinceSeconds },
        updatedAtSeconds: sinceSeconds,
      });
    });
  }

  /**
   * Forgets the key of the host's boot: the next that its DPU vouches for is the first again. The DPU stands
   * as it did. Its TPM stays the one that is taken unless told. Fails with DPU_STATE where there is nothing
   * to forget, or as {@link change} does.
   */
  forgetHost(serial: string, { tpm }: { readonly tpm: boolean }): Promise<Result<DpuRecord>> {
    return this.change(serial, ({ revision: _revision, ...draft }) => {
      const hostTpm = tpm ? undefined : draft.hostTpm;
      if (draft.hostKey === undefined && hostTpm === draft.hostTpm) {
        return fail('DPU_STATE', `DPU ${serial} knows no key of its host`);
      }
      return ok({ ...draft, hostKey: undefined, hostTpm, updatedAtSeconds: this.#nowSeconds() });
    });
  }

  /**
   * Its BMC answered again, and what it showed agrees with the last verdict, which counts again: no more
   * than that. Nothing is written where it had not been silent.
   */
  async answered(serial: string): Promise<Result<void>> {
    const found = this.find(serial);
    if (!found.ok) return found;
    if (found.value.unreachableSinceSeconds === 0) return ok(undefined);
    const seen = await this.#see(found.value, 'its BMC answers again', (draft) => ({
      ...draft,
      unreachableSinceSeconds: 0,
    }));
    return seen.ok ? ok(undefined) : seen;
  }

  /** Its BMC did not answer: a grace begins, where none has begun. Nothing happens to one that is out. */
  async unreachable(serial: string, reason: string): Promise<Result<void>> {
    const found = this.find(serial);
    if (!found.ok) return found;
    const { state, unreachableSinceSeconds } = found.value;
    if (unreachableSinceSeconds !== 0 || nextState(state, 'unreachable') === undefined) {
      return ok(undefined);
    }
    const moved = await this.move(serial, 'unreachable', { reason });
    return moved.ok ? ok(undefined) : moved;
  }

  /** Puts out every DPU whose BMC has been silent for longer than the grace. Answers how many. */
  async sweep(): Promise<number> {
    const { registry, unreachableGraceSeconds } = this.#parts;
    const bySeconds = this.#nowSeconds() - unreachableGraceSeconds;
    const all = registry.dpus.list(
      { states: ['trusted', 'degraded'] },
      { pageSize: 0, pageToken: '' },
    );
    let count = 0;
    for (const { serial, unreachableSinceSeconds: since } of all.ok ? all.value.items : []) {
      if (since === 0 || since > bySeconds) continue;
      const reason = `its BMC has not answered for ${unreachableGraceSeconds} s`;
      const out = await this.quarantine(serial, { reason }, 'lost');
      if (out.ok) count += 1;
    }
    return count;
  }

  /**
   * A device key was shown for a DPU by somebody whose evidence verified. Answers what to call when that
   * attestation is over. Fails with DPU_TWIN after putting everybody concerned into quarantine: when the
   * key is pinned to another DPU, or another attestation with it is under way (reference §7.8).
   */
  async enterSession(session: DeviceSession): Promise<Result<() => void>> {
    const { deviceId, serial } = session;
    const pinned = this.ofDevice(deviceId).filter((dpu) => dpu.serial !== serial);
    const others = this.#sessions.enter(session);
    const leave = (): void => this.#sessions.leave(session);
    if (pinned.length === 0 && others.length === 0) return ok(leave);
    leave();
    const concerned = new Set([serial, ...pinned, ...others].map(serialOf));
    const reason =
      pinned.length > 0
        ? `its device key was shown for ${[...concerned].join(' and ')}`
        : 'two parties showed its device key at once';
    await this.#putOut(concerned, reason);
    return fail('DPU_TWIN', `device key ${deviceId}: ${reason}`);
  }

  /**
   * A DPU was seen in a host. Where the inventory says another, and where another DPU is known to sit
   * there, all of them go into quarantine and it fails with DPU_MOVED; values that are not known on
   * either side say nothing.
   */
  async seen(serial: string, host: DpuHost): Promise<Result<void>> {
    const found = this.find(serial);
    if (!found.ok) return found;
    const known = found.value.pairing ?? found.value.host;
    if (!hostDiffers(known, host)) return ok(undefined);
    const all = this.#parts.registry.dpus.list({}, { pageSize: 0, pageToken: '' });
    const there = (all.ok ? all.value.items : []).filter(
      (dpu) => dpu.serial !== serial && isSame(dpu.pairing ?? dpu.host, host),
    );
    const place = host.serial || host.uuid || host.pf0Mac;
    await this.#putOut(
      new Set([serial, ...there.map(serialOf)]),
      `${serial} was seen in host ${place}`,
    );
    return fail('DPU_MOVED', `DPU ${serial} was seen in host ${place}`);
  }

  async #putOut(serials: ReadonlySet<string>, reason: string): Promise<void> {
    await Promise.all(
      [...serials].map((serial) =>
        this.quarantine(serial, { reason, alarm: true }, 'contradicted'),
      ),
    );
  }

  /**
   * What the server saw by itself: it moves a DPU that stands when it is written, and is only noted of another,
   * such as one that an operator commissioned meanwhile.
   */
  async #see(
    before: DpuRecord,
    reason: string,
    see: (draft: DpuDraft) => DpuDraft,
  ): Promise<Result<DpuRecord>> {
    const cause = { reason, atSeconds: this.#nowSeconds() };
    const moved: { event?: DpuEvent } = {};
    const changed = await this.change(before.serial, (dpu) => {
      const { revision, attestedAtSeconds, ...draft } = dpu;
      const noted = see({ ...draft, attestedAtSeconds });
      delete moved.event;
      const { assessment } = noted;
      if (!isStanding(dpu) || assessment === undefined) {
        return ok({ ...noted, updatedAtSeconds: cause.atSeconds });
      }
      moved.event = assessment.verdict === 'affirming' ? 'attested' : 'warned';
      const applied = applyEvent({ ...noted, revision }, moved.event, cause);
      return applied.ok ? ok({ ...applied.value, attestedAtSeconds }) : applied;
    });
    const { event } = moved;
    if (changed.ok && event !== undefined) this.#tell({ event, dpu: changed.value, before }, cause);
    return changed;
  }

  #note(serial: string, assessment: DpuAssessment): Promise<Result<DpuRecord>> {
    return this.change(serial, ({ revision: _revision, ...draft }) =>
      ok({ ...draft, assessment, updatedAtSeconds: this.#nowSeconds() }),
    );
  }

  #plan(serial: string, change: (dpu: DpuRecord) => Result<DpuDraft>): Result<DpuWrite> {
    const found = this.find(serial);
    if (!found.ok) return found;
    const dpu = change(found.value);
    return dpu.ok ? ok({ dpu: dpu.value, expectedRevision: found.value.revision }) : dpu;
  }

  #tell(
    what: Pick<DpuNotice, 'event' | 'dpu' | 'before' | 'decidedMs'>,
    { by = 'self', alarm = false }: DpuAct,
    reach?: BanReach,
  ): void {
    for (const listener of this.#listeners) listener({ ...what, by, alarm, reach });
  }

  #nowSeconds(): number {
    return Math.floor(this.#parts.clock.nowMs() / 1000);
  }
}

function serialOf(one: string | { readonly serial: string }): string {
  return typeof one === 'string' ? one : one.serial;
}

const HOST_FIELDS = ['serial', 'uuid', 'pf0Mac'] as const;

/** Whether two statements about a host contradict each other; what is not known on either side says nothing. */
export function hostDiffers(known: DpuHost, seen: DpuHost): boolean {
  return HOST_FIELDS.some(
    (field) => known[field] !== '' && seen[field] !== '' && known[field] !== seen[field],
  );
}

/** By one field at least, and against no other: UUIDs repeat among boards of some makers. The MAC is the card's. */
function isSame(known: DpuHost, seen: DpuHost): boolean {
  const matches = HOST_FIELDS.some((field) => known[field] !== '' && known[field] === seen[field]);
  return matches && !hostDiffers({ ...known, pf0Mac: '' }, seen);
}
