import type { RpcHost } from './host.ts';

/**
 * Serves gRPC reflection (v1 and v1alpha) for the named services on a host (Unix sockets only);
 * nothing is loaded before the first call.
 */
export declare function serveReflection(host: RpcHost, services: readonly string[]): void;
