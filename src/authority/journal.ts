import { z } from 'zod';
import { fail, ok, type Result } from '../base/result.ts';

/** Kinds of authority; all live by the same rules. */
export const AUTHORITY_KINDS = ['x509', 'jwt'] as const;

/** A kind of authority. */
export type AuthorityKind = (typeof AUTHORITY_KINDS)[number];

const entrySchema = z.strictObject({
  kind: z.enum(AUTHORITY_KINDS),
  /** Slot of the key manager that holds its key, until a successor takes the slot. */
  slot: z.string(),
  /**
   * `prepared`: its key exists and the bundle holds it; nothing is signed with it. Entered when the
   *   active one nears half of its life; left for `active`.
   * `active`: signs. Exactly one of each kind. Entered from `prepared` when the one before nears
   *   its end, or at once where there is none; left for `old`.
   * `old`: signs no more; stays in the bundle until a day after it expired.
   */
  state: z.enum(['prepared', 'active', 'old']),
  /** Hex subject key identifier of an X.509 authority, key id of a JWT authority. */
  authorityId: z.string(),
  /** SubjectPublicKeyInfo DER, base64: ties the entry to its very key. */
  publicKey: z.base64(),
  /** Certificate DER, base64; X.509 only. */
  certificate: z.base64().optional(),
  /** Unix seconds. */
  issuedAtSeconds: z.int(),
  /** Unix seconds. */
  notAfterSeconds: z.int(),
});

const journalSchema = z.strictObject({ version: z.literal(1), entries: z.array(entrySchema) });

/** What the journal says of one authority. */
export type JournalEntry = Readonly<z.infer<typeof entrySchema>>;

/** Reads the journal as the store keeps it; none is an empty one. */
export function decodeJournal(bytes: Uint8Array | undefined): Result<readonly JournalEntry[]> {
  if (bytes === undefined) return ok([]);
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    return fail('AUTHORITY_JOURNAL_CORRUPT', 'the authority journal is not JSON', { cause });
  }
  const parsed = journalSchema.safeParse(json);
  if (parsed.success) return ok(parsed.data.entries);
  const path = parsed.error.issues[0]?.path.join('.') ?? '';
  return fail('AUTHORITY_JOURNAL_CORRUPT', `the authority journal is not valid at "${path}"`);
}

/** The journal as the store keeps it. */
export function encodeJournal(entries: readonly JournalEntry[]): Uint8Array {
  return Buffer.from(JSON.stringify({ version: 1, entries }), 'utf8');
}
