import type { Clock } from '../../src/base/clock.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type { Identities } from '../identity/identities.ts';

/**
 * Holds callers until the first synchronisation: PermissionDenied before it would be a guess, and
 * some clients give up on it (WEP-12). At most so long, then WORKLOAD_NOT_READY. Callers that go
 * meanwhile are let go.
 */
export function createReadyGate(
  identities: Pick<Identities, 'ready' | 'whenReady'>,
  clock: Clock,
  graceMs: number,
): (signal: () => AbortSignal) => Promise<Result<void>> {
  return async (signal) => {
    if (identities.ready) return ok(undefined);
    const { promise, resolve } = Promise.withResolvers<Result<void>>();
    const late = (): void =>
      resolve(fail('WORKLOAD_NOT_READY', 'the agent has not synchronised with its server yet'));
    const stopWaiting = identities.whenReady(() => resolve(ok(undefined)));
    const cancel = clock.after(graceMs, late);
    signal().addEventListener('abort', late, { once: true });
    try {
      return await promise;
    } finally {
      cancel();
      stopWaiting();
    }
  };
}
