import { fail, type Result } from '../base/result.ts';
import type { BundleService } from '../gen/spire/api/server/bundle/v1/bundle.ts';
import type { BundleMask, Bundle as WireBundle } from '../gen/spire/api/types/bundle.ts';
import type { Encoded, Handlers } from '../rpc/service.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import type { ApiContext } from './context.ts';
import { answerBundle } from './convert/bundles.ts';
import { inField } from './convert/ids.ts';

/** `spire.api.server.bundle.v1.Bundle`: the trust bundle of this server, to anyone. */
export function createBundleService(api: Pick<ApiContext, 'registry'>): Handlers<BundleService> {
  return {
    getBundle: (request) => ownBundle(api, request.outputMask),
    getFederatedBundle(request) {
      const asked = parseTrustDomain(request.trustDomain);
      if (!asked.ok) return inField(asked.error, 'trust_domain');
      // Stock agents take NotFound as "not federated", and go on.
      return fail('BUNDLE_NOT_FOUND', `no bundle of trust domain ${asked.value.name}`);
    },
  };
}

function ownBundle(
  api: Pick<ApiContext, 'registry'>,
  mask: BundleMask | undefined,
): Result<WireBundle | Encoded> {
  const { bundle } = api.registry;
  if (bundle === undefined) return fail('BUNDLE_NOT_READY', 'no bundle is published yet');
  return { ok: true, value: answerBundle(bundle, mask) };
}
