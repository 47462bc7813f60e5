import type { ConnectorGroupDraft } from '../../src/rules/connector/group.ts';
import type { BoundKey, ProvisioningKey } from '../../src/rules/connector/keys.ts';
import type { ConnectorInstance } from '../../src/rules/connector/record.ts';
import type { ConnectorSegmentDraft } from '../../src/rules/connector/segment.ts';
import type { ConnectorSnapshot, EnrolmentWrite } from '../../src/store/connectors.ts';
import { id, START_SECONDS } from './state.ts';

/** A store's snapshot of connectors where there is none. */
export const NO_CONNECTORS: ConnectorSnapshot = {
  groups: [],
  segments: [],
  connectors: [],
  provisioningKeys: [],
  boundKeys: [],
};

/** What a connector says of itself; what is not said is empty. */
export function instanceInfo(extra: Partial<ConnectorInstance> = {}): ConnectorInstance {
  const nothing = { version: '', os: '', arch: '', hostname: '', podName: '', nodeName: '' };
  return { ...nothing, ...extra };
}

/** A group that an operator made, without limits, into which nobody may enrol yet. */
export function groupDraft(
  name: string,
  extra: Partial<ConnectorGroupDraft> = {},
): ConnectorGroupDraft {
  return {
    name,
    minInstances: 0,
    maxInstances: 0,
    segmentSelector: {},
    svidTtlSeconds: 0,
    offlineSeconds: 0,
    forgetAfterSeconds: 0,
    proofs: [],
    serviceAccounts: [],
    spiffeIds: [],
    zones: [],
    assurance: undefined,
    requireAttestedNode: false,
    segmentNamespaces: [],
    segmentHosts: [],
    updateWindow: '',
    maxUnavailable: 0,
    origin: '',
    ...extra,
  };
}

/** A segment `db.example.org:5432` that an operator made, of no group, for nobody. */
export function segmentDraft(
  segmentId: string,
  extra: Partial<ConnectorSegmentDraft> = {},
): ConnectorSegmentDraft {
  return {
    id: segmentId,
    hosts: ['db.example.org'],
    protocol: 'tcp',
    ports: [{ first: 5432, last: 5432 }],
    clients: [],
    upstreamTls: false,
    upstreamId: '',
    healthCheck: 'none',
    healthCheckIntervalSeconds: 0,
    healthCheckPath: '',
    draining: false,
    priority: 0,
    weight: 0,
    labels: {},
    groups: [],
    origin: '',
    ...extra,
  };
}

/** A provisioning key of a group, for one claimant, good for an hour. */
export function provisioningKey(
  keyId: string,
  group: string,
  extra: Partial<Omit<ProvisioningKey, 'uses'>> = {},
): Omit<ProvisioningKey, 'uses'> {
  return {
    id: keyId,
    secretHash: 'ab'.repeat(32),
    group,
    createdAtSeconds: START_SECONDS,
    expiresAtSeconds: START_SECONDS + 3600,
    maxUses: 1,
    cidrs: [],
    description: '',
    ...extra,
  };
}

/** A bound key of a group's connector of the same name, which may come back once. */
export function boundKey(
  keyId: string,
  group: string,
  extra: Partial<Omit<BoundKey, 'recoveryCount'>> = {},
): Omit<BoundKey, 'recoveryCount'> {
  return {
    id: keyId,
    publicKey: Uint8Array.of(1, 2, 3),
    group,
    connectorId: keyId,
    maxRecoveries: 1,
    createdAtSeconds: START_SECONDS,
    description: '',
    ...extra,
  };
}

/** The enrolment of a pod into a group, with a key of its own, that uses nothing up. */
export function enrolment(
  name: string,
  group: string,
  extra: Partial<EnrolmentWrite> & { readonly key?: string; readonly claimant?: string } = {},
): EnrolmentWrite {
  const { key = `key-${name}`, claimant = `pod:c/${name}`, ...write } = extra;
  return {
    claim: { proof: 'kubernetes-token', claimant, keySha256: key, agentId: undefined },
    group,
    newId: name,
    newSpiffeId: id(`/connector/${group}/${name}`),
    instance: instanceInfo(),
    use: undefined,
    nowSeconds: START_SECONDS,
    ...write,
  };
}
