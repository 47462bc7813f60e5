import { createHash } from 'node:crypto';
import type {
  CertifyOrder,
  UpstreamAnswer,
  UpstreamAuthority,
  UpstreamTrust,
} from '../../src/authority/upstream/upstream.ts';
import { UpstreamLink } from '../../src/authority/upstream/upstream-link.ts';
import type { Clock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { fail, ok, type Result, unwrap } from '../../src/base/result.ts';
import { createMetrics, type Metrics } from '../../src/runtime/metrics.ts';
import type { BundleJwtAuthority } from '../../src/spiffe/bundle.ts';
import { parseCsr } from '../../src/x509/csr.ts';
import { SILENT, TRUST_DOMAIN } from './issuance.ts';
import { makeIntermediate, makeRoot, type TestCertificate } from './x509.ts';

/** An upstream of a test, in this process: a root that signs whatever it is asked to, while it is up. */
export class TestUpstream implements UpstreamAuthority {
  readonly name = 'disk';
  readonly pollMs = 5000;
  readonly #clock: Clock;
  roots: TestCertificate[] = [makeRoot('example.org')];
  tainted: TestCertificate[] = [];
  /** What signs; the last root unless set. */
  issuer: TestCertificate | undefined;
  jwt: BundleJwtAuthority[] | undefined;
  down = false;
  /** SHA-256 of the keys that were to be certified. */
  readonly asked: string[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async certify({ csr, ttlSeconds }: CertifyOrder): Promise<Result<UpstreamAnswer>> {
    const { publicKey } = unwrap(parseCsr(csr));
    this.asked.push(createHash('sha256').update(publicKey.spki).digest('hex'));
    if (this.down) return fail('UPSTREAM_UNREACHABLE', 'planted');
    const issuer = this.issuer ?? this.roots.at(-1);
    if (issuer === undefined) return fail('UPSTREAM_REFUSED', 'planted');
    const key = { publicKey, spki: publicKey.spki, privateKey: issuer.key.privateKey };
    const nowMs = this.#clock.nowMs();
    const times = { notBeforeMs: nowMs - 60_000, notAfterMs: nowMs + ttlSeconds * 1000 };
    const ca = makeIntermediate(issuer, { key, uris: [TRUST_DOMAIN.id], ...times });
    const isRoot = this.roots.includes(issuer);
    return ok({
      chain: [ca.der, ...(isRoot ? [] : [issuer.der])],
      roots: this.roots.map(({ der }) => der),
    });
  }

  async trusted(): Promise<Result<UpstreamTrust>> {
    if (this.down) return fail('UPSTREAM_UNREACHABLE', 'planted');
    const x509 = this.roots.map((root) => ({
      certificate: root.certificate,
      tainted: this.tainted.includes(root),
    }));
    return ok({ x509, jwt: this.jwt });
  }

  async publishJwtKey(key: BundleJwtAuthority): Promise<Result<readonly BundleJwtAuthority[]>> {
    if (this.down) return fail('UPSTREAM_UNREACHABLE', 'planted');
    this.jwt = [...(this.jwt ?? []), key];
    return ok(this.jwt);
  }

  async close(): Promise<void> {}
}

/** The link to an upstream of a test. */
export function linkTo(
  authority: UpstreamAuthority,
  clock: Clock,
  metrics: Metrics = createMetrics('test'),
): UpstreamLink {
  return new UpstreamLink({
    trustDomain: TRUST_DOMAIN,
    authority,
    casBelow: 0,
    clock,
    random: systemRandom,
    log: SILENT,
    metrics,
  });
}
