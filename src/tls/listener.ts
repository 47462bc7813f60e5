import type { Random } from '../base/random.ts';
import type { Result } from '../base/result.ts';
import type { RpcHost } from '../rpc/host.ts';
import type { RateLimit } from '../rpc/rate-limiter.ts';
import type { Listener } from '../rpc/unix-listener.ts';
import type { ChainValidator, TlsIdentity } from './identity.ts';

/** Where and how the TCP port is opened. */
export interface TlsListenerOptions {
  /** IPv4 or IPv6 address; `::` is both. */
  readonly address: string;
  /** 0 chooses a free one. */
  readonly port: number;
  readonly minTlsVersion: '1.2' | '1.3';
  readonly identity: TlsIdentity;
  readonly validateClient: ChainValidator;
  /** Connections end after so long, ± 10 %, unless something holds them open; 0 is never. */
  readonly maxConnectionAgeMs: number;
  /** Handshakes at once, in all and of one address. */
  readonly maxPendingHandshakes?: number;
  readonly maxPendingHandshakesPerAddress?: number;
  /** Connections without a client certificate, of one address (of one /64 for IPv6). */
  readonly anonymousLimit?: RateLimit;
  readonly random: Random;
}

/** An open TCP listener. */
export interface TlsListener extends Listener {
  readonly port: number;
  /** Presents another identity on new connections (SVID rotation). */
  setIdentity(identity: TlsIdentity): Result<void>;
}

/** Opens the TCP port and serves a host on it; a bad client certificate ends its connection. */
export declare function listenTls(
  options: TlsListenerOptions,
  host: RpcHost,
): Promise<Result<TlsListener>>;
