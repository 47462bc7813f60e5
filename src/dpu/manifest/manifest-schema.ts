import { z } from 'zod';
import type { Fwid } from '../../dice/firmware-id.ts';
import { DIGEST_BYTES, type ReferenceValue } from './reference-manifest.ts';

/** What the first field of a manifest says: the schema and its version. */
export const MANIFEST_SCHEMA = 'signet-reference-manifest/1';

/** Bounds of one manifest. */
export const MANIFEST_LIMITS = {
  maxBytes: 4 * 1024 * 1024,
  targets: 16,
  releases: 256,
  measurements: 254,
  values: 32,
  corims: 16,
  layers: 8,
  fwids: 16,
  /** Longest bit stream, in bytes. */
  rawBytes: 1024,
} as const;

/** Names: of manifests, releases, targets, classes. They go into selectors, so nothing odd is in them. */
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/, 'must be a plain name');

/** Index of a measurement; 0 and 255 are no measurements (DSP0274). */
const index = z.int().min(1).max(254);

/** Seconds in UTC, nothing else: an offset or a fraction would be read in two ways. */
const time = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'must be a time such as 2030-01-31T12:00:00Z')
  .refine((text) => toIso(Date.parse(text)) === text, 'must be a time that exists')
  .transform((text) => Date.parse(text));

function toIso(timeMs: number): string | undefined {
  return Number.isNaN(timeMs) ? undefined : new Date(timeMs).toISOString().replace('.000Z', 'Z');
}

const DIGEST = /^(sha256|sha384|sha512):((?:[0-9a-f]{2})+)$/;
const RAW = /^raw:((?:[0-9a-f]{2})+)$/;

/** `sha384:` and lower-case hex of exactly that digest's length. */
const digest = z.string().transform((text, context): Fwid => {
  const found = digestOf(text);
  if (found === undefined) context.addIssue('must be such as sha384: and 96 hex digits');
  return found ?? z.NEVER;
});

/** A digest, or `raw:` and lower-case hex. */
const value = z.string().transform((text, context): ReferenceValue => {
  const found = referenceOf(text);
  if (found === undefined) context.addIssue('must be such as sha512: or raw: and hex digits');
  return found ?? z.NEVER;
});

function digestOf(text: string): Fwid | undefined {
  const [, algorithm, hex = ''] = DIGEST.exec(text) ?? [];
  if (algorithm !== 'sha256' && algorithm !== 'sha384' && algorithm !== 'sha512') return undefined;
  const bytes = new Uint8Array(Buffer.from(hex, 'hex'));
  return bytes.length === DIGEST_BYTES[algorithm] ? { algorithm, digest: bytes } : undefined;
}

function referenceOf(text: string): ReferenceValue | undefined {
  const known = digestOf(text);
  if (known !== undefined) return { algorithm: known.algorithm, bytes: known.digest };
  const [, hex] = RAW.exec(text) ?? [];
  if (hex === undefined || hex.length > 2 * MANIFEST_LIMITS.rawBytes) return undefined;
  return { algorithm: 'raw', bytes: new Uint8Array(Buffer.from(hex, 'hex')) };
}

const measurement = z.strictObject({
  index,
  values: z.array(value).min(1).max(MANIFEST_LIMITS.values),
});

const indices = z
  .array(index)
  .max(MANIFEST_LIMITS.measurements)
  .refine((all) => new Set(all).size === all.length, 'must name no index twice');

/** Values out of a CoRIM: those of the environments that have all of these fields. */
const corimValues = z.strictObject({
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be the SHA-256 of a CoRIM in hex'),
  environment: z
    .strictObject({
      classId: z
        .string()
        .regex(/^\d{1,5}:[0-9a-f]{2,128}$/, 'must be a CBOR tag and hex such as 111:2b06')
        .optional(),
      vendor: z.string().max(256).optional(),
      model: z.string().max(256).optional(),
      layer: z.int().min(0).optional(),
      index: z.int().min(0).optional(),
    })
    .refine((fields) => Object.keys(fields).length > 0, 'must have a field'),
});

/** Where the values of a release are found in a CoRIM. */
export type CorimSelection = z.output<typeof corimValues>;

const release = z.strictObject({
  id: name,
  order: z.int().min(0),
  versions: z
    .array(z.strictObject({ part: name, version: name }))
    .max(32)
    .default([]),
  measurements: z.array(measurement).max(MANIFEST_LIMITS.measurements).default([]),
  corims: z.array(corimValues).max(MANIFEST_LIMITS.corims).default([]),
  layers: z
    .array(
      z.strictObject({
        name: z.string().regex(/^L[2-8]$/, 'must be a level such as L5'),
        fwids: z.array(digest).min(1).max(MANIFEST_LIMITS.fwids),
      }),
    )
    .max(MANIFEST_LIMITS.layers)
    .default([]),
});

const target = z.strictObject({
  id: name,
  deviceClass: name,
  format: measurement.optional(),
  fwids: z.enum(['required', 'ignored']),
  baseline: indices,
  rollbackCounters: indices.default([]),
  minimumRelease: name,
  releases: z.array(release).min(1).max(MANIFEST_LIMITS.releases),
});

/** A manifest as it is written. Every list is one of objects: no name is a key. */
export const manifestSchema = z.strictObject({
  schema: z.literal(MANIFEST_SCHEMA),
  id: name,
  sequence: z.int().min(1),
  issuedAt: time,
  expiresAt: time.optional(),
  targets: z.array(target).min(1).max(MANIFEST_LIMITS.targets),
});

/** A manifest as its schema reads it. */
export type WrittenManifest = z.output<typeof manifestSchema>;
