import { fail, type Result } from '../base/result.ts';
import type { BundleService } from '../gen/spire/api/server/bundle/v1/bundle.ts';
import type { BundleMask, Bundle as WireBundle } from '../gen/spire/api/types/bundle.ts';
import type { CallContext, Encoded, Handlers } from '../rpc/service.ts';
import { type ApiContext, agentCaller } from './context.ts';
import { answerBundle } from './convert/bundles.ts';
import { type DownstreamContext, publishJwtAuthority } from './downstream.ts';
import { federatedBundleHandlers } from './federated-bundles.ts';
import type { CallLimits } from './rate-limits.ts';

/**
 * `spire.api.server.bundle.v1.Bundle`: the trust bundle of this server, to anyone; those of other trust
 * domains, to operators and agents; JWT keys of servers below.
 */
export function createBundleService(
  api: DownstreamContext,
  limits: CallLimits,
): Handlers<BundleService> {
  return {
    publishJwtAuthority: (request, context) => publishJwtAuthority(api, limits, request, context),
    getBundle: (request, context) => ownBundle(api, request.outputMask, context),
    ...federatedBundleHandlers(api),
  };
}

function ownBundle(
  api: Pick<ApiContext, 'registry' | 'bundleAcks'>,
  mask: BundleMask | undefined,
  context: CallContext,
): Result<WireBundle | Encoded> {
  const { bundle } = api.registry;
  if (bundle === undefined) return fail('BUNDLE_NOT_READY', 'no bundle is published yet');
  const agent = agentCaller(context);
  // An agent that polls says by asking that it has what it is answered.
  if (agent.ok && (mask === undefined || (mask.x509Authorities && mask.jwtAuthorities))) {
    api.bundleAcks.acked(agent.value.id, bundle.sequence);
  }
  return { ok: true, value: answerBundle(bundle, mask) };
}
