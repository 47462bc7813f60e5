import { ok, type Result } from '../base/result.ts';
import { type KubeApi, type KubeParts, type KubeRequest, openKubeApi } from './kube-api.ts';
import type { KubeObject } from './objects.ts';
import type { KubePlace } from './place.ts';
import { type KubeName, type KubeResource, pathOf } from './resource.ts';

/** Single objects of a cluster. Errors: KUBE_*. */
export interface KubeObjects {
  create(resource: KubeResource, body: object, signal?: AbortSignal): Promise<Result<KubeObject>>;
  read(name: KubeName, signal?: AbortSignal): Promise<Result<KubeObject>>;
  /** Puts an object in the place of the one whose `resourceVersion` it names; else KUBE_CONFLICT. */
  replace(name: KubeName, body: object, signal?: AbortSignal): Promise<Result<KubeObject>>;
  remove(name: KubeName, signal?: AbortSignal): Promise<Result<void>>;
}

/** The objects behind an API server. */
export function kubeObjects(api: KubeApi): KubeObjects {
  return {
    create: (resource, body, signal) =>
      ask(api, pathOf(resource), { verb: 'create', body, signal }),
    read: (name, signal) => ask(api, pathOf(name, name.name), { verb: 'get', signal }),
    replace: (name, body, signal) =>
      ask(api, pathOf(name, name.name), { verb: 'update', body, signal }),
    async remove(name, signal) {
      const gone = await ask(api, pathOf(name, name.name), { verb: 'delete', signal });
      return gone.ok ? ok(undefined) : gone;
    },
  };
}

/**
 * Objects of a cluster whose way is opened by the first call and then kept; what fails is tried again by
 * the next. Fails with KUBE_CONFIG.
 */
export function lazyKubeObjects(
  place: KubePlace,
  parts: KubeParts,
): () => Promise<Result<KubeObjects>> {
  let opened: KubeObjects | undefined;
  return async () => {
    if (opened !== undefined) return ok(opened);
    const api = await openKubeApi(place, parts);
    if (!api.ok) return api;
    opened = kubeObjects(api.value);
    return ok(opened);
  };
}

async function ask(
  api: KubeApi,
  path: Result<string>,
  request: Omit<KubeRequest, 'path'>,
): Promise<Result<KubeObject>> {
  return path.ok ? api.request({ ...request, path: path.value }) : path;
}
