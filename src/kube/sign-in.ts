import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import { fail, ok, type Result } from '../base/result.ts';
import type { KubeAccess } from './place.ts';

/**
 * Signs in as a kubeconfig says that names a program or a provider of tokens. In a file of its own, since
 * the library of the Kubernetes project takes 80 MB. Fails with KUBE_CONFIG.
 */
export async function signIn(
  path: string,
  user: string,
): Promise<Result<Pick<KubeAccess, 'token' | 'identity'>>> {
  try {
    const config = new KubeConfig();
    config.loadFromFile(path);
    // The user alone: its cluster may stand in another file.
    config.contexts = [{ name: user, cluster: '', user }];
    config.setCurrentContext(user);
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    const { headers = {}, cert, key } = options;
    const authorization = 'Authorization' in headers ? String(headers.Authorization) : '';
    const identity =
      cert === undefined || key === undefined
        ? undefined
        : { certificate: String(cert), key: String(key) };
    return ok({ token: /^Bearer (.+)$/.exec(authorization)?.[1], identity });
  } catch (cause) {
    return fail('KUBE_CONFIG', `${path}: signing in failed`, { cause });
  }
}
