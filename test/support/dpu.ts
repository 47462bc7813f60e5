import { systemClock } from '../../src/base/clock.ts';
import { unwrap } from '../../src/base/result.ts';
import type { DeviceClass } from '../../src/dice/device-class.ts';
import type { DpuTarget, ShownEvidence } from '../../src/dpu/evidence.ts';
import type { ReferenceManifest } from '../../src/dpu/manifest/reference-manifest.ts';
import type { MockTarget } from '../../src/main/demo/mock-bmc/measurements.ts';
import { DEFAULT_SPDM_POLICY } from '../../src/spdm/policy.ts';
import { collectMeasurements } from '../../src/spdm/requester.ts';
import {
  bootDevice,
  type DiceBoot,
  type DiceDevice,
  makeDevice,
  makeVendor,
  sha256Hex,
} from './dice.ts';
import { IROT, manifestWith, measuredBlocks } from './manifest.ts';
import { exchangeWith } from './spdm-device.ts';
import {
  createResponder,
  type Respond,
  type ResponderFault,
  type ResponderMeasurement,
  type ResponderVersion,
} from './spdm-responder.ts';

/** The vendor of all cards of a test process: its keys cost a while to make. */
export const TEST_VENDOR = makeVendor();

/** The class of the cards, and of others under the same root. */
export const DPU_CLASS: DeviceClass = TEST_VENDOR.dpu.deviceClass;

/** The component that cards are asked for. */
export const IROT_TARGET: DpuTarget = { id: IROT, deviceClass: DPU_CLASS };

/** What a card runs, and how it answers. */
export interface CardState {
  /** Release of its firmware, as manifests of tests name them. */
  release: string;
  /** What its own values are named after. */
  own: string;
  /** Over the measurements that the release gives. */
  measurements?: readonly ResponderMeasurement[];
  versions?: readonly ResponderVersion[];
  faults?: readonly ResponderFault[];
  /** Opaque data of its measurements; none unless told. */
  opaque?: Uint8Array;
}

/** A card with one root of trust: a DICE device that answers SPDM, and no hardware. */
export class TestCard {
  readonly device: DiceDevice;
  readonly state: CardState = { release: 'r2', own: 'own' };
  #boot: DiceBoot;

  constructor(serial: string, device: DiceDevice = makeDevice(TEST_VENDOR.dpu, serial)) {
    this.device = device;
    this.#boot = this.#start();
  }

  /** SHA-256 of its device key, hex. */
  get deviceId(): string {
    return sha256Hex(this.device.certificate.key.spki);
  }

  get boot(): DiceBoot {
    return this.#boot;
  }

  /** Starts anew, with what its state says: new keys in the layers. */
  reboot(): void {
    this.#boot = this.#start();
  }

  /** One conversation with its root of trust. */
  responder(): Respond {
    const { release, own, versions = ['1.1'], measurements, faults, opaque } = this.state;
    const { chain, leafKey } = this.#boot;
    return createResponder({
      chain,
      leafKey,
      versions,
      measurements: measurements ?? measuredBlocks(release, own),
      ...(faults && { faults }),
      ...(opaque && { opaque }),
    });
  }

  /** Evidence as a BMC would collect it. */
  async evidence(nonce: Uint8Array, target: string = IROT): Promise<ShownEvidence> {
    const options = { policy: DEFAULT_SPDM_POLICY, clock: systemClock, nonce };
    const { messages, certificateChain } = unwrap(
      await collectMeasurements(exchangeWith(this.responder()), options),
    );
    return { target, messages, certificates: certificateChain };
  }

  #start(): DiceBoot {
    const { release } = this.state;
    return bootDevice(this.device, { firmware: [`fmc ${release}`, `run-time ${release}`] });
  }
}

/** A card behind a mock BMC. */
export function mockTarget(card: TestCard): MockTarget {
  return {
    chassis: 'Bluefield_DPU_IRoT',
    chainPem: () => card.boot.certificates.map(({ pem }) => pem).join(''),
    measure: async ({ nonce }) => ({ signedMeasurements: (await card.evidence(nonce)).messages }),
  };
}

/** Manifests of tests by target: releases r1 to r3 of the IRoT. */
export function manifestFor(target: string): ReferenceManifest | undefined {
  return target === IROT ? manifestWith({ deviceClass: DPU_CLASS.name }) : undefined;
}
