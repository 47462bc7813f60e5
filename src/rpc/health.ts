import type { RpcHost } from './host.ts';

/** Health of a process's services, as grpc.health.v1 tells it. */
export interface HealthBoard {
  /** Sets a service's state; '' is the whole process. Watchers are told. */
  set(service: string, serving: boolean): void;
  /** Serves grpc.health.v1.Health on a host (Unix sockets only). */
  serveOn(host: RpcHost): void;
}

/** A board with '' not serving yet. */
export declare function createHealthBoard(): HealthBoard;
