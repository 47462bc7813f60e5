import { concatBytes } from '../../../src/base/bytes.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import { attempt } from '../../../src/der/refuse.ts';
import { TpmReader } from '../../../src/tpm/tpm-reader.ts';
import { tpmSized, tpmU8, tpmU16, tpmU32 } from '../../../src/tpm/tpm-writer.ts';
import type { TpmTransport } from './transport.ts';

/** Command codes (TPM 2.0 Part 2, §6.5.2). */
export const TPM_CC = {
  nvRead: 0x14e,
  createPrimary: 0x131,
  activateCredential: 0x147,
  certify: 0x148,
  policySecret: 0x151,
  create: 0x153,
  load: 0x157,
  quote: 0x158,
  sign: 0x15d,
  flushContext: 0x165,
  nvReadPublic: 0x169,
  startAuthSession: 0x176,
  pcrRead: 0x17e,
} as const;

/** Handles that every TPM has (TPM 2.0 Part 2, §7.4). */
export const TPM_RH = { owner: 0x4000_0001, null: 0x4000_0007, endorsement: 0x4000_000b } as const;

/** Session handle that stands for a password. */
const RS_PASSWORD = 0x4000_0009;

const RC_RETRY = 0x922;

/** How often a command is sent that the TPM asks to send again. */
const MAX_ATTEMPTS = 10;

const ST_NO_SESSIONS = 0x8001;
const ST_SESSIONS = 0x8002;

/** How a command is authorised: by a password, or by a policy session. */
export type TpmAuth =
  | { readonly kind: 'password'; readonly password: Uint8Array }
  | { readonly kind: 'policy'; readonly session: number };

/** The password that most keys have: none. */
export const NO_PASSWORD: TpmAuth = { kind: 'password', password: new Uint8Array(0) };

/** A command before it is encoded. */
export interface TpmCommand {
  readonly code: number;
  readonly handles: readonly number[];
  readonly auths?: readonly TpmAuth[];
  readonly parameters?: readonly Uint8Array[];
  /** Whether the response begins with a handle. */
  readonly answersHandle?: boolean;
}

/** What a TPM answered. */
export interface TpmAnswer {
  /** 0 where the command answers none. */
  readonly handle: number;
  readonly parameters: Buffer;
}

/**
 * Sends a command. Fails with AGENT_TPM_UNAVAILABLE, or AGENT_TPM_REFUSED with the TPM's response code;
 * warnings (the TPM is busy, in lockout, out of memory for sessions) count as the former.
 */
export async function runCommand(
  transport: TpmTransport,
  command: TpmCommand,
): Promise<Result<TpmAnswer>> {
  const bytes = encodeCommand(command);
  for (let attempts = 1; ; attempts++) {
    const response = await transport.exchange(bytes);
    if (!response.ok) return response;
    const again = attempts < MAX_ATTEMPTS && isRetry(response.value);
    if (!again) return readResponse(response.value, command);
  }
}

/** TPM_RC_RETRY: nothing was done, and the same command is to be sent once more (Part 2, §6.6.3). */
function isRetry(response: Buffer): boolean {
  return response.length === 10 && response.readUInt32BE(6) === RC_RETRY;
}

/** The bytes of a command (TPM 2.0 Part 1, §18). */
export function encodeCommand({ code, handles, auths, parameters = [] }: TpmCommand): Uint8Array {
  const body = concatBytes([
    ...handles.map(tpmU32),
    ...(auths === undefined ? [] : [authArea(auths)]),
    ...parameters,
  ]);
  const tag = auths === undefined ? ST_NO_SESSIONS : ST_SESSIONS;
  return concatBytes([tpmU16(tag), tpmU32(10 + body.length), tpmU32(code), body]);
}

function authArea(auths: readonly TpmAuth[]): Uint8Array {
  const area = concatBytes(auths.map(authBytes));
  return concatBytes([tpmU32(area.length), area]);
}

/** Handle, nonce, attributes, password or HMAC. A policy session is used once: it ends with the command. */
function authBytes(auth: TpmAuth): Uint8Array {
  const none = tpmSized();
  return auth.kind === 'password'
    ? concatBytes([tpmU32(RS_PASSWORD), none, tpmU8(1), tpmSized(auth.password)])
    : concatBytes([tpmU32(auth.session), none, tpmU8(0), none]);
}

/** Reads a response; what a TPM says is bounded and checked as what a stranger says. */
export function readResponse(bytes: Uint8Array, command: TpmCommand): Result<TpmAnswer> {
  const answer = attempt('TPM response', () => {
    const reader = new TpmReader(bytes, 'response');
    const tag = reader.u16();
    if (reader.u32() !== bytes.length) reader.refuse('says another size');
    const code = reader.u32();
    if (code !== 0) return { code, handle: 0, parameters: Buffer.alloc(0) };
    const handle = command.answersHandle === true ? reader.u32() : 0;
    const parameters = tag === ST_SESSIONS ? reader.take(reader.u32()) : reader.rest();
    return { code, handle, parameters };
  });
  if (!answer.ok) return fail('AGENT_TPM_UNAVAILABLE', answer.error.message);
  const { code, handle, parameters } = answer.value;
  if (code === 0) return ok({ handle, parameters });
  const what = `command 0x${command.code.toString(16)}: response code 0x${code.toString(16)}`;
  // Format 0 with the severity bit is a warning (Part 2, §6.6.2): the same may succeed later.
  const warning = (code & 0x80) === 0 && (code & 0x900) === 0x900;
  return fail(warning ? 'AGENT_TPM_UNAVAILABLE' : 'AGENT_TPM_REFUSED', what);
}
