import type { ApiContext } from '../api/context.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { Issuers } from '../controllers/issuer/issuers.ts';
import { REQUEST_RESOURCES, type RequestKind } from '../controllers/issuer/kinds.ts';
import type { IssuerMetrics } from '../controllers/issuer/metrics.ts';
import {
  certificateRequestFrom,
  type SigningRequest,
  signingRequestFrom,
} from '../controllers/issuer/request.ts';
import type { IssuerSettings } from '../controllers/issuer/settings.ts';
import { IssuerSigner } from '../controllers/issuer/signer.ts';
import { PodEvents } from '../controllers/pod-events.ts';
import type { PodIdentities } from '../controllers/pod-identity.ts';
import type { RuleController } from '../controllers/rule-controller.ts';
import type { KubernetesCluster } from '../controllers/settings.ts';
import type { KubeApi } from '../kube/kube-api.ts';
import { kubeMetricsOf } from '../kube/metrics.ts';
import { type KubeWatch, watchKube } from '../kube/watch.ts';
import { grantServerX509 } from '../policy/grants.ts';
import { formatPemBundle } from '../spiffe/bundle-format.ts';
import { startLeader } from './kube-leader.ts';
import type { ServerBase } from './server.ts';

/** What the issuers of a cluster are started with. */
export interface IssuerParts extends Pick<ApiContext, 'registry' | 'issuer' | 'policy'> {
  readonly cluster: KubernetesCluster;
  readonly settings: IssuerSettings;
  readonly api: KubeApi;
  readonly rules: RuleController;
  readonly identities: () => PodIdentities;
  readonly metrics: IssuerMetrics;
}

const READERS = {
  CertificateRequest: certificateRequestFrom,
  CertificateSigningRequest: signingRequestFrom,
} as const;

/** Begins to answer the requests of a cluster that name our issuers. */
export function startIssuers(base: ServerBase, parts: IssuerParts): void {
  const { clock, random, life } = base;
  const { cluster, settings, api, rules, metrics } = parts;
  const { name } = cluster;
  const log = base.log.child({ cluster: name, part: 'issuers' });
  const lease = { namespace: settings.leaseNamespace, name: settings.leaseName };
  const leader = startLeader(base, { api, lease, log });
  life.add(`issuer lease of ${name}`, () => leader.stop());
  const identities = parts.identities();
  const issuers = new Issuers({
    api,
    filter: cluster.rules,
    isReady: () => rules.isReady,
    canSign: () => canSign(parts),
    ...{ leader, clock, random, log },
    metrics: kubeMetricsOf(base.metrics),
  });
  metrics.issuers(name, (ready) => issuers.count(ready));
  const events = new PodEvents({ api, clock, random });
  const signer = new IssuerSigner({
    api,
    judge: {
      cluster: name,
      settings,
      issuer: (ref) => issuers.find(ref),
      identities,
      namespaces: rules,
      policy: parts.policy,
    },
    issuer: parts.issuer,
    bundlePem: () => bundlePem(parts),
    isSynced: () => issuers.isSynced,
    retryMs: settings.retryFor * 1000,
    ...{ leader, events, clock, log, metrics },
  });
  const watches = kindsOf(settings).map((kind) => watchRequests(base, parts, kind, signer));
  const endings = [
    issuers.onChange(() => signer.lookAgain()),
    identities.onSettled(() => {
      issuers.glance();
      signer.lookAgain();
    }),
  ];
  life.add(`issuers of ${name}`, async () => {
    for (const end of endings) end();
    await Promise.all(watches.map((watch) => watch.stop()));
    await signer.stop();
    await issuers.stop();
    events.stop();
  });
}

function kindsOf({ certificateRequests, signingRequests }: IssuerSettings): readonly RequestKind[] {
  return [
    ...(certificateRequests ? (['CertificateRequest'] as const) : []),
    ...(signingRequests ? (['CertificateSigningRequest'] as const) : []),
  ];
}

function watchRequests(
  base: ServerBase,
  { api, cluster }: IssuerParts,
  kind: RequestKind,
  signer: IssuerSigner,
): KubeWatch<SigningRequest> {
  const { clock, random } = base;
  const watch = watchKube<SigningRequest>({
    api,
    resource: REQUEST_RESOURCES[kind],
    project: READERS[kind],
    ...{ clock, random },
    log: base.log.child({ cluster: cluster.name, part: 'issuers' }),
    metrics: kubeMetricsOf(base.metrics),
  });
  watch.onChange((change) => signer.take(change));
  return watch;
}

/** Whether there is an authority, by planning what needs nobody's leave. */
function canSign({ registry, issuer }: IssuerParts): Result<unknown> {
  const grant = grantServerX509(registry.trustDomain);
  return grant.ok ? issuer.planX509(grant.value) : grant;
}

function bundlePem({ registry }: IssuerParts): Result<string> {
  const { bundle } = registry;
  if (bundle !== undefined && bundle.x509Authorities.length > 0) return ok(formatPemBundle(bundle));
  return fail('KUBE_BUNDLE_EMPTY', 'the bundle of the trust domain holds no CA certificate');
}
