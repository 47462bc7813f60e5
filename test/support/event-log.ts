import { createHash } from 'node:crypto';
import { TPM_ALG } from '../../src/tpm/algorithms.ts';

/** EV_EFI_VARIABLE_DRIVER_CONFIG. */
export const EFI_VARIABLE = 0x8000_0001;
/** EV_SEPARATOR. */
export const SEPARATOR = 4;
/** EV_NO_ACTION. */
export const NO_ACTION = 3;

/** SHA-256 of the SecureBoot variable as firmware of any machine measures it when it is on, and off. */
export const SECURE_BOOT_DIGEST = {
  on: Buffer.from('ccfc4bb32888a345bc8aeadaba552b627d99348c767681ab3141f5b01e40a40e', 'hex'),
  off: Buffer.from('115aa827dbccfb44d216ad9ecfda56bdea620b860a94bed5b7a27bba1c4d02d8', 'hex'),
};

/** An event to be written. */
export interface WrittenEvent {
  readonly pcr: number;
  readonly type?: number;
  readonly digest?: Uint8Array;
  readonly data?: Uint8Array;
}

/** A bank to be written: its algorithm and the size of its digests. */
export type WrittenBank = readonly [algorithm: number, bytes: number];

/** The banks that firmware of today has. */
export const BANKS: readonly WrittenBank[] = [
  [0x0004, 20],
  [TPM_ALG.sha256, 32],
  [TPM_ALG.sha384, 48],
];

/** A log in the crypto-agile form of the TCG. */
export function writeEventLog(
  events: readonly WrittenEvent[],
  banks: readonly WrittenBank[] = BANKS,
): Buffer {
  return Buffer.concat([writeHead(banks), ...events.map((event) => writeEvent(event, banks))]);
}

/** The head of a log. */
export function writeHead(
  banks: readonly WrittenBank[],
  vendor: Uint8Array = Buffer.of(1),
): Buffer {
  const event = Buffer.concat([
    Buffer.from('Spec ID Event03\0'),
    ...[u32(0), Buffer.of(0, 2, 0, 2), u32(banks.length)],
    ...banks.flatMap(([algorithm, bytes]) => [u16(algorithm), u16(bytes)]),
    ...[Buffer.of(vendor.length), vendor],
  ]);
  return Buffer.concat([u32(0), u32(NO_ACTION), Buffer.alloc(20), u32(event.length), event]);
}

/** One event, with a digest of each bank. */
export function writeEvent(
  { pcr, type = 1, data = Buffer.from('what'), digest = sha256(data) }: WrittenEvent,
  banks: readonly WrittenBank[] = BANKS,
): Buffer {
  const digests = banks.flatMap(([algorithm, bytes]) => [
    u16(algorithm),
    algorithm === TPM_ALG.sha256 ? digest : Buffer.alloc(bytes, pcr),
  ]);
  return Buffer.concat([
    ...[u32(pcr), u32(type), u32(banks.length), ...digests],
    ...[u32(data.length), data],
  ]);
}

/** A note of the locality that started the TPM. */
export function startupLocality(locality: number): WrittenEvent {
  const data = Buffer.concat([Buffer.from('StartupLocality\0'), Buffer.of(locality)]);
  return { pcr: 0, type: NO_ACTION, data, digest: Buffer.alloc(32) };
}

/** A register after digests, from a value. */
export function extended(value: Uint8Array, ...digests: readonly Uint8Array[]): Uint8Array {
  return digests.reduce((before, digest) => sha256(Buffer.concat([before, digest])), value);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
