import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { type Authorities, allAuthorities, chainOf, verifiedId } from './spiffe.ts';
import type { Shown } from './transport.ts';
import type { Segment } from './wire.ts';

/** Where a flow goes, and how. */
export interface TargetWish {
  readonly host: string;
  readonly port: number;
  readonly segment: Segment;
  readonly shown: Shown;
  readonly authorities: Authorities;
  readonly nowMs: () => number;
}

/** Why there is no target. */
export class TargetFailed extends Error {
  readonly reason: 'target-unreachable' | 'target-not-trusted';

  constructor(reason: TargetFailed['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Opens a flow's other end; rejects with `TargetFailed`. */
export async function openTarget(wish: TargetWish): Promise<Socket> {
  const { host, port, segment } = wish;
  const where = { host, port, allowHalfOpen: true, timeout: 10_000 };
  const socket =
    segment.upstreamTls === 'UPSTREAM_TLS_SVID'
      ? connectTls({
          ...where,
          ...wish.shown,
          ca: allAuthorities(wish.authorities),
          minVersion: 'TLSv1.3',
          // Who the target is shows in its SPIFFE ID, which is looked at below.
          checkServerIdentity: () => undefined,
        })
      : connectTcp(where);
  socket.once('timeout', () => socket.destroy(new TypeError('no connection in 10 s')));
  try {
    await once(socket, socket instanceof TLSSocket ? 'secureConnect' : 'connect');
  } catch (error) {
    throw new TargetFailed('target-unreachable', error instanceof Error ? error.message : '');
  }
  socket.setTimeout(0);
  socket.removeAllListeners('timeout');
  if (socket instanceof TLSSocket) checkTarget(socket, wish);
  return socket;
}

function checkTarget(socket: TLSSocket, { segment, authorities, nowMs }: TargetWish): void {
  const id = verifiedId(chainOf(socket), authorities, nowMs());
  if (id !== undefined && id === segment.upstreamId) return;
  socket.destroy();
  throw new TargetFailed('target-not-trusted', `the target is ${id}, not ${segment.upstreamId}`);
}
