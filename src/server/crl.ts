import { z } from 'zod';
import type { PushedCrl } from '../api/context.ts';
import type { AuthoritySource, X509Authority } from '../authority/authority.ts';
import { ok, type Result } from '../base/result.ts';
import { CrlPublisher } from '../issuance/crl-publisher.ts';
import type { LedgerRecorder } from '../issuance/ledger-recorder.ts';
import type { SealedKeys } from '../keys/sealed/sealed-keys.ts';
import { type LintedKey, onlyLinted } from '../lint/linted-key.ts';
import type { Registry } from '../registry/registry.ts';
import type { ExtraPage, ExtraPages } from '../runtime/telemetry.ts';
import { durationSetting } from '../runtime/units.ts';
import { crlDistributionPoints } from '../x509/extension-writer.ts';
import type { ServerBase } from './server.ts';

/** Schema of the `crl` section. */
export const crlSchema = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe(
        'Whether a CRL of revoked X.509-SVIDs is made, and served as /crl on the telemetry port.',
      ),
    lifetime: durationSetting({ min: '10s', max: '7d' })
      .prefault('1h')
      .describe('How long a CRL is in force; another is made at half of it, and at every change.'),
    distributionPoints: z
      .array(
        z
          .string()
          .max(1024)
          .regex(/^http:\/\/[!-~]+$/, 'must be a URL such as http://signet.example.org:9090/crl'),
      )
      .max(4)
      .prefault([])
      .describe('Where /crl is fetched, stated in every X.509-SVID (docs/revocation.md).'),
    workloadApi: z
      .boolean()
      .default(false)
      .describe('Whether agents give the CRL to workloads, in the crl field of the Workload API.'),
  })
  .refine(({ enabled, distributionPoints }) => enabled || distributionPoints.length === 0, {
    path: ['distributionPoints'],
    message: 'needs crl.enabled: who looks there would find nothing',
  })
  .prefault({});

/**
 * The same authorities, whose leaves state where the CRL is. It bears the name of who made its signer:
 * the active root, or what stands in its place below an upstream authority.
 */
export function withCrlPoints(
  source: AuthoritySource,
  roots: AuthoritySource,
  urls: readonly string[],
): AuthoritySource {
  if (urls.length === 0) return source;
  const known = new WeakMap<X509Authority, X509Authority>();
  return {
    currentX509() {
      const current = source.currentX509();
      if (!current.ok) return current;
      const held = known.get(current.value);
      if (held !== undefined) return ok(held);
      const root = roots.currentX509();
      if (!root.ok) return root;
      const crlPoints = crlDistributionPoints(urls, root.value.certificate.subjectDer);
      const stated = { ...current.value, crlPoints };
      known.set(current.value, stated);
      return ok(stated);
    },
    currentJwt: () => source.currentJwt(),
    onChange: (listener) => source.onChange(listener),
  };
}

/** Longest CRL that goes to agents and workloads, whose messages hold 4 MiB in all. */
const MAX_PUSHED_BYTES = 1024 * 1024;

/** The CRL of a running server. */
export interface ServerCrl {
  readonly pages: ExtraPages;
  /** Undefined where configuration keeps it from workloads. */
  readonly pushed: PushedCrl | undefined;
}

/** What the CRL is made from. */
interface CrlParts {
  readonly registry: Registry;
  readonly roots: AuthoritySource;
  readonly recorder: LedgerRecorder | undefined;
  /** Holds the signer's key; it lives and dies with the process unless given. */
  readonly sealed: SealedKeys | undefined;
}

/**
 * Makes the CRL and keeps it; undefined where it is turned off. A server that cannot make one serves
 * all the same and tries again: its readers fail closed where they were told to.
 */
export async function startCrl(base: ServerBase, parts: CrlParts): Promise<ServerCrl | undefined> {
  const { config, clock, random, life, log, health } = base;
  if (!config.crl.enabled) return undefined;
  const publisher = new CrlPublisher({
    trustDomain: config.trustDomain,
    registry: parts.registry,
    roots: parts.roots,
    clock,
    random,
    lifetimeSeconds: config.crl.lifetime,
    backdateSeconds: config.svid.backdate,
    recordCa: parts.recorder?.recordCa,
    signerKey: parts.sealed && sealedSignerKey(parts.sealed),
    onFault: ({ code, message: reason, action }) => log.error({ code, reason, action }, 'CRL'),
  });
  life.add('CRL', () => publisher.close());
  await publisher.start();
  health.add('crl', 'ready', () => {
    const { current } = publisher;
    if (current === undefined) return 'there is no CRL yet';
    return current.nextUpdateMs > clock.nowMs() ? undefined : 'the CRL has ended';
  });
  watchCrl(base, publisher, parts.registry);
  const pushed = config.crl.workloadApi ? pushedCrl(base, publisher) : undefined;
  return { pages: crlPages(publisher), pushed };
}

const SLOT_PREFIX = 'CRL-';

/** One key for each root, the same on all servers; those of roots before it are given up. */
function sealedSignerKey(sealed: SealedKeys): (rootId: string) => Promise<Result<LintedKey>> {
  return async (rootId) => {
    const slot = `${SLOT_PREFIX}${rootId}`;
    const key = await sealed.ensure(slot, 'ec-p256');
    const old = sealed.list().filter((each) => each.slot.startsWith(SLOT_PREFIX));
    // One that stays because the store refused is given up the next time.
    for (const { slot: other } of key.ok ? old : []) {
      if (other !== slot) await sealed.release(other);
    }
    return key.ok ? ok(onlyLinted(key.value)) : key;
  };
}

function watchCrl({ metrics }: ServerBase, publisher: CrlPublisher, registry: Registry): void {
  metrics.reading('crl_next_update_seconds', 'Unix time at which the CRL ends.', () => {
    return (publisher.current?.nextUpdateMs ?? 0) / 1000;
  });
  metrics.reading('crl_size_bytes', 'Length of the CRL.', () => {
    return publisher.current?.der.length ?? 0;
  });
  metrics.reading('crl_unlisted', 'Revocations that the CRL does not list.', () => {
    const cas = [...registry.issuingCas()].filter(({ state }) => state === 'revoked').length;
    return registry.revocationCount + cas - (publisher.current?.size ?? 0);
  });
}

/** A CRL that workloads' messages cannot hold is taken away: without one they fail as they were told to. */
function pushedCrl({ log }: ServerBase, publisher: CrlPublisher): PushedCrl {
  publisher.onChange(() => {
    const bytes = publisher.current?.der.length ?? 0;
    if (bytes <= MAX_PUSHED_BYTES) return;
    log.error({ bytes, limit: MAX_PUSHED_BYTES }, 'the CRL is too long for the Workload API');
  });
  return {
    get current() {
      const { current } = publisher;
      return current === undefined || current.der.length > MAX_PUSHED_BYTES ? undefined : current;
    },
    onChange: (listener) => publisher.onChange(listener),
  };
}

/** `/crl`, DER (RFC 2585 §4.2). */
function crlPages(publisher: Pick<CrlPublisher, 'current'>): ExtraPages {
  return {
    prefix: '/crl',
    async render(path): Promise<ExtraPage> {
      const { current } = publisher;
      if (path !== '/crl') return text(404, 'pages: /crl');
      if (current === undefined) return text(503, 'there is no CRL yet');
      return { status: 200, type: 'application/pkix-crl', body: current.der };
    },
  };
}

function text(status: number, message: string): ExtraPage {
  return { status, type: 'text/plain; charset=utf-8', body: `${message}\n` };
}
