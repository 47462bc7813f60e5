import { join } from 'node:path';
import { z } from 'zod';
import { fail, type Result } from '../../src/base/result.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';
import { encodeStateFile, openStateFile, type StateFile as StateFileOf } from '../state-file.ts';

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
export type StateFile = StateFileOf<AgentState>;

/**
 * Opens the state in a data directory that this process holds. Fails with AGENT_STATE_CORRUPT or
 * AGENT_STATE_FOREIGN: a key that cannot be trusted to be whole is never used.
 */
export async function openState(
  directory: string,
  trustDomain: TrustDomain,
): Promise<Result<StateFile>> {
  const path = join(directory, STATE_FILE);
  const state = await openStateFile<AgentState>({
    path,
    magic: MAGIC,
    maxBytes: MAX_STATE_BYTES,
    schema: stateSchema,
    initial: { trustDomain: trustDomain.name },
    corrupt: 'AGENT_STATE_CORRUPT',
  });
  if (!state.ok) return state;
  const { trustDomain: found } = state.value.current;
  if (found === trustDomain.name) return state;
  return fail(
    'AGENT_STATE_FOREIGN',
    `${path} belongs to trust domain "${found}", not "${trustDomain.name}"`,
  );
}

/** The bytes of a state. */
export function encodeState(state: AgentState): Uint8Array {
  return encodeStateFile(MAGIC, state);
}
