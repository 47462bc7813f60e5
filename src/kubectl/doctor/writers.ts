import { ok, type Result } from '../../base/result.ts';
import { counted } from '../../cli/text.ts';
import type { KubeObject } from '../../kube/objects.ts';
import { type Cluster, eachObject } from '../clusters.ts';
import type { BundleCopy } from '../model.ts';
import { type Finding, findingOf } from './finding.ts';
import { type Action, holdersOf, isNode, type Roles } from './roles.ts';

const RBAC = { group: 'rbac.authorization.k8s.io', version: 'v1' };

/** An action, as it is told. */
interface Told {
  readonly check: string;
  readonly action: Action;
  /** Whoever may do it beside superusers is one too many; kubelets may. */
  readonly nodesAlone: boolean;
  readonly remedy: string;
}

const WRITE: readonly string[] = ['create', 'update', 'patch'];

/**
 * Who may write what identities and trust come from, by roles and their bindings. One hint in their
 * place where those may not be listed.
 */
export async function writerFindings(
  cluster: Cluster,
  copies: readonly BundleCopy[],
  podRequests: boolean,
): Promise<readonly Finding[]> {
  const { context } = cluster;
  const roles = await readRoles(cluster);
  if (!roles.ok) {
    const remedy =
      'ask somebody who may list roles, rolebindings, clusterroles and clusterrolebindings ' +
      `of ${RBAC.group}: who may write rules and bundles is not seen without`;
    return [findingOf(context, 'who may write', roles.error.code, 'Hint', remedy)];
  }
  return told(copies, podRequests).map((one) => holderFinding(context, one, roles.value));
}

function told(copies: readonly BundleCopy[], podRequests: boolean): readonly Told[] {
  const maps = copies.filter(({ place, isPublished }) => isPublished && place.source === 'cm');
  const requests: Told = {
    check: 'create pod certificates',
    action: {
      verbs: ['create'],
      group: 'certificates.k8s.io',
      resources: ['podcertificaterequests'],
      isOfNamespace: true,
    },
    nodesAlone: true,
    remedy:
      'take create on podcertificaterequests.certificates.k8s.io from all but kubelets: ' +
      'whoever has it gets certificates of any pod, with a key of his own',
  };
  const published: Told = {
    check: 'write published maps',
    action: {
      verbs: WRITE,
      group: '',
      resources: ['configmaps'],
      isOfNamespace: true,
      names: new Set(maps.map(({ place }) => place.name)),
      namespaces: new Set(maps.map(({ place }) => place.namespace)),
    },
    nodesAlone: false,
    remedy:
      "these may change what workloads trust, beside Signet's account; mount the ClusterTrustBundle " +
      'where that is too many',
  };
  return [...(podRequests ? [requests] : []), ...RULES, ...(maps.length > 0 ? [published] : [])];
}

const RULES: readonly Told[] = [
  {
    check: 'write ClusterSPIFFEIDs',
    action: {
      verbs: WRITE,
      group: 'spire.spiffe.io',
      resources: ['clusterspiffeids', 'clusterstaticentries'],
      isOfNamespace: false,
    },
    nodesAlone: false,
    remedy: 'these may give any pod any SPIFFE ID: let each be one who should',
  },
  {
    check: 'write path grants',
    action: {
      verbs: WRITE,
      group: 'signet.dev',
      resources: ['workloadidentitygrants'],
      isOfNamespace: false,
    },
    nodesAlone: false,
    remedy: 'these may let namespaces give themselves SPIFFE IDs: let each be one who should',
  },
  {
    check: 'write trust bundles',
    action: {
      verbs: WRITE,
      group: 'certificates.k8s.io',
      resources: ['clustertrustbundles'],
      isOfNamespace: false,
    },
    nodesAlone: false,
    remedy: "these may change what the cluster trusts, beside Signet's account",
  },
];

function holderFinding(
  context: string,
  { check, action, nodesAlone, remedy }: Told,
  roles: Roles,
): Finding {
  const { named, everybody, superusers } = holdersOf(action, roles);
  const others = nodesAlone ? named.filter((one) => !isNode(one)) : named;
  const beside = counted(superusers, 'superuser', 'superusers');
  const isGrave = nodesAlone || everybody.length > 0;
  const result = others.length === 0 ? 'Ok' : isGrave ? 'Failed' : 'Hint';
  const found = others.length === 0 ? `${beside} alone` : `${others.length} beside ${beside}`;
  return { ...findingOf(context, check, found, result, remedy), details: others };
}

async function readRoles(cluster: Cluster): Promise<Result<Roles>> {
  const list = async (plural: string, isOfNamespace: boolean) => {
    const objects: KubeObject[] = [];
    const namespace = isOfNamespace ? cluster.namespace : undefined;
    const resource = { ...RBAC, plural, namespace };
    const listed = await eachObject(cluster, resource, {}, (one) => objects.push(one));
    return listed.ok ? ok(objects) : listed;
  };
  const [clusterRoles, clusterRoleBindings, roles, roleBindings] = await Promise.all([
    list('clusterroles', false),
    list('clusterrolebindings', false),
    list('roles', true),
    list('rolebindings', true),
  ]);
  if (!clusterRoles.ok) return clusterRoles;
  if (!clusterRoleBindings.ok) return clusterRoleBindings;
  if (!roles.ok) return roles;
  if (!roleBindings.ok) return roleBindings;
  return ok({
    clusterRoles: clusterRoles.value,
    clusterRoleBindings: clusterRoleBindings.value,
    roles: roles.value,
    roleBindings: roleBindings.value,
  });
}
