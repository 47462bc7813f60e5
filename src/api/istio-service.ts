import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { encodePem } from '../der/pem.ts';
import type {
  IstioCertificateRequest,
  IstioCertificateResponse,
  IstioCertificateServiceService,
} from '../gen/istio/v1/auth/ca.ts';
import type { IssuedX509 } from '../issuance/issuer.ts';
import type { X509Grant } from '../policy/grant.ts';
import type { CallContext, Handlers } from '../rpc/service.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { type Bundle, x509Roots } from '../spiffe/bundle.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { type ApiContext, audit } from './context.ts';
import { type MeshRequest, readMeshRequest } from './istio-request.ts';

/** A cluster whose mesh clients are served. */
export interface IstioCluster {
  readonly name: string;
  /** What clients call it. */
  readonly clusterIds: readonly string[];
  /** Whether a client may have what it asks for, by its token and the rules. */
  authorize(
    ask: Pick<MeshRequest, 'token' | 'spiffeId' | 'impersonates' | 'maxLifeSeconds'>,
    signal: AbortSignal,
  ): Promise<
    Result<{ readonly grant: X509Grant; readonly facts: Readonly<Record<string, string>> }>
  >;
}

/** What a process counts about mesh clients. */
export interface IstioMetrics {
  /** A call ended, by `ok` or the code of its refusal, after so many seconds. */
  ended(code: string, seconds: number): void;
}

/** Makes them; once for each process. */
export function createIstioMetrics(metrics: Metrics): IstioMetrics {
  const calls = metrics.counter(
    'istio_certificates_total',
    'Calls of mesh clients for a certificate, by outcome: ok, or the code.',
    ['code'],
  );
  const seconds = metrics.seconds(
    'istio_certificate_seconds',
    'Time to answer a mesh client, its token looked at by the API server included.',
    [],
  );
  return {
    ended(code, took) {
      calls.inc({ code });
      seconds.observe({}, took);
    },
  };
}

type Api = Pick<ApiContext, 'registry' | 'issuer' | 'clock' | 'log'>;

/**
 * `istio.v1.auth.IstioCertificateService`: certificates for the workloads of Istio's meshes, under the
 * policy that agents are. Who calls is told by the token that comes with the call.
 */
export function createIstioService(
  api: Api,
  clusters: readonly IstioCluster[],
  metrics: IstioMetrics,
): Handlers<typeof IstioCertificateServiceService> {
  return {
    async createCertificate(request, context) {
      const beganMs = api.clock.monotonicMs();
      const answer = await answerMesh(api, clusters, request, context);
      metrics.ended(
        answer.ok ? 'ok' : answer.error.code,
        (api.clock.monotonicMs() - beganMs) / 1000,
      );
      return answer;
    },
  };
}

async function answerMesh(
  api: Api,
  clusters: readonly IstioCluster[],
  request: IstioCertificateRequest,
  context: CallContext,
): Promise<Result<IstioCertificateResponse>> {
  const asked = readMeshRequest(request, context.metadata);
  if (!asked.ok) return asked;
  const cluster = findCluster(clusters, asked.value.clusterId);
  if (!cluster.ok) return cluster;
  const signed = await sign(api, cluster.value, asked.value, context);
  if (!signed.ok) {
    const { code, message: reason } = signed.error;
    const { uri: spiffeId } = asked.value.spiffeId;
    const { remoteAddress } = context.connection;
    const facts = { cluster: cluster.value.name, spiffeId, remoteAddress, code, reason };
    api.log.warn(facts, 'a mesh client is refused');
    return signed;
  }
  const { bundle } = api.registry;
  if (bundle === undefined) return fail('BUNDLE_NOT_READY', 'no bundle is published yet');
  return ok({ certChain: chainOf(signed.value, bundle) });
}

/** One that is served alone is meant whatever it is called: its API server judges the token anyway. */
function findCluster(clusters: readonly IstioCluster[], asked: string): Result<IstioCluster> {
  const [only, ...others] = clusters;
  if (only !== undefined && others.length === 0) return ok(only);
  const found = clusters.find(({ clusterIds }) => clusterIds.includes(asked));
  if (found !== undefined) return ok(found);
  return fail('ISTIO_CLUSTER', `ClusterID ${JSON.stringify(asked.slice(0, 80))} is not served`);
}

async function sign(
  api: Api,
  cluster: IstioCluster,
  asked: MeshRequest,
  context: CallContext,
): Promise<Result<IssuedX509>> {
  const leave = await cluster.authorize(asked, context.signal);
  if (!leave.ok) return leave;
  const { grant, facts } = leave.value;
  const [issued] = await api.issuer.issueX509Batch([{ grant, csr: asked.csr }]);
  if (issued === undefined) throw new TypeError('issuance answers each request');
  if (!issued.ok) return issued;
  audit(api, context, {
    ...facts,
    spiffeId: issued.value.spiffeId.uri,
    serial: issued.value.serialDecimal,
    expiresAtSeconds: issued.value.expiresAtSeconds,
  });
  return issued;
}

/**
 * One PEM for each certificate, the roots together in the last: Istio takes that for what to trust, all of
 * it, with the root of this chain in front for what reads one only.
 */
function chainOf({ chain }: IssuedX509, bundle: Bundle): string[] {
  const last = parseCertificate(chain.at(-1) ?? new Uint8Array());
  const signer = last.ok ? last.value.authorityKeyId : undefined;
  const roots = x509Roots(bundle);
  const isOwn = (keyId: Uint8Array | undefined): boolean =>
    keyId !== undefined && signer !== undefined && equalBytes(keyId, signer);
  const sorted = [
    ...roots.filter(({ subjectKeyId }) => isOwn(subjectKeyId)),
    ...roots.filter(({ subjectKeyId }) => !isOwn(subjectKeyId)),
  ];
  const pem = (der: Uint8Array): string => encodePem('CERTIFICATE', der);
  return [...chain.map(pem), sorted.map(({ der }) => pem(der)).join('')];
}
