import type { Clock } from '../../base/clock.ts';
import type { SignetError } from '../../base/errors.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { Issuer } from '../../issuance/issuer.ts';
import { objectsAt, textAt } from '../../kube/objects.ts';
import type { X509Grant } from '../../policy/grant.ts';
import { type KubePod, podKey } from '../../rules/kube/objects.ts';
import { partsOf } from '../../rules/kube/render.ts';
import type { PodIdentities, PodVerdict } from '../pod-identity.ts';
import type { PodCertificateRequest, PodKeyProof } from './request.ts';

/** Which signer of ours, by what follows its domain: DNS names of the entry, or of services. */
export type PodSigner = 'spiffe' | 'service-dns';

/** What a request comes to. */
export type PodCertificatePlan =
  | { readonly kind: 'issue'; readonly grant: X509Grant; readonly proof: PodKeyProof }
  | Exclude<PodVerdict, { readonly kind: 'granted' }>;

/** What requests are judged with. */
export interface PodCertificateJudge {
  readonly cluster: string;
  /** What annotations begin with, before the slash. */
  readonly signerDomain: string;
  readonly signer: PodSigner;
  readonly identities: Pick<PodIdentities, 'resolve'>;
  readonly issuer: Pick<Issuer, 'planX509'>;
  /** Seconds that a certificate lives where its rule does not say. */
  readonly defaultTtlSeconds: () => number;
  /** How far the API server's clock is ahead of ours, in milliseconds. */
  readonly serverAheadMs: () => number | undefined;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/** Least life of a pod certificate, by the API server. */
const MIN_LIFE_SECONDS = 3600;

/**
 * How far notBefore may be from the API server's time: it takes five minutes, and its clock is known to
 * the second only and moves on before it looks.
 */
const CLOCK_FENCE_SECONDS = 270;

/** Judges a request as things stand now; signs nothing. */
export function judgePodCertificate(
  request: PodCertificateRequest,
  judge: PodCertificateJudge,
): PodCertificatePlan {
  const { proof, maxExpirationSeconds } = request;
  const annotations = readAnnotations(request.annotations, judge.signerDomain);
  if (!annotations.ok) return refused(annotations.error);
  if (proof === undefined || maxExpirationSeconds < MIN_LIFE_SECONDS) {
    // Held, since v1 does not show how an old kubelet proves its key: v1beta1 may be read in a moment.
    const bad = fail(
      'POD_CERTIFICATE_REQUEST',
      'the request has no proof of a key, or no lifetime',
    );
    return { kind: 'hold', error: bad.error };
  }
  const serverSeconds = (judge.clock.nowMs() + (judge.serverAheadMs() ?? 0)) / 1000;
  const verdict = judge.identities.resolve(request.claim, {
    ...annotations.value,
    ofServices: judge.signer === 'service-dns',
    requestedBy: `pod-certificate:${judge.cluster}`,
    maxLifeSeconds: maxExpirationSeconds,
    notBeforeSeconds: Math.ceil(serverSeconds - CLOCK_FENCE_SECONDS),
  });
  if (verdict.kind !== 'granted') return verdict;
  const { grant, pod } = verdict;
  if (!hasVolume(pod, `${judge.signerDomain}/${judge.signer}`)) {
    const bare = `pod ${podKey(pod)} has no podCertificate volume of this signer`;
    return refused(fail('POD_MISMATCH', bare).error);
  }
  const fenced = checkDates(grant, serverSeconds, judge);
  return fenced ?? { kind: 'issue', grant, proof };
}

/** What the API server would say of the dates, before anything is signed; undefined where they will do. */
function checkDates(
  grant: X509Grant,
  serverSeconds: number,
  { issuer, defaultTtlSeconds }: PodCertificateJudge,
): PodCertificatePlan | undefined {
  const planned = issuer.planX509(grant);
  if (!planned.ok) return { kind: 'wait', error: planned.error };
  const { notBeforeSeconds, notAfterSeconds } = planned.value;
  const lifeSeconds = notAfterSeconds - notBeforeSeconds;
  const ttlSeconds = grant.ttlSeconds || defaultTtlSeconds();
  if (lifeSeconds < MIN_LIFE_SECONDS && ttlSeconds < MIN_LIFE_SECONDS) {
    const short = `policy gives it ${ttlSeconds} s`;
    return refused(fail('POD_CERTIFICATE_LIFE', short).error);
  }
  const ahead = notBeforeSeconds - serverSeconds;
  if (lifeSeconds >= MIN_LIFE_SECONDS && ahead <= CLOCK_FENCE_SECONDS) return undefined;
  const dates = `it would live ${lifeSeconds} s, from ${Math.round(ahead)} s after now there`;
  return { kind: 'wait', error: fail('POD_CERTIFICATE_CLOCK', dates).error };
}

/** Whether a pod asks for certificates of a signer at all: a forged request gets none for other pods. */
function hasVolume({ json }: KubePod, signerName: string): boolean {
  return objectsAt(partsOf(json).spec, 'volumes').some((volume) =>
    objectsAt(volume, 'projected', 'sources').some(
      (source) => textAt(source, 'podCertificate', 'signerName') === signerName,
    ),
  );
}

interface Wished {
  readonly spiffeId?: string | undefined;
  readonly dnsNames?: readonly string[] | undefined;
}

/** Annotations come from whoever wrote the pod: they choose among what the pod has anyway. */
function readAnnotations(
  annotations: ReadonlyMap<string, string>,
  signerDomain: string,
): Result<Wished> {
  const hint = `${signerDomain}/spiffe-id-hint`;
  const names = `${signerDomain}/dns-names`;
  for (const key of annotations.keys()) {
    if (key === hint || key === names) continue;
    const told = JSON.stringify(key.slice(0, 300));
    return fail('POD_CERTIFICATE_ANNOTATION', `${told} is none of ${hint}, ${names}`);
  }
  const dnsNames = annotations
    .get(names)
    ?.split(',')
    .map((name) => name.trim());
  return ok({ spiffeId: annotations.get(hint), dnsNames });
}

function refused(error: SignetError): PodCertificatePlan {
  return { kind: 'refused', error };
}
