import { createHash, sign } from 'node:crypto';
import { concatBytes } from '../../../base/bytes.ts';
import { systemRandom } from '../../../base/random.ts';
import { littleEndian } from '../../../spdm/byte-writer.ts';
import { MEASUREMENT_SPEC_DMTF, NONCE_BYTES, RESPONSE } from '../../../spdm/codes.ts';
import { header } from '../../../spdm/header.ts';
import { ALL_MEASUREMENTS, getMeasurementsRequest } from '../../../spdm/measurements-message.ts';
import { versionByte } from '../../../spdm/version.ts';
import { type DiceBoot, DiceDevice } from './dice-device.ts';
import type { MockRequest, MockTarget } from './measurements.ts';

/** What a card runs; the names stand for the contents. */
export interface MockFirmware {
  readonly psc: string;
  readonly nic: string;
  readonly arm: string;
}

/** A measurement: its index, and the bytes that are measured. */
type Measured = readonly [index: number, content: string];

/** Digest in a block: mutable firmware, and configuration of the hardware (DSP0274, measurement block). */
const KIND = { firmware: 0x01, configuration: 0x02, rawFirmwareVersion: 0x83 } as const;

/** Version 1.0.0 of the table of measurements, as index 1 states it. */
export const MOCK_FORMAT = Uint8Array.of(0, 1, 0, 0);

/** Own values of the card, by which it is known again. */
const OWN: readonly Measured[] = [
  [5, 'NIC rollback counters'],
  [6, 'Arm rollback counters'],
  [7, 'NIC security configuration'],
  [8, 'Arm security configuration'],
  [9, 'PSC first mutable code security configuration'],
  [10, 'PSC run-time firmware security configuration'],
];

/** Indices of the firmwares, as BlueField's internal root of trust has them. */
export const FIRMWARE_INDEX = { psc: 2, nic: 3, arm: 4 } as const;

/** What a firmware measures. */
export function firmwareDigest(content: string): Uint8Array {
  return createHash('sha512').update(content).digest();
}

/** What layers of the chain name as their firmware, by the firmware of the PSC. */
export function layerFirmware({ psc }: MockFirmware): readonly [string, string] {
  return [`${psc} first mutable code`, `${psc} run-time firmware`];
}

/**
 * The internal root of trust of a card that is none: signs measurements by SPDM 1.1 with a key below a
 * chain of its own. Proves nothing.
 */
export class SpdmDevice {
  readonly identity: DiceDevice;
  #firmware: MockFirmware;
  #boot: DiceBoot;

  constructor(serial: string, firmware: MockFirmware) {
    this.identity = new DiceDevice(serial);
    this.#firmware = firmware;
    this.#boot = this.identity.boot(layerFirmware(firmware));
  }

  /** Starts anew with this firmware: the keys of the layers are others now. */
  reboot(firmware: MockFirmware): void {
    this.#firmware = firmware;
    this.#boot = this.identity.boot(layerFirmware(firmware));
  }

  /** As a mock BMC has it. */
  target(chassis: string): MockTarget {
    return {
      chassis,
      chainPem: () => this.#boot.chainPem,
      measure: (request) => ({ signedMeasurements: this.#measure(request) }),
    };
  }

  /** One GET_MEASUREMENTS for all and its answer, which is what 1.1 signs. */
  #measure({ nonce, slot }: MockRequest): Uint8Array {
    const firmware = Object.entries(this.#firmware).map(([part, content]) => {
      // The names of a MockFirmware are those of FIRMWARE_INDEX.
      const index = FIRMWARE_INDEX[part as keyof MockFirmware];
      return block(index, KIND.firmware, firmwareDigest(content));
    });
    const blocks = [
      block(1, KIND.rawFirmwareVersion, MOCK_FORMAT),
      ...firmware,
      ...OWN.map(([index, content]) => block(index, KIND.configuration, firmwareDigest(content))),
    ];
    const signature = { nonce, slot };
    const operation = ALL_MEASUREMENTS;
    const request = getMeasurementsRequest('1.1', { operation, signature, context: undefined });
    const transcript = concatBytes([request, answer(slot, blocks)]);
    const key = { key: this.#boot.leafKey, dsaEncoding: 'ieee-p1363' } as const;
    return concatBytes([transcript, sign('sha384', transcript, key)]);
  }
}

/** A MEASUREMENTS without its signature: blocks, a nonce of the device's, no opaque data. */
function answer(slot: number, blocks: readonly Uint8Array[]): Uint8Array {
  const record = concatBytes(blocks);
  return concatBytes([
    header(versionByte('1.1'), RESPONSE.measurements, 0, slot),
    Uint8Array.of(blocks.length),
    littleEndian(record.length, 3),
    record,
    systemRandom.bytes(NONCE_BYTES),
    littleEndian(0, 2),
  ]);
}

function block(index: number, kind: number, value: Uint8Array): Uint8Array {
  return concatBytes([
    Uint8Array.of(index, MEASUREMENT_SPEC_DMTF),
    littleEndian(value.length + 3, 2),
    Uint8Array.of(kind),
    littleEndian(value.length, 2),
    value,
  ]);
}
