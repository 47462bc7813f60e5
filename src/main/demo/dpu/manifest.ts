import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { toHex, utf8 } from '../../../base/bytes.ts';
import { MANIFEST_SCHEMA } from '../../../dpu/manifest/manifest-schema.ts';
import { MANIFEST_PAYLOAD_TYPE, preAuthEncoding } from '../../../dpu/manifest/open-manifest.ts';
import {
  FIRMWARE_INDEX,
  firmwareDigest,
  layerFirmware,
  MOCK_FORMAT,
} from '../mock-bmc/spdm-device.ts';
import { ALLOWED_FIRMWARE, DEMO_TARGET } from './protocol.ts';

/** Name of the class of the demo's card. */
export const DEMO_CLASS = 'demo-dpu';

/** The release that the manifest allows. */
export const DEMO_RELEASE = 'demo-1.0';

/** A signed manifest and the public key (PEM) of who signed it. */
export interface SignedManifest {
  readonly envelope: string;
  readonly publisher: string;
}

/** Writes the manifest that allows the card's first firmware and no other, and signs it with a new key. */
export function makeManifest(nowMs: number): SignedManifest {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const payload = utf8(JSON.stringify(manifest(nowMs)));
  const message = preAuthEncoding(MANIFEST_PAYLOAD_TYPE, payload);
  const sig = sign('sha256', message, privateKey).toString('base64');
  return {
    envelope: JSON.stringify({
      payloadType: MANIFEST_PAYLOAD_TYPE,
      payload: Buffer.from(payload).toString('base64'),
      signatures: [{ keyid: '', sig }],
    }),
    publisher: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

function manifest(nowMs: number): unknown {
  const { psc, nic, arm } = ALLOWED_FIRMWARE;
  const measurement = (index: number, content: string): unknown => ({
    index,
    values: [`sha512:${toHex(firmwareDigest(content))}`],
  });
  const layer = (name: string, content: string): unknown => ({
    name,
    fwids: [`sha384:${createHash('sha384').update(content).digest('hex')}`],
  });
  const [first, second] = layerFirmware(ALLOWED_FIRMWARE);
  return {
    schema: MANIFEST_SCHEMA,
    id: DEMO_CLASS,
    sequence: 1,
    issuedAt: `${new Date(nowMs).toISOString().slice(0, 19)}Z`,
    targets: [
      {
        id: DEMO_TARGET,
        deviceClass: DEMO_CLASS,
        format: { index: 1, values: [`raw:${toHex(MOCK_FORMAT)}`] },
        fwids: 'required',
        baseline: [7, 8, 9, 10],
        rollbackCounters: [5, 6],
        minimumRelease: DEMO_RELEASE,
        releases: [
          {
            id: DEMO_RELEASE,
            order: 1,
            versions: [{ part: 'nic', version: '1.0' }],
            measurements: [
              measurement(FIRMWARE_INDEX.psc, psc),
              measurement(FIRMWARE_INDEX.nic, nic),
              measurement(FIRMWARE_INDEX.arm, arm),
            ],
            layers: [layer('L5', first), layer('L6', second)],
          },
        ],
      },
    ],
  };
}
