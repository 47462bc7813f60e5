import type { Clock } from '../../src/base/clock.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { type Bundle, withX509Authority } from '../../src/spiffe/bundle.ts';
import { bootstrapTrust } from '../attestation/bootstrap.ts';
import type { ServerTrust } from '../attestation/server-clients.ts';
import type { ConnectorConfig } from './config.ts';
import { askWorkloadApi } from './proof.ts';

/** What decides whom the companion believes. */
export interface TrustParts {
  readonly config: Pick<ConnectorConfig, 'bootstrap' | 'workloadApi' | 'trustDomain'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** The bundle that it holds from before. */
  readonly held: Bundle | undefined;
}

/**
 * What the server is verified against in an enrolment: the bundle file, or the Workload API's, together
 * with what is held; anyone only where the operator chose so and nothing valid is held. Fails with
 * COMPANION_BUNDLE.
 */
export async function connectorTrust(parts: TrustParts): Promise<Result<ServerTrust>> {
  const { bootstrap, workloadApi, trustDomain } = parts.config;
  const bySocket = bootstrap.bundlePath === undefined && !bootstrap.insecure;
  if (bySocket && workloadApi.socket !== undefined) {
    const bundle = await bundleOfAgent(parts, workloadApi.socket);
    if (bundle.ok) return merged(parts.held, bundle.value);
    if (parts.held === undefined) return bundle;
    parts.log.warn({ reason: bundle.error.message }, 'going on with the bundle that is held');
  }
  const trust = await bootstrapTrust({
    bootstrap,
    trustDomain,
    clock: parts.clock,
    held: parts.held,
    onIgnored: ({ message }) =>
      parts.log.warn({ reason: message }, 'going on with the bundle that is held'),
  });
  return trust.ok ? trust : fail('COMPANION_BUNDLE', trust.error.message, { cause: trust.error });
}

function merged(held: Bundle | undefined, found: Bundle): Result<ServerTrust> {
  const bundle = (held?.x509Authorities ?? []).reduce(withX509Authority, found);
  return ok({ kind: 'bundle', bundle: () => bundle });
}

async function bundleOfAgent({ config }: TrustParts, socket: string): Promise<Result<Bundle>> {
  const context = await askWorkloadApi(socket);
  if (!context.ok) return fail('COMPANION_BUNDLE', context.error.message);
  const bundle = context.value.bundles.get(config.trustDomain.name);
  if (bundle !== undefined) return ok(bundle);
  return fail('COMPANION_BUNDLE', `the Workload API has no bundle of ${config.trustDomain.name}`);
}
