import { z } from 'zod';
import { kubeName } from '../pod-certificate/settings.ts';

/** Name of a group, or all that begin so. */
const NAME_PATTERN = /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?|([a-z0-9][a-z0-9-]{0,61})?\*)$/;

const groupMakerSchema = z.strictObject({
  namespace: kubeName.describe('Namespace whose ConnectorGroups make groups.'),
  names: z
    .array(
      z.string().regex(NAME_PATTERN, 'must be the name of a group, or how names begin: edge-*'),
    )
    .min(1)
    .max(64)
    .describe(
      'Names that they may have: a name, or edge-* for all that begin so. A group has its name in the whole trust domain, not in its cluster.',
    ),
});

/** `kubernetes.clusters[].connectors`. */
export const kubeConnectorsSchema = z.strictObject({
  groups: z
    .array(groupMakerSchema)
    .max(256)
    .default([])
    .describe(
      'Whose ConnectorGroups make groups; nobody unless set. Who makes a group says which pods get its identities.',
    ),
  status: z
    .strictObject({
      leaseNamespace: kubeName.describe('Namespace of the Lease by which one server writes.'),
      leaseName: kubeName.default('signet-connectors').describe('Name of that Lease.'),
    })
    .optional()
    .describe('Writes into the status of the objects how they stand; not written unless set.'),
});

/** How ConnectorGroups and ConnectorSegments of one cluster are followed. */
export type KubeConnectorSettings = z.output<typeof kubeConnectorsSchema>;

/** Whether the objects of a namespace may make a group of this name. */
export function mayMakeGroup(
  { groups }: Pick<KubeConnectorSettings, 'groups'>,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): boolean {
  return groups.some(
    (maker) =>
      maker.namespace === namespace &&
      maker.names.some((pattern) =>
        pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
      ),
  );
}
