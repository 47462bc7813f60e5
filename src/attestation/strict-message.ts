import { createHash } from 'node:crypto';
import { z } from 'zod';
import { concatBytes } from '../base/bytes.ts';
import type { ErrorCode } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { decodeBase64 } from '../spiffe/base64.ts';
import { jsonToPlain, parseJsonObject } from '../spiffe/json.ts';

const MAX_DEPTH = 6;

/** How a message is read. */
export interface MessageRules {
  /** What it is, for the reason of a refusal. */
  readonly what: string;
  readonly maxBytes: number;
  /** Code of a refusal. */
  readonly code: ErrorCode;
}

/** Reads a JSON message by its schema: keys twice, unknown names and whatever is too large are refused. */
export function readMessage<T>(
  bytes: Uint8Array,
  schema: z.ZodType<T>,
  { what, maxBytes, code }: MessageRules,
): Result<T> {
  const json = parseJsonObject(bytes, { maxBytes, maxDepth: MAX_DEPTH });
  if (!json.ok) return fail(code, `${what}: ${json.error.message}`);
  const checked = schema.safeParse(jsonToPlain(json.value));
  if (checked.success) return ok(checked.data);
  const [issue] = checked.error.issues;
  return fail(code, `${what}: ${issue?.path.join('.')}: ${issue?.message}`);
}

/** A field of bytes in base64: so many at most, and at least. */
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

/** SHA-256 over parts, each after its length, so that no other parts run together to the same bytes. */
export function digestOfParts(parts: readonly Uint8Array[]): Uint8Array {
  const whole = concatBytes(parts.flatMap(withLength));
  return createHash('sha256').update(whole).digest();
}

/** A part of what is hashed, after its length. */
export function withLength(part: Uint8Array): readonly Uint8Array[] {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(part.length);
  return [length, part];
}
