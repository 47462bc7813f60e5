/**
 * Verifying signed measurements of SPDM on one core, beside what its one P-384 signature alone costs; the
 * chain of certificates is measured in `dpu-evidence.bench.ts`. Rows are measured in turns, so that a
 * busy machine slows each alike. Prints a table and writes `bench-spdm.json`.
 */
import { createHash, createPublicKey, sign, verify } from 'node:crypto';
import { unwrap } from '../../src/base/result.ts';
import { DEFAULT_SPDM_POLICY } from '../../src/spdm/policy.ts';
import { collectMeasurements } from '../../src/spdm/requester.ts';
import { verifyChallengeAuth } from '../../src/spdm/verify-challenge.ts';
import {
  readMeasurementTranscript,
  verifySignedMeasurements,
} from '../../src/spdm/verify-measurements.ts';
import { SPDM_VERSIONS } from '../../src/spdm/version.ts';
import { eagerClock, flipBit, makeSpdmDevice } from '../support/spdm-device.ts';
import { quantile, report } from './report.ts';

const PER_TURN = 50;
const WARM_UP_TURNS = 4;
const TURNS = 24;
const policy = DEFAULT_SPDM_POLICY;
const nonce = createHash('sha256').update('nonce').digest();

interface Row {
  readonly name: string;
  readonly once: () => unknown;
  /** CPU microseconds for one, of each turn. */
  readonly samples: number[];
}

const rows: Row[] = [];
const row = (name: string, once: () => unknown): void => {
  rows.push({ name, once, samples: [] });
};

const { boot, leafKey } = makeSpdmDevice();
const text = new Uint8Array(1500);
const encoding = { dsaEncoding: 'ieee-p1363' } as const;
const signature = sign('sha384', text, { key: boot.leafKey, ...encoding });
const publicKey = createPublicKey(boot.leafKey);
row('P-384 signature alone', () =>
  verify('sha384', text, { key: publicKey, ...encoding }, signature),
);

for (const version of SPDM_VERSIONS) {
  const { exchange } = makeSpdmDevice({ versions: [version] });
  const options = { nonce, challengeNonce: nonce, policy, clock: eagerClock() };
  const { messages, challengeMessages = new Uint8Array() } = unwrap(
    await collectMeasurements(exchange, options),
  );
  const forged = flipBit(messages, -1);
  row(`${version}: form only`, () => unwrap(readMeasurementTranscript(messages, leafKey, policy)));
  row(`${version}: measurements`, () =>
    unwrap(verifySignedMeasurements({ messages, nonce, leafKey, policy })),
  );
  row(`${version}: forged measurements`, () =>
    verifySignedMeasurements({ messages: forged, nonce, leafKey, policy }),
  );
  row(`${version}: challenge`, () =>
    unwrap(verifyChallengeAuth({ messages: challengeMessages, nonce, leafKey, policy })),
  );
}

for (let turn = -WARM_UP_TURNS; turn < TURNS; turn++) {
  for (const { once, samples } of rows) {
    const started = process.cpuUsage();
    for (let left = PER_TURN; left > 0; left--) once();
    const { user, system } = process.cpuUsage(started);
    if (turn >= 0) samples.push((user + system) / PER_TURN);
  }
}

report(
  'spdm',
  Object.fromEntries(
    rows.map(({ name, samples }) => {
      const microseconds = quantile(samples, 0.5);
      return [name, { 'CPU µs': microseconds, 'per second and core': 1e6 / microseconds }];
    }),
  ),
);
