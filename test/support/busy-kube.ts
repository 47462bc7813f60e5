import type { ManualClock } from '../../src/base/clock.ts';
import type { KubeApi } from '../../src/kube/kube-api.ts';

/** An API server's client of which it is known whether it waits for the server. */
export interface BusyKube {
  readonly api: KubeApi;
  /** Whether a call or a stream is under way. */
  busy(): boolean;
  /** Watches that the server has agreed to so far. */
  agreed(): number;
  /** Calls that were begun so far, by verb. */
  begun(verb: string): number;
}

/** Counts what is under way, so that a test moves the clock only while nobody waits for real time. */
export function busyKube(api: KubeApi): BusyKube {
  const begun = new Map<string, number>();
  let open = 0;
  let agreed = 0;
  const counted = async <T>(verb: string, call: () => Promise<T>): Promise<T> => {
    begun.set(verb, (begun.get(verb) ?? 0) + 1);
    open++;
    try {
      return await call();
    } finally {
      open--;
    }
  };
  return {
    api: {
      name: api.name,
      get serverAheadMs() {
        return api.serverAheadMs;
      },
      request: (request) => counted(request.verb, () => api.request(request)),
      stream: (stream) => {
        const onOpen = (): void => {
          agreed++;
          stream.onOpen?.();
        };
        return counted('watch', () => api.stream({ ...stream, onOpen }));
      },
      close: () => api.close(),
    },
    busy: () => open > 0,
    agreed: () => agreed,
    begun: (verb) => begun.get(verb) ?? 0,
  };
}

/** Moves the clock step by step while nothing is under way, until something holds. */
export async function moved(
  { clock, kube }: { readonly clock: ManualClock; readonly kube: BusyKube },
  holds: () => boolean,
  stepMs = 100,
): Promise<void> {
  while (!holds()) {
    if (!kube.busy()) clock.advance(stepMs);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
