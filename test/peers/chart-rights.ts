import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseAllDocuments, stringify } from 'yaml';
import { soon } from '../support/processes.ts';
import { at, type Manifest, textOf } from './helm.ts';
import type { KubeRig } from './kube-rig.ts';

/** Has the API server write down who asked for what. */
export function auditArgs(dir: string): string {
  const policy = join(dir, 'audit-policy.yaml');
  const signed = ['podcertificaterequests/status', 'certificatesigningrequests/status'];
  const resources = [{ group: 'certificates.k8s.io', resources: signed }];
  const rules = [
    // Whose signer it is stands in the object alone.
    { level: 'RequestResponse', omitStages: ['RequestReceived'], resources },
    { level: 'Metadata', omitStages: ['RequestReceived'] },
  ];
  writeFileSync(policy, stringify({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules }));
  return `--audit-policy-file=${policy} --audit-log-path=${join(dir, 'audit.log')}`;
}

/** What an account asked of the API server. */
export interface Asked {
  readonly verb: string;
  /** `group/resource`, with `/subresource`; the path where it is no resource. */
  readonly what: string;
  readonly name: string;
  readonly namespace: string;
  readonly status: number;
  /** Of the request for a certificate whose status was written; empty for others. */
  readonly signer: string;
}

/** What an account has asked so far, oldest first. */
export function askedBy(dir: string, user: string): readonly Asked[] {
  const text = readFileSync(join(dir, 'audit.log'), 'utf8');
  return (
    text
      .split('\n')
      // The last line may be half written.
      .filter((line) => line.includes(user) && line.endsWith('}'))
      .map((line) => JSON.parse(line) as unknown)
      .filter((event) => at(event, 'user', 'username') === user)
      .map((event) => {
        const of = (key: string): string => String(at(event, 'objectRef', key) ?? '');
        const subresource = of('subresource') === '' ? '' : `/${of('subresource')}`;
        const isResource = at(event, 'objectRef') !== undefined;
        return {
          verb: textOf(event, 'verb'),
          what: isResource
            ? `${of('apiGroup')}/${of('resource')}${subresource}`
            : textOf(event, 'requestURI'),
          name: of('name'),
          namespace: of('namespace'),
          status: Number(at(event, 'responseStatus', 'code')),
          signer: String(at(event, 'responseObject', 'spec', 'signerName') ?? ''),
        };
      })
  );
}

/** One verb on one resource that a role gives. */
export interface Right {
  readonly verb: string;
  /** `group/resource`. */
  readonly what: string;
  /** Undefined for any. */
  readonly name: string | undefined;
  /** Of the Role; undefined for a ClusterRole. */
  readonly namespace: string | undefined;
}

/** All that the roles among these objects give. */
export function rightsOf(manifests: readonly Manifest[]): readonly Right[] {
  return manifests
    .filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')
    .flatMap(({ kind, rules, metadata }) =>
      (rules as readonly Readonly<Record<string, readonly string[]>>[]).flatMap((rule) => {
        const { apiGroups = [], resources = [], verbs = [] } = rule;
        const names: readonly (string | undefined)[] = rule.resourceNames ?? [undefined];
        const namespace = kind === 'Role' ? textOf(metadata, 'namespace') : undefined;
        return apiGroups.flatMap((group) =>
          resources.flatMap((resource) =>
            verbs.flatMap((verb) =>
              names.map((name) => ({ verb, what: `${group}/${resource}`, name, namespace })),
            ),
          ),
        );
      }),
    );
}

/** Whether a request made use of a right; `sign` and `attest` are asked for by admission at a write. */
function uses(asked: Asked, right: Right): boolean {
  // What is not there had to be allowed as well.
  if (asked.status >= 300 && asked.status !== 404) return false;
  const { name = '' } = right;
  if (right.verb === 'sign') {
    const isAny = name.endsWith('/*');
    return isAny ? asked.signer.startsWith(name.slice(0, -1)) : asked.signer === name;
  }
  if (right.verb === 'attest') {
    return asked.verb === 'patch' && asked.name.startsWith(`${name.replace('/', ':')}:`);
  }
  // An apply that makes the object needs both verbs.
  const isMade = asked.verb === 'patch' && asked.status === 201 && right.verb === 'create';
  return (
    (asked.verb === right.verb || isMade) &&
    asked.what === right.what &&
    (right.name === undefined || right.name === asked.name) &&
    (right.namespace === undefined || right.namespace === asked.namespace)
  );
}

/** Rights that no request made use of. */
export function unused(rights: readonly Right[], asked: readonly Asked[]): readonly Right[] {
  return rights.filter((right) => !asked.some((one) => uses(one, right)));
}

/**
 * Waits until each binding holds for who it is of: the API server hears of its own a moment later.
 *
 * @param accountOf The user that a role is given to.
 */
export async function untilBound(
  rig: KubeRig,
  objects: readonly Manifest[],
  accountOf: (role: Manifest) => string,
): Promise<void> {
  for (const role of objects.filter(({ kind }) => /Role$/.test(String(kind)))) {
    // Of a subresource kubectl asks in another way.
    const first = rightsOf([role]).find(({ what }) => what.split('/').length === 2);
    assert.ok(first);
    const [group, resource] = first.what.split('/');
    const what = group === '' ? resource : `${resource}.${group}`;
    const named = first.name === undefined ? what : `${what}/${first.name}`;
    const who = ['--as', accountOf(role), '-n', first.namespace ?? 'default'];
    const question = ['auth', 'can-i', first.verb, String(named), ...who];
    await soon(async () => (await rig.kubectl(question).catch(() => 'no')).startsWith('yes'));
  }
}

/** Waits until requests have made use of each right, for a minute; shows those that failed. */
export async function useUp(
  rights: readonly Right[],
  asked: () => readonly Asked[],
): Promise<void> {
  for (let tries = 0; tries < 600 && unused(rights, asked()).length > 0; tries += 1) {
    await pause(100);
  }
  const failed = asked().filter(({ status }) => status >= 300);
  assert.deepEqual(unused(rights, asked()), [], JSON.stringify(failed));
}

/** A kubeconfig in place of the admin's, with a token. */
export function kubeconfigOf(admin: string, token: string, path: string): string {
  const [document] = parseAllDocuments(readFileSync(admin, 'utf8'));
  const config = document?.toJS() as Readonly<Record<string, unknown>>;
  const users = [{ name: textOf(config, 'users', '0', 'name'), user: { token } }];
  writeFileSync(path, stringify({ ...config, users }), { mode: 0o600 });
  return path;
}
