import type { PublicKeyType } from '../x509/types.ts';

/** Kinds of key that a class may allow in its chains. */
export type DeviceKeyType = Extract<PublicKeyType, 'ec-p256' | 'ec-p384' | 'ec-p521' | 'rsa'>;

/** A kind of device and what its chains must look like. Nothing has a default that accepts. */
export interface DeviceClass {
  /** For messages and the log. */
  readonly name: string;
  /** SHA-256 of the DER of each root that is trusted, lower-case hex. */
  readonly roots: readonly string[];
  /**
   * DER of roots that devices may leave out of their chain (DSP0274 allows that); only those that
   * `roots` pins count. None unless told: then the root must be presented.
   */
  readonly anchors?: readonly Uint8Array[];
  /**
   * SHA-256 of the DER of the CAs that issue the devices of this class, lower-case hex. They must be
   * the lowest ones: a CA above may issue for other classes too.
   */
  readonly classCas: readonly string[];
  /** Kinds of key that may stand anywhere in a chain. */
  readonly keyTypes: readonly DeviceKeyType[];
  /**
   * `required`: below the device certificate stands at least one layer, each with its firmware ids.
   * `ignored`: layers may be absent, and what firmware ids say is not judged.
   */
  readonly fwid: 'required' | 'ignored';
  /**
   * Which key the composite form of the firmware id names: that of the certificate above it, or also
   * that of the device certificate (the 0.93 draft knows one layer only). `parent` unless told.
   */
  readonly compositeKey?: 'parent' | 'parent-or-device';
  /**
   * What the firmware id means that the signed opaque data of measurements may hold. `if-present`: it must
   * be one of the leaf's certificate; `required`: it must be there as well; `ignored`: not looked at.
   * `if-present` unless told.
   */
  readonly opaqueFwid?: 'required' | 'if-present' | 'ignored';
}
