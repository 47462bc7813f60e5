import { concatBytes } from '../../../src/base/bytes.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { attempt } from '../../../src/der/refuse.ts';
import { algorithmOfHash, TPM_ALG, type TpmHash } from '../../../src/tpm/algorithms.ts';
import { TpmReader } from '../../../src/tpm/tpm-reader.ts';
import { tpmSized, tpmU8, tpmU16, tpmU32 } from '../../../src/tpm/tpm-writer.ts';
import type { SignedAttest } from '../../../src/tpm/verify.ts';
import {
  NO_PASSWORD,
  runCommand,
  TPM_CC,
  TPM_RH,
  type TpmAuth,
  type TpmCommand,
} from './command.ts';
import type { TpmTransport } from './transport.ts';

/** A key in the TPM's memory. */
export interface LoadedKey {
  readonly handle: number;
  /** TPMT_PUBLIC. */
  readonly publicArea: Uint8Array;
}

/** Reads answers of at most so many bytes at a time from NV memory. */
const NV_CHUNK_BYTES = 512;

/** Largest NV index that is read, in bytes. */
const MAX_NV_BYTES = 4096;

const TPM_SE_POLICY = 0x01;
const ST_HASHCHECK = 0x8024;

/**
 * The commands that attestation needs, to one TPM over one transport. What was loaded or opened is given
 * back by `close`: a TPM has room for three keys.
 */
export class Tpm {
  readonly #transport: TpmTransport;
  readonly #handles: number[] = [];
  #closed = false;

  constructor(transport: TpmTransport) {
    this.#transport = transport;
  }

  /** Makes a primary key: the same each time for a hierarchy and template, from the TPM's seed. */
  async createPrimary(
    hierarchy: number,
    template: Uint8Array,
    password: Uint8Array = new Uint8Array(0),
  ): Promise<Result<LoadedKey>> {
    const answer = await this.#run({
      code: TPM_CC.createPrimary,
      handles: [hierarchy],
      auths: [{ kind: 'password', password }],
      // No authorisation of its own, no outside data, no registers at its creation.
      parameters: [tpmSized(tpmSized(), tpmSized()), tpmSized(template), tpmSized(), tpmU32(0)],
      answersHandle: true,
    });
    if (!answer.ok) return answer;
    this.#handles.push(answer.value.handle);
    const publicArea = this.#read(answer.value.parameters, (reader) => reader.sized(1024), true);
    return publicArea.ok
      ? ok({ handle: answer.value.handle, publicArea: publicArea.value })
      : publicArea;
  }

  /** Loads a key under its parent. */
  async load(
    parent: LoadedKey,
    privateArea: Uint8Array,
    publicArea: Uint8Array,
  ): Promise<Result<LoadedKey>> {
    const answer = await this.#run({
      code: TPM_CC.load,
      handles: [parent.handle],
      auths: [NO_PASSWORD],
      parameters: [tpmSized(privateArea), tpmSized(publicArea)],
      answersHandle: true,
    });
    if (!answer.ok) return answer;
    this.#handles.push(answer.value.handle);
    return ok({ handle: answer.value.handle, publicArea });
  }

  /** Opens a credential; the secret proves that both keys are in this TPM. */
  async activateCredential(
    { attestationKey, endorsementKey }: { attestationKey: LoadedKey; endorsementKey: LoadedKey },
    { credential, encryptedSeed }: { credential: Uint8Array; encryptedSeed: Uint8Array },
    endorsementPassword: Uint8Array = new Uint8Array(0),
  ): Promise<Result<Buffer>> {
    const session = await this.#endorsementPolicy(endorsementPassword);
    if (!session.ok) return session;
    const answer = await this.#run({
      code: TPM_CC.activateCredential,
      handles: [attestationKey.handle, endorsementKey.handle],
      auths: [NO_PASSWORD, { kind: 'policy', session: session.value }],
      parameters: [tpmSized(credential), tpmSized(encryptedSeed)],
    });
    if (!answer.ok) {
      this.#handles.push(session.value);
      return answer;
    }
    return this.#read(answer.value.parameters, (reader) => reader.sized(64));
  }

  /** A quote of registers with a nonce, by the key's own scheme. */
  async quote(
    key: LoadedKey,
    nonce: Uint8Array,
    bank: TpmHash,
    indices: readonly number[],
  ): Promise<Result<SignedAttest>> {
    const answer = await this.#run({
      code: TPM_CC.quote,
      handles: [key.handle],
      auths: [NO_PASSWORD],
      parameters: [tpmSized(nonce), tpmU16(TPM_ALG.null), selection(bank, indices)],
    });
    return answer.ok ? this.#signed(answer.value.parameters) : answer;
  }

  /** The word of a key that another is in the same TPM. */
  async certify(
    subject: LoadedKey,
    key: LoadedKey,
    password: Uint8Array,
  ): Promise<Result<SignedAttest>> {
    const auths: TpmAuth[] = [{ kind: 'password', password }, NO_PASSWORD];
    const answer = await this.#run({
      code: TPM_CC.certify,
      handles: [subject.handle, key.handle],
      auths,
      parameters: [tpmSized(), tpmU16(TPM_ALG.null)],
    });
    return answer.ok ? this.#signed(answer.value.parameters) : answer;
  }

  /** Signs a digest by the key's own scheme; answers with the TPMT_SIGNATURE. */
  async sign(key: LoadedKey, digest: Uint8Array, password: Uint8Array): Promise<Result<Buffer>> {
    // An empty ticket: the digest is of data that does not begin as a TPM's own.
    const ticket = concatBytes([tpmU16(ST_HASHCHECK), tpmU32(TPM_RH.null), tpmSized()]);
    const answer = await this.#run({
      code: TPM_CC.sign,
      handles: [key.handle],
      auths: [{ kind: 'password', password }],
      parameters: [tpmSized(digest), tpmU16(TPM_ALG.null), ticket],
    });
    return answer.ok ? ok(answer.value.parameters) : answer;
  }

  /** Values of registers, in the order of the indices. */
  async readRegisters(
    bank: TpmHash,
    indices: readonly number[],
  ): Promise<Result<readonly Buffer[]>> {
    const values: Buffer[] = [];
    // A TPM answers at most eight at once; one by one is as good and cannot come in another order.
    for (const index of indices) {
      const answer = await this.#run({
        code: TPM_CC.pcrRead,
        handles: [],
        parameters: [selection(bank, [index])],
      });
      if (!answer.ok) return answer;
      const value = this.#read(answer.value.parameters, readRegister);
      if (!value.ok) return value;
      values.push(value.value);
    }
    return ok(values);
  }

  /** An NV index that anybody may read, such as an endorsement certificate. */
  async readNv(index: number): Promise<Result<Buffer>> {
    const size = await this.#nvSize(index);
    if (!size.ok) return size;
    const parts: Buffer[] = [];
    for (let offset = 0; offset < size.value; offset += NV_CHUNK_BYTES) {
      const length = Math.min(NV_CHUNK_BYTES, size.value - offset);
      const answer = await this.#run({
        code: TPM_CC.nvRead,
        handles: [index, index],
        auths: [NO_PASSWORD],
        parameters: [tpmU16(length), tpmU16(offset)],
      });
      if (!answer.ok) return answer;
      const part = this.#read(answer.value.parameters, (reader) => reader.sized(NV_CHUNK_BYTES));
      if (!part.ok) return part;
      parts.push(part.value);
    }
    return ok(Buffer.concat(parts));
  }

  /** Gives back what is in the TPM's memory and closes the transport. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const handle of this.#handles.splice(0)) await this.flush(handle);
    await this.#transport.close();
  }

  /** Gives back a key or session. */
  async flush(handle: number): Promise<void> {
    const at = this.#handles.indexOf(handle);
    if (at !== -1) this.#handles.splice(at, 1);
    await this.#run({ code: TPM_CC.flushContext, handles: [], parameters: [tpmU32(handle)] });
  }

  async #nvSize(index: number): Promise<Result<number>> {
    const answer = await this.#run({ code: TPM_CC.nvReadPublic, handles: [index] });
    if (!answer.ok) return answer;
    const size = this.#read(
      answer.value.parameters,
      (reader) => {
        const area = new TpmReader(reader.sized(128), 'NV public area');
        area.take(10);
        area.sized(64);
        return area.u16();
      },
      true,
    );
    if (!size.ok || size.value <= MAX_NV_BYTES) return size;
    return fail('AGENT_TPM_REFUSED', `NV index 0x${index.toString(16)} holds ${size.value} bytes`);
  }

  /** A session that satisfies the policy of default endorsement keys. */
  async #endorsementPolicy(password: Uint8Array): Promise<Result<number>> {
    const started = await this.#run({
      code: TPM_CC.startAuthSession,
      handles: [TPM_RH.null, TPM_RH.null],
      // The nonce has no use in a session without HMAC, but must have 16 bytes.
      parameters: [
        ...[tpmSized(new Uint8Array(16)), tpmSized(), tpmU8(TPM_SE_POLICY)],
        ...[tpmU16(TPM_ALG.null), tpmU16(TPM_ALG.sha256)],
      ],
      answersHandle: true,
    });
    if (!started.ok) return started;
    const session = started.value.handle;
    const satisfied = await this.#run({
      code: TPM_CC.policySecret,
      handles: [TPM_RH.endorsement, session],
      auths: [{ kind: 'password', password }],
      parameters: [tpmSized(), tpmSized(), tpmSized(), tpmU32(0)],
    });
    if (satisfied.ok) return ok(session);
    this.#handles.push(session);
    return satisfied;
  }

  #signed(parameters: Buffer): Result<SignedAttest> {
    return this.#read(parameters, (reader) => ({
      attest: reader.sized(2048),
      signature: reader.rest(),
    }));
  }

  #read<T>(bytes: Buffer, read: (reader: TpmReader) => T, more = false): Result<T> {
    const value = attempt('TPM response', () => {
      const reader = new TpmReader(bytes, 'response');
      const result = read(reader);
      if (!more) reader.finish();
      return result;
    });
    return value.ok ? value : fail('AGENT_TPM_UNAVAILABLE', value.error.message);
  }

  #run(command: TpmCommand): ReturnType<typeof runCommand> {
    return runCommand(this.#transport, command);
  }
}

/** TPML_PCR_SELECTION of one bank. */
function selection(bank: TpmHash, indices: readonly number[]): Uint8Array {
  const bitmap = new Uint8Array(3);
  for (const index of indices) {
    const octet = index >> 3;
    bitmap[octet] = (bitmap[octet] ?? 0) | (1 << (index & 7));
  }
  return concatBytes([tpmU32(1), tpmU16(algorithmOfHash(bank)), tpmU8(3), bitmap]);
}

/** Update counter, selection, and the one value. */
function readRegister(reader: TpmReader): Buffer {
  reader.u32();
  for (let banks = reader.u32(); banks > 0; banks--) {
    reader.u16();
    reader.take(reader.u8());
  }
  if (reader.u32() !== 1) reader.refuse('a register is not there');
  return reader.sized(64);
}
