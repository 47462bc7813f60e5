import { fail, ok, type Result } from '../base/result.ts';
import type { Bundle as WireBundle } from '../gen/spire/api/types/bundle.ts';
import type { FederationRelationship } from '../gen/spire/api/types/federationrelationship.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../spiffe/json.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import { parseBundle } from './bundle-data.ts';
import { MAX_DATA_BYTES } from './files.ts';

/** A relationship as flags or a file give it, nothing checked; what is not given is undefined. */
export interface FederationInput {
  readonly trustDomain: string | undefined;
  readonly bundleEndpointUrl: string | undefined;
  readonly profile: string | undefined;
  readonly endpointId: string | undefined;
  /** Its bytes, and the form that they are in. */
  readonly bundle: { readonly bytes: Uint8Array; readonly format: string } | undefined;
}

/** The keys of a relationship in JSON: SPIRE's names, and those of the output of `-o json`. */
const KEYS: readonly string[] = [
  'trustDomain',
  'bundleEndpointURL',
  'bundleEndpointProfile',
  'endpointSPIFFEID',
  'trustDomainBundle',
  'trustDomainBundleFormat',
];

/** Reads `{"federationRelationships": [...]}`, SPIRE's file. Fails with CLI_DATA_INVALID. */
export function parseRelationships(bytes: Uint8Array): Result<FederationRelationship[]> {
  const document = parseJsonObject(bytes, { maxBytes: MAX_DATA_BYTES });
  if (!document.ok) return invalid(document.error.message);
  const list = document.value.get('federationRelationships');
  if (!Array.isArray(list) || list.length === 0 || document.value.size > 1) {
    return invalid('needs one list, "federationRelationships", that is not empty');
  }
  const relationships: FederationRelationship[] = [];
  for (const [i, value] of list.entries()) {
    const input = readInput(value);
    const read = input.ok ? toRelationship(input.value) : input;
    if (!read.ok) return invalid(`federationRelationships[${i}]: ${read.error.message}`);
    relationships.push(read.value);
  }
  return ok(relationships);
}

function readInput(value: JsonValue): Result<FederationInput> {
  if (!isJsonObject(value)) return invalid('is not an object');
  const unknown = [...value.keys()].find((key) => !KEYS.includes(key));
  if (unknown !== undefined) return invalid(`unknown key "${unknown}"`);
  const format = textOf(value, 'trustDomainBundleFormat') ?? 'pem';
  return ok({
    trustDomain: textOf(value, 'trustDomain'),
    bundleEndpointUrl: textOf(value, 'bundleEndpointURL'),
    profile: textOf(value, 'bundleEndpointProfile'),
    endpointId: textOf(value, 'endpointSPIFFEID'),
    bundle: bundleIn(value.get('trustDomainBundle'), format),
  });
}

/** PEM stands in a string, the SPIFFE form as an object. */
function bundleIn(value: JsonValue | undefined, format: string): FederationInput['bundle'] {
  if (value === undefined) return undefined;
  const text = typeof value === 'string' ? value : writeJson(value);
  return { bytes: Buffer.from(text), format };
}

/** JSON text of a value; integers beyond 2^53 as they were. */
function writeJson(value: JsonValue): string {
  if (typeof value === 'bigint') return String(value);
  if (isJsonObject(value)) {
    const members = [...value].map(([key, one]) => `${JSON.stringify(key)}:${writeJson(one)}`);
    return `{${members.join(',')}}`;
  }
  if (Array.isArray(value)) return `[${value.map((one: JsonValue) => writeJson(one)).join(',')}]`;
  return JSON.stringify(value);
}

function textOf(object: JsonObject, key: string): string | undefined {
  const value = object.get(key);
  return typeof value === 'string' ? value : undefined;
}

/** The message of a relationship that is stated whole. Fails with CLI_USAGE. */
export function toRelationship(input: FederationInput): Result<FederationRelationship> {
  const { trustDomain, bundleEndpointUrl } = input;
  if (trustDomain === undefined) return usage('a trust domain is required');
  if (bundleEndpointUrl === undefined) return usage('the URL of the bundle endpoint is required');
  const bundle = readBundle(trustDomain, input);
  if (!bundle.ok) return bundle;
  const stated = { trustDomain, bundleEndpointUrl, trustDomainBundle: bundle.value };
  if (input.profile === 'https_web') {
    return ok({ ...stated, bundleEndpointProfile: { $case: 'httpsWeb', value: {} } });
  }
  if (input.profile !== 'https_spiffe') {
    return usage('needs the profile of the bundle endpoint: https_web or https_spiffe');
  }
  const id = parseSpiffeId(input.endpointId ?? '');
  if (!id.ok) return usage(`https_spiffe needs the SPIFFE ID of the endpoint: ${id.error.message}`);
  const value = { endpointSpiffeId: id.value.uri };
  return ok({ ...stated, bundleEndpointProfile: { $case: 'httpsSpiffe', value } });
}

function readBundle(
  trustDomain: string,
  { bundle }: FederationInput,
): Result<WireBundle | undefined> {
  return bundle === undefined
    ? ok(undefined)
    : parseBundle(trustDomain, bundle.bytes, bundle.format);
}

function usage(problem: string): Result<never> {
  return fail('CLI_USAGE', problem);
}

function invalid(problem: string): Result<never> {
  return fail('CLI_DATA_INVALID', problem);
}
