import { hostname } from 'node:os';
import { toHex } from '../base/bytes.ts';
import type { KubeApi } from '../kube/kube-api.ts';
import { type LeaderElection, startLeaderElection } from '../kube/leader.ts';
import type { Logger } from '../runtime/log.ts';
import type { ServerBase } from './server.ts';

/** Where a lease of Kubernetes is. */
export interface LeaseAt {
  readonly api: KubeApi;
  readonly lease: { readonly namespace: string; readonly name: string };
  readonly log: Logger;
}

/** Has this server stand for a lease. */
export function startLeader(base: ServerBase, { api, lease, log }: LeaseAt): LeaderElection {
  const { clock, random } = base;
  return startLeaderElection({
    api,
    ...lease,
    // Two servers of one host name must not be taken for one.
    identity: `${hostname()}-${toHex(random.bytes(8))}`,
    clock,
    random,
    log,
  });
}
