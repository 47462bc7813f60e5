import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Result } from '../../base/result.ts';
import { readMessage } from '../strict-message.ts';

/** Version of the messages. */
export const versionField = z.literal(1);

/** Name of a component, as BMCs name them. */
export const targetField = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);

/** Name of a session: 32 bytes. */
export const sessionField = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

/** A message as it travels. */
export function encodeMessage(message: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(JSON.stringify(message));
}

/** Reads a message; fails with DPU_MESSAGE. */
export function decodeMessage<T>(
  what: string,
  schema: z.ZodType<T>,
  bytes: Uint8Array,
  maxBytes: number,
): Result<T> {
  return readMessage(bytes, schema, { what, maxBytes, code: 'DPU_MESSAGE' });
}

/** SHA-256. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}
