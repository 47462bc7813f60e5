/** Limits of one listener and its calls. Every field is configurable. */
export interface RpcLimits {
  /** Longest request message, in bytes. */
  readonly maxReceiveBytes: number;
  /** Calls at once on one connection (SETTINGS_MAX_CONCURRENT_STREAMS). */
  readonly maxStreamsPerConnection: number;
  /** Memory that one HTTP/2 session may hold, in megabytes. */
  readonly maxSessionMegabytes: number;
  /** Streams that a client may reset in a burst, and a second thereafter (CVE-2023-44487). */
  readonly resetBurst: number;
  readonly resetPerSecond: number;
  /** Connections at once. */
  readonly maxConnections: number;
  /** Connections at once of one uid (Unix sockets) or one address (TCP). */
  readonly maxConnectionsPerPeer: number;
  /** Time for the TLS handshake, and for the HTTP/2 preface to arrive, in milliseconds. */
  readonly handshakeTimeoutMs: number;
  /** Time for the one request message of a call to arrive, in milliseconds. */
  readonly requestTimeoutMs: number;
  /** A call whose reader takes nothing for so long ends with its connection, in milliseconds. */
  readonly stalledWriteMs: number;
}

/** Limits of the server's TCP port. */
export const SERVER_LIMITS: RpcLimits = {
  maxReceiveBytes: 4 * 1024 * 1024,
  maxStreamsPerConnection: 100,
  maxSessionMegabytes: 64,
  resetBurst: 1_000,
  resetPerSecond: 33,
  maxConnections: 20_000,
  maxConnectionsPerPeer: 5_000,
  handshakeTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  stalledWriteMs: 60_000,
};

/** Limits of the Workload API socket. */
export const WORKLOAD_LIMITS: RpcLimits = {
  maxReceiveBytes: 64 * 1024,
  maxStreamsPerConnection: 64,
  maxSessionMegabytes: 16,
  // Clients that fetch once cancel their stream each time; java-spiffe does so in a loop.
  resetBurst: 10_000,
  resetPerSecond: 1_000,
  maxConnections: 16_000,
  maxConnectionsPerPeer: 8_000,
  handshakeTimeoutMs: 10_000,
  requestTimeoutMs: 10_000,
  stalledWriteMs: 60_000,
};

/** Limits of an operator's socket. */
export const ADMIN_LIMITS: RpcLimits = {
  ...SERVER_LIMITS,
  maxConnections: 1_000,
  maxConnectionsPerPeer: 1_000,
};
