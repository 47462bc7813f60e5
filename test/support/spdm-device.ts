import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { Clock } from '../../src/base/clock.ts';
import { ok } from '../../src/base/result.ts';
import type { Exchange } from '../../src/spdm/talk.ts';
import { type DiceBoot, makeBootedDpu } from './dice.ts';
import {
  createResponder,
  type Respond,
  type ResponderFault,
  type ResponderMeasurement,
  type ResponderOptions,
} from './spdm-responder.ts';

/** Firmware whose measured value a test may change: names stand for contents. */
export interface TestFirmware {
  readonly psc?: string;
  readonly nic?: string;
  readonly arm?: string;
  readonly securityVersion?: bigint;
}

function measured(index: number, kind: number, content: string): ResponderMeasurement {
  const value = createHash('sha512').update(content).digest();
  return { index, kind, raw: false, value };
}

/**
 * Measurements in the shape of a DPU's internal root of trust: a format version, three firmwares,
 * counters and configurations of the instance, all SHA-512, and a security version number.
 */
export function dpuMeasurements(firmware: TestFirmware = {}): readonly ResponderMeasurement[] {
  const { psc = 'psc 1', nic = 'nic 1', arm = 'arm 1', securityVersion = 3n } = firmware;
  const svn = Buffer.alloc(8);
  svn.writeBigUInt64LE(securityVersion);
  return [
    { index: 1, kind: 3, raw: true, value: Buffer.of(0, 0, 0, 1) },
    measured(2, 1, psc),
    measured(3, 1, nic),
    measured(4, 1, arm),
    ...['nic counters', 'arm counters', 'nic security', 'arm security', 'psc first', 'psc run'].map(
      (content, at) => measured(5 + at, 2, content),
    ),
    { index: 16, kind: 7, raw: true, value: svn },
  ];
}

/** A booted DPU that answers SPDM. */
export interface SpdmDevice {
  readonly boot: DiceBoot;
  /** Public key of the leaf. */
  readonly leafKey: KeyObject;
  readonly respond: Respond;
  readonly exchange: Exchange;
}

let p384Boot: DiceBoot | undefined;

/** Boots are slow to make and are not changed: tests share one where its keys do not matter. */
function sharedBoot(): DiceBoot {
  p384Boot ??= makeBootedDpu();
  return p384Boot;
}

/** A DPU with a chain of six certificates, P-384 and SHA-384 unless told. */
export function makeSpdmDevice(
  options: Partial<ResponderOptions> & { readonly boot?: DiceBoot } = {},
): SpdmDevice {
  const { boot = sharedBoot(), ...responder } = options;
  const respond = createResponder({
    chain: boot.chain,
    leafKey: boot.leafKey,
    measurements: dpuMeasurements(),
    ...responder,
  });
  const leafKey = createPublicKey(responder.leafKey ?? boot.leafKey);
  return { boot, leafKey, respond, exchange: exchangeWith(respond) };
}

/** A responder as the requester reaches it; answers later than the question, as real ones do. */
export function exchangeWith(respond: Respond): Exchange {
  return async (request) => ok(respond(request));
}

/** A clock whose timers fire at once and are written down. */
export function eagerClock(): Clock & { readonly delaysMs: readonly number[] } {
  const delaysMs: number[] = [];
  return {
    delaysMs,
    nowMs: () => 0,
    monotonicMs: () => 0,
    after(delayMs, action) {
      delaysMs.push(delayMs);
      queueMicrotask(action);
      return () => undefined;
    },
  };
}

/** Answers to one kind of request, by code, with a message of the fault's for so many times. */
export function insteadOf(
  code: number,
  times: number,
  message: (request: Uint8Array) => Uint8Array,
): ResponderFault {
  let left = times;
  return {
    instead(request) {
      if (request[1] !== code || left === 0) return undefined;
      left -= 1;
      return message(request);
    },
  };
}

/** An ERROR in the version of the request. */
export function errorMessage(error: number, ...data: readonly number[]) {
  return (request: Uint8Array): Uint8Array =>
    Uint8Array.of(request[0] ?? 0, 0x7f, error, 0, ...data);
}

/** Changes answers of one kind, by code, after they were signed. */
export function changed(
  code: number,
  change: (response: Uint8Array) => Uint8Array,
): ResponderFault {
  return { afterSigning: (response) => (response[1] === code ? change(response) : response) };
}

/** Changes answers of one kind, by code, so that they are signed as changed. */
export function changedAndSigned(
  code: number,
  change: (response: Uint8Array) => Uint8Array,
): ResponderFault {
  return { beforeSigning: (response) => (response[1] === code ? change(response) : response) };
}

/** The same bytes with one of them replaced; a negative offset counts from the end. */
export function withByte(bytes: Uint8Array, at: number, value: number): Uint8Array {
  return new Uint8Array(bytes).with(at, value);
}

/** The same bytes with one bit another; a negative offset counts from the end. */
export function flipBit(bytes: Uint8Array, at: number, bit = 0): Uint8Array {
  return withByte(bytes, at, (bytes.at(at) ?? 0) ^ (1 << bit));
}
