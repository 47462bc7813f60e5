/** Request codes (DSP0274 "SPDM request codes"). */
export const REQUEST = {
  getDigests: 0x81,
  getCertificate: 0x82,
  challenge: 0x83,
  getVersion: 0x84,
  getMeasurements: 0xe0,
  getCapabilities: 0xe1,
  negotiateAlgorithms: 0xe3,
  respondIfReady: 0xff,
} as const;

/** Response codes (DSP0274 "SPDM response codes"). */
export const RESPONSE = {
  digests: 0x01,
  certificate: 0x02,
  challengeAuth: 0x03,
  version: 0x04,
  measurements: 0x60,
  capabilities: 0x61,
  algorithms: 0x63,
  error: 0x7f,
} as const;

/** Codes of the ERROR message that are acted upon. */
export const ERROR_CODE = {
  invalidRequest: 0x01,
  busy: 0x03,
  unexpectedRequest: 0x04,
  unspecified: 0x05,
  unsupportedRequest: 0x07,
  responseTooLarge: 0x0d,
  largeResponse: 0x0f,
  versionMismatch: 0x41,
  responseNotReady: 0x42,
  requestResynch: 0x43,
} as const;

/** Capability flags of a responder. */
export const CAPABILITY = {
  cert: 0x2,
  challenge: 0x4,
  /** Two bits: 01 measurements without, 10 with a signature. */
  measurementsMask: 0x18,
  measurementsSigned: 0x10,
  measurementsFresh: 0x20,
  chunk: 0x20000,
} as const;

/** Bytes of a nonce. */
export const NONCE_BYTES = 32;

/** Bytes of the requester's context that 1.3 adds to challenge and measurements. */
export const CONTEXT_BYTES = 8;

/** Most bytes of opaque data (DSP0274 "OpaqueDataLength"). */
export const MAX_OPAQUE_BYTES = 1024;

/** DMTF's measurement specification, the only one. */
export const MEASUREMENT_SPEC_DMTF = 0x01;
