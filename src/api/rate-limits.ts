import type { Clock } from '../base/clock.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { createRateLimiter, type RateLimit, type RateLimiter } from '../rpc/rate-limiter.ts';

/** Settings of the limits on calls. A rate of 0 turns a limit off. */
export interface CallLimitSettings {
  /** Attestations of one address. */
  readonly attestation: RateLimit;
  /** Other calls without a known identity, of one address. */
  readonly anonymousCalls: RateLimit;
  /** Calls of one agent. */
  readonly agentCalls: RateLimit;
  /** Signatures for one agent: a batch costs its length. */
  readonly agentSignatures: RateLimit;
}

/** Name of a limit, as in the configuration under `limits`. */
export type CallLimitName = keyof CallLimitSettings;

/** One limit over many keys. */
export interface PacedLimit {
  /** Takes `cost` (1 when absent) from the key's allowance, or refuses with RATE_LIMITED. */
  take(key: string, cost?: number): Result<void>;
}

/** The limits of the server's calls. */
export type CallLimits = Readonly<Record<CallLimitName, PacedLimit>> & {
  /** Takes other settings from now on; allowances start full. */
  configure(settings: CallLimitSettings): void;
};

const WHOSE: Readonly<Record<CallLimitName, string>> = {
  attestation: 'attestations of this address',
  anonymousCalls: 'calls without an identity of this address',
  agentCalls: 'calls of this agent',
  agentSignatures: 'signatures for this agent',
};

/** Makes the limits; each can be changed while calls go on. */
export function createCallLimits(settings: CallLimitSettings, clock: Clock): CallLimits {
  const attestation = pacedLimit('attestation', clock);
  const anonymousCalls = pacedLimit('anonymousCalls', clock);
  const agentCalls = pacedLimit('agentCalls', clock);
  const agentSignatures = pacedLimit('agentSignatures', clock);
  const configure = (next: CallLimitSettings): void => {
    attestation.configure(next.attestation);
    anonymousCalls.configure(next.anonymousCalls);
    agentCalls.configure(next.agentCalls);
    agentSignatures.configure(next.agentSignatures);
  };
  configure(settings);
  return { attestation, anonymousCalls, agentCalls, agentSignatures, configure };
}

function pacedLimit(
  name: CallLimitName,
  clock: Clock,
): PacedLimit & { configure(limit: RateLimit): void } {
  let limit: RateLimit = { perSecond: 0, burst: 0 };
  let limiter: RateLimiter | undefined;
  return {
    configure(next) {
      if (next.perSecond === limit.perSecond && next.burst === limit.burst) return;
      limit = next;
      limiter = next.perSecond === 0 ? undefined : createRateLimiter({ limit: next, clock });
    },
    take(key, cost) {
      if (limiter === undefined || limiter.take(key, cost)) return ok(undefined);
      return fail(
        'RATE_LIMITED',
        `more than ${limit.perSecond} ${WHOSE[name]} a second (burst ${limit.burst}); ` +
          `try again later, or raise limits.${name}`,
      );
    },
  };
}
