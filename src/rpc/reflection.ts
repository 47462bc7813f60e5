import { GRPC_STATUS } from '../base/errors/define.ts';
import { ok, type Result } from '../base/result.ts';
import {
  ServerReflectionService as ReflectionV1,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from '../gen/grpc/reflection/v1/reflection.ts';
import { ServerReflectionService as ReflectionV1Alpha } from '../gen/grpc/reflection/v1alpha/reflection.ts';
import type { DescriptorIndex } from './descriptor-index.ts';
import type { RpcHost } from './host.ts';
import type { ResponseStream } from './service.ts';

/** Services of reflection itself, listed like the others. */
const OWN_SERVICES = [
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
];

/**
 * Serves gRPC reflection (v1 and v1alpha) for the named services on a host (Unix sockets only),
 * without guards (Workload Endpoint §7); the descriptors are loaded at the first call.
 */
export function serveReflection(host: RpcHost, services: readonly string[]): void {
  const listed = [...services, ...OWN_SERVICES].sort();
  let loading: Promise<DescriptorIndex> | undefined;
  const serverReflectionInfo = async (
    requests: AsyncIterable<ServerReflectionRequest>,
    stream: ResponseStream<ServerReflectionResponse>,
  ): Promise<Result<void>> => {
    loading ??= loadDescriptors();
    const descriptors = await loading;
    for await (const request of requests) {
      stream.write({
        validHost: request.host,
        originalRequest: request,
        messageResponse: answer(request, descriptors, listed),
      });
      await stream.drained();
    }
    return ok(undefined);
  };
  host.addService(ReflectionV1, { serverReflectionInfo }, []);
  host.addService(ReflectionV1Alpha, { serverReflectionInfo }, []);
}

async function loadDescriptors(): Promise<DescriptorIndex> {
  const [{ DescriptorIndex: Index }, { DESCRIPTOR_SET }] = await Promise.all([
    import('./descriptor-index.ts'),
    import('../gen/descriptor.ts'),
  ]);
  return new Index(Buffer.from(DESCRIPTOR_SET, 'base64'));
}

type Answer = ServerReflectionResponse['messageResponse'];

function answer(
  request: ServerReflectionRequest,
  descriptors: DescriptorIndex,
  listed: readonly string[],
): Answer {
  const asked = request.messageRequest;
  switch (asked?.$case) {
    case 'listServices':
      return {
        $case: 'listServicesResponse',
        value: { service: listed.map((name) => ({ name })) },
      };
    case 'fileByFilename':
      return files(descriptors.file(asked.value), `no file "${asked.value}"`);
    case 'fileContainingSymbol':
      return files(descriptors.fileOfSymbol(asked.value), `no symbol "${asked.value}"`);
    default:
      return refusal(GRPC_STATUS.NotFound, 'no extensions here');
  }
}

function files(found: readonly Uint8Array[] | undefined, absent: string): Answer {
  if (found === undefined) return refusal(GRPC_STATUS.NotFound, absent);
  const fileDescriptorProto = found.map((bytes) => Buffer.from(bytes));
  return { $case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
}

function refusal(errorCode: number, errorMessage: string): Answer {
  return { $case: 'errorResponse', value: { errorCode, errorMessage } };
}
