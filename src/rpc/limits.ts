/**
 * Limits of calls. What callers make a process hold before any guard has judged them is bounded by
 * `maxRequestBytes`, and of one caller by `maxRequestBytesPerPeer`.
 */
export interface CallLimits {
  /** Longest request message, in bytes. */
  readonly maxReceiveBytes: number;
  /** Calls at once on one connection (SETTINGS_MAX_CONCURRENT_STREAMS). */
  readonly maxStreamsPerConnection: number;
  /** Calls at once whose caller has not sent its last message whole, in all. */
  readonly maxOpenRequests: number;
  /** The same of one uid (Unix sockets), one SPIFFE ID or, without one, one address. */
  readonly maxOpenRequestsPerPeer: number;
  /** Bytes held for calls whose caller has not sent its last message whole, in all. */
  readonly maxRequestBytes: number;
  /** The same of one uid, SPIFFE ID or address, as above. */
  readonly maxRequestBytesPerPeer: number;
  /** Time for the one request message of a call to arrive, in milliseconds. */
  readonly requestTimeoutMs: number;
}

/** Limits of callers over TCP without a client certificate. */
export interface AnonymousLimits extends CallLimits {
  /** Their connections at once, in all and of one address. */
  readonly maxConnections: number;
  readonly maxConnectionsPerPeer: number;
}

/** Limits of one listener and its calls. */
export interface RpcLimits extends CallLimits {
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
  /** A call whose reader takes nothing for so long ends with its connection, in milliseconds. */
  readonly stalledWriteMs: number;
  /** Limits of anonymous callers, where they are not those of everybody. */
  readonly anonymous?: AnonymousLimits;
}

const MIB = 1024 * 1024;

/**
 * What callers without an identity may take: 16 MiB of messages for one address, 128 MiB in all. The
 * longest message that they have to send is an attestation's evidence, below 128 KiB.
 */
export const ANONYMOUS_LIMITS: AnonymousLimits = {
  maxReceiveBytes: 256 * 1024,
  maxStreamsPerConnection: 16,
  maxOpenRequests: 2_048,
  maxRequestBytes: 128 * MIB,
  maxRequestBytesPerPeer: 16 * MIB,
  maxOpenRequestsPerPeer: 256,
  requestTimeoutMs: 10_000,
  maxConnections: 5_000,
  maxConnectionsPerPeer: 500,
};

/** Limits of the server's TCP port. */
export const SERVER_LIMITS: RpcLimits = {
  maxReceiveBytes: 4 * 1024 * 1024,
  maxStreamsPerConnection: 100,
  // Every agent holds one for its push stream.
  maxOpenRequests: 100_000,
  maxRequestBytes: 512 * MIB,
  maxRequestBytesPerPeer: 32 * MIB,
  maxOpenRequestsPerPeer: 256,
  maxSessionMegabytes: 64,
  resetBurst: 1_000,
  resetPerSecond: 33,
  maxConnections: 20_000,
  maxConnectionsPerPeer: 5_000,
  handshakeTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  stalledWriteMs: 60_000,
  anonymous: ANONYMOUS_LIMITS,
};

/** Limits of the Workload API socket. */
export const WORKLOAD_LIMITS: RpcLimits = {
  maxReceiveBytes: 64 * 1024,
  maxStreamsPerConnection: 64,
  // A stream counts only until its request has arrived.
  maxOpenRequests: 8_192,
  maxRequestBytes: 128 * MIB,
  maxRequestBytesPerPeer: 32 * MIB,
  maxOpenRequestsPerPeer: 2_048,
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
  maxOpenRequestsPerPeer: 4_096,
  maxConnections: 1_000,
  maxConnectionsPerPeer: 1_000,
};
