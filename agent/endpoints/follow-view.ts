import { fail, ok, type Result } from '../../src/base/result.ts';
import type { CallContext, Encoded, ResponseStream } from '../../src/rpc/service.ts';
import type { View, ViewAnswer, ViewTopic } from '../identity/view.ts';
import { isAlive, type Workload } from '../workload/attestation.ts';

/** What a stream of the Workload API is made of. */
export interface Follow {
  readonly view: View;
  readonly topic: ViewTopic;
  readonly workload: Workload;
  readonly stream: ResponseStream<unknown>;
  readonly context: CallContext;
  /** Whether processes without an identity are served this topic. */
  readonly withoutIdentity: boolean;
}

/** The words that clients match (spiffe-conformance §2.4). */
const NO_IDENTITY = 'no identity issued';

/** The refusal of a process that has no identity. */
export function noIdentity(): Result<never> {
  return fail('WORKLOAD_NO_IDENTITY', NO_IDENTITY);
}

/**
 * Sends what a view shows, the first time at once and then at each change, until the caller goes or
 * its last identity is taken away. Each message is the whole state (WLAPI-3), none repeats the last
 * (WLAPI-5), and a reader that is slow gets the latest state, not those between. The process is
 * looked at again before each message: nothing is sent to one that has exited (E2). Never ends with
 * OK from this side (WLAPI-38): the value is for callers that are gone.
 */
export async function followView(follow: Follow): Promise<Result<void>> {
  const { view, topic, workload, stream, context } = follow;
  let changed = true;
  let wake: (() => void) | undefined;
  const look = (): void => {
    changed = true;
    wake?.();
  };
  const unsubscribe = view.subscribe(topic, look);
  context.signal.addEventListener('abort', look);
  let last: Encoded | undefined;
  try {
    while (!context.signal.aborted) {
      changed = false;
      const answer = currentAnswer(follow);
      if (answer.kind === 'none') return noIdentity();
      if (answer.kind === 'send' && answer.message !== last) {
        if (!isAlive(workload)) return gone();
        last = answer.message;
        if (!stream.write(last)) await stream.drained();
      }
      if (!changed) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    return ok(undefined);
  } finally {
    unsubscribe();
    context.signal.removeEventListener('abort', look);
  }
}

function currentAnswer({ view, topic, withoutIdentity }: Follow): ViewAnswer {
  if (view.entries.length === 0 && !withoutIdentity) return { kind: 'none' };
  return view.answer(topic);
}

/** The refusal of a process that exited while it was served. */
export function gone(): Result<never> {
  return fail('WORKLOAD_ATTESTATION_FAILED', 'workload attestation failed');
}
