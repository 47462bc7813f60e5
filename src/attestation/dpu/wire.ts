import { createHash } from 'node:crypto';
import { z } from 'zod';
import { fail, ok, type Result } from '../../base/result.ts';
import { decodeBase64 } from '../../spiffe/base64.ts';
import { jsonToPlain, parseJsonObject } from '../../spiffe/json.ts';

const MAX_DEPTH = 6;

/** Version of the messages. */
export const versionField = z.literal(1);

/** Name of a component, as BMCs name them. */
export const targetField = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);

/** Name of a session: 32 bytes. */
export const sessionField = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

/** Base64 of some bytes, or of exactly so many. */
export function base64Field(maxBytes: number, minBytes = 1) {
  return z
    .string()
    .max(Math.ceil(maxBytes / 3) * 4)
    .transform((text, context): Uint8Array => {
      const bytes = decodeBase64(text);
      if (bytes !== undefined && bytes.length >= minBytes && bytes.length <= maxBytes) return bytes;
      const message = `not base64 of ${minBytes} to ${maxBytes} bytes`;
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    });
}

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
  const json = parseJsonObject(bytes, { maxBytes, maxDepth: MAX_DEPTH });
  if (!json.ok) return fail('DPU_MESSAGE', `${what}: ${json.error.message}`);
  const checked = schema.safeParse(jsonToPlain(json.value));
  if (checked.success) return ok(checked.data);
  const [issue] = checked.error.issues;
  return fail('DPU_MESSAGE', `${what}: ${issue?.path.join('.')}: ${issue?.message}`);
}

/** A part of what is hashed, after its length: no other parts run together to the same bytes. */
export function withLength(part: Uint8Array): readonly Uint8Array[] {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(part.length);
  return [length, part];
}

/** SHA-256. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}
