import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  MOCK_ACCOUNT,
  type MockBmcAndClient,
  plainMessages,
  plainTarget,
  QUICK_PACE,
  startMockBmc,
} from '../../test/support/mock-bmc.ts';
import { makeLeaf, makeRoot } from '../../test/support/x509.ts';
import type { ErrorCode } from '../base/errors.ts';
import { type Result, unwrap } from '../base/result.ts';
import { errorBody, type MockAnswer } from '../main/demo/mock-bmc/measurements.ts';
import type { MockBmcOptions, MockFault } from '../main/demo/mock-bmc/mock-bmc.ts';
import { TASK_STATES } from './measurement-task.ts';
import type { BmcPace } from './pace.ts';
import { collectSignedMeasurements, type RedfishEvidence } from './signed-measurements.ts';
import { TargetTurns } from './target-turns.ts';

const NONCE = new Uint8Array(32).fill(7);
const OTHER_NONCE = new Uint8Array(32).fill(9);
const ASKED = { nonce: NONCE, slot: 0 };
const IROT = 'Bluefield_DPU_IRoT';
const COMPONENTS = '/redfish/v1/ComponentIntegrity';
const ACTION = `${COMPONENTS}/${IROT}/Actions/ComponentIntegrity.SPDMGetSignedMeasurements`;
const CHAIN = `/redfish/v1/Chassis/${IROT}/Certificates/CertChain`;
const TASK = '/redfish/v1/TaskService/Tasks/0';

const foreign = {
  signedMeasurements: plainMessages({ ...ASKED, nonce: OTHER_NONCE, indices: [] }),
};

function codeOf(result: Result<unknown>): ErrorCode | 'ok' {
  return result.ok ? 'ok' : result.error.code;
}

/** Serves a request otherwise, as many times as told; always unless told. */
function instead(request: string, fault: MockFault, times = Number.POSITIVE_INFINITY) {
  let left = times;
  return ({ mock }: MockBmcAndClient): void => {
    mock.decide = (asked) => {
      if (asked !== request || left === 0) return undefined;
      left -= 1;
      return fault;
    };
  };
}

const answer = (body: NonNullable<MockAnswer['body']>, status = 200): MockAnswer => ({
  status,
  body,
});
const evidenceOf = (bytes: Uint8Array) =>
  answer({ SignedMeasurements: Buffer.from(bytes).toString('base64'), Version: '1.1.0' });
const certificateOf = (pem: unknown, more = {}) => answer({ CertificateString: pem, ...more });

const root = makeRoot();
const pems = Array.from({ length: 9 }, (_, at) => makeLeaf(root, `spiffe://example.org/${at}`).pem);
const key = root.key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

const wholeComponent = {
  '@odata.id': `${COMPONENTS}/${IROT}`,
  Actions: { '#ComponentIntegrity.SPDMGetSignedMeasurements': { target: ACTION } },
  ComponentIntegrityEnabled: true,
  ComponentIntegrityType: 'SPDM',
  TargetComponentURI: `/redfish/v1/Chassis/${IROT}`,
};

/** A component as a list of members has it, with changes. */
function componentWith(change: Record<string, unknown>): MockAnswer {
  return answer({ Members: [{ ...wholeComponent, ...change }] });
}

const certificateLink = (text: unknown) => ({
  SPDM: {
    IdentityAuthentication: {
      ResponderAuthentication: { ComponentCertificate: { '@odata.id': text } },
    },
  },
});
const actionAt = (target: unknown) => ({
  Actions: { '#ComponentIntegrity.SPDMGetSignedMeasurements': { target } },
});
const LIST = `GET ${COMPONENTS}`;

interface Quirk {
  readonly what: string;
  readonly options?: Partial<MockBmcOptions>;
  readonly pace?: Partial<BmcPace>;
  readonly prepare?: (started: MockBmcAndClient) => void;
  readonly code: ErrorCode | 'ok';
  /** Collections that the BMC began. */
  readonly begun?: number;
}

const QUIRKS: readonly Quirk[] = [
  { what: 'a BMC that answers $expand', code: 'ok', begun: 1 },
  { what: 'a BMC that overlooks $expand', options: { expand: 'overlooked' }, code: 'ok' },
  { what: 'a BMC that refuses $expand', options: { expand: 'refused' }, code: 'ok' },
  {
    what: 'a service root without ComponentIntegrity',
    prepare: instead('GET /redfish/v1', answer({ UUID: 'x' })),
    code: 'REDFISH_NO_ATTESTATION',
    begun: 0,
  },
  {
    what: 'a component list with an internal error beside valid fields',
    prepare: instead(LIST, answer({ Members: [], Name: 'C', ...errorBody('InternalError') })),
    code: 'REDFISH_FAULT',
    begun: 0,
  },
  {
    what: 'a component list without members',
    prepare: instead(LIST, answer({ Name: 'C' })),
    code: 'REDFISH_ANSWER_SHAPE',
  },
  {
    what: 'a component list of 65',
    prepare: instead(LIST, answer({ Members: Array(65).fill(wholeComponent) })),
    code: 'REDFISH_ANSWER_SHAPE',
  },
  {
    what: 'a component list with a number in it',
    prepare: instead(LIST, answer({ Members: [1] })),
    code: 'REDFISH_ANSWER_SHAPE',
  },
  {
    what: 'a component without a link',
    prepare: instead(LIST, answer({ Members: [{ Id: IROT }] })),
    code: 'REDFISH_ANSWER_SHAPE',
  },
  {
    what: 'a component that lies elsewhere',
    prepare: instead(LIST, answer({ Members: [{ '@odata.id': `/redfish/v1/Systems/${IROT}` }] })),
    code: 'REDFISH_ANSWER_SHAPE',
  },
  {
    what: 'a component on another host',
    prepare: instead(LIST, answer({ Members: [{ '@odata.id': `https://e.example/${IROT}` }] })),
    code: 'REDFISH_PATH',
  },
  {
    what: 'a component list without ours',
    options: { targets: { Bluefield_ERoT: plainTarget('Bluefield_ERoT') } },
    code: 'REDFISH_TARGET_UNKNOWN',
  },
  {
    what: 'a component that is switched off',
    prepare: instead(LIST, componentWith({ ComponentIntegrityEnabled: false })),
    code: 'REDFISH_TARGET_UNUSABLE',
  },
  {
    what: 'a component that is switched on by a word',
    prepare: instead(LIST, componentWith({ ComponentIntegrityEnabled: 'true' })),
    code: 'REDFISH_TARGET_UNUSABLE',
  },
  {
    what: 'a component of type TPM',
    prepare: instead(LIST, componentWith({ ComponentIntegrityType: 'TPM' })),
    code: 'REDFISH_TARGET_UNUSABLE',
  },
  {
    what: 'a component without the action',
    prepare: instead(LIST, componentWith({ Actions: {} })),
    code: 'REDFISH_TARGET_UNUSABLE',
  },
  {
    what: 'a component whose action is at another component',
    prepare: instead(LIST, componentWith(actionAt(`${COMPONENTS}/Bluefield_ERoT/Actions/X`))),
    code: 'REDFISH_PATH',
  },
  {
    what: 'a component whose action is on another host',
    prepare: instead(LIST, componentWith(actionAt(`http://127.0.0.1${ACTION}`))),
    code: 'REDFISH_PATH',
  },
  {
    what: 'a component without a certificate link, whose chassis has one',
    prepare: instead(LIST, componentWith({})),
    code: 'ok',
  },
  {
    what: 'a component with a wrong version label',
    prepare: instead(LIST, componentWith({ ComponentIntegrityTypeVersion: '9.9.9' })),
    code: 'ok',
  },
  {
    what: 'a component with neither certificate nor chassis',
    prepare: instead(LIST, componentWith({ TargetComponentURI: 7 })),
    code: 'REDFISH_ANSWER_SHAPE',
  },
  {
    what: 'a certificate link that climbs',
    prepare: instead(LIST, componentWith(certificateLink('/redfish/v1/../../etc'))),
    code: 'REDFISH_PATH',
  },
  {
    what: 'a BMC that collects for somebody else for a while',
    prepare: instead(`POST ${ACTION}`, { status: 503, headers: { 'retry-after': '300' } }, 5),
    code: 'ok',
    begun: 1,
  },
  {
    what: 'a BMC that collects for somebody else for too long',
    pace: { busyWaitMs: 20 },
    prepare: instead(`POST ${ACTION}`, { status: 503, headers: { 'retry-after': '300' } }),
    code: 'REDFISH_BUSY',
    begun: 0,
  },
  {
    what: 'an action that is not allowed',
    prepare: instead(`POST ${ACTION}`, answer(errorBody('InsufficientPrivilege'), 403)),
    code: 'REDFISH_FORBIDDEN',
  },
  {
    what: 'an action that is redirected',
    prepare: instead(`POST ${ACTION}`, { status: 308, headers: { location: `${ACTION}/` } }),
    code: 'REDFISH_REDIRECT',
  },
  {
    what: 'an action that answers at once',
    prepare: instead(`POST ${ACTION}`, evidenceOf(plainMessages({ ...ASKED, indices: [] }))),
    code: 'ok',
    begun: 0,
  },
  {
    what: 'an action with neither result nor task',
    prepare: instead(`POST ${ACTION}`, answer({})),
    code: 'REDFISH_ANSWER_SHAPE',
  },
  {
    what: 'a task without a place',
    prepare: instead(`POST ${ACTION}`, answer({}, 202)),
    code: 'REDFISH_PATH',
  },
  {
    what: 'a task that is no task',
    prepare: instead(`POST ${ACTION}`, answer({ '@odata.id': '/redfish/v1/Systems' }, 202)),
    code: 'REDFISH_PATH',
  },
  {
    what: 'a connection that breaks at the action, once',
    prepare: instead(`POST ${ACTION}`, 'reset', 1),
    code: 'ok',
  },
  {
    what: 'a connection that breaks at every action',
    prepare: instead(`POST ${ACTION}`, 'reset'),
    code: 'REDFISH_UNREACHABLE',
    begun: 0,
  },
  {
    what: 'a connection that breaks while polling, once',
    prepare: instead(`GET ${TASK}`, 'reset', 1),
    code: 'ok',
    begun: 1,
  },
  {
    what: 'a slow task',
    prepare: ({ mock }) => {
      mock.measurements.taskMs = 60;
    },
    code: 'ok',
  },
  {
    what: 'a task that does not end in time',
    pace: { collectionMs: 300 },
    prepare: instead(`GET ${TASK}`, answer({ TaskState: 'Running' })),
    code: 'REDFISH_TIMEOUT',
  },
  {
    what: 'a task that the BMC forgot, once',
    prepare: instead(`GET ${TASK}`, answer(errorBody('ResourceNotFound'), 404), 1),
    code: 'ok',
  },
  {
    what: 'tasks that the BMC forgets',
    pace: { attempts: 2 },
    prepare: ({ mock }) => {
      mock.decide = (request) =>
        request.startsWith('GET /redfish/v1/TaskService') ? answer({}, 404) : undefined;
    },
    code: 'REDFISH_TASK_GONE',
  },
  {
    what: 'a task that ended well, but is critical',
    prepare: instead(`GET ${TASK}`, answer({ TaskState: 'Completed', TaskStatus: 'Critical' })),
    code: 'REDFISH_TASK_FAILED',
  },
  {
    what: 'a task without a state',
    prepare: instead(`GET ${TASK}`, answer({ Id: '0' })),
    code: 'REDFISH_TASK_UNKNOWN_STATE',
  },
  {
    what: 'a task in a state of its own',
    prepare: instead(`GET ${TASK}`, answer({ TaskState: 'Passed' })),
    code: 'REDFISH_TASK_UNKNOWN_STATE',
  },
  {
    what: 'a task whose state is a number',
    prepare: instead(`GET ${TASK}`, answer({ TaskState: 1 })),
    code: 'REDFISH_TASK_UNKNOWN_STATE',
  },
  {
    what: 'a task with an internal error',
    prepare: instead(
      `GET ${TASK}`,
      answer({ TaskState: 'Completed', ...errorBody('InternalError') }),
    ),
    code: 'REDFISH_FAULT',
  },
  {
    what: 'a result at another component',
    prepare: instead(
      `GET ${TASK}`,
      answer({
        TaskState: 'Completed',
        Payload: { HttpHeaders: [`Location: ${COMPONENTS}/Bluefield_ERoT/data`] },
      }),
    ),
    code: 'REDFISH_PATH',
  },
  {
    what: 'a result on another host',
    prepare: instead(
      `GET ${TASK}`,
      answer({
        TaskState: 'Completed',
        Payload: { HttpHeaders: [`Location: https://e.example${ACTION}/data`] },
      }),
    ),
    code: 'REDFISH_PATH',
  },
  {
    what: 'a task without headers, whose result is below the action',
    prepare: (started) => {
      const done = answer({ TaskState: 'Completed', Payload: { HttpHeaders: 'none' } });
      started.mock.decide = (request) => {
        if (request === `GET ${TASK}`) return done;
        const data = evidenceOf(plainMessages({ ...ASKED, indices: [] }));
        return request === `GET ${ACTION}/data` ? data : undefined;
      };
    },
    code: 'ok',
  },
  {
    what: 'a result of somebody else, twice',
    prepare: ({ mock }) => {
      let times = 2;
      mock.measurements.overwrite = () => (times-- > 0 ? foreign : undefined);
    },
    code: 'ok',
    begun: 3,
  },
  {
    what: 'results of somebody else, always',
    prepare: ({ mock }) => {
      mock.measurements.overwrite = () => foreign;
    },
    code: 'REDFISH_RESULT_OVERWRITTEN',
    begun: 3,
  },
  {
    what: 'a result whose nonce is one byte short',
    prepare: instead(`GET ${ACTION}/data`, evidenceOf(NONCE.slice(1))),
    code: 'REDFISH_RESULT_OVERWRITTEN',
  },
  {
    what: 'a result with an internal error beside it',
    prepare: instead(
      `GET ${ACTION}/data`,
      answer({ SignedMeasurements: 'AAAA', ...errorBody('InternalError') }),
    ),
    code: 'REDFISH_FAULT',
  },
  {
    what: 'a result without measurements',
    prepare: instead(`GET ${ACTION}/data`, answer({ Version: '1.1.0' })),
    code: 'REDFISH_EVIDENCE_MALFORMED',
  },
  {
    what: 'a result with empty measurements',
    prepare: instead(`GET ${ACTION}/data`, answer({ SignedMeasurements: '' })),
    code: 'REDFISH_EVIDENCE_MALFORMED',
  },
  {
    what: 'a result that is a list',
    prepare: instead(`GET ${ACTION}/data`, answer({ SignedMeasurements: ['AAAA'] })),
    code: 'REDFISH_EVIDENCE_MALFORMED',
  },
  {
    what: 'a result with a line end in its base64',
    prepare: instead(`GET ${ACTION}/data`, answer({ SignedMeasurements: 'AAAA\nAAAA' })),
    code: 'REDFISH_EVIDENCE_MALFORMED',
  },
  {
    what: 'a result of 64 KiB',
    prepare: instead(`GET ${ACTION}/data`, evidenceOf(Buffer.alloc(65_536, NONCE))),
    code: 'ok',
  },
  {
    what: 'a result of 64 KiB and a byte',
    prepare: instead(`GET ${ACTION}/data`, evidenceOf(Buffer.alloc(65_537, NONCE))),
    code: 'REDFISH_EVIDENCE_TOO_LARGE',
  },
  {
    what: 'a result of 128 KiB',
    prepare: instead(`GET ${ACTION}/data`, evidenceOf(Buffer.alloc(131_072, NONCE))),
    code: 'REDFISH_EVIDENCE_TOO_LARGE',
  },
  {
    what: 'a chain that is an internal error',
    prepare: instead(`GET ${CHAIN}`, answer(errorBody('InternalError'))),
    code: 'REDFISH_FAULT',
  },
  {
    what: 'a chain of another slot',
    prepare: instead(`GET ${CHAIN}`, certificateOf(pems[0], { SPDM: { SlotId: 1 } })),
    code: 'REDFISH_CHAIN_SLOT',
  },
  {
    what: 'a chain of no slot',
    prepare: instead(`GET ${CHAIN}`, certificateOf(pems[0], { SPDM: {} })),
    code: 'ok',
  },
  {
    what: 'a chain without text',
    prepare: instead(`GET ${CHAIN}`, certificateOf(null)),
    code: 'REDFISH_CHAIN_MALFORMED',
  },
  {
    what: 'an empty chain',
    prepare: instead(`GET ${CHAIN}`, certificateOf('')),
    code: 'REDFISH_CHAIN_MALFORMED',
  },
  {
    what: 'a chain with half a certificate',
    prepare: instead(`GET ${CHAIN}`, certificateOf(pems[0]?.slice(0, -30))),
    code: 'REDFISH_CHAIN_MALFORMED',
  },
  {
    what: 'a chain with a key in it',
    prepare: instead(`GET ${CHAIN}`, certificateOf(`${pems[0]}${key}`)),
    code: 'REDFISH_CHAIN_MALFORMED',
  },
  {
    what: 'a chain of 8 certificates',
    prepare: instead(`GET ${CHAIN}`, certificateOf(pems.slice(1).join(''))),
    code: 'ok',
  },
  {
    what: 'a chain of 9 certificates',
    prepare: instead(`GET ${CHAIN}`, certificateOf(pems.join(''))),
    code: 'REDFISH_CHAIN_MALFORMED',
  },
  {
    what: 'a chain of 16 KiB and a byte',
    prepare: instead(`GET ${CHAIN}`, certificateOf(pems[0]?.padEnd(16_385, '\n'))),
    code: 'REDFISH_EVIDENCE_TOO_LARGE',
  },
];

for (const { what, options, pace, prepare, code, begun } of QUIRKS) {
  test(`${what}: ${code}`, async (context) => {
    const started = await startMockBmc(context, options, { pace: { ...QUICK_PACE, ...pace } });
    prepare?.(started);
    const collected = await collectSignedMeasurements(started.client, IROT, ASKED);
    assert.equal(codeOf(collected), code);
    const { measurements } = started.mock;
    if (begun !== undefined) assert.equal(measurements.begun.get(IROT) ?? 0, begun);
  });
}

for (const [state, outlook] of TASK_STATES) {
  test(`a task that ends as ${state} is ${outlook}`, async (context) => {
    const pace = { ...QUICK_PACE, ...(outlook === 'running' ? { collectionMs: 300 } : {}) };
    const { mock, client } = await startMockBmc(context, {}, { pace });
    mock.measurements.endState = state;
    const codes = { running: 'REDFISH_TIMEOUT', failed: 'REDFISH_TASK_FAILED', done: 'ok' };
    const collected = await collectSignedMeasurements(client, IROT, ASKED);
    assert.equal(codeOf(collected), codes[outlook]);
  });
}

test('evidence holds our nonce, the chain as the BMC orders it, and labels that say nothing', async (context) => {
  const { mock, client } = await startMockBmc(context);
  mock.measurements.overwrite = () => ({
    signedMeasurements: plainMessages({ ...ASKED, indices: [] }),
    version: '1.1.2',
    hashingAlgorithm: 'TPM_ALG_SHA_512',
    signingAlgorithm: '',
  });
  const evidence = unwrap(await collectSignedMeasurements(client, IROT, ASKED));
  assert.equal(evidence.target, IROT);
  assert.ok(Buffer.from(evidence.signedMeasurements).includes(NONCE));
  assert.equal(evidence.certificateChainPem.match(/BEGIN CERTIFICATE/g)?.length, 2);
  assert.equal(evidence.version, '1.1.2');
  assert.equal(evidence.hashingAlgorithm, 'TPM_ALG_SHA_512');
  assert.equal(evidence.signingAlgorithm, undefined);
  assert.equal(evidence.bmcUuid, '00000000-0000-4000-8000-0000000000b1');
});

test('nonce, slot and indices reach the root of trust as they are asked for', async (context) => {
  const asked: unknown[] = [];
  const target = plainTarget(IROT);
  const { client } = await startMockBmc(context, {
    targets: {
      [IROT]: {
        ...target,
        measure: (request) => {
          asked.push([Buffer.from(request.nonce).toString('hex'), request.slot, request.indices]);
          return target.measure(request);
        },
      },
    },
  });
  unwrap(await collectSignedMeasurements(client, IROT, ASKED));
  unwrap(await collectSignedMeasurements(client, IROT, { ...ASKED, indices: [1, 2, 4] }));
  const nonce = Buffer.from(NONCE).toString('hex');
  assert.deepEqual(asked, [
    [nonce, 0, [255]],
    [nonce, 0, [1, 2, 4]],
  ]);
});

test('a nonce that is no nonce is a mistake of the caller', async (context) => {
  const { client } = await startMockBmc(context);
  for (const length of [0, 31, 33]) {
    const asked = { nonce: new Uint8Array(length), slot: 0 };
    await assert.rejects(collectSignedMeasurements(client, IROT, asked), TypeError);
  }
});

test('clients of one process never meet at a target, so the BMC refuses none of them', async (context) => {
  const turns = new TargetTurns();
  const { mock, connect } = await startMockBmc(context, {}, { turns });
  mock.measurements.taskMs = 20;
  const clients = [connect(), connect(), connect(), connect()];
  const collected = await Promise.all(
    clients.flatMap((client) => [
      collectSignedMeasurements(client, IROT, ASKED),
      collectSignedMeasurements(client, 'Bluefield_ERoT', ASKED),
    ]),
  );
  assert.deepEqual(collected.map(codeOf), Array(8).fill('ok'));
  assert.equal(mock.measurements.refused, 0);
  assert.equal(turns.busy, 0);
});

test('clients of two processes meet at a target, and both get evidence of their own', async (context) => {
  const { mock, connect } = await startMockBmc(context);
  mock.measurements.taskMs = 20;
  const [one, other] = [connect(), connect()];
  const collected: Result<RedfishEvidence>[] = await Promise.all([
    collectSignedMeasurements(one, IROT, ASKED),
    collectSignedMeasurements(other, IROT, { nonce: OTHER_NONCE, slot: 0 }),
  ]);
  assert.deepEqual(collected.map(codeOf), ['ok', 'ok']);
  const nonces = collected.map((each) =>
    Buffer.from(unwrap(each).signedMeasurements).subarray(4, 36),
  );
  assert.deepEqual(nonces, [Buffer.from(NONCE), Buffer.from(OTHER_NONCE)]);
});

test('a wrong password is tried once in a whole collection', async (context) => {
  const credentials = { ...MOCK_ACCOUNT, password: 'wrong' };
  const { mock, client } = await startMockBmc(context, {}, { credentials });
  let requests = 0;
  mock.seen = () => {
    requests += 1;
  };
  const collected = await collectSignedMeasurements(client, IROT, ASKED);
  assert.equal(codeOf(collected), 'REDFISH_UNAUTHENTICATED');
  assert.equal(requests, 1);
});

test('who stops waiting leaves no collection behind that blocks the next', async (context) => {
  const { mock, client } = await startMockBmc(context);
  mock.measurements.taskMs = 50;
  const controller = new AbortController();
  mock.seen = (request) => {
    if (request === `GET ${TASK}`) controller.abort();
  };
  const { signal } = controller;
  const stopped = await collectSignedMeasurements(client, IROT, ASKED, { signal });
  assert.equal(codeOf(stopped), 'REDFISH_TIMEOUT');
  assert.equal(codeOf(await collectSignedMeasurements(client, IROT, ASKED)), 'ok');
});
