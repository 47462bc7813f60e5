import { ok, type Result } from '../../base/result.ts';
import type { JsonObject } from '../../spiffe/json.ts';
import { malformed, readAttestationJson } from '../json-payload.ts';

/** Name of the attestor: `AttestationData.type`, type of its selectors, and the segment of agent IDs. */
export const K8S_PSAT_TYPE = 'k8s_psat';

/** Largest payload in bytes; the tokens of API servers have 1 to 2 KB. */
export const MAX_K8S_PSAT_BYTES = 16 * 1024;

/** Longest name of a cluster in characters. */
export const MAX_CLUSTER_NAME = 253;

/** What an agent shows (spire-compatibility A.4). */
export interface K8sPsatPayload {
  /** Name of the cluster, as the server calls it. */
  readonly cluster: string;
  /** Projected token of the agent's service account. */
  readonly token: string;
}

/** The payload as it travels. */
export function encodeK8sPsatPayload({ cluster, token }: K8sPsatPayload): Buffer {
  return Buffer.from(JSON.stringify({ cluster, token }));
}

/** Reads a payload; fails with ATTESTATION_PAYLOAD. */
export function decodeK8sPsatPayload(bytes: Uint8Array): Result<K8sPsatPayload> {
  const object = readAttestationJson(bytes, MAX_K8S_PSAT_BYTES);
  if (!object.ok) return object;
  const cluster = textOf(object.value, 'cluster', MAX_CLUSTER_NAME);
  if (!cluster.ok) return cluster;
  const token = textOf(object.value, 'token', MAX_K8S_PSAT_BYTES);
  return token.ok ? ok({ cluster: cluster.value, token: token.value }) : token;
}

function textOf(object: JsonObject, name: string, max: number): Result<string> {
  const value = object.get(name);
  if (typeof value !== 'string' || value === '') return malformed(`${name} is missing`);
  return value.length <= max ? ok(value) : malformed(`${name} is longer than ${max} characters`);
}
