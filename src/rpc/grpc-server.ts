import {
  experimental,
  Server,
  type ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import { SignetError } from '../base/errors.ts';
import { wireStatus } from './call.ts';
import type { CallLimits, RpcLimits } from './limits.ts';

/** A server of grpc-js with the limits of its listener and of its calls. */
export function createGrpcServer(
  limits: RpcLimits,
  calls: CallLimits,
  interceptor: ServerInterceptor,
): Server {
  const server = new Server({
    interceptors: [interceptor],
    'grpc.enable_channelz': 0,
    'grpc.max_receive_message_length': calls.maxReceiveBytes,
    'grpc.max_concurrent_streams': calls.maxStreamsPerConnection,
    'grpc-node.max_session_memory': limits.maxSessionMegabytes,
  });
  // grpc-js has no option for these two; it spreads this object into those of every HTTP/2 server.
  const http2Options: unknown = Reflect.get(server, 'commonServerOptions');
  if (typeof http2Options !== 'object' || http2Options === null) {
    throw new TypeError('grpc-js keeps its HTTP/2 options elsewhere: adapt createGrpcServer');
  }
  // Of calls to methods that nobody serves no interceptor is told; this answers them and nothing else.
  const refuse: unknown = Reflect.get(server, '_respondWithError');
  if (typeof refuse !== 'function') {
    throw new TypeError('grpc-js refuses unknown methods elsewhere: adapt createGrpcServer');
  }
  return Object.assign(server, {
    _respondWithError: (_status: unknown, stream: unknown) =>
      // What was called stands in the path, whose bytes are the caller's: it is not sent back.
      Reflect.apply(refuse, server, [
        wireStatus(new SignetError('METHOD_UNKNOWN', 'the method is not served here')),
        stream,
      ]),
    commonServerOptions: {
      ...http2Options,
      streamResetBurst: limits.resetBurst,
      streamResetRate: limits.resetPerSecond,
    },
  });
}

/** Credentials whose calls answer `key` where the address of their peer is asked for. */
export function namingCredentials(credentials: ServerCredentials, key: string): ServerCredentials {
  const interceptor: ServerInterceptor = (_method, call) => new NamedCall(call, key);
  return experimental.createServerCredentialsWithInterceptors(credentials, [interceptor]);
}

/** A call that answers its connection's key where the address of its peer is asked for. */
class NamedCall extends ServerInterceptingCall {
  readonly #key: string;

  constructor(call: ConstructorParameters<typeof ServerInterceptingCall>[0], key: string) {
    super(call);
    this.#key = key;
  }

  override getPeer(): string {
    return this.#key;
  }
}
