import type { Result } from '../../base/result.ts';
import { ASSURANCE_BINDINGS } from '../assurance.ts';
import { CONNECTOR_PROOFS, type ConnectorGroupDraft } from '../connector/group.ts';
import { checkGroupDraft } from '../connector/group-checks.ts';
import { type ConnectorObjectName, connectorOriginOf } from '../connector/permission.ts';
import { FieldReader, type JsonObject } from './fields.ts';

/**
 * The group that a ConnectorGroup of signet.dev/v1alpha1 states. Whom it lets enrol, and whom it lets define
 * segments, is of its own cluster: what it says of service accounts and namespaces holds there alone. Fails
 * with RULE_SPEC and CONNECTOR_GROUP_INVALID.
 */
export function parseConnectorGroup(
  object: ConnectorObjectName,
  spec: JsonObject,
): Result<ConnectorGroupDraft> {
  const fields = new FieldReader(spec);
  const draft = {
    name: object.name,
    minInstances: fields.count('minInstances'),
    maxInstances: fields.count('maxInstances'),
    segmentSelector: readLabels(fields, 'segmentSelector'),
    svidTtlSeconds: fields.seconds('ttl'),
    offlineSeconds: fields.seconds('offline'),
    forgetAfterSeconds: fields.seconds('forgetAfter'),
    proofs: readProofs(fields),
    serviceAccounts: fields.objects('serviceAccounts').map((account) => ({
      cluster: object.cluster,
      namespace: account.text('namespace') || object.namespace,
      name: account.required('name'),
    })),
    spiffeIds: fields.texts('spiffeIDs'),
    zones: fields.counts('zones'),
    assurance: readAssurance(fields),
    requireAttestedNode: fields.flag('requireAttestedNode'),
    segmentNamespaces: fields
      .texts('segmentNamespaces')
      .map((namespace) => `${object.cluster}/${namespace}`),
    segmentHosts: fields.texts('segmentHosts'),
    updateWindow: fields.text('updateWindow'),
    maxUnavailable: fields.count('maxUnavailable'),
    origin: connectorOriginOf(object),
  };
  const read = fields.answer(draft);
  return read.ok ? checkGroupDraft(read.value) : read;
}

/** Labels that all have to be there (`matchLabels`); none where it is absent. */
function readLabels(fields: FieldReader, key: string): Readonly<Record<string, string>> {
  return Object.fromEntries(fields.object(key)?.textMap('matchLabels') ?? []);
}

function readProofs(fields: FieldReader): ConnectorGroupDraft['proofs'] {
  return fields.texts('proofs').flatMap((text) => {
    const proof = CONNECTOR_PROOFS.find((one) => one === text);
    if (proof === undefined) fields.refuse('proofs', `has none of ${CONNECTOR_PROOFS.join(', ')}`);
    return proof ?? [];
  });
}

function readAssurance(fields: FieldReader): ConnectorGroupDraft['assurance'] {
  const text = fields.text('assurance');
  const binding = ASSURANCE_BINDINGS.find((one) => one === text);
  if (text !== '' && binding === undefined) {
    fields.refuse('assurance', `is none of ${ASSURANCE_BINDINGS.join(', ')}`);
  }
  return binding;
}
