import { type KubeObject, metaOf, objectsAt, textAt, textsAt } from '../../kube/objects.ts';

/** Something that roles may allow, which is worth knowing who may. */
export interface Action {
  readonly verbs: readonly string[];
  readonly group: string;
  readonly resources: readonly string[];
  /** Objects of a namespace; a RoleBinding gives no right over others. */
  readonly isOfNamespace: boolean;
  /** Names that matter, for roles that are for some names alone; undefined where only all names count. */
  readonly names?: ReadonlySet<string> | undefined;
  /** Namespaces that matter; undefined for all. */
  readonly namespaces?: ReadonlySet<string> | undefined;
}

/** Objects of rbac.authorization.k8s.io, as far as they were let be seen. */
export interface Roles {
  readonly clusterRoles: readonly KubeObject[];
  readonly clusterRoleBindings: readonly KubeObject[];
  readonly roles: readonly KubeObject[];
  readonly roleBindings: readonly KubeObject[];
}

/** Who may do it. */
export interface Holders {
  /** As `user jane`, `group devs`, `account shop/ci`; sorted. */
  readonly named: readonly string[];
  /** Those of {@link named} that everybody, or every account, is one of. */
  readonly everybody: readonly string[];
  /** Who may do all to all, and the control plane itself. */
  readonly superusers: number;
}

/** Whom the API server takes everybody for (authentication, "Anonymous requests", "Service accounts"). */
const EVERYBODY =
  /^(group system:(authenticated|unauthenticated|serviceaccounts(:.*)?)|user system:anonymous)$/;
/** What makes up the control plane: who has one of them has the cluster. */
const CONTROL_PLANE =
  /^(group system:masters|user system:(kube-controller-manager|kube-scheduler|apiserver)|account kube-system\/.*)$/;
/** Kubelets: a group, and its users. */
const NODES = /^(group system:nodes|user system:node:.*)$/;

/** Whether a holder is a kubelet. */
export function isNode(holder: string): boolean {
  return NODES.test(holder);
}

/** Who may do something by roles (RBAC, rbac.authorization.k8s.io/v1); other authorizers are not seen. */
export function holdersOf(action: Action, roles: Roles): Holders {
  const named = new Set<string>();
  const superusers = new Set<string>();
  for (const { role, subjects, namespace } of bindings(action, roles)) {
    if (role === undefined) continue;
    const rules = objectsAt(role, 'rules');
    const isSuper = namespace === undefined && rules.some(allowsAll);
    if (!isSuper && !rules.some((rule) => allows(rule, action))) continue;
    for (const subject of subjects) {
      const isAbove = (isSuper && !EVERYBODY.test(subject)) || CONTROL_PLANE.test(subject);
      (isAbove ? superusers : named).add(subject);
    }
  }
  const sorted = [...named].filter((one) => !superusers.has(one)).toSorted();
  return {
    named: sorted,
    everybody: sorted.filter((one) => EVERYBODY.test(one)),
    superusers: superusers.size,
  };
}

interface Bound {
  readonly role: KubeObject | undefined;
  readonly subjects: readonly string[];
  /** Undefined where it holds in all of them. */
  readonly namespace: string | undefined;
}

function* bindings(action: Action, all: Roles): Generator<Bound> {
  const clusterRoles = new Map(all.clusterRoles.map((role) => [metaOf(role).name, role]));
  for (const binding of all.clusterRoleBindings) {
    const role = clusterRoles.get(textAt(binding, 'roleRef', 'name') ?? '');
    yield { role, subjects: subjectsOf(binding, ''), namespace: undefined };
  }
  if (!action.isOfNamespace) return;
  const roles = new Map(
    all.roles.map((role) => [`${metaOf(role).namespace}/${metaOf(role).name}`, role]),
  );
  for (const binding of all.roleBindings) {
    const { namespace } = metaOf(binding);
    if (action.namespaces?.has(namespace) === false) continue;
    const name = textAt(binding, 'roleRef', 'name') ?? '';
    const isCluster = textAt(binding, 'roleRef', 'kind') === 'ClusterRole';
    const role = isCluster ? clusterRoles.get(name) : roles.get(`${namespace}/${name}`);
    yield { role, subjects: subjectsOf(binding, namespace), namespace };
  }
}

function subjectsOf(binding: KubeObject, home: string): readonly string[] {
  return objectsAt(binding, 'subjects').flatMap((subject) => {
    const name = textAt(subject, 'name') ?? '';
    const kind = textAt(subject, 'kind');
    if (kind === 'User') return accountOf(name);
    if (kind === 'Group') return `group ${name}`;
    if (kind !== 'ServiceAccount') return [];
    return `account ${textAt(subject, 'namespace') ?? home}/${name}`;
  });
}

/** An account may also be bound by the name that its tokens have as a user. */
function accountOf(user: string): string {
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user);
  return account === null ? `user ${user}` : `account ${account[1]}/${account[2]}`;
}

function allowsAll(rule: KubeObject): boolean {
  return ['verbs', 'apiGroups', 'resources'].every((key) => textsAt(rule, key).includes('*'));
}

function allows(rule: KubeObject, action: Action): boolean {
  const has = (key: string, wanted: readonly string[]): boolean => {
    const listed = textsAt(rule, key);
    return listed.includes('*') || wanted.some((one) => listed.includes(one));
  };
  const names = textsAt(rule, 'resourceNames');
  // A request to make an object bears no name, so a rule for names does not allow it.
  const isNamed = names.length > 0;
  const verbs = action.verbs.filter((verb) => !isNamed || verb !== 'create');
  if (isNamed && action.names !== undefined && !names.some((one) => action.names?.has(one))) {
    return false;
  }
  return (
    verbs.length > 0 &&
    has('verbs', verbs) &&
    has('apiGroups', [action.group]) &&
    has('resources', action.resources)
  );
}
