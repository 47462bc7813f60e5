import { fail, ok } from '../base/result.ts';
import {
  HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../gen/grpc/health/v1/health.ts';
import type { RpcHost } from './host.ts';
import type { CallContext, CallGuard } from './service.ts';

/** Health of a process's services, as grpc.health.v1 tells it. */
export interface HealthBoard {
  /** Sets a service's state; '' is the whole process. Watchers are told. */
  set(service: string, serving: boolean): void;
  /** Serves grpc.health.v1.Health on a host (Unix sockets only); without guards unless told. */
  serveOn(host: RpcHost, guards?: readonly CallGuard[]): void;
}

/**
 * A board with '' not serving yet.
 *
 * @param refresh Called before each check is answered, for states that depend on the time.
 */
export function createHealthBoard(refresh: () => void = () => {}): HealthBoard {
  const states = new Map<string, boolean>([['', false]]);
  const watchers = new Set<() => void>();
  const statusOf = (service: string): ServingStatus => {
    const serving = states.get(service);
    if (serving === undefined) return ServingStatus.SERVICE_UNKNOWN;
    return serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  };
  const changed = (context: CallContext): Promise<void> =>
    new Promise((resolve) => {
      const done = (): void => {
        watchers.delete(done);
        context.signal.removeEventListener('abort', done);
        resolve();
      };
      watchers.add(done);
      context.signal.addEventListener('abort', done);
      if (context.signal.aborted) done();
    });
  return {
    set(service, serving) {
      states.set(service, serving);
      for (const tell of [...watchers]) tell();
    },
    serveOn(host, guards = []) {
      host.addService(
        HealthService,
        {
          check: ({ service }) => {
            refresh();
            const status = statusOf(service);
            if (status !== ServingStatus.SERVICE_UNKNOWN) return ok({ status });
            return fail('HEALTH_SERVICE_UNKNOWN', `unknown service "${service}"`);
          },
          watch: async ({ service }, stream, context) => {
            let told: ServingStatus | undefined;
            while (!context.signal.aborted) {
              const status = statusOf(service);
              if (status !== told) stream.write({ status });
              told = status;
              await changed(context);
            }
            return ok(undefined);
          },
        },
        guards,
      );
    },
  };
}
