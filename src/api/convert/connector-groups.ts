import { fail, ok, type Result } from '../../base/result.ts';
import type {
  GroupSpec,
  GroupStatus,
  ConnectorGroup as WireGroup,
} from '../../gen/signet/connector/v1/admin.ts';
import { ASSURANCE_BINDINGS } from '../../rules/assurance.ts';
import {
  CONNECTOR_PROOFS,
  type ConnectorGroup,
  type ConnectorGroupDraft,
} from '../../rules/connector/group.ts';

/** A group in its wire form. */
export function toWireGroup(group: ConnectorGroup, status: GroupStatus): WireGroup {
  return {
    spec: {
      name: group.name,
      minInstances: group.minInstances,
      maxInstances: group.maxInstances,
      segmentSelector: { ...group.segmentSelector },
      svidTtlSeconds: group.svidTtlSeconds,
      offlineSeconds: group.offlineSeconds,
      forgetAfterSeconds: group.forgetAfterSeconds,
      proofs: [...group.proofs],
      serviceAccounts: group.serviceAccounts.map((account) => ({ ...account })),
      spiffeIds: [...group.spiffeIds],
      zones: [...group.zones],
      assurance: group.assurance ?? '',
      requireAttestedNode: group.requireAttestedNode,
      segmentNamespaces: [...group.segmentNamespaces],
      segmentHosts: [...group.segmentHosts],
      updateWindow: group.updateWindow,
      maxUnavailable: group.maxUnavailable,
    },
    revision: group.revision,
    origin: group.origin,
    status,
  };
}

/** Reads a group that an operator states; its fields are still to be checked. */
export function fromWireGroup(spec: GroupSpec | undefined): Result<ConnectorGroupDraft> {
  if (spec === undefined) return fail('FIELD_MISSING', 'group is required');
  const proofs = spec.proofs.map((name) => CONNECTOR_PROOFS.find((proof) => proof === name));
  const known = proofs.filter((proof) => proof !== undefined);
  if (known.length !== proofs.length) {
    return fail('FIELD_INVALID', `proofs: one of ${CONNECTOR_PROOFS.join(', ')} each`);
  }
  const assurance = ASSURANCE_BINDINGS.find((binding) => binding === spec.assurance);
  if (assurance === undefined && spec.assurance !== '') {
    return fail('FIELD_INVALID', `assurance: one of ${ASSURANCE_BINDINGS.join(', ')}`);
  }
  return ok({ ...spec, proofs: known, assurance, origin: '' });
}
