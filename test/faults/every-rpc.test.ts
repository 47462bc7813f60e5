import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { GRPC_STATUS } from '../../src/base/errors/define.ts';
import { ERRORS } from '../../src/base/errors.ts';
import { SpiffeWorkloadAPIService } from '../../src/gen/workload.ts';
import { METHOD_CALLERS } from '../../src/policy/methods.ts';
import { SERVER_LIMITS, WORKLOAD_LIMITS } from '../../src/rpc/limits.ts';
import { lives } from '../support/dev.ts';
import { Fleet } from '../support/fleet.ts';
import { Clients, NO_RATE_LIMITS, openDescriptors, residentMiB } from './field.ts';
import { grpcFrame, type RawAnswer, RawCaller } from './raw-rpc.ts';
import { between, runSeed } from './seed.ts';

const { seed, random } = runSeed('bad messages for every RPC');

let fleet: Fleet;
let clients: Clients;

before(async () => {
  fleet = await Fleet.start({ serverYaml: NO_RATE_LIMITS });
  clients = new Clients(fleet);
  await fleet.register('/web');
});

after(async () => {
  clients?.close();
  await fleet?.stop();
});

/** Bodies that hold no message that any RPC could read. */
const MALFORMED: readonly (readonly [string, Buffer])[] = [
  ['a field that is cut off', grpcFrame(Buffer.of(0x0a, 0x7f, 0x01))],
  ['a length of 2^32 - 1', grpcFrame(Buffer.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f))],
  ['a number without an end', grpcFrame(Buffer.alloc(11, 0xff))],
  ['groups 1,000 deep', grpcFrame(Buffer.alloc(1000, 0x0b))],
  ['a wire type that does not exist', grpcFrame(Buffer.of(0x0f))],
];

/** Bodies that are no message at all: the frame around it is wrong. */
const UNFRAMED: readonly (readonly [string, Buffer])[] = [
  ['a message that is cut off', grpcFrame(Buffer.of(0x0a, 0x01), 200)],
  ['a prefix that is cut off', Buffer.of(0, 0, 0)],
  ['a compressed message that is none', Buffer.concat([Buffer.of(1, 0, 0, 0, 1), Buffer.of(7)])],
  ['no message', Buffer.alloc(0)],
];

/** Statuses that would mean that something of ours broke. */
const BROKEN = [GRPC_STATUS.Unknown, GRPC_STATUS.DataLoss, GRPC_STATUS.Aborted];

/** A status with its code of the table, unless the transport refused before any of our code. */
function assertTyped(answer: RawAnswer, what: string): void {
  const text = `${what}: ${JSON.stringify(answer)}, seed ${seed}`;
  assert.ok(answer.status !== undefined, text);
  assert.ok(!BROKEN.some((status) => status === answer.status), text);
  if (answer.code !== '') assert.ok(Object.hasOwn(ERRORS, answer.code), text);
  assert.doesNotMatch(answer.message, /\bat .+:\d+:\d+|node_modules|\.ts\b/, text);
}

/** A status of the ones allowed, with one of the codes: refused by us, or by the transport. */
function assertRefusal(answer: RawAnswer, statuses: readonly number[], what: string): void {
  assertTyped(answer, what);
  const text = `${what}: ${JSON.stringify(answer)}`;
  assert.ok(answer.status !== undefined && statuses.includes(answer.status), text);
}

const { InvalidArgument, PermissionDenied, Unimplemented, ResourceExhausted, Internal } =
  GRPC_STATUS;

/** Who may not call at all is told so, whatever the message. */
const NOT_FOR_THIS_CALLER: readonly number[] = [PermissionDenied, Unimplemented];

/** Sends every kind of bad message to one method. */
async function attack(caller: RawCaller, method: string, limit: number): Promise<void> {
  for (const [name, body] of MALFORMED) {
    const answer = await caller.call(method, body);
    assertRefusal(answer, [InvalidArgument, ...NOT_FOR_THIS_CALLER], `${method}, ${name}`);
    if (answer.status !== InvalidArgument) continue;
    assert.match(answer.code, /^(REQUEST_MALFORMED|WORKLOAD_HEADER_MISSING)$/, method);
  }
  for (const [name, body] of UNFRAMED) {
    const statuses = [InvalidArgument, Internal, ...NOT_FOR_THIS_CALLER, GRPC_STATUS.OK];
    assertRefusal(await caller.call(method, body, true), statuses, `${method}, ${name}`);
  }
  assertTyped(await caller.call(method, grpcFrame(Buffer.alloc(0)), true), `${method}, empty`);
  for (let round = 0; round < 6; round++) {
    const bytes = Buffer.from(random.bytes(between(random, 1, 2000)));
    const answer = await caller.call(method, grpcFrame(bytes), true);
    assertTyped(answer, `${method}, random ${bytes.toString('hex').slice(0, 80)}`);
  }
  const statuses = [ResourceExhausted, ...NOT_FOR_THIS_CALLER];
  const tooLong = await caller.call(method, grpcFrame(Buffer.alloc(limit + 1)));
  assertRefusal(tooLong, statuses, `${method}, ${limit + 1} bytes`);
  const promised = await caller.call(method, grpcFrame(Buffer.alloc(10), 0xffffffff));
  assertRefusal(promised, statuses, `${method}, 4 GiB promised`);
}

/** Runs an attack and asserts that the process lives on and holds nothing of it. */
async function survives(pid: () => number, work: () => Promise<void>): Promise<void> {
  const before = { pid: pid(), memory: residentMiB(pid()), descriptors: openDescriptors(pid()) };
  await work();
  assert.equal(pid(), before.pid);
  assert.ok(lives(pid()));
  for (let tries = 0; openDescriptors(pid()) > before.descriptors + 4; tries++) {
    assert.ok(tries < 500, `${openDescriptors(pid())} descriptors, ${before.descriptors} before`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  // What is sent here adds up to more than this; the rest is what the heap keeps for later.
  const grown = residentMiB(pid()) - before.memory;
  assert.ok(grown < 150, `grew by ${grown} MiB, seed ${seed}`);
}

describe('no message that a caller sends breaks the server', () => {
  const callers: readonly (readonly [string, () => Promise<RawCaller> | RawCaller])[] = [
    ['an operator', () => RawCaller.unix(fleet.adminSocket)],
    ['an agent', async () => RawCaller.tls(fleet.port, await clients.attest())],
    ['anybody', () => RawCaller.tls(fleet.port)],
  ];
  for (const [name, connect] of callers) {
    test(`I-5 from ${name}: every RPC answers bad messages with a typed status`, async () => {
      await survives(
        () => fleet.serverPid,
        async () => {
          const caller = await connect();
          for (const method of METHOD_CALLERS.keys()) {
            await attack(caller, method, SERVER_LIMITS.maxReceiveBytes);
          }
          caller.close();
        },
      );
    });
  }

  test('what was registered before is there, and nothing else', async () => {
    const { entries } = (await fleet.json('entry', 'show')) as {
      entries: { spiffeId: { path: string } }[];
    };
    assert.deepEqual(
      entries.map(({ spiffeId }) => spiffeId.path),
      ['/web'],
    );
  });
});

describe('no message that a workload sends breaks the agent', () => {
  const methods = [
    ...Object.values(SpiffeWorkloadAPIService).map(({ path }) => path),
    '/grpc.health.v1.Health/Check',
    '/grpc.health.v1.Health/Watch',
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
  ];
  for (const headers of [{ 'workload.spiffe.io': 'true' }, {}]) {
    const kind = Object.keys(headers).length === 0 ? 'without' : 'with';
    test(`I-5 ${kind} the security header: every RPC answers with a typed status`, async () => {
      await survives(
        () => fleet.agentPid,
        async () => {
          const caller = RawCaller.unix(fleet.workloadSocket, headers);
          for (const method of methods) {
            await attack(caller, method, WORKLOAD_LIMITS.maxReceiveBytes);
          }
          caller.close();
        },
      );
    });
  }

  test('processes are served as before', async () => {
    const { code, stdout } = await fleet.cli('api', 'fetch', 'x509');
    assert.equal(code, 0);
    assert.match(stdout, /spiffe:\/\/example\.org\/web/);
  });
});
