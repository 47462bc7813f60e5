import assert from 'node:assert/strict';
import { test } from 'node:test';
import { between, runSeed } from '../../test/faults/seed.ts';
import { answeringBmc } from '../../test/support/answering-bmc.ts';
import { plainMessages } from '../../test/support/mock-bmc.ts';
import { makeLeaf, makeRoot } from '../../test/support/x509.ts';
import { ERRORS } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { parsePem } from '../der/pem.ts';
import { cardResources, MOCK_CARD } from '../main/demo/mock-bmc/card.ts';
import { errorBody } from '../main/demo/mock-bmc/measurements.ts';
import { readInventoryFromBmc } from './inventory.ts';
import { concludePosture, postureSelectors } from './posture.ts';
import { readPosture } from './posture-reader.ts';
import { collectSignedMeasurements } from './signed-measurements.ts';

/** Answers that are damaged, in all; each is read by everything that reads it in earnest. */
const ROUNDS = Number(process.env.SIGNET_REDFISH_FUZZ_ROUNDS ?? 1500);
const { random } = runSeed('redfish fuzz');

const IROT = 'Bluefield_DPU_IRoT';
const COMPONENTS = '/redfish/v1/ComponentIntegrity';
const ACTION = `${COMPONENTS}/${IROT}/Actions/ComponentIntegrity.SPDMGetSignedMeasurements`;
const TASK = '/redfish/v1/TaskService/Tasks/0';
const CHAIN = `/redfish/v1/Chassis/${IROT}/Certificates/CertChain`;
const NONCE = new Uint8Array(32).fill(7);
const root = makeRoot();
const evidence = plainMessages({ nonce: NONCE, slot: 0, indices: [] });

const component = {
  '@odata.id': `${COMPONENTS}/${IROT}`,
  Actions: { '#ComponentIntegrity.SPDMGetSignedMeasurements': { target: ACTION } },
  ComponentIntegrityEnabled: true,
  ComponentIntegrityType: 'SPDM',
  SPDM: {
    IdentityAuthentication: {
      ResponderAuthentication: { ComponentCertificate: { '@odata.id': CHAIN } },
    },
  },
  TargetComponentURI: `/redfish/v1/Chassis/${IROT}`,
};
const resources = new Map<string, unknown>([
  ...cardResources(MOCK_CARD),
  [COMPONENTS, { Members: [component], 'Members@odata.count': 1 }],
  [ACTION, { '@odata.id': TASK, TaskState: 'Running' }],
  [TASK, { TaskState: 'Completed', Payload: { HttpHeaders: [`Location: ${ACTION}/data`] } }],
  [`${ACTION}/data`, { SignedMeasurements: Buffer.from(evidence).toString('base64') }],
  [CHAIN, { CertificateString: makeLeaf(root, 'spiffe://example.org/x').pem, SPDM: { SlotId: 0 } }],
]);
const whole = new Map(
  [...resources].map(([path, body]) => [path, Buffer.from(JSON.stringify(body))]),
);
const paths = [...whole.keys()];

const ODDITIES: readonly unknown[] = [
  null,
  true,
  -1,
  1e300,
  '',
  ' ',
  'x'.repeat(5000),
  '/redfish/v1/../..',
  'https://evil.example/redfish/v1',
  '__proto__',
  '\u0000',
  [],
  [[]],
  {},
  { '@odata.id': 7 },
  { error: {} },
];

function pick<T>(from: readonly T[]): T {
  const at = between(random, 0, from.length);
  return from[at] as T;
}

/** Another value somewhere in it. */
function odd(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || depth > 6 || between(random, 0, 6) === 0) {
    return pick(ODDITIES);
  }
  if (Array.isArray(value)) {
    if (value.length === 0) return [pick(ODDITIES)];
    const at = between(random, 0, value.length);
    return value.map((each, index) => (index === at ? odd(each, depth + 1) : each));
  }
  const keys = Object.keys(value);
  if (keys.length === 0) return pick(ODDITIES);
  const key = pick(keys);
  const entries = Object.entries(value).flatMap(([name, member]) => {
    if (name !== key) return [[name, member]];
    if (between(random, 0, 5) === 0) return [];
    return [[name, odd(member, depth + 1)]];
  });
  return Object.fromEntries(entries);
}

const DAMAGES: Readonly<Record<string, (bytes: Buffer, source: Random) => Buffer>> = {
  flip(bytes, source) {
    const copy = Buffer.from(bytes);
    const at = between(source, 0, copy.length);
    copy[at] = (copy[at] ?? 0) ^ (1 << between(source, 0, 8));
    return copy;
  },
  cut: (bytes, source) => bytes.subarray(0, between(source, 0, bytes.length)),
  double(bytes, source) {
    const from = between(source, 0, bytes.length);
    const to = between(source, from, bytes.length);
    return Buffer.concat([bytes.subarray(0, to), bytes.subarray(from)]);
  },
  odd: (bytes) => Buffer.from(JSON.stringify(odd(JSON.parse(bytes.toString())))),
  error: (bytes) =>
    Buffer.from(JSON.stringify({ ...JSON.parse(bytes.toString()), ...errorBody('InternalError') })),
};

/** The BMC with one answer damaged. */
function damaged(path: string, bytes: Buffer) {
  return answeringBmc((method, asked) => {
    const body = asked === path ? bytes : whole.get(asked);
    if (body === undefined) return { status: 404, body: Buffer.from('{}') };
    return { status: method === 'POST' ? 202 : 200, body };
  });
}

test('the undamaged BMC gives evidence, an inventory record and a posture', async () => {
  const bmc = damaged('', Buffer.alloc(0));
  const collected = await collectSignedMeasurements(bmc, IROT, { nonce: NONCE, slot: 0 });
  assert.ok(collected.ok);
  assert.ok((await readInventoryFromBmc(bmc)).ok);
  const posture = await readPosture(bmc);
  assert.ok(posture.ok);
  assert.equal(postureSelectors(concludePosture(posture.value)).length, 4);
});

test(`${ROUNDS} damaged answers: none is more than a refusal or what it says`, async () => {
  let refused = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const path = pick(paths);
    const name = pick(Object.keys(DAMAGES));
    const bytes = DAMAGES[name]?.(whole.get(path) ?? Buffer.alloc(0), random) ?? Buffer.alloc(0);
    const bmc = damaged(path, bytes);
    const told = `${name} of ${path}: ${bytes.toString('latin1').slice(0, 300)}`;
    const collected = await collectSignedMeasurements(bmc, IROT, { nonce: NONCE, slot: 0 });
    if (collected.ok) {
      const { signedMeasurements, certificateChainPem } = collected.value;
      assert.ok(Buffer.from(signedMeasurements).includes(NONCE), told);
      assert.ok(parsePem(certificateChainPem).ok, told);
    } else {
      refused += 1;
      assert.ok(collected.error.code in ERRORS && collected.error.code !== 'INTERNAL', told);
    }
    const inventory = await readInventoryFromBmc(bmc);
    if (inventory.ok) assert.match(inventory.value.serial, /^[A-Za-z0-9._-]{1,64}$/, told);
    const posture = await readPosture(bmc);
    const selectors = posture.ok ? postureSelectors(concludePosture(posture.value)) : [];
    assert.ok(selectors.length <= 4, told);
    if (name === 'error' && path.endsWith('/SecureBoot')) {
      assert.ok(!selectors.includes('secure-boot:on'), told);
    }
  }
  assert.ok(refused > 0);
});
