import { z } from 'zod';
import { fail, ok, type Result } from '../base/result.ts';

/** Kinds of authority; all live by the same rules. */
export const AUTHORITY_KINDS = ['x509', 'jwt'] as const;

/** A kind of authority. */
export type AuthorityKind = (typeof AUTHORITY_KINDS)[number];

/** States of an authority, in the order in which it goes through them. */
export const AUTHORITY_STATES = [
  'prepared',
  'published',
  'active',
  'old',
  'tainted',
  'revoked',
  'expired',
] as const;

/** Where in its life an authority is. */
export type AuthorityState = (typeof AUTHORITY_STATES)[number];

const entryFields = {
  kind: z.enum(AUTHORITY_KINDS),
  /** Slot of the key manager that holds its key, until a successor takes the slot. */
  slot: z.string(),
  /** Hex subject key identifier of an X.509 authority, key id of a JWT authority. */
  authorityId: z.string(),
  /** SubjectPublicKeyInfo DER, base64: ties the entry to its very key. */
  publicKey: z.base64(),
  /** Certificate DER, base64; X.509 only. */
  certificate: z.base64().optional(),
  /** Where an upstream authority signed the certificate; DER, base64. */
  upstream: z
    .strictObject({
      /** CAs between it and the root, nearest first. */
      chain: z.array(z.base64()),
      /** Roots that came with it; the first is the one that it leads to. */
      roots: z.tuple([z.base64()], z.base64()),
    })
    .optional(),
  /** Unix seconds. */
  issuedAtSeconds: z.int(),
  /** Unix seconds. */
  notAfterSeconds: z.int(),
};

const entrySchema = z.strictObject({
  ...entryFields,
  /**
   * `prepared`: its key exists; nobody knows it yet. Entered when the active one nears half of its
   *   life, or by hand; left for `published` at once, unless publishing fails.
   * `published`: the bundle holds it; nothing is signed with it. Left for `active`, or dropped when
   *   another is prepared in its place.
   * `active`: signs. Exactly one of each kind. Entered from `published` when the one before nears
   *   its end or by hand, behind the propagation barrier; or at once where nothing else can sign.
   *   Left for `old`, when another becomes active.
   * `old`: signs no more; stays in the bundle until a day after it expired.
   * `tainted`: as `old`, and agents are told to renew what it signed. Entered from `old`, by hand.
   * `revoked`: has left the bundle, its key is given up. Entered from `tainted`, by hand.
   * `expired`: past its end, its key is given up. Entered from `old` and `tainted`.
   * Entries leave the journal a day after their end.
   */
  state: z.enum(AUTHORITY_STATES),
  /** Sequence of the first bundle with it; from `published` on. */
  publishedSequence: z.int().optional(),
  /** Unix seconds; from `published` on. */
  publishedAtSeconds: z.int().optional(),
});

/** What the program wrote before there was a state of its own for what is published. */
const entrySchemaV1 = z.strictObject({
  ...entryFields,
  state: z.enum(['prepared', 'active', 'old']),
});

const journalSchema = z.discriminatedUnion('version', [
  z.strictObject({ version: z.literal(1), entries: z.array(entrySchemaV1) }),
  z.strictObject({
    version: z.literal(2),
    entries: z.array(entrySchema),
    /** Roots of upstreams that were revoked here: SHA-256 of their keys, base64. */
    distrusted: z.array(z.base64()).optional(),
  }),
]);

/** What the journal says of one authority. */
export type JournalEntry = Readonly<z.infer<typeof entrySchema>>;

/** What the journal holds. */
export interface Journal {
  readonly entries: readonly JournalEntry[];
  /** Roots of upstreams that were revoked here: SHA-256 of their keys, base64. */
  readonly distrusted: readonly string[];
}

/** The entries of the journal as the store keeps it; none is an empty one. */
export function decodeJournal(bytes: Uint8Array | undefined): Result<readonly JournalEntry[]> {
  const journal = readJournal(bytes);
  return journal.ok ? ok(journal.value.entries) : journal;
}

/** Reads the journal as the store keeps it; none is an empty one. */
export function readJournal(bytes: Uint8Array | undefined): Result<Journal> {
  if (bytes === undefined) return ok({ entries: [], distrusted: [] });
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    return fail('AUTHORITY_JOURNAL_CORRUPT', 'the authority journal is not JSON', { cause });
  }
  const parsed = journalSchema.safeParse(json);
  if (parsed.success) {
    if (parsed.data.version === 1) {
      return ok({ entries: parsed.data.entries.map(fromV1), distrusted: [] });
    }
    const { entries, distrusted = [] } = parsed.data;
    return ok({ entries, distrusted });
  }
  const path = parsed.error.issues[0]?.path.join('.') ?? '';
  return fail('AUTHORITY_JOURNAL_CORRUPT', `the authority journal is not valid at "${path}"`);
}

/**
 * Prepared meant published then. Sequence 0: acknowledgements are kept only since there is this
 * version, so each one that is kept is of a bundle with the authority in it.
 */
function fromV1(entry: z.infer<typeof entrySchemaV1>): JournalEntry {
  const { state } = entry;
  return {
    ...entry,
    state: state === 'prepared' ? 'published' : state,
    publishedSequence: 0,
    publishedAtSeconds: entry.issuedAtSeconds,
  };
}

/** The journal as the store keeps it. */
export function encodeJournal(
  entries: readonly JournalEntry[],
  distrusted: readonly string[] = [],
): Uint8Array {
  // A program that does not know of it could trust such a root again: it refuses the journal instead.
  const more = distrusted.length === 0 ? {} : { distrusted };
  return Buffer.from(JSON.stringify({ version: 2, entries, ...more }), 'utf8');
}
