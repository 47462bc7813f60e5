import { fail, ok, type Result } from '../base/result.ts';
import { type PeerFacts, resolveAgent } from '../policy/caller.ts';
import type { ApiContext } from './context.ts';
import { withDeniedReason } from './permission-denied.ts';

/**
 * Whether the SVID that opened the connection is still that of a live agent. For calls that go on: the
 * guard judged their start only.
 */
export function judgeAgent(api: Pick<ApiContext, 'policy'>, facts: PeerFacts): Result<void> {
  if (facts.kind !== 'svid') return fail('CALLER_NOT_ALLOWED', 'the call is for agents');
  const agent = resolveAgent(facts, api.policy);
  return agent.ok ? ok(undefined) : { ok: false, error: withDeniedReason(agent.error) };
}
