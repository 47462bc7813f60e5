import {
  ApiException,
  CustomObjectsApi,
  KubeConfig,
  Observable,
  type ObservableMiddleware,
} from '@kubernetes/client-node';
import type { ErrorCode } from '../base/errors.ts';
import { fail, ok, type Result } from '../base/result.ts';

/** Which cluster, and who we are to it. */
export interface KubePlace {
  /** A kubeconfig; what a pod is given unless set. */
  readonly kubeconfigPath?: string | undefined;
}

/** A kind of custom resource in a namespace. */
export interface KubeResource {
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  readonly plural: string;
}

/** An object by its name. */
export interface KubeName extends KubeResource {
  readonly name: string;
}

/** Objects of custom resources, as JSON of unknown shape. Errors: KUBE_*. */
export interface KubeObjects {
  create(resource: KubeResource, body: object, signal: AbortSignal): Promise<Result<unknown>>;
  read(name: KubeName, signal: AbortSignal): Promise<Result<unknown>>;
  remove(name: KubeName, signal: AbortSignal): Promise<Result<unknown>>;
}

const CODES: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [401, 'KUBE_CREDENTIALS'],
  [403, 'KUBE_FORBIDDEN'],
  [404, 'KUBE_NOT_FOUND'],
  [409, 'KUBE_CONFLICT'],
  // Throttled by priority and fairness: the server is there, and will answer later.
  [429, 'KUBE_UNREACHABLE'],
]);

/** Longest part of the API server's own words that is told, in characters. */
const MAX_SAID = 300;

/**
 * Opens the way to a cluster; nothing is asked of it yet. A cluster whose certificate is not verified,
 * or that would get its credentials in the clear, is refused: KUBE_CONFIG.
 */
export function openKube({ kubeconfigPath }: KubePlace): Result<KubeObjects> {
  const config = new KubeConfig();
  const from = kubeconfigPath ?? 'the service account of the pod';
  try {
    if (kubeconfigPath !== undefined) config.loadFromFile(kubeconfigPath);
    else if (process.env.KUBERNETES_SERVICE_HOST === undefined) {
      return fail('KUBE_CONFIG', 'no kubeconfig is set, and this process runs in no pod');
    } else config.loadFromCluster();
    const cluster = config.getCurrentCluster();
    if (cluster === null) return fail('KUBE_CONFIG', `${from}: it names no cluster`);
    if (cluster.skipTLSVerify || !/^https:/i.test(cluster.server)) {
      return fail('KUBE_CONFIG', `${from}: the API server would not be verified`);
    }
    return ok(objectsOf(config.makeApiClient(CustomObjectsApi)));
  } catch (cause) {
    return fail('KUBE_CONFIG', `${from}: it cannot be read`, { cause });
  }
}

function objectsOf(api: CustomObjectsApi): KubeObjects {
  return {
    create: (resource, body, signal) =>
      answerOf(`creating ${resource.plural} in ${resource.namespace}`, signal, () =>
        api.createNamespacedCustomObject({ ...resource, body }, endedBy(signal)),
      ),
    read: (name, signal) =>
      answerOf(`reading ${name.plural} ${name.namespace}/${name.name}`, signal, () =>
        api.getNamespacedCustomObject(name, endedBy(signal)),
      ),
    remove: (name, signal) =>
      answerOf(`deleting ${name.plural} ${name.namespace}/${name.name}`, signal, () =>
        api.deleteNamespacedCustomObject(name, endedBy(signal)),
      ),
  };
}

/** Options that end a call with a signal. */
function endedBy(signal: AbortSignal) {
  const middleware: ObservableMiddleware = {
    pre(context) {
      context.setSignal(signal);
      return new Observable(Promise.resolve(context));
    },
    post: (context) => new Observable(Promise.resolve(context)),
  };
  return { middleware: [middleware], middlewareMergeStrategy: 'append' as const };
}

async function answerOf(
  doing: string,
  signal: AbortSignal,
  call: () => Promise<unknown>,
): Promise<Result<unknown>> {
  try {
    return ok(await call());
  } catch (cause) {
    if (!(cause instanceof ApiException)) {
      const why = signal.aborted ? 'no answer in time' : 'no answer';
      return fail('KUBE_UNREACHABLE', `${doing}: ${why}`, { cause });
    }
    const other = cause.code >= 500 ? 'KUBE_UNREACHABLE' : 'KUBE_REFUSED';
    const code = CODES.get(cause.code) ?? other;
    return fail(code, `${doing}: status ${cause.code} ${wordsOf(cause.body)}`, { cause });
  }
}

/** The message of a Status, which comes as its JSON. */
function wordsOf(body: unknown): string {
  const status = typeof body === 'string' ? parsed(body) : body;
  if (typeof status !== 'object' || status === null || !('message' in status)) return '';
  return JSON.stringify(String(status.message).slice(0, MAX_SAID));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A page of a proxy.
    return undefined;
  }
}
