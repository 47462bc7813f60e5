import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto';

/** Versions that the responder can speak. */
export type ResponderVersion = '1.1' | '1.2' | '1.3';

/** Hashes by the names of Node's crypto. */
export type ResponderHash = 'sha256' | 'sha384' | 'sha512';

/** One measurement as the responder reports it. */
export interface ResponderMeasurement {
  readonly index: number;
  /** Low seven bits of the value type. */
  readonly kind: number;
  readonly raw: boolean;
  readonly value: Uint8Array;
}

/** What the responder is and has. */
export interface ResponderOptions {
  /** DER, the root first. */
  readonly chain: readonly Uint8Array[];
  /** Private key of the last certificate: EC. */
  readonly leafKey: KeyObject;
  /** Given as a function, they are read anew for each request. */
  readonly measurements: readonly ResponderMeasurement[] | (() => readonly ResponderMeasurement[]);
  /** All three unless told. */
  readonly versions?: readonly ResponderVersion[];
  /** Hash of transcripts; SHA-384 unless told. */
  readonly hash?: ResponderHash;
  /** Hash of measured values that it announces; SHA-512 unless told. */
  readonly measurementHash?: ResponderHash;
  /** Capability flags; CERT, CHAL, MEAS_SIG, MEAS_FRESH unless told. */
  readonly flags?: number;
  /** Slot of the chain; 0 unless told. */
  readonly slot?: number;
  /** Opaque data of MEASUREMENTS and CHALLENGE_AUTH. */
  readonly opaque?: Uint8Array;
  /** Bytes of a chain that it gives at once; 1,024 unless told. */
  readonly portionBytes?: number;
  /** DataTransferSize and MaxSPDMmsgSize; 65,536 unless told. */
  readonly transferBytes?: number;
  /** Faults, tried in order; the first that answers is sent. */
  readonly faults?: readonly ResponderFault[];
}

/** Something wrong on demand. */
export interface ResponderFault {
  /** Answers in place of the responder, whose state stays as it is. */
  readonly instead?: (request: Uint8Array) => Uint8Array | undefined;
  /** Changes an answer before it enters the transcript: it is signed as changed. */
  readonly beforeSigning?: (response: Uint8Array) => Uint8Array;
  /** Changes an answer after it was signed. */
  readonly afterSigning?: (response: Uint8Array) => Uint8Array;
}

/** One conversation with the responder: GET_VERSION begins it anew. */
export type Respond = (request: Uint8Array) => Uint8Array;

const CODE = {
  digests: 0x01,
  certificate: 0x02,
  challengeAuth: 0x03,
  version: 0x04,
  measurements: 0x60,
  capabilities: 0x61,
  algorithms: 0x63,
  error: 0x7f,
} as const;

const ERROR = {
  invalidRequest: 0x01,
  unexpectedRequest: 0x04,
  unsupportedRequest: 0x07,
  versionMismatch: 0x41,
} as const;

const ASYM_BIT: Readonly<Record<string, number>> = {
  prime256v1: 0x10,
  secp384r1: 0x80,
  secp521r1: 0x100,
};
const HASH_BIT = { sha256: 1, sha384: 2, sha512: 4 } as const;

/** Capability flags by name. */
export const RESPONDER_FLAG = {
  cert: 0x02,
  challenge: 0x04,
  measurementsUnsigned: 0x08,
  measurementsSigned: 0x10,
  fresh: 0x20,
} as const;

/** What a responder does unless told: certificates, challenges, fresh and signed measurements. */
const DEFAULT_FLAGS = 0x36;

interface State {
  version: number;
  stage: 'start' | 'version' | 'capabilities' | 'algorithms';
  /** GET_VERSION to ALGORITHMS. */
  a: Buffer;
  /** Digests and certificates. */
  b: Buffer;
  /** Measurements that are not signed yet. */
  l: Buffer;
  /** The requester takes opaque data. */
  opaque: boolean;
}

class Refused extends Error {
  readonly code: number;
  readonly data: number;
  constructor(code: number, data = 0) {
    super(`SPDM error ${code}`);
    this.code = code;
    this.data = data;
  }
}

function uint(value: number, length: number): Buffer {
  const out = Buffer.alloc(length);
  out.writeUIntLE(value, 0, length);
  return out;
}

function demand(holds: boolean, code: number = ERROR.invalidRequest, data = 0): void {
  if (!holds) throw new Refused(code, data);
}

/** Bytes of one measurement block. */
function block({ index, kind, raw, value }: ResponderMeasurement): Buffer {
  const type = (raw ? 0x80 : 0) | kind;
  const head = Buffer.concat([Buffer.of(type), uint(value.length, 2)]);
  return Buffer.concat([Buffer.of(index, 1), uint(head.length + value.length, 2), head, value]);
}

/** A responder of DSP0274 without sessions, for tests: written apart from what it tests. */
export function createResponder(options: ResponderOptions): Respond {
  const {
    chain,
    leafKey,
    versions = ['1.1', '1.2', '1.3'],
    hash = 'sha384',
    measurementHash = 'sha512',
    flags = DEFAULT_FLAGS,
    slot: ownSlot = 0,
    opaque = Buffer.alloc(0),
    portionBytes = 1024,
    transferBytes = 65_536,
    faults = [],
  } = options;
  const curve = leafKey.asymmetricKeyDetails?.namedCurve ?? '';
  const spoken = versions.map((version) => 0x10 + Number(version.slice(2)));
  const digest = (bytes: Uint8Array) => createHash(hash).update(bytes).digest();
  const certificates = Buffer.concat(chain);
  const rootHash = digest(chain[0] ?? Buffer.alloc(0));
  const chainBlob = Buffer.concat([
    uint(4 + rootHash.length + certificates.length, 2),
    uint(0, 2),
    rootHash,
    certificates,
  ]);
  const fresh = (): State => ({
    version: 0x10,
    stage: 'start',
    a: Buffer.alloc(0),
    b: Buffer.alloc(0),
    l: Buffer.alloc(0),
    opaque: true,
  });
  let state = fresh();

  const head = (code: number, param1 = 0, param2 = 0) =>
    Buffer.of(state.version, code, param1, param2);
  const beforeSigning = (response: Buffer): Buffer =>
    faults.reduce((bytes, fault) => Buffer.from(fault.beforeSigning?.(bytes) ?? bytes), response);
  const measurements = () =>
    typeof options.measurements === 'function' ? options.measurements() : options.measurements;
  const opaqueField = () => {
    const bytes = state.opaque ? opaque : Buffer.alloc(0);
    return Buffer.concat([uint(bytes.length, 2), bytes]);
  };

  function signature(context: string, transcript: Buffer): Buffer {
    const text = `dmtf-spdm-v1.${state.version & 0xf}.*`.repeat(4);
    const padded = Buffer.concat([Buffer.alloc(36 - context.length), Buffer.from(context)]);
    const message =
      state.version < 0x12
        ? transcript
        : Buffer.concat([Buffer.from(text), padded, digest(transcript)]);
    return sign(hash, message, { key: leafKey, dsaEncoding: 'ieee-p1363' });
  }

  function version(request: Buffer): Buffer {
    state = fresh();
    demand(request[0] === 0x10, ERROR.versionMismatch);
    const entries = spoken.map((byte) => Buffer.of(0, byte));
    const answer = [Buffer.of(0x10, CODE.version, 0, 0, 0, entries.length), ...entries];
    const response = beforeSigning(Buffer.concat(answer));
    state.stage = 'version';
    state.a = Buffer.concat([request.subarray(0, 4), response]);
    return response;
  }

  function capabilities(request: Buffer): Buffer {
    demand(state.stage === 'version', ERROR.unexpectedRequest);
    demand(spoken.includes(request[0] ?? 0), ERROR.versionMismatch);
    // From here on errors are in the version that was asked for as well.
    state.version = request[0] ?? 0;
    const length = state.version >= 0x12 ? 20 : 12;
    demand(request.length >= length);
    demand(capabilitiesFit(request, state.version));
    const sizes = state.version >= 0x12 ? [uint(transferBytes, 4), uint(transferBytes, 4)] : [];
    const answer = [head(CODE.capabilities), Buffer.alloc(4), uint(flags, 4), ...sizes];
    const response = beforeSigning(Buffer.concat(answer));
    state.stage = 'capabilities';
    state.a = Buffer.concat([state.a, request.subarray(0, length), response]);
    return response;
  }

  function algorithms(request: Buffer): Buffer {
    demand(state.stage === 'capabilities', ERROR.unexpectedRequest);
    demand(request.length >= 32);
    const length = request.readUInt16LE(4);
    demand(length >= 32 && length <= request.length);
    const { tables, end } = readTables(request, length, state.version);
    demand(end === length);
    const asymBit = ASYM_BIT[curve] ?? 0;
    demand(
      (request.readUInt32LE(8) & asymBit) !== 0 &&
        (request.readUInt32LE(12) & HASH_BIT[hash]) !== 0,
    );
    const measures = (request[6] ?? 0) & 1;
    const opaqueFormat = state.version >= 0x12 ? (request[7] ?? 0) & 0x02 : 0;
    state.opaque = state.version < 0x12 || opaqueFormat !== 0;
    const answer = [
      head(CODE.algorithms, tables.length),
      uint(36 + 4 * tables.length, 2),
      Buffer.of(measures, opaqueFormat),
      uint(measures === 0 ? 0 : HASH_BIT[measurementHash] << 1, 4),
      uint(asymBit, 4),
      uint(HASH_BIT[hash], 4),
      Buffer.alloc(16),
      ...tables.map((type) => Buffer.of(type, 0x20, 0, 0)),
    ];
    const response = beforeSigning(Buffer.concat(answer));
    state.stage = 'algorithms';
    state.a = Buffer.concat([state.a, request.subarray(0, length), response]);
    return response;
  }

  function digests(request: Buffer): Buffer {
    const slots = 1 << ownSlot;
    const param1 = state.version >= 0x13 ? slots : 0;
    const answer = [head(CODE.digests, param1, slots), digest(chainBlob)];
    const response = beforeSigning(Buffer.concat(answer));
    state.b = Buffer.concat([request.subarray(0, 4), response]);
    return response;
  }

  function certificate(request: Buffer): Buffer {
    demand(request.length >= 8);
    demand(((request[1 + 1] ?? 0) & 0xf) === ownSlot);
    const offset = request.readUInt16LE(4);
    demand(offset < chainBlob.length);
    const bytes = chainBlob.subarray(
      offset,
      offset + Math.min(request.readUInt16LE(6), portionBytes),
    );
    const remainder = chainBlob.length - offset - bytes.length;
    const lengths = [uint(bytes.length, 2), uint(remainder, 2)];
    const answer = [head(CODE.certificate, ownSlot), ...lengths, bytes];
    const response = beforeSigning(Buffer.concat(answer));
    state.b = Buffer.concat([state.b, request.subarray(0, 8), response]);
    return response;
  }

  function challenge(request: Buffer): Buffer {
    const length = 36 + (state.version >= 0x13 ? 8 : 0);
    demand(request.length >= length);
    const [, , slot = 0, summary = 0] = request;
    demand(slot === ownSlot && [0, 1, 0xff].includes(summary));
    const counted = measurements().filter(({ kind }) => summary === 0xff || kind <= 1);
    const answer = [
      head(CODE.challengeAuth, slot, 1 << slot),
      digest(chainBlob),
      randomBytes(32),
      ...(summary === 0 ? [] : [digest(Buffer.concat(counted.map(block)))]),
      opaqueField(),
      request.subarray(36, length),
    ];
    const response = beforeSigning(Buffer.concat(answer));
    const signed = Buffer.concat([state.a, state.b, request.subarray(0, length), response]);
    state.b = Buffer.alloc(0);
    return Buffer.concat([response, signature('responder-challenge_auth signing', signed)]);
  }

  function measurementsAnswer(request: Buffer): Buffer {
    const [, , param1 = 0, operation = 0] = request;
    const isSigned = (param1 & 1) !== 0;
    const length = 4 + (isSigned ? 33 : 0) + (state.version >= 0x13 ? 8 : 0);
    demand(request.length >= length);
    const slot = isSigned ? (request[36] ?? 0) & 0xf : 0;
    if (isSigned) demand((flags & RESPONDER_FLAG.measurementsSigned) !== 0 && slot === ownSlot);
    const all = measurements();
    const wanted =
      operation === 0
        ? []
        : operation === 0xff
          ? all
          : all.filter((one) => one.index === operation);
    demand(operation === 0 || wanted.length > 0);
    const record = Buffer.concat(wanted.map(block));
    const answer = [
      head(CODE.measurements, operation === 0 ? all.length : 0, slot),
      Buffer.of(wanted.length),
      uint(record.length, 3),
      record,
      randomBytes(32),
      opaqueField(),
      state.version >= 0x13 ? request.subarray(length - 8, length) : Buffer.alloc(0),
    ];
    const response = beforeSigning(Buffer.concat(answer));
    state.l = Buffer.concat([state.l, request.subarray(0, length), response]);
    if (!isSigned) return response;
    const signed = state.version >= 0x12 ? Buffer.concat([state.a, state.l]) : state.l;
    state.l = Buffer.alloc(0);
    return Buffer.concat([response, signature('responder-measurements signing', signed)]);
  }

  const negotiated: Readonly<Record<number, [flag: number, answer: (request: Buffer) => Buffer]>> =
    {
      129: [RESPONDER_FLAG.cert, digests],
      130: [RESPONDER_FLAG.cert, certificate],
      131: [RESPONDER_FLAG.challenge, challenge],
      224: [
        RESPONDER_FLAG.measurementsUnsigned | RESPONDER_FLAG.measurementsSigned,
        measurementsAnswer,
      ],
    };

  function answer(request: Buffer): Buffer {
    demand(request.length >= 4);
    const code = request[1] ?? 0;
    if (code !== 0xe0) state.l = Buffer.alloc(0);
    if (code === 0xe0) state.b = Buffer.alloc(0);
    if (code === 0x84) return version(request);
    if (code === 0xe1) return capabilities(request);
    const handler = negotiated[code];
    demand(code === 0xe3 || handler !== undefined, ERROR.unsupportedRequest, code);
    demand(state.stage !== 'start' && state.stage !== 'version', ERROR.unexpectedRequest);
    demand(request[0] === state.version, ERROR.versionMismatch);
    if (handler === undefined) return algorithms(request);
    demand(state.stage === 'algorithms', ERROR.unexpectedRequest);
    demand((flags & handler[0]) !== 0, ERROR.unsupportedRequest, code);
    return handler[1](request);
  }

  return (bytes) => {
    const request = Buffer.from(bytes);
    for (const { instead } of faults) {
      const response = instead?.(request);
      if (response !== undefined) return response;
    }
    try {
      const response: Uint8Array = answer(request);
      return faults.reduce((sent, fault) => fault.afterSigning?.(sent) ?? sent, response);
    } catch (thrown) {
      if (!(thrown instanceof Refused)) throw thrown;
      state.l = Buffer.alloc(0);
      return Buffer.of(state.version, CODE.error, thrown.code, thrown.data);
    }
  };
}

/** Flags and sizes of a GET_CAPABILITIES that contradict nothing. */
function capabilitiesFit(request: Buffer, version: number): boolean {
  const flags = request.readUInt32LE(8);
  const has = (bits: number) => (flags & bits) !== 0;
  const [encrypt, mac, mutual, keyExchange, preShared] = [0x40, 0x80, 0x100, 0x200, 0xc00];
  const certOrKey = has(0x2) || has(0x10000);
  const keyed = has(keyExchange) || (flags & preShared) !== 0;
  if ((flags & 0x800) !== 0) return false;
  if (has(0x2) && has(0x10000)) return false;
  if (keyed !== (has(encrypt) || has(mac))) return false;
  if (has(encrypt) && !has(mac)) return false;
  if (!keyed && (has(0x2000) || has(0x4000) || has(0x8000))) return false;
  if (!certOrKey && (has(0x4) || has(mutual))) return false;
  if (has(mutual) && !has(0x1000) && version === 0x11) return false;
  if (version < 0x12) return true;
  const [transfer, message] = [request.readUInt32LE(12), request.readUInt32LE(16)];
  return transfer >= 42 && message >= transfer && (has(0x20000) || transfer === message);
}

/** Types of the algorithm tables of a NEGOTIATE_ALGORITHMS, and where they end. */
function readTables(request: Buffer, length: number, version: number) {
  const extended = (request[28] ?? 0) + (request[29] ?? 0);
  const limit = Math.min(length, request.length);
  let end = 32 + 4 * extended;
  const tables: number[] = [];
  for (let left = version >= 0x11 ? (request[2] ?? 0) : 0; left > 0 && end + 2 <= limit; left--) {
    const [type = 0, sizes = 0] = request.subarray(end);
    demand(type > (tables.at(-1) ?? 1) && sizes >> 4 === 2);
    tables.push(type);
    end += 2 + (sizes >> 4) + 4 * (sizes & 0xf);
  }
  return { tables, end };
}
