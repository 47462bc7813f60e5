import { equalBytes } from '../../src/base/bytes.ts';
import type { Clock } from '../../src/base/clock.ts';
import type { SignetError } from '../../src/base/errors.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { readFileIfPresent } from '../../src/runtime/atomic-file.ts';
import { type Bundle, withX509Authority, x509Roots } from '../../src/spiffe/bundle.ts';
import { MAX_BUNDLE_BYTES, parseSpiffeBundle } from '../../src/spiffe/bundle-document.ts';
import { parsePemBundle } from '../../src/spiffe/bundle-format.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';
import type { AgentConfig } from '../config.ts';
import type { ServerTrust } from './server-clients.ts';

/** What decides whom the agent believes when it attests. */
export interface BootstrapParts {
  readonly bootstrap: AgentConfig['bootstrap'];
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  /** The bundle that the agent holds from before. */
  readonly held: Bundle | undefined;
  /** Told why the file does not count, where it is done without. */
  readonly onIgnored: (error: SignetError) => void;
}

/**
 * What the server is verified against in an attestation: the bundle file together with what the agent
 * holds, since the file may be older than the authority in use, and younger where somebody publishes
 * it; what is held alone where there is no file or it cannot be read; and nothing at all only where the
 * operator chose so and nothing is held that is still valid. The file is read each time. Fails with
 * AGENT_BOOTSTRAP_BUNDLE.
 */
export async function bootstrapTrust(parts: BootstrapParts): Promise<Result<ServerTrust>> {
  const held = unexpired(parts.held, parts.clock.nowMs());
  const { bundlePath } = parts.bootstrap;
  if (bundlePath === undefined) {
    if (held !== undefined) return ok({ kind: 'bundle', bundle: () => held });
    if (parts.bootstrap.insecure) return ok({ kind: 'insecure' });
    return fail('AGENT_BOOTSTRAP_BUNDLE', 'no bootstrap bundle is configured');
  }
  const file = await readBundleFile(parts, bundlePath);
  if (!file.ok) {
    // It is replaced while the agent runs: a moment without it must not cost the node its identity.
    if (held === undefined) return file;
    parts.onIgnored(file.error);
    return ok({ kind: 'bundle', bundle: () => held });
  }
  const bundle = (held?.x509Authorities ?? []).reduce(withX509Authority, file.value);
  return ok({ kind: 'bundle', bundle: () => bundle });
}

/**
 * Whether the bundle file holds valid authorities and none of those that the agent holds: somebody has
 * made the trust domain anew, and what is held will never verify its server again.
 */
export async function hasOtherAuthorities(
  parts: Pick<BootstrapParts, 'bootstrap' | 'trustDomain' | 'clock' | 'held'>,
): Promise<boolean> {
  const { bundlePath } = parts.bootstrap;
  if (bundlePath === undefined || parts.held === undefined) return false;
  const file = await readBundleFile(parts, bundlePath);
  if (!file.ok || unexpired(file.value, parts.clock.nowMs()) === undefined) return false;
  const held = x509Roots(parts.held);
  return !x509Roots(file.value).some(({ der }) => held.some((one) => equalBytes(one.der, der)));
}

type FileParts = Pick<BootstrapParts, 'bootstrap' | 'trustDomain'>;

async function readBundleFile(parts: FileParts, path: string): Promise<Result<Bundle>> {
  const bytes = await readFileIfPresent(path, MAX_BUNDLE_BYTES);
  if (!bytes.ok) return fail('AGENT_BOOTSTRAP_BUNDLE', bytes.error.message);
  if (bytes.value === undefined) {
    return fail('AGENT_BOOTSTRAP_BUNDLE', `the bootstrap bundle ${path} does not exist`);
  }
  const bundle = parseBundle(parts, bytes.value);
  if (!bundle.ok) {
    return fail('AGENT_BOOTSTRAP_BUNDLE', `bootstrap bundle ${path}: ${bundle.error.message}`);
  }
  if (bundle.value.x509Authorities.length === 0) {
    return fail('AGENT_BOOTSTRAP_BUNDLE', `bootstrap bundle ${path} has no X.509 authority`);
  }
  return bundle;
}

function parseBundle(parts: FileParts, bytes: Uint8Array): Result<Bundle> {
  if (parts.bootstrap.bundleFormat === 'pem') return parsePemBundle(parts.trustDomain, bytes);
  const parsed = parseSpiffeBundle(parts.trustDomain, bytes);
  return parsed.ok ? ok(parsed.value.bundle) : parsed;
}

/** The bundle, unless every authority of it is over: such a bundle verifies nobody. */
function unexpired(bundle: Bundle | undefined, nowMs: number): Bundle | undefined {
  const some = bundle?.x509Authorities.some(({ certificate }) => certificate.notAfterMs > nowMs);
  return some === true ? bundle : undefined;
}
