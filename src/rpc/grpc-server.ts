import {
  experimental,
  Server,
  type ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
} from '@grpc/grpc-js';
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
  return Object.assign(server, {
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
