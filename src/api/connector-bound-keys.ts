import { createHash } from 'node:crypto';
import { fail, ok, type Result } from '../base/result.ts';
import {
  ListBoundKeysResponse,
  type ListRequest,
  type RegisterBoundKeyRequest,
  type BoundKey as WireBoundKey,
} from '../gen/signet/connector/v1/admin.ts';
import type { CallContext, Encoded } from '../rpc/service.ts';
import type { BoundKey } from '../rules/connector/keys.ts';
import { checkKeyPolicy } from '../x509/key-policy.ts';
import { parsePublicKey } from '../x509/public-key.ts';
import { fitAnswer } from './batch.ts';
import { connectorIdField, lineField } from './connector-fields.ts';
import { knownGroup, unknownGroup } from './connector-groups.ts';
import { pageOf, unknownKey } from './connector-keys.ts';
import { type ConnectorAdminContext, noteConnectorAct } from './connector-writes.ts';

/** Most recoveries that one key may be allowed. */
export const MAX_RECOVERIES = 1_000_000;

/** Registers a public key by which one connector comes back; its counter, where it has one, stays. */
export async function registerBoundKey(
  admin: ConnectorAdminContext,
  request: RegisterBoundKeyRequest,
  context: CallContext,
): Promise<Result<WireBoundKey>> {
  const group = knownGroup(admin, request.group);
  if (!group.ok) return group;
  const key = readKey(request);
  if (!key.ok) return key;
  const { api } = admin;
  const createdAtSeconds = Math.floor(api.clock.nowMs() / 1000);
  const { connectors } = api.registry;
  const registered = await connectors.registerBoundKey({
    ...key.value,
    group: group.value.name,
    createdAtSeconds,
  });
  if (!registered.ok) return registered;
  if (registered.value === 'group-missing') return unknownGroup(group.value.name);
  if (registered.value === 'exists') {
    const what = `bound key ${key.value.id} is of another group or connector`;
    return fail('CONNECTOR_BOUND_KEY_EXISTS', what);
  }
  const { id } = key.value;
  await noteConnectorAct(admin, context, { act: 'create', connector: `bound-key/${id}` });
  if (!group.value.proofs.includes('bound-key')) {
    context.note(`group ${group.value.name} does not take bound keys: add the proof bound-key`);
  }
  const kept = connectors.boundKey(id);
  return kept === undefined ? unknownKey('bound key', id) : ok(toWireBoundKey(kept));
}

/** Bound keys in the order of their IDs. */
export function listBoundKeys(
  { api }: ConnectorAdminContext,
  request: ListRequest,
): Result<Encoded> {
  const page = pageOf(api.registry.connectors.boundKeys(), request);
  if (!page.ok) return page;
  const { items, nextPageToken } = page.value;
  return fitAnswer(ListBoundKeysResponse, { keys: items.map(toWireBoundKey), nextPageToken });
}

/** Deletes a bound key; its connector stays for as long as its SVID is good. */
export async function deleteBoundKey(
  admin: ConnectorAdminContext,
  id: string,
  context: CallContext,
): Promise<Result<Record<string, never>>> {
  const deleted = await admin.api.registry.connectors.deleteBoundKeys([id]);
  if (!deleted.ok) return deleted;
  if (deleted.value[0] !== true) return unknownKey('bound key', id);
  await noteConnectorAct(admin, context, { act: 'delete', connector: `bound-key/${id}` });
  return ok({});
}

function readKey(
  request: RegisterBoundKeyRequest,
): Result<Pick<BoundKey, 'id' | 'publicKey' | 'connectorId' | 'maxRecoveries' | 'description'>> {
  const { publicKey, maxRecoveries } = request;
  if (publicKey.length === 0) return fail('FIELD_MISSING', 'public_key is required');
  const parsed = parsePublicKey(publicKey);
  if (!parsed.ok) return parsed;
  const strong = checkKeyPolicy(parsed.value);
  if (!strong.ok) return strong;
  if (maxRecoveries > MAX_RECOVERIES) {
    return fail('FIELD_INVALID', `max_recoveries: at most ${MAX_RECOVERIES}`);
  }
  const description = lineField('description', request.description);
  if (!description.ok) return description;
  const id = createHash('sha256').update(publicKey).digest('hex');
  // By the key, so that registering it twice is the same registration.
  const stated = request.connectorId || `key-${id.slice(0, 16)}`;
  const connectorId = connectorIdField('connector_id', stated);
  if (!connectorId.ok) return connectorId;
  return ok({
    id,
    publicKey: Uint8Array.from(publicKey),
    connectorId: connectorId.value,
    maxRecoveries,
    description: description.value,
  });
}

function toWireBoundKey(key: BoundKey): WireBoundKey {
  return {
    id: key.id,
    group: key.group,
    connectorId: key.connectorId,
    maxRecoveries: key.maxRecoveries,
    recoveryCount: key.recoveryCount,
    createdAt: BigInt(key.createdAtSeconds),
    description: key.description,
  };
}
