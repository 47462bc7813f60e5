import { createPrivateKey } from 'node:crypto';
import { fail, ok, type Result } from '../base/result.ts';
import { type BundleEndpoint, startBundleEndpoint } from '../federation/bundle-endpoint.ts';
import { fetchBundle } from '../federation/fetch-bundle.ts';
import { BundleFetcher, type FetchOutcome } from '../federation/fetcher.ts';
import type { BundleEndpointSettings } from '../federation/settings.ts';
import type { Registry } from '../registry/registry.ts';
import { readFileIfPresent } from '../runtime/atomic-file.ts';
import type { TlsIdentity } from '../tls/identity.ts';
import { parseCertificatesPem } from '../x509/certificate.ts';
import { appearanceOf, readAll } from './reference-files.ts';
import type { ServerBase } from './server.ts';
import type { ServerIdentity } from './server-identity.ts';

/** How often the certificate files of https_web are looked at. */
const RELOAD_MS = 60_000;

/** What federation stands on. */
export interface FederationParts {
  readonly registry: Registry;
  readonly identity: ServerIdentity;
}

/** The running parts of federation. */
export interface ServerFederation {
  readonly fetcher: BundleFetcher;
  /** Where the bundle is served; undefined where configuration has no endpoint. */
  readonly endpointPort: number | undefined;
}

/**
 * Serves the own bundle to others where configuration says so, and fetches theirs. Fails with
 * FILE_UNREADABLE, TLS_CONFIGURATION or LISTEN_FAILED.
 */
export async function startFederation(
  base: ServerBase,
  parts: FederationParts,
): Promise<Result<ServerFederation>> {
  const endpoint = await startEndpoint(base, parts);
  if (!endpoint.ok) return endpoint;
  const fetcher = await startFetcher(base, parts);
  if (!fetcher.ok) return fetcher;
  return ok({ fetcher: fetcher.value, endpointPort: endpoint.value?.port });
}

async function startEndpoint(
  base: ServerBase,
  { registry, identity }: FederationParts,
): Promise<Result<BundleEndpoint | undefined>> {
  const settings = base.config.federation.bundleEndpoint;
  if (settings === undefined) return ok(undefined);
  const first = settings.profile === 'https_web' ? await readWeb(settings) : ok(identity.current);
  if (!first.ok) return first;
  const endpoint = await startBundleEndpoint({
    ...settings,
    identity: first.value,
    bundle: () => registry.bundle,
  });
  if (!endpoint.ok) return endpoint;
  base.life.add('bundle endpoint', () => endpoint.value.close());
  const { port } = endpoint.value;
  base.log.info({ address: settings.address, port, profile: settings.profile }, 'bundle endpoint');
  if (settings.profile === 'https_web') await followFiles(base, settings, endpoint.value);
  else identity.onRenewed((renewed) => show(base, endpoint.value, ok(renewed)));
  return endpoint;
}

function show({ log }: ServerBase, endpoint: BundleEndpoint, next: Result<TlsIdentity>): void {
  const set = next.ok ? endpoint.setIdentity(next.value) : next;
  if (set.ok) return;
  const { code, message: reason } = set.error;
  log.error({ code, reason }, 'the bundle endpoint keeps its old certificate');
}

/** Looks at the files now and then: whoever renews the certificate tells nobody. */
async function followFiles(
  base: ServerBase,
  settings: BundleEndpointSettings,
  endpoint: BundleEndpoint,
): Promise<void> {
  const paths = [settings.certificatePath, settings.keyPath].flatMap((path) => path ?? []);
  let seen = await appearanceOf(paths);
  const look = async (): Promise<void> => {
    const now = await appearanceOf(paths);
    if (now !== seen) show(base, endpoint, await readWeb(settings));
    seen = now;
    cancel = base.clock.after(RELOAD_MS, () => void look());
  };
  let cancel = base.clock.after(RELOAD_MS, () => void look());
  base.life.add('certificate of the bundle endpoint', () => cancel());
}

/** Certificate and key of https_web. */
async function readWeb(settings: BundleEndpointSettings): Promise<Result<TlsIdentity>> {
  const { certificatePath = '', keyPath = '' } = settings;
  const chain = await readAll([certificatePath], (bytes) => parseCertificatesPem(bytes));
  if (!chain.ok) return chain;
  const key = await readAll([keyPath], readKey);
  if (!key.ok) return key;
  const [privateKeyPkcs8 = new Uint8Array()] = key.value;
  return ok({ chainDer: chain.value.flat().map(({ der }) => der), privateKeyPkcs8 });
}

function readKey(pem: Uint8Array): Result<Uint8Array> {
  try {
    const key = createPrivateKey({ key: Buffer.from(pem), format: 'pem' });
    return ok(key.export({ type: 'pkcs8', format: 'der' }));
  } catch {
    // What OpenSSL says of a key file does not belong into a log.
    return fail('TLS_CONFIGURATION', 'it holds no private key in PEM');
  }
}

async function startFetcher(
  base: ServerBase,
  { registry }: FederationParts,
): Promise<Result<BundleFetcher>> {
  const { clock, random, life } = base;
  const { minInterval, maxInterval, timeout, caPath } = base.config.federation.fetch;
  const webRoots = await readWebRoots(caPath);
  if (!webRoots.ok) return webRoots;
  const onOutcome = outcomes(base, registry);
  const fetcher = new BundleFetcher({
    registry,
    clock,
    random,
    minIntervalMs: minInterval * 1000,
    maxIntervalMs: maxInterval * 1000,
    fetch: (relationship, endpointBundle, signal) =>
      fetchBundle(relationship, endpointBundle, {
        clock,
        timeoutMs: timeout * 1000,
        webRoots: webRoots.value,
        signal,
      }),
    onOutcome,
  });
  life.add('bundle fetcher', () => fetcher.close());
  keepMetrics(base, registry, fetcher);
  return ok(fetcher);
}

async function readWebRoots(path: string | undefined): Promise<Result<string | undefined>> {
  if (path === undefined) return ok(undefined);
  const bytes = await readFileIfPresent(path, 1024 * 1024);
  if (!bytes.ok) return bytes;
  if (bytes.value === undefined) return fail('FILE_UNREADABLE', `${path} does not exist`);
  const read = parseCertificatesPem(bytes.value);
  if (!read.ok) return fail(read.error.code, `${path}: ${read.error.message}`);
  return ok(Buffer.from(bytes.value).toString('latin1'));
}

function outcomes(
  { log, metrics }: ServerBase,
  registry: Registry,
): (trustDomain: string, outcome: FetchOutcome) => void {
  const fetches = metrics.counter(
    'federation_fetches_total',
    'Fetches of bundles of other trust domains, by outcome: written, unchanged, or a code.',
    ['trust_domain', 'outcome'],
  );
  return (trustDomain, outcome) => {
    if (outcome.kind === 'failed') {
      const { code, message: reason, action } = outcome.error;
      fetches.inc({ trust_domain: trustDomain, outcome: code });
      log.warn({ federatedTrustDomain: trustDomain, code, reason, action }, 'fetching a bundle');
      return;
    }
    fetches.inc({ trust_domain: trustDomain, outcome: outcome.kind });
    if (outcome.kind === 'unchanged') return;
    const { x509Authorities, jwtAuthorities, sequence } = outcome.bundle;
    const facts = {
      federatedTrustDomain: trustDomain,
      endpoint: registry.federation.relationship(trustDomain)?.bundleEndpointUrl,
      x509Authorities: x509Authorities.length,
      jwtAuthorities: jwtAuthorities.length,
      bundleSequence: String(sequence),
      ignoredKeys: outcome.ignoredKeys,
    };
    const empty = x509Authorities.length + jwtAuthorities.length === 0;
    if (empty) log.warn(facts, 'the bundle of another trust domain is empty: it trusts nothing');
    else log.info(facts, 'the bundle of another trust domain is new');
  };
}

function keepMetrics(
  { metrics, clock }: ServerBase,
  { federation }: Registry,
  fetcher: BundleFetcher,
): void {
  const byDomain = (name: string, help: string, read: (domain: string) => number | undefined) =>
    metrics.kept('gauge', name, help, ['trust_domain'], () =>
      [...federation.relationships()].flatMap(({ trustDomain }) => {
        const value = read(trustDomain.name);
        return value === undefined ? [] : [[{ trust_domain: trustDomain.name }, value] as const];
      }),
    );
  byDomain(
    'federation_bundle_age_seconds',
    'Time since the bundle of another trust domain was last fetched, since the start of this process.',
    (name) => {
      const fetchedAtMs = fetcher.status(name)?.fetchedAtMs;
      return fetchedAtMs === undefined ? undefined : (clock.nowMs() - fetchedAtMs) / 1000;
    },
  );
  byDomain(
    'federation_fetch_failed',
    'Whether the last fetch of the bundle of another trust domain failed.',
    (name) => (fetcher.status(name)?.error === undefined ? 0 : 1),
  );
  metrics.reading('federated_bundles', 'Bundles of other trust domains that are held.', () => {
    return federation.bundleCount;
  });
}
