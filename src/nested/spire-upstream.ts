import type {
  CertifyOrder,
  UpstreamAnswer,
  UpstreamAuthority,
  UpstreamTrust,
} from '../authority/upstream/upstream.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { WorkloadAddress } from '../client/address.ts';
import { WorkloadClient } from '../client/workload-client.ts';
import { X509Source } from '../client/x509-source.ts';
import { BundleClient } from '../gen/spire/api/server/bundle/v1/bundle.ts';
import { SVIDClient } from '../gen/spire/api/server/svid/v1/svid.ts';
import type { BundleJwtAuthority } from '../spiffe/bundle.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { TrustDomain } from '../spiffe/trust-domain.ts';
import { readBundle, readJwtKeys } from './read-bundle.ts';
import { type Begin, callUpstream } from './upstream-call.ts';

/** A server above this one. */
export interface SpireUpstreamOptions {
  readonly trustDomain: TrustDomain;
  readonly host: string;
  readonly port: number;
  /** Workload API of an agent of that server, where an entry with the downstream flag selects us. */
  readonly workloadApi: WorkloadAddress;
  /** Which of our SVIDs calls; the first unless given. */
  readonly spiffeId: SpiffeId | undefined;
  readonly clock: Clock;
  readonly random: Random;
}

/** SPIRE's interval of the same question, in milliseconds. */
const POLL_MS = 5000;

/**
 * A SPIRE or Signet server as upstream, called with the X.509-SVID that an agent of that server gives
 * us (as SPIRE's upstream of this name does): it signs our CA and publishes our JWT keys, and its
 * bundle is ours.
 */
export function createSpireUpstream(options: SpireUpstreamOptions): UpstreamAuthority {
  return new SpireUpstream(options);
}

class SpireUpstream implements UpstreamAuthority {
  readonly name = 'spire';
  readonly pollMs = POLL_MS;
  readonly #options: SpireUpstreamOptions;
  readonly #workload: WorkloadClient;
  readonly #source: X509Source;

  constructor(options: SpireUpstreamOptions) {
    this.#options = options;
    const { clock, random } = options;
    this.#workload = new WorkloadClient(options.workloadApi, { clock, random });
    this.#source = new X509Source(this.#workload);
  }

  async certify({ csr, ttlSeconds }: CertifyOrder): Promise<Result<UpstreamAnswer>> {
    const request = { csr: Buffer.from(csr), preferredTtl: ttlSeconds };
    const answer = await this.#call('asking for a CA', SVIDClient, (svid) =>
      svid.newDownstreamX509Ca.bind(svid, request),
    );
    if (!answer.ok) return answer;
    return ok({ chain: answer.value.caCertChain, roots: answer.value.x509Authorities });
  }

  async trusted(): Promise<Result<UpstreamTrust>> {
    const request = { outputMask: undefined };
    const answer = await this.#call('asking for the bundle', BundleClient, (bundle) =>
      bundle.getBundle.bind(bundle, request),
    );
    return answer.ok ? readBundle(answer.value, this.#options.trustDomain) : answer;
  }

  async publishJwtKey(key: BundleJwtAuthority): Promise<Result<readonly BundleJwtAuthority[]>> {
    const jwtAuthority = {
      publicKey: Buffer.from(key.publicKeySpki),
      keyId: key.keyId,
      expiresAt: BigInt(key.expiresAtSeconds),
      tainted: false,
    };
    const answer = await this.#call('publishing a JWT key', BundleClient, (bundle) =>
      bundle.publishJwtAuthority.bind(bundle, { jwtAuthority }),
    );
    return answer.ok ? readJwtKeys(answer.value.jwtAuthorities) : answer;
  }

  async close(): Promise<void> {
    this.#source.close();
    this.#workload.close();
  }

  /** One connection for each call: none outlives the SVID and bundle that it was made with. */
  async #call<Client, Response>(
    doing: string,
    type: Begin<Client, Response>['type'],
    method: Begin<Client, Response>['method'],
  ): Promise<Result<Response>> {
    const context = await this.#context();
    if (!context.ok) return context;
    const { spiffeId } = this.#options;
    const svid =
      spiffeId === undefined
        ? context.value.svids[0]
        : context.value.svids.find(({ id }) => id.uri === spiffeId.uri);
    if (svid === undefined) {
      return fail('UPSTREAM_IDENTITY', `the agent gives us no SVID of ${spiffeId?.uri}`);
    }
    return callUpstream(
      { ...this.#options, context: context.value, svid },
      { doing, type, method },
    );
  }

  /** What the agent gave last; at the start its first answer is asked for. */
  async #context() {
    const held = this.#source.current();
    if (held.ok) return held;
    const asked = await this.#workload.fetchX509Context();
    if (asked.ok) return asked;
    const { message } = asked.error;
    return fail('UPSTREAM_IDENTITY', `no SVID to call the server above with: ${message}`, {
      cause: asked.error,
    });
  }
}
