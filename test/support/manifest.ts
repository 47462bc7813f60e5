import { createHash } from 'node:crypto';
import { utf8 } from '../../src/base/bytes.ts';
import { unwrap } from '../../src/base/result.ts';
import type { DeviceLayer } from '../../src/dice/device-chain.ts';
import { MANIFEST_PAYLOAD_TYPE, preAuthEncoding } from '../../src/dpu/manifest/open-manifest.ts';
import { parseManifest } from '../../src/dpu/manifest/parse-manifest.ts';
import type { ReferenceManifest } from '../../src/dpu/manifest/reference-manifest.ts';
import type { MeasurementBlock } from '../../src/spdm/measurement-block.ts';
import { sha384 } from './dice.ts';
import { signWith, type TestKey } from './x509.ts';

/** JSON with any members, so that tests can break each. */
export type Written = Record<string, unknown>;

/** The target of the manifests of tests. */
export const IROT = 'Bluefield_DPU_IRoT';

/** SHA-512. */
export function sha512(text: string): Uint8Array {
  return createHash('sha512').update(text).digest();
}

function digest(text: string): string {
  return `sha512:${Buffer.from(sha512(text)).toString('hex')}`;
}

function fwid(text: string): string {
  return `sha384:${Buffer.from(sha384(text)).toString('hex')}`;
}

/** A release whose PSC, NIC and Arm firmware are named after it (indices 2, 3 and 4). */
export function writtenRelease(id: string, order: number, changes: Written = {}): Written {
  return {
    id,
    order,
    versions: [{ part: 'nic', version: `28.${order}.1000` }],
    measurements: [
      { index: 2, values: [digest(`psc ${id}`)] },
      { index: 3, values: [digest(`nic ${id}`)] },
      { index: 4, values: [digest(`arm ${id}`)] },
    ],
    layers: [
      { name: 'L5', fwids: [fwid(`fmc ${id}`)] },
      { name: 'L6', fwids: [fwid(`run-time ${id}`)] },
    ],
    ...changes,
  };
}

/** A target with three releases, format 3.1.0 in index 1, the device's own values in 5 to 10. */
export function writtenTarget(changes: Written = {}): Written {
  return {
    id: IROT,
    deviceClass: 'dpu',
    format: { index: 1, values: ['raw:00010003'] },
    fwids: 'required',
    baseline: [7, 8, 9, 10],
    rollbackCounters: [5, 6],
    minimumRelease: 'r1',
    releases: [writtenRelease('r1', 1), writtenRelease('r2', 2), writtenRelease('r3', 3)],
    ...changes,
  };
}

/** A manifest as it is written. */
export function writtenManifest(changes: Written = {}): Written {
  return {
    schema: 'signet-reference-manifest/1',
    id: 'bluefield-3',
    sequence: 7,
    issuedAt: '2030-01-01T00:00:00Z',
    targets: [writtenTarget()],
    ...changes,
  };
}

/** The bytes of a written manifest. */
export function manifestBytes(written: Written = writtenManifest()): Uint8Array {
  return utf8(JSON.stringify(written));
}

/** A manifest whose one target is changed. */
export function manifestWith(target: Written = {}, changes: Written = {}): ReferenceManifest {
  const targets = [writtenTarget(target)];
  return unwrap(parseManifest(manifestBytes(writtenManifest({ targets, ...changes }))));
}

/** The envelope of a payload, as its fields. */
export function envelopeOf(
  payload: Uint8Array,
  keys: readonly TestKey[],
  payloadType = MANIFEST_PAYLOAD_TYPE,
): Written {
  const message = preAuthEncoding(payloadType, payload);
  const signatures = keys.map((key) => ({
    keyid: '',
    sig: Buffer.from(signWith(key, message)).toString('base64'),
  }));
  return { payloadType, payload: Buffer.from(payload).toString('base64'), signatures };
}

/** A signed manifest. */
export function signManifest(payload: Uint8Array, ...keys: readonly TestKey[]): Uint8Array {
  return utf8(JSON.stringify(envelopeOf(payload, keys)));
}

/** A digest block. */
export function block(index: number, value: Uint8Array, kind = 1): MeasurementBlock {
  return { index, raw: false, kind, value };
}

/** A raw block. */
export function rawBlock(index: number, value: Uint8Array, kind = 3): MeasurementBlock {
  return { index, raw: true, kind, value };
}

/** What a DPU with a release answers; its own values (5 to 10) are named after `own`. */
export function measuredBlocks(release: string, own = 'own'): readonly MeasurementBlock[] {
  return [
    rawBlock(1, Uint8Array.of(0, 1, 0, 3)),
    block(2, sha512(`psc ${release}`)),
    block(3, sha512(`nic ${release}`)),
    block(4, sha512(`arm ${release}`)),
    ...[5, 6, 7, 8, 9, 10].map((index) => block(index, sha512(`${own} ${index}`), 2)),
    block(11, sha512('nobody knows')),
  ];
}

/** The run-time layers of a release. */
export function measuredLayers(release: string): readonly DeviceLayer[] {
  return [
    { name: 'L5', fwids: [{ algorithm: 'sha384', digest: sha384(`fmc ${release}`) }] },
    { name: 'L6', fwids: [{ algorithm: 'sha384', digest: sha384(`run-time ${release}`) }] },
  ];
}
