import { parseCaArn } from '../authority/upstream/ca-arn.ts';
import type { CertManagerUpstreamOptions } from '../authority/upstream/cert-manager.ts';
import { createDiskUpstream } from '../authority/upstream/disk.ts';
import type { UpstreamAuthority } from '../authority/upstream/upstream.ts';
import { UpstreamLink } from '../authority/upstream/upstream-link.ts';
import type { Clock } from '../base/clock.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { parseWorkloadAddress } from '../client/address.ts';
import { vaultAuthOf } from '../keys/vault/vault-settings.ts';
import { createSpireUpstream, type SpireUpstreamOptions } from '../nested/spire-upstream.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import type { CaSubject } from '../x509/ca-template.ts';
import type { ServerConfig } from './config.ts';
import { protectionOf } from './protection.ts';
import type { ServerBase } from './server.ts';

type SpireSettings = NonNullable<ServerConfig['upstream']['spire']>;
type CertManagerSettings = NonNullable<ServerConfig['upstream']['certManager']>;
type AwsPcaSettings = NonNullable<ServerConfig['upstream']['awsPca']>;

/** The link to the upstream that configuration names; undefined where it names none. */
export async function openUpstream(
  base: ServerBase,
  subject: CaSubject,
): Promise<Result<UpstreamLink | undefined>> {
  const authority = await authorityOf(base, subject);
  if (!authority.ok || authority.value === undefined) {
    return authority.ok ? ok(undefined) : authority;
  }
  const { config, clock, random, log, metrics } = base;
  const casBelow = casBelowOf(config);
  const { trustDomain } = config;
  const parts = { trustDomain, authority: authority.value, casBelow };
  return ok(new UpstreamLink({ ...parts, clock, random, log, metrics }));
}

/** Clients of upstreams outside are loaded only where they are wanted. */
async function authorityOf(
  { config, clock, random }: ServerBase,
  subject: CaSubject,
): Promise<Result<UpstreamAuthority | undefined>> {
  const { trustDomain, svid } = config;
  const { disk, spire, vault, awsPca, certManager } = config.upstream;
  const parts = { trustDomain, clock, random };
  if (disk !== undefined) {
    const { certPath, keyPath, bundlePath } = disk;
    const files = { certPath, keyPath, bundlePath };
    return ok(createDiskUpstream({ ...parts, ...files, subject, backdateSeconds: svid.backdate }));
  }
  if (vault !== undefined) {
    const { address, namespace, auth, caPath, mount, issuer, bundlePath } = vault;
    const { createVaultUpstream } = await import('../authority/upstream/vault.ts');
    const place = { place: { address, namespace }, auth: vaultAuthOf(auth) };
    return ok(createVaultUpstream({ ...place, caPath, mount, issuer, bundlePath, clock }));
  }
  if (awsPca !== undefined) return awsPcaOf(awsPca, casBelowOf(config), clock);
  if (certManager !== undefined) return ok(await certManagerOf(certManager, parts));
  return spire === undefined ? ok(undefined) : spireOf(spire, parts);
}

/** CAs that have to fit below ours. */
function casBelowOf(config: ServerConfig): number {
  return protectionOf(config).x509 === 'delegated' ? 1 : 0;
}

async function awsPcaOf(
  settings: AwsPcaSettings,
  casBelow: number,
  clock: Clock,
): Promise<Result<UpstreamAuthority>> {
  const { certificateAuthorityArn: text, pathLength = casBelow } = settings;
  const { templateArn, signingAlgorithm, endpoint, bundlePath } = settings;
  const certificateAuthorityArn = parseCaArn(text);
  if (certificateAuthorityArn === undefined) {
    return fail('UPSTREAM_SETTINGS', 'upstream.awsPca.certificateAuthorityArn is no ARN of a CA');
  }
  const { createAwsPcaUpstream } = await import('../authority/upstream/aws-pca.ts');
  const ca = { certificateAuthorityArn, pathLength, templateArn, signingAlgorithm };
  return ok(createAwsPcaUpstream({ ...ca, endpoint, bundlePath, clock }));
}

async function certManagerOf(
  { namespace, issuer, kubeconfigPath, bundlePath }: CertManagerSettings,
  { trustDomain, clock }: Pick<CertManagerUpstreamOptions, 'trustDomain' | 'clock'>,
): Promise<UpstreamAuthority> {
  const { createCertManagerUpstream } = await import('../authority/upstream/cert-manager.ts');
  const { lazyKubeObjects } = await import('../kube/kube-objects.ts');
  const open = lazyKubeObjects({ kubeconfigPath }, { clock, name: 'cert-manager' });
  const place = { open, namespace, issuerRef: issuer, bundlePath };
  return createCertManagerUpstream({ ...place, trustDomain, clock });
}

function spireOf(
  { address: host, port, workloadApi, spiffeId }: SpireSettings,
  parts: Pick<SpireUpstreamOptions, 'trustDomain' | 'clock' | 'random'>,
): Result<UpstreamAuthority> {
  const socket = parseWorkloadAddress(workloadApi);
  if (!socket.ok) return socket;
  const caller = spiffeId === undefined ? ok(undefined) : parseSpiffeId(spiffeId);
  if (!caller.ok) return caller;
  const place = { host, port, workloadApi: socket.value, spiffeId: caller.value };
  return ok(createSpireUpstream({ ...parts, ...place }));
}
