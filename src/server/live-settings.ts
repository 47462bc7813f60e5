import type { ApiLimits } from '../api/context.ts';
import { type CallLimitSettings, type CallLimits, createCallLimits } from '../api/rate-limits.ts';
import type { Clock } from '../base/clock.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';
import type { ServerConfig } from './config.ts';

/** The settings that a running server reads at each use, so that a reload takes effect at once. */
export class LiveSettings {
  #config: ServerConfig;
  readonly callLimits: CallLimits;
  readonly apiLimits: ApiLimits;

  constructor(config: ServerConfig, clock: Clock) {
    this.#config = config;
    this.callLimits = createCallLimits(callLimitsOf(config), clock);
    const limits = (): ServerConfig['limits'] => this.#config.limits;
    this.apiLimits = {
      get maxBatchCsrs() {
        return limits().batchCsrs;
      },
      get maxBatchEntries() {
        return limits().batchEntries;
      },
    };
  }

  /** The configuration in force. */
  get config(): ServerConfig {
    return this.#config;
  }

  get adminIds(): readonly SpiffeId[] {
    return this.#config.adminIds;
  }

  /** Takes another configuration over; the caller has made sure that it may. */
  apply(next: ServerConfig): void {
    this.#config = next;
    this.callLimits.configure(callLimitsOf(next));
  }
}

function callLimitsOf({ limits }: ServerConfig): CallLimitSettings {
  const { attestation, anonymousCalls, agentCalls, agentSignatures } = limits;
  return { attestation, anonymousCalls, agentCalls, agentSignatures };
}
