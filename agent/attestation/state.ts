import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { readFileIfPresent, writeFailure, writeFileAtomic } from '../../src/runtime/atomic-file.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';

/** Name of the state file in the data directory. */
export const STATE_FILE = 'agent-state.json';

/** Largest state file in bytes. */
const MAX_STATE_BYTES = 4 * 1024 * 1024;

/** First word of the file; the SHA-256 of what follows the line stands after it. */
const MAGIC = 'signet-agent-state-1';

const base64 = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/);

const stateSchema = z.strictObject({
  trustDomain: z.string(),
  /** The agent's own SVID: DER certificates, leaf first, and its PKCS#8 key. */
  svid: z
    .strictObject({
      chain: z.array(base64),
      privateKey: base64,
      reattestable: z.boolean(),
      /** Unix milliseconds. */
      renewAtMs: z.number(),
    })
    .optional(),
  /** Key of an attestation under way: a retry with the same key gets the same answer. */
  pendingKey: base64.optional(),
  /** `spire.api.types.Bundle`, encoded. */
  bundle: base64.optional(),
});

/** What the agent keeps between runs. */
export type AgentState = z.output<typeof stateSchema>;

/** The state file; what was saved last is in `current`. */
export interface StateFile {
  readonly current: AgentState;
  /** Replaces parts of the state; durable when it answers. Writes happen in the order asked. */
  save(change: Partial<AgentState>): Promise<Result<void>>;
  /** Resolves when everything that was asked to be saved is, or has failed. */
  settled(): Promise<void>;
  /** Removes the file: the identity is over. */
  wipe(): Promise<Result<void>>;
}

/**
 * Opens the state in a data directory that this process holds. Fails with AGENT_STATE_CORRUPT or
 * AGENT_STATE_FOREIGN: a key that cannot be trusted to be whole is never used.
 */
export async function openState(
  directory: string,
  trustDomain: TrustDomain,
): Promise<Result<StateFile>> {
  const path = join(directory, STATE_FILE);
  const bytes = await readFileIfPresent(path, MAX_STATE_BYTES);
  if (!bytes.ok) return bytes;
  const state =
    bytes.value === undefined
      ? ok({ trustDomain: trustDomain.name })
      : decodeState(path, bytes.value);
  if (!state.ok) return state;
  if (state.value.trustDomain !== trustDomain.name) {
    return fail(
      'AGENT_STATE_FOREIGN',
      `${path} belongs to trust domain "${state.value.trustDomain}", not "${trustDomain.name}"`,
    );
  }
  return ok(stateFile(path, state.value));
}

/** The bytes of a state. */
export function encodeState(state: AgentState): Uint8Array {
  const json = `${JSON.stringify(state)}\n`;
  return Buffer.from(`${MAGIC} ${sha256(json)}\n${json}`);
}

function decodeState(path: string, bytes: Uint8Array): Result<AgentState> {
  const text = Buffer.from(bytes).toString('utf8');
  const line = text.indexOf('\n');
  const [magic, digest] = text.slice(0, line).split(' ');
  const json = text.slice(line + 1);
  if (line === -1 || magic !== MAGIC || digest !== sha256(json)) {
    return fail('AGENT_STATE_CORRUPT', `${path} is damaged: its checksum does not fit`);
  }
  // Ours, since the checksum holds: no hostile duplicates, and no 64-bit numbers.
  const parsed = stateSchema.safeParse(JSON.parse(json));
  if (parsed.success) return ok(parsed.data);
  return fail('AGENT_STATE_CORRUPT', `${path} has a form that this version does not know`);
}

function stateFile(path: string, initial: AgentState): StateFile {
  let current = initial;
  let last: Promise<unknown> = Promise.resolve();
  const inOrder = <T>(action: () => Promise<T>): Promise<T> => {
    const next = last.then(action);
    last = next.catch(() => undefined);
    return next;
  };
  return {
    get current() {
      return current;
    },
    save(change) {
      current = { ...current, ...change };
      const state = current;
      return inOrder(() => writeFileAtomic(path, encodeState(state)));
    },
    async settled() {
      await last;
    },
    wipe() {
      current = { trustDomain: current.trustDomain };
      return inOrder(() => remove(path));
    },
  };
}

async function remove(path: string): Promise<Result<void>> {
  try {
    await rm(path, { force: true });
    return ok(undefined);
  } catch (error) {
    return writeFailure(path, error);
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
