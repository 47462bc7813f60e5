import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '../../kube/objects.ts';
import { type Action, holdersOf, isNode, type Roles } from './roles.ts';

const MAPS: Action = {
  verbs: ['create', 'update', 'patch'],
  group: '',
  resources: ['configmaps'],
  isOfNamespace: true,
  names: new Set(['spiffe-bundle']),
  namespaces: new Set(['shop']),
};
const RULES: Action = {
  verbs: ['create', 'update', 'patch'],
  group: 'spire.spiffe.io',
  resources: ['clusterspiffeids'],
  isOfNamespace: false,
};

const role = (name: string, rules: readonly object[], namespace = ''): KubeObject => ({
  metadata: { name, namespace },
  rules,
});
const rule = (group: string, resource: string, verbs: string[], resourceNames?: string[]) => ({
  apiGroups: [group],
  resources: [resource],
  verbs,
  ...(resourceNames === undefined ? {} : { resourceNames }),
});
const binding = (
  name: string,
  subject: Record<string, string>,
  namespace = '',
  kind = 'ClusterRole',
): KubeObject => ({
  metadata: { name: `to-${name}`, namespace },
  roleRef: { kind, name },
  subjects: [subject],
});
const JANE = { kind: 'User', name: 'jane' };

function roles(more: Partial<Roles>): Roles {
  return { clusterRoles: [], clusterRoleBindings: [], roles: [], roleBindings: [], ...more };
}

/** Who holds a right that one rule gives to Jane: in the whole cluster, or in one namespace. */
function given(action: Action, one: object, namespace?: string): readonly string[] {
  const bound = [binding('r', JANE, namespace ?? '')];
  const to = namespace === undefined ? { clusterRoleBindings: bound } : { roleBindings: bound };
  return holdersOf(action, roles({ clusterRoles: [role('r', [one])], ...to })).named;
}

const YES = ['user jane'];
for (const [what, action, one, namespace, named] of [
  ['a verb of several', MAPS, rule('', 'configmaps', ['get', 'patch']), undefined, YES],
  [
    'reading alone',
    MAPS,
    rule('', 'configmaps', ['get', 'list', 'watch', 'delete']),
    undefined,
    [],
  ],
  ['every verb', MAPS, rule('', 'configmaps', ['*']), undefined, YES],
  ['every resource of the group', RULES, rule('spire.spiffe.io', '*', ['update']), undefined, YES],
  ['every group', RULES, rule('*', 'clusterspiffeids', ['update']), undefined, YES],
  ['another group', RULES, rule('', 'clusterspiffeids', ['update']), undefined, []],
  [
    'a subresource',
    RULES,
    rule('spire.spiffe.io', 'clusterspiffeids/status', ['update']),
    undefined,
    [],
  ],
  ['this name', MAPS, rule('', 'configmaps', ['patch'], ['spiffe-bundle']), undefined, YES],
  ['another name', MAPS, rule('', 'configmaps', ['patch'], ['else']), undefined, []],
  [
    'making one of this name',
    MAPS,
    rule('', 'configmaps', ['create'], ['spiffe-bundle']),
    undefined,
    [],
  ],
  ['the namespace', MAPS, rule('', 'configmaps', ['patch']), 'shop', YES],
  ['another namespace', MAPS, rule('', 'configmaps', ['patch']), 'pay', []],
  ['a namespace, of what is in none', RULES, rule('spire.spiffe.io', '*', ['*']), 'shop', []],
] as const) {
  test(`a rule for ${what} ${named.length > 0 ? 'gives' : 'does not give'} the right`, () => {
    assert.deepEqual(given(action, one, namespace), named);
  });
}

test('superusers and the control plane are counted, not named; everybody never is one', () => {
  const all = rule('*', '*', ['*']);
  const subjects = [
    { kind: 'Group', name: 'system:masters' },
    { kind: 'User', name: 'root' },
    { kind: 'Group', name: 'system:authenticated' },
    { kind: 'ServiceAccount', name: 'boot', namespace: 'kube-system' },
  ];
  const bindings = subjects.map((subject) => binding('admin', subject));
  const held = holdersOf(
    RULES,
    roles({ clusterRoles: [role('admin', [all])], clusterRoleBindings: bindings }),
  );
  assert.deepEqual(held, {
    named: ['group system:authenticated'],
    everybody: ['group system:authenticated'],
    superusers: 3,
  });
});

test('all rights in one namespace make nobody a superuser', () => {
  assert.deepEqual(given(MAPS, rule('*', '*', ['*']), 'shop'), YES);
});

test('a role is that of the namespace of its binding, and accounts have their namespace', () => {
  const mine = role('r', [rule('', 'configmaps', ['update'])], 'shop');
  const account = { kind: 'ServiceAccount', name: 'ci' };
  const user = { kind: 'User', name: 'system:serviceaccount:shop:ci' };
  const bound = [binding('r', account, 'shop', 'Role'), binding('r', user, 'shop', 'Role')];
  const elsewhere = binding('r', JANE, 'pay', 'Role');
  const all = roles({ roles: [mine], roleBindings: [...bound, elsewhere] });
  const open = { ...MAPS, namespaces: undefined };
  assert.deepEqual(holdersOf(open, all).named, ['account shop/ci']);
});

test('a binding to a role that is not there, and what is no binding, give nothing', () => {
  const odd = [binding('absent', JANE), {}, { roleRef: 5, subjects: 'x' }];
  assert.deepEqual(holdersOf(RULES, roles({ clusterRoleBindings: odd })).named, []);
});

test('kubelets are their group and its users', () => {
  const names = ['group system:nodes', 'user system:node:a', 'user system:nodes', 'user jane'];
  assert.deepEqual(names.map(isNode), [true, true, false, false]);
});
