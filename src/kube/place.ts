import { dirname, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { fail, ok, type Result } from '../base/result.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';
import {
  booleanAt,
  isKubeObject,
  type KubeObject,
  objectAt,
  objectsAt,
  textAt,
} from './objects.ts';

/** Which cluster, and who we are to it. */
export interface KubePlace {
  /** A kubeconfig; what a pod is given unless set. */
  readonly kubeconfigPath?: string | undefined;
  /** In place of one kubeconfig several, of which the first counts that names something. */
  readonly kubeconfigPaths?: readonly string[] | undefined;
  /** Context of the kubeconfig; its current one unless set. */
  readonly context?: string | undefined;
  /** What counts in place of what the kubeconfig says. */
  readonly instead?: KubeOverrides | undefined;
  /** Folder of the service account, where it is not {@link SERVICE_ACCOUNT_DIR}. */
  readonly serviceAccountDir?: string | undefined;
}

/** As whom requests are made, where that is not who makes them. */
export interface Impersonation {
  readonly user: string;
  readonly groups: readonly string[];
  readonly uid: string | undefined;
}

/** What a command line says in place of a kubeconfig; all of it optional. */
export interface KubeOverrides {
  /** Names of a cluster and a user of the kubeconfig, in place of those of the context. */
  readonly cluster?: string | undefined;
  readonly user?: string | undefined;
  readonly server?: string | undefined;
  readonly tlsServerName?: string | undefined;
  /** Paths of PEM files. */
  readonly certificateAuthority?: string | undefined;
  readonly clientCertificate?: string | undefined;
  readonly clientKey?: string | undefined;
  readonly token?: string | undefined;
  readonly impersonate?: Impersonation | undefined;
  /** Variables that say which proxy to take (HTTPS_PROXY, NO_PROXY); none is taken without. */
  readonly proxyEnv?: Readonly<Record<string, string | undefined>> | undefined;
}

/** What a request to an API server needs, as its files stand at one moment. */
export interface KubeAccess {
  readonly server: URL;
  /** PEM: what the server's certificate has to lead to; the system's roots where undefined. */
  readonly ca: string | undefined;
  /** Name in the server's certificate, where it is another than the address. */
  readonly serverName: string | undefined;
  readonly token: string | undefined;
  /** PEM: client certificate and key, both or none. */
  readonly identity: { readonly certificate: string; readonly key: string } | undefined;
  /** As whom requests are made; as who we are where undefined. */
  readonly impersonate?: Impersonation | undefined;
  /** Variables for the proxy of Node.js's agents; no proxy where undefined. */
  readonly proxyEnv?: Readonly<Record<string, string | undefined>> | undefined;
  /** Name of the context, and the namespace that it says; undefined where there is none. */
  readonly context?: string | undefined;
  readonly namespace?: string | undefined;
}

/** Where a pod finds its service account. */
export const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Largest kubeconfig, certificate, key or token in bytes. */
const MAX_FILE_BYTES = 1024 * 1024;

/** Ways to credentials that are left to the client library of the Kubernetes project. */
const FOREIGN = ['exec', 'auth-provider'];
/** What users of a kubeconfig may not have: passwords, and acting as another. */
const REFUSED = ['username', 'password', 'as', 'as-uid', 'as-groups', 'as-user-extra'];

/**
 * Reads where the API server is and who we are to it; nothing is asked of it. What `readOne` gives counts as
 * it stands now. Fails with KUBE_CONFIG,
 * also for a server that would not be verified, or would get credentials in the clear.
 */
export function readAccess(
  place: KubePlace,
  readOne: ReadKubeconfig = readKubeconfig,
): Promise<Result<KubeAccess>> {
  const { kubeconfigPath, serviceAccountDir = SERVICE_ACCOUNT_DIR } = place;
  const paths = place.kubeconfigPaths ?? (kubeconfigPath === undefined ? [] : [kubeconfigPath]);
  return paths.length > 0
    ? readKubeconfigs(paths, place, readOne)
    : readServiceAccount(serviceAccountDir, place.instead);
}

async function readServiceAccount(
  dir: string,
  { impersonate, proxyEnv, token: givenToken }: KubeOverrides = {},
): Promise<Result<KubeAccess>> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = process.env;
  if (host === undefined || host === '') {
    return fail('KUBE_CONFIG', 'no kubeconfig is set, and this process runs in no pod');
  }
  const address = host.includes(':') ? `[${host}]` : host;
  const server = serverOf(`https://${address}:${port}`, 'the environment of the pod');
  if (!server.ok) return server;
  const token = await textOf(`${dir}/token`);
  if (!token.ok) return token;
  const ca = await textOf(`${dir}/ca.crt`);
  if (!ca.ok) return ca;
  const namespace = await textOf(`${dir}/namespace`);
  return ok({
    server: server.value,
    ca: ca.value,
    serverName: undefined,
    token: givenToken ?? token.value.trim(),
    identity: undefined,
    impersonate,
    proxyEnv,
    namespace: namespace.ok ? namespace.value.trim() : undefined,
  });
}

/** One kubeconfig, and what its paths are relative to. */
export interface Kubeconfig {
  readonly path: string;
  readonly document: KubeObject;
}

/** Reads a kubeconfig. Fails with KUBE_CONFIG. */
export type ReadKubeconfig = (path: string) => Promise<Result<Kubeconfig>>;

const readKubeconfig: ReadKubeconfig = async (path) => {
  const text = await textOf(path);
  if (!text.ok) return text;
  const document = parseYaml(text.value);
  if (document === undefined) return fail('KUBE_CONFIG', `${path}: is no kubeconfig`);
  return ok({ path, document });
};

/** Reads each kubeconfig once, however many contexts are opened; for as long as it is kept. */
export function kubeconfigsOnce(): ReadKubeconfig {
  const read = new Map<string, Promise<Result<Kubeconfig>>>();
  return (path) => {
    const known = read.get(path) ?? readKubeconfig(path);
    read.set(path, known);
    return known;
  };
}

async function readKubeconfigs(
  paths: readonly string[],
  { context, instead = {} }: KubePlace,
  readOne: ReadKubeconfig,
): Promise<Result<KubeAccess>> {
  const configs: Kubeconfig[] = [];
  for (const path of paths) {
    const config = await readOne(path);
    if (!config.ok) return config;
    configs.push(config.value);
  }
  const current = configs.map(({ document }) => textAt(document, 'current-context'));
  const name = context ?? current.find((text) => text !== undefined && text !== '') ?? '';
  const chosen = named(configs, 'contexts', 'context', name);
  if (!chosen.ok) return chosen;
  const say = (kind: 'cluster' | 'user'): string =>
    instead[kind] ?? textAt(chosen.value.object, kind) ?? '';
  const cluster = named(configs, 'clusters', 'cluster', say('cluster'));
  if (!cluster.ok) return cluster;
  const user = named(configs, 'users', 'user', say('user'));
  if (!user.ok) return user;
  const access = await accessOf(say('user'), cluster.value, user.value, instead);
  if (!access.ok) return access;
  const namespace = textAt(chosen.value.object, 'namespace');
  return ok({
    ...access.value,
    context: name,
    namespace: namespace === '' ? undefined : namespace,
  });
}

/** What is found under a name, and the kubeconfig that it stands in. */
interface Named {
  readonly config: Kubeconfig;
  readonly object: KubeObject;
}

async function accessOf(
  userName: string,
  { config: clusterConfig, object: cluster }: Named,
  { config: userConfig, object: user }: Named,
  instead: KubeOverrides,
): Promise<Result<KubeAccess>> {
  const { path } = userConfig;
  const where = await serverAccess(clusterConfig, cluster, instead);
  if (!where.ok) return where;
  const has = (key: string): boolean => user[key] !== undefined && user[key] !== null;
  const refused = REFUSED.find(has);
  if (refused !== undefined) {
    return fail('KUBE_CONFIG', `${path}: users with ${refused} are not supported`);
  }
  const { token: givenToken, clientCertificate, clientKey } = instead;
  const given = { 'client-certificate': clientCertificate, 'client-key': clientKey };
  const isGiven = Object.values(given).some((text) => text !== undefined);
  if (!isGiven && givenToken === undefined && FOREIGN.some(has)) {
    const { signIn } = await import('./sign-in.ts');
    const signed = await signIn(path, userName);
    return signed.ok ? ok({ ...where.value, ...signed.value }) : signed;
  }
  const identity = await identityOf(isGiven ? HERE : userConfig, isGiven ? given : user);
  if (!identity.ok) return identity;
  const token = givenToken === undefined ? await tokenOf(userConfig, user) : ok(givenToken);
  return token.ok ? ok({ ...where.value, token: token.value, identity: identity.value }) : token;
}

/** Paths of a command line are relative to where it is given. */
const HERE: Kubeconfig = { path: './flags', document: {} };

type ServerAccess = Omit<KubeAccess, 'token' | 'identity'>;

async function serverAccess(
  config: Kubeconfig,
  cluster: KubeObject,
  instead: KubeOverrides,
): Promise<Result<ServerAccess>> {
  const { path } = config;
  if (booleanAt(cluster, 'insecure-skip-tls-verify') === true) return unverified(path);
  const proxy = textAt(cluster, 'proxy-url');
  const { impersonate, proxyEnv } = instead;
  if (proxy !== undefined && (proxyEnv === undefined || !/^https?:/.test(proxy))) {
    return fail('KUBE_CONFIG', `${path}: proxy-url is not supported`);
  }
  const server = serverOf(instead.server ?? textAt(cluster, 'server') ?? '', path);
  if (!server.ok) return server;
  const { certificateAuthority } = instead;
  const ca = await (certificateAuthority === undefined
    ? dataOf(config, cluster, 'certificate-authority')
    : textOf(certificateAuthority));
  if (!ca.ok) return ca;
  return ok({
    server: server.value,
    ca: ca.value,
    serverName: instead.tlsServerName ?? textAt(cluster, 'tls-server-name'),
    impersonate,
    proxyEnv: proxy === undefined ? proxyEnv : { HTTPS_PROXY: proxy },
  });
}

async function identityOf(
  config: Kubeconfig,
  user: KubeObject,
): Promise<Result<KubeAccess['identity']>> {
  const certificate = await dataOf(config, user, 'client-certificate');
  if (!certificate.ok) return certificate;
  const key = await dataOf(config, user, 'client-key');
  if (!key.ok) return key;
  if (certificate.value === undefined && key.value === undefined) return ok(undefined);
  if (certificate.value === undefined || key.value === undefined) {
    return fail('KUBE_CONFIG', `${config.path}: client certificate and key go together`);
  }
  return ok({ certificate: certificate.value, key: key.value });
}

/** As kubectl does: the file before the text beside it, since the file rotates. */
async function tokenOf(config: Kubeconfig, user: KubeObject): Promise<Result<string | undefined>> {
  const file = textAt(user, 'tokenFile');
  if (file === undefined || file === '') return ok(textAt(user, 'token'));
  const token = await textOf(besideOf(config, file));
  return token.ok ? ok(token.value.trim()) : token;
}

/** What stands in a kubeconfig as `<key>-data`, in base64, or in the file named by `<key>`. */
async function dataOf(
  config: Kubeconfig,
  object: KubeObject,
  key: string,
): Promise<Result<string | undefined>> {
  const data = textAt(object, `${key}-data`) ?? '';
  if (data !== '') return notEmpty(`${key}-data`, Buffer.from(data, 'base64').toString('utf8'));
  const file = textAt(object, key) ?? '';
  return file === '' ? ok(undefined) : textOf(besideOf(config, file));
}

function besideOf({ path }: Kubeconfig, file: string): string {
  return resolve(dirname(path), file);
}

function named(
  configs: readonly Kubeconfig[],
  list: string,
  kind: string,
  name: string,
): Result<Named> {
  for (const config of configs) {
    const found = objectsAt(config.document, list).find((item) => textAt(item, 'name') === name);
    const object = found === undefined ? undefined : objectAt(found, kind);
    if (object !== undefined) return ok({ config, object });
  }
  const where = configs.map(({ path }) => path).join(':');
  return fail('KUBE_CONFIG', `${where}: has no ${kind} ${JSON.stringify(name.slice(0, 80))}`);
}

function serverOf(text: string, from: string): Result<URL> {
  const server = URL.parse(text);
  if (server === null) return fail('KUBE_CONFIG', `${from}: the API server has no address`);
  return server.protocol === 'https:' ? ok(server) : unverified(from);
}

function unverified(from: string): Result<never> {
  return fail('KUBE_CONFIG', `${from}: the API server would not be verified`);
}

function parseYaml(text: string): KubeObject | undefined {
  try {
    const document = parseDocument(text);
    if (document.errors.length > 0) return undefined;
    const value: unknown = document.toJS();
    return isKubeObject(value) ? value : undefined;
  } catch {
    // More aliases than anybody writes by hand.
    return undefined;
  }
}

async function textOf(path: string): Promise<Result<string>> {
  const bytes = await readFileIfPresent(path, MAX_FILE_BYTES);
  if (!bytes.ok) return fail('KUBE_CONFIG', bytes.error.message, { cause: bytes.error });
  if (bytes.value === undefined) return fail('KUBE_CONFIG', `${path} does not exist`);
  return notEmpty(path, Buffer.from(bytes.value).toString('utf8'));
}

/** For TLS an empty CA is none, and the roots of the system count: so it is for a file that is being written. */
function notEmpty(from: string, text: string): Result<string> {
  return text.trim() === '' ? fail('KUBE_CONFIG', `${from} is empty`) : ok(text);
}
