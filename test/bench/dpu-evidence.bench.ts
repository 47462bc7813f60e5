/**
 * Verifying the evidence of a fleet of DPUs on one core: certificate chain with firmware ids, signature
 * over the measurements, and the reference manifest. Prints a table and writes
 * `bench-dpu-evidence.json`.
 */
import { createHash, generateKeyPairSync, sign, verify as verifyOne } from 'node:crypto';
import { unwrap } from '../../src/base/result.ts';
import { verifyDeviceChain } from '../../src/dice/device-chain.ts';
import { appraise, type Verdict } from '../../src/dpu/manifest/appraise.ts';
import { NEW_DEVICE } from '../../src/dpu/manifest/device-record.ts';
import { DEFAULT_SPDM_POLICY } from '../../src/spdm/policy.ts';
import { collectMeasurements } from '../../src/spdm/requester.ts';
import { verifySignedMeasurements } from '../../src/spdm/verify-measurements.ts';
import { createSignatureMemo, type SignatureMemo } from '../../src/x509/signature-memo.ts';
import { bootDevice, type DiceDevice, makeDevice, makeVendor, sha384 } from '../support/dice.ts';
import { IROT, manifestWith, sha512 } from '../support/manifest.ts';
import { dpuMeasurements, eagerClock, makeSpdmDevice } from '../support/spdm-device.ts';
import { report } from './report.ts';

const DEVICES = 100;
const ROUNDS = 10;
const SIGNATURES = 1000;
/** As long as one set of measurements. */
const MESSAGE = new Uint8Array(900);
const AT_MS = Date.UTC(2030, 0, 1);
const policy = DEFAULT_SPDM_POLICY;
const vendor = makeVendor();

/** What one device sends for one nonce. */
interface Evidence {
  readonly chain: readonly Uint8Array[];
  readonly messages: Uint8Array;
  readonly nonce: Uint8Array;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const manifest = manifestWith({
  format: { index: 1, values: ['raw:00000001'] },
  minimumRelease: 'r1',
  releases: [
    {
      id: 'r1',
      order: 1,
      measurements: ['psc 1', 'nic 1', 'arm 1'].map((content, at) => ({
        index: 2 + at,
        values: [`sha512:${hex(sha512(content))}`],
      })),
      layers: [
        { name: 'L5', fwids: [`sha384:${hex(sha384('first mutable code 1.0'))}`] },
        { name: 'L6', fwids: [`sha384:${hex(sha384('run-time firmware 1.0'))}`] },
      ],
    },
  ],
});

async function bootAndCollect(device: DiceDevice): Promise<Evidence> {
  const boot = bootDevice(device);
  const { exchange } = makeSpdmDevice({ boot, measurements: dpuMeasurements() });
  const nonce = createHash('sha256').update(boot.leaf.der).digest();
  const collected = unwrap(
    await collectMeasurements(exchange, { nonce, policy, clock: eagerClock() }),
  );
  return { chain: collected.certificateChain, messages: collected.messages, nonce };
}

/** All that the server does with one piece of evidence. */
function verify({ chain, messages, nonce }: Evidence, signatures: SignatureMemo): Verdict {
  const { deviceClass } = vendor.dpu;
  const { leafKey, layers } = unwrap(
    verifyDeviceChain(chain, { deviceClass, atMs: AT_MS, signatures }),
  );
  const { blocks } = unwrap(verifySignedMeasurements({ messages, nonce, leafKey, policy }));
  return unwrap(
    appraise({
      manifest,
      target: IROT,
      deviceClass: deviceClass.name,
      blocks,
      layers,
      record: NEW_DEVICE,
      allow: { newBaseline: true, olderRelease: false },
      atMs: AT_MS,
    }),
  );
}

/** Pieces of evidence per second of CPU. */
function rate(evidence: readonly Evidence[], memory: () => SignatureMemo, rounds = ROUNDS): number {
  const started = process.cpuUsage();
  for (let round = 0; round < rounds; round++) {
    const signatures = memory();
    for (const each of evidence) verify(each, signatures);
  }
  const { user, system } = process.cpuUsage(started);
  return (evidence.length * rounds) / ((user + system) / 1e6);
}

const devices = Array.from({ length: DEVICES }, (_, at) => makeDevice(vendor.dpu, `DPU${at}`));
const before: Evidence[] = [];
const after: Evidence[] = [];
for (const device of devices) {
  before.push(await bootAndCollect(device));
  after.push(await bootAndCollect(device));
}

/** A memory that has seen these devices. */
function seen(evidence: readonly Evidence[]): SignatureMemo {
  const memory = createSignatureMemo(100_000);
  for (const each of evidence) verify(each, memory);
  return memory;
}

/** Checks of one P-384 signature per second of CPU: what OpenSSL leaves to be had, divided by their number. */
function signatureRate(): number {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const signature = sign('sha384', MESSAGE, key.privateKey);
  const started = process.cpuUsage();
  for (let at = 0; at < SIGNATURES; at++) verifyOne('sha384', MESSAGE, key.publicKey, signature);
  const { user, system } = process.cpuUsage(started);
  return SIGNATURES / ((user + system) / 1e6);
}

const fleet = seen(before);
rate(before, () => fleet, 3);
const again = rate(before, () => fleet);
// Each round needs a memory without the new boots; making it is not measured.
const memories = Array.from({ length: 4 }, () => seen(before));
const rebooted = rate(after, () => memories.pop() ?? fleet, 4);
const [first, ...others] = before;
const vendorsOnly = Array.from({ length: 4 }, () => seen(first === undefined ? [] : [first]));
const unseen = rate(others, () => vendorsOnly.pop() ?? fleet, 4);
const unknown = rate(before, () => createSignatureMemo(1), 2);
const alone = signatureRate();

/** A row: the rate, and the share of the time that its signatures alone take. */
function row(perSecond: number, signatures: number): Record<string, number> {
  const share = (perSecond * signatures) / alone;
  return { 'per second and core': perSecond, signatures, 'of them alone, %': share * 100 };
}

report('dpu-evidence', {
  'the same boot again': row(again, 1),
  'after a reboot': row(rebooted, 3),
  "a new device of a known vendor's": row(unseen, 4),
  'nothing known': row(unknown, 6),
  'one P-384 signature': row(alone, 1),
});
