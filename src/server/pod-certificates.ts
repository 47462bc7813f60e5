import { RequestFeed } from '../controllers/pod-certificate/feed.ts';
import type { PodSigner } from '../controllers/pod-certificate/judge.ts';
import type { PodCertificateMetrics } from '../controllers/pod-certificate/metrics.ts';
import type { PodCertificateSettings } from '../controllers/pod-certificate/settings.ts';
import { PodCertificateSigner } from '../controllers/pod-certificate/signer.ts';
import { PodEvents } from '../controllers/pod-events.ts';
import type { PodIdentities } from '../controllers/pod-identity.ts';
import type { Issuer } from '../issuance/issuer.ts';
import type { KubeApi } from '../kube/kube-api.ts';
import type { LeaderElection } from '../kube/leader.ts';
import { kubeMetricsOf } from '../kube/metrics.ts';
import type { ServerBase } from './server.ts';

/** What the signer of a cluster is started with. */
export interface PodCertificateParts {
  readonly cluster: string;
  readonly settings: PodCertificateSettings;
  readonly api: KubeApi;
  readonly identities: PodIdentities;
  readonly issuer: Issuer;
  readonly leader: LeaderElection;
  readonly metrics: PodCertificateMetrics;
}

/** Begins to sign the PodCertificateRequests of a cluster, for each signer of ours. */
export function startPodCertificates(base: ServerBase, parts: PodCertificateParts): void {
  startSigner(base, parts, 'spiffe');
  if (parts.settings.serviceDns) startSigner(base, parts, 'service-dns');
}

function startSigner(base: ServerBase, parts: PodCertificateParts, kind: PodSigner): void {
  const { clock, random, life, settings: live } = base;
  const { cluster, settings, api, identities, issuer, leader, metrics } = parts;
  const { signerDomain, grace } = settings;
  const log = base.log.child({ cluster, part: 'pod certificates', signer: kind });
  const events = new PodEvents({ api, clock, random });
  const signer = new PodCertificateSigner({
    api,
    judge: {
      cluster,
      signerDomain,
      signer: kind,
      identities,
      issuer,
      defaultTtlSeconds: () => live.config.svid.x509Ttl,
      serverAheadMs: () => api.serverAheadMs,
      clock,
    },
    issuer,
    leader,
    events,
    resource: () => feed.resource,
    graceMs: grace * 1000,
    clock,
    log,
    metrics,
  });
  const feed = new RequestFeed({
    api,
    signerName: `${signerDomain}/${kind}`,
    clock,
    random,
    log,
    metrics: kubeMetricsOf(base.metrics),
    onChange: (change) => signer.take(change),
  });
  const stopListening = identities.onSettled(() => signer.lookAgain());
  life.add(`pod certificates of ${cluster}, ${kind}`, async () => {
    stopListening();
    await feed.stop();
    await signer.stop();
    events.stop();
  });
}
