import { fail, ok, type Result } from '../../src/base/result.ts';
import type { Connection } from '../../src/rpc/service.ts';

/** Most streams open at once. */
export interface StreamLimitsConfig {
  readonly streamsPerConnection: number;
  readonly streamsPerUid: number;
  readonly streams: number;
}

/** Counts open streams of the Workload API. */
export interface StreamLimits {
  /** Streams open now. */
  readonly open: number;
  /** Takes a place; the answer gives it back. Fails with WORKLOAD_LIMIT. */
  enter(connection: Connection): Result<() => void>;
}

/** Streams per connection, per uid and in all, each refused with the limit that it meets. */
export function createStreamLimits(limits: StreamLimitsConfig): StreamLimits {
  const byConnection = new Map<string, number>();
  const byUid = new Map<number, number>();
  let open = 0;
  return {
    get open() {
      return open;
    },
    enter({ id, peer }) {
      const uid = peer.kind === 'process' ? peer.process.uid : -1;
      const ofConnection = byConnection.get(id) ?? 0;
      const ofUid = byUid.get(uid) ?? 0;
      if (ofConnection >= limits.streamsPerConnection) {
        return refuse(`${limits.streamsPerConnection} on one connection`);
      }
      if (ofUid >= limits.streamsPerUid) return refuse(`${limits.streamsPerUid} of uid ${uid}`);
      if (open >= limits.streams) return refuse(`${limits.streams} in all`);
      byConnection.set(id, ofConnection + 1);
      byUid.set(uid, ofUid + 1);
      open++;
      let entered = true;
      return ok(() => {
        if (!entered) return;
        entered = false;
        open--;
        leave(byConnection, id);
        leave(byUid, uid);
      });
    },
  };
}

function refuse(limit: string): Result<never> {
  return fail('WORKLOAD_LIMIT', `rate limit exceeded for open streams: at most ${limit}`);
}

function leave<K>(counts: Map<K, number>, key: K): void {
  const count = (counts.get(key) ?? 0) - 1;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}
