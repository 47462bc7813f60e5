import { createDiskUpstream } from '../authority/upstream/disk.ts';
import type { UpstreamAuthority } from '../authority/upstream/upstream.ts';
import { UpstreamLink } from '../authority/upstream/upstream-link.ts';
import { ok, type Result } from '../base/result.ts';
import { parseWorkloadAddress } from '../client/address.ts';
import { createSpireUpstream } from '../nested/spire-upstream.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import type { CaSubject } from '../x509/ca-template.ts';
import { protectionOf } from './protection.ts';
import type { ServerBase } from './server.ts';

/** The link to the upstream that configuration names; undefined where it names none. */
export function openUpstream(
  base: ServerBase,
  subject: CaSubject,
): Result<UpstreamLink | undefined> {
  const authority = authorityOf(base, subject);
  if (!authority.ok || authority.value === undefined) {
    return authority.ok ? ok(undefined) : authority;
  }
  const { config, clock, random, log, metrics } = base;
  const casBelow = protectionOf(config).x509 === 'delegated' ? 1 : 0;
  const { trustDomain } = config;
  const parts = { trustDomain, authority: authority.value, casBelow };
  return ok(new UpstreamLink({ ...parts, clock, random, log, metrics }));
}

function authorityOf(
  { config, clock, random }: ServerBase,
  subject: CaSubject,
): Result<UpstreamAuthority | undefined> {
  const { trustDomain, svid } = config;
  const { disk, spire } = config.upstream;
  const parts = { trustDomain, clock, random };
  if (disk !== undefined) {
    const { certPath, keyPath, bundlePath } = disk;
    const files = { certPath, keyPath, bundlePath };
    return ok(createDiskUpstream({ ...parts, ...files, subject, backdateSeconds: svid.backdate }));
  }
  if (spire === undefined) return ok(undefined);
  const workloadApi = parseWorkloadAddress(spire.workloadApi);
  if (!workloadApi.ok) return workloadApi;
  const spiffeId = spire.spiffeId === undefined ? ok(undefined) : parseSpiffeId(spire.spiffeId);
  if (!spiffeId.ok) return spiffeId;
  const { address: host, port } = spire;
  const place = { host, port, workloadApi: workloadApi.value, spiffeId: spiffeId.value };
  return ok(createSpireUpstream({ ...parts, ...place }));
}
