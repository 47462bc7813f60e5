/** One attestation under way that showed a device key. */
export interface DeviceSession {
  /** SHA-256 of the device key's SubjectPublicKeyInfo, hex. */
  readonly deviceId: string;
  /** DPU that it was shown for. */
  readonly serial: string;
  /** SHA-256 of the key that the SVID is to be for, hex: who is at the other end. */
  readonly csrKeyHash: string;
}

/** Attestations under way, by the device keys that they showed. */
export class DeviceSessions {
  readonly #open = new Map<string, Set<DeviceSession>>();

  /**
   * Enters a session once its evidence is verified; answers those that are open for the same device key
   * by another party or for another DPU (reference §7.8: there is one device for each key).
   */
  enter(session: DeviceSession): readonly DeviceSession[] {
    const open = this.#open.get(session.deviceId) ?? new Set();
    const others = [...open].filter(
      ({ csrKeyHash, serial }) => csrKeyHash !== session.csrKeyHash || serial !== session.serial,
    );
    open.add(session);
    this.#open.set(session.deviceId, open);
    return others;
  }

  /** The session's stream has ended. */
  leave(session: DeviceSession): void {
    const open = this.#open.get(session.deviceId);
    open?.delete(session);
    if (open?.size === 0) this.#open.delete(session.deviceId);
  }
}
