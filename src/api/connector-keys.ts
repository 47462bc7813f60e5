import { fail, ok, type Result } from '../base/result.ts';
import { newProvisioningKey } from '../connectors/enrol/key-text.ts';
import {
  type CreateProvisioningKeyRequest,
  type CreateProvisioningKeyResponse,
  ListProvisioningKeysResponse,
  type ListRequest,
  type ProvisioningKey as WireKey,
} from '../gen/signet/connector/v1/admin.ts';
import { listPage } from '../registry/listing.ts';
import type { Page } from '../registry/registry.ts';
import { SortedKeys } from '../registry/sorted-keys.ts';
import type { CallContext, Encoded } from '../rpc/service.ts';
import { formatCidr, parseCidr } from '../rules/connector/address.ts';
import type { ProvisioningKey } from '../rules/connector/keys.ts';
import { fitAnswer } from './batch.ts';
import { lineField } from './connector-fields.ts';
import { knownGroup, unknownGroup } from './connector-groups.ts';
import { type ConnectorAdminContext, noteConnectorAct } from './connector-writes.ts';

const DEFAULT_TTL_SECONDS = 86_400;

/** Longest life of a provisioning key, in seconds: 90 days. */
export const MAX_KEY_TTL_SECONDS = 90 * 86_400;

/** Most claimants of one provisioning key. */
export const MAX_KEY_USES = 100_000;

/** Most blocks of addresses of one provisioning key. */
export const MAX_KEY_CIDRS = 32;

/** Makes a provisioning key. Its text is in this answer and nowhere else: what is kept is a hash. */
export async function createProvisioningKey(
  admin: ConnectorAdminContext,
  request: CreateProvisioningKeyRequest,
  context: CallContext,
): Promise<Result<CreateProvisioningKeyResponse>> {
  const group = knownGroup(admin, request.group);
  if (!group.ok) return group;
  const terms = readTerms(request);
  if (!terms.ok) return terms;
  const { api } = admin;
  const { id, text, secretHash } = newProvisioningKey(api.random);
  const createdAtSeconds = Math.floor(api.clock.nowMs() / 1000);
  const { ttlSeconds, ...rest } = terms.value;
  const key = {
    ...rest,
    id,
    secretHash,
    group: group.value.name,
    createdAtSeconds,
    expiresAtSeconds: createdAtSeconds + ttlSeconds,
  };
  const created = await api.registry.connectors.createProvisioningKey(key);
  if (!created.ok) return created;
  if (created.value === 'group-missing') return unknownGroup(key.group);
  if (created.value === 'exists') return fail('CONNECTOR_CHANGED', 'another key has this ID');
  await noteConnectorAct(admin, context, { act: 'create', connector: `key/${id}` });
  if (!group.value.proofs.includes('provisioning-key')) {
    context.note(
      `group ${key.group} does not take provisioning keys: add the proof provisioning-key`,
    );
  }
  return ok({ key: text, info: toWireKey({ ...key, uses: 0 }) });
}

/** Provisioning keys in the order of their IDs, without their secrets. */
export function listProvisioningKeys(
  { api }: ConnectorAdminContext,
  request: ListRequest,
): Result<Encoded> {
  const page = pageOf(api.registry.connectors.provisioningKeys(), request);
  if (!page.ok) return page;
  const { items, nextPageToken } = page.value;
  return fitAnswer(ListProvisioningKeysResponse, { keys: items.map(toWireKey), nextPageToken });
}

/** Deletes a provisioning key; who enrolled with it stays. */
export async function deleteProvisioningKey(
  admin: ConnectorAdminContext,
  id: string,
  context: CallContext,
): Promise<Result<Record<string, never>>> {
  const deleted = await admin.api.registry.connectors.deleteProvisioningKeys([id]);
  if (!deleted.ok) return deleted;
  if (deleted.value[0] !== true) return unknownKey('provisioning key', id);
  await noteConnectorAct(admin, context, { act: 'delete', connector: `key/${id}` });
  return ok({});
}

/** One page of keys of a group, or of all, in the order of their IDs. */
export function pageOf<T extends { readonly id: string; readonly group: string }>(
  keys: Iterable<T>,
  { group, ...query }: ListRequest,
): Result<Page<T>> {
  const matches = (key: T): boolean => group === '' || key.group === group;
  const source = { keys: new SortedKeys([]), get: () => undefined, keyOf: ({ id }: T) => id };
  return listPage({ ...source, matches, candidates: keys }, query);
}

/** No key has this ID. */
export function unknownKey(what: string, id: string): Result<never> {
  return fail('CONNECTOR_KEY_NOT_FOUND', `there is no ${what} ${JSON.stringify(id.slice(0, 80))}`);
}

interface Terms extends Pick<ProvisioningKey, 'maxUses' | 'cidrs' | 'description'> {
  readonly ttlSeconds: number;
}

function readTerms(request: CreateProvisioningKeyRequest): Result<Terms> {
  const ttlSeconds = request.ttlSeconds || DEFAULT_TTL_SECONDS;
  if (ttlSeconds > MAX_KEY_TTL_SECONDS) {
    return fail('FIELD_INVALID', `ttl_seconds: at most ${MAX_KEY_TTL_SECONDS}, 90 days`);
  }
  const maxUses = request.maxUses || 1;
  if (maxUses > MAX_KEY_USES) return fail('FIELD_INVALID', `max_uses: at most ${MAX_KEY_USES}`);
  if (request.cidrs.length > MAX_KEY_CIDRS) {
    return fail('FIELD_INVALID', `cidrs: ${request.cidrs.length}; at most ${MAX_KEY_CIDRS}`);
  }
  const cidrs: string[] = [];
  for (const text of request.cidrs) {
    const cidr = parseCidr(text);
    if (cidr === undefined) {
      const shown = JSON.stringify(text.slice(0, 80));
      return fail(
        'FIELD_INVALID',
        `cidrs: ${shown} is no address and no CIDR without bits below it`,
      );
    }
    cidrs.push(formatCidr(cidr));
  }
  const description = lineField('description', request.description);
  if (!description.ok) return description;
  return ok({ ttlSeconds, maxUses, cidrs, description: description.value });
}

function toWireKey(key: ProvisioningKey): WireKey {
  return {
    id: key.id,
    group: key.group,
    createdAt: BigInt(key.createdAtSeconds),
    expiresAt: BigInt(key.expiresAtSeconds),
    maxUses: key.maxUses,
    uses: key.uses,
    cidrs: [...key.cidrs],
    description: key.description,
  };
}
