import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { DESCRIPTOR_PATH, descriptorSource } from '../../test/house/write-descriptor.ts';
import { serveUnix, testHost } from '../../test/support/rpc.ts';
import { fail } from '../base/result.ts';
import {
  ServerReflectionClient,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from '../gen/grpc/reflection/v1/reflection.ts';
import { ServerReflectionClient as AlphaClient } from '../gen/grpc/reflection/v1alpha/reflection.ts';
import { openUnixChannel } from './channel.ts';
import { serveReflection } from './reflection.ts';

type Question = NonNullable<ServerReflectionRequest['messageRequest']>;

async function ask(
  context: TestContext,
  questions: readonly Question[],
  Client: typeof ServerReflectionClient | typeof AlphaClient = ServerReflectionClient,
): Promise<ServerReflectionResponse[]> {
  const host = testHost({ guards: [() => fail('RATE_LIMITED', 'not for reflection')] });
  serveReflection(host, ['SpiffeWorkloadAPI', 'grpc.health.v1.Health']);
  const { address } = await serveUnix(context, host);
  const channel = openUnixChannel(address);
  context.after(() => channel.close());
  const call = channel.client(Client).serverReflectionInfo();
  for (const messageRequest of questions) call.write({ host: 'h', messageRequest });
  call.end();
  const answers: ServerReflectionResponse[] = [];
  for await (const answer of call) answers.push(answer);
  return answers;
}

function filesOf(answer: ServerReflectionResponse | undefined): readonly Buffer[] {
  const response = answer?.messageResponse;
  assert.equal(response?.$case, 'fileDescriptorResponse');
  return response?.$case === 'fileDescriptorResponse' ? response.value.fileDescriptorProto : [];
}

test('WEP-18 the services of the socket are listed by their wire names, in both versions', async (context) => {
  for (const Client of [ServerReflectionClient, AlphaClient]) {
    const [answer] = await ask(context, [{ $case: 'listServices', value: '' }], Client);
    const listed = answer?.messageResponse;
    assert.deepEqual(listed?.$case === 'listServicesResponse' && listed.value.service, [
      { name: 'SpiffeWorkloadAPI' },
      { name: 'grpc.health.v1.Health' },
      { name: 'grpc.reflection.v1.ServerReflection' },
      { name: 'grpc.reflection.v1alpha.ServerReflection' },
    ]);
  }
});

test('a symbol brings its file and all that it imports', async (context) => {
  const symbols = [
    'SpiffeWorkloadAPI',
    'SpiffeWorkloadAPI.FetchX509SVID',
    'X509SVIDResponse',
    'X509SVIDResponse.FederatedBundlesEntry',
  ];
  const questions = symbols.map((value) => ({ $case: 'fileContainingSymbol' as const, value }));
  for (const answer of await ask(context, questions)) {
    const files = filesOf(answer).map((bytes) => bytes.toString('latin1'));
    assert.ok(files[0]?.includes('workload.proto'));
    assert.ok(files.some((file) => file.includes('google/protobuf/struct.proto')));
  }
});

test('a file comes by its name; what is unknown is NOT_FOUND', async (context) => {
  const [file, noFile, noSymbol, extension] = await ask(context, [
    { $case: 'fileByFilename', value: 'grpc/health/v1/health.proto' },
    { $case: 'fileByFilename', value: '../etc/passwd' },
    { $case: 'fileContainingSymbol', value: 'no.Such' },
    { $case: 'allExtensionNumbersOfType', value: 'X509SVID' },
  ]);
  assert.equal(filesOf(file).length, 1);
  for (const answer of [noFile, noSymbol, extension]) {
    const response = answer?.messageResponse;
    assert.equal(response?.$case === 'errorResponse' && response.value.errorCode, 5);
    assert.equal(answer?.validHost, 'h');
  }
});

const buf = existsSync('node_modules/.bin/buf');

test('the committed descriptors are those of proto/', {
  skip: buf ? false : 'buf is not installed',
}, () => {
  assert.equal(
    readFileSync(DESCRIPTOR_PATH, 'utf8'),
    descriptorSource(),
    'run node test/house/write-descriptor.ts',
  );
});
