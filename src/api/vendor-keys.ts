import { fail, ok, type Result } from '../base/result.ts';
import type { VendorKeys } from '../connectors/vendor/vendor-keys.ts';
import { GetVendorKeyResponse, type VendorKeysService } from '../gen/signet/connector/v1/vendor.ts';
import { requireConnectorNode } from '../policy/connector-grants.ts';
import type { ConnectorCaller } from '../policy/grant.ts';
import { requireFresh } from '../policy/grants.ts';
import type { CallContext, Encoded, Handlers } from '../rpc/service.ts';
import { sameSpiffeId } from '../spiffe/spiffe-id.ts';
import { fitAnswer } from './batch.ts';
import { type ApiContext, audit, connectorCaller } from './context.ts';

/** `signet.connector.v1.VendorKeys`: the vendor's key, for companions over their own SVID. */
export function createVendorKeysService(
  api: ApiContext,
  keys: VendorKeys,
): Handlers<VendorKeysService> {
  return { getVendorKey: (_request, context) => giveKey(api, keys, context) };
}

async function giveKey(
  api: ApiContext,
  keys: VendorKeys,
  context: CallContext,
): Promise<Result<Encoded>> {
  const caller = connectorCaller(context);
  if (!caller.ok) return caller;
  const { group, id, spiffeId } = caller.value.connector;
  const given = await keys.take({
    group,
    connectorId: id,
    mayHave: () => meetsGroup(api, caller.value),
    // On record before it is counted: a use without a record is none that was given.
    record: async () => {
      const connector = vendorKeyName(group);
      const requestedBy = `connector:${spiffeId.uri}`;
      return (await api.recordAct?.({ act: 'hand-out', connector, requestedBy })) ?? ok(undefined);
    },
  });
  if (!given.ok) return given;
  const { key, fingerprint, maxUses, uses } = given.value;
  audit(api, context, { connector: id, group, fingerprint, uses, maxUses });
  return fitAnswer(GetVendorKeyResponse, { key, maxUses, uses });
}

/** What the ledger calls the vendor key of a group. */
export function vendorKeyName(group: string): string {
  return `vendor-key/${group}`;
}

/**
 * Enrolled as the group demands now, which may be more than it did then, and not on its way out; by a
 * view that is not too old to know.
 */
function meetsGroup({ connectors, policy }: ApiContext, caller: ConnectorCaller): Result<void> {
  const fresh = requireFresh(policy);
  if (!fresh.ok) return fresh;
  // Not as it was when it called: it may have been revoked since, or made anew.
  const connector = connectors?.connector(caller.connector.id);
  if (connector === undefined || !sameSpiffeId(connector.spiffeId, caller.id)) {
    return fail('VENDOR_KEY_DENIED', `connector ${caller.connector.id} is gone`);
  }
  const group = connectors?.group(connector.group);
  if (group === undefined) {
    return fail('VENDOR_KEY_DENIED', `there is no connector group ${connector.group}`);
  }
  const node = requireConnectorNode(connector, policy);
  if (!node.ok) return node;
  if (connector.standing !== 'enrolled') {
    return fail('VENDOR_KEY_DENIED', `connector ${connector.id} is ${connector.standing}`);
  }
  if (group.proofs.includes(connector.proof)) return ok(undefined);
  const why = `group ${group.name} no longer takes ${connector.proof}`;
  return fail('VENDOR_KEY_DENIED', `connector ${connector.id}: ${why}`);
}
