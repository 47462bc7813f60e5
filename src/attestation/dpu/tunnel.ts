import type { Clock } from '../../base/clock.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import type { DpuTarget } from '../../dpu/evidence.ts';
import type { SpdmPolicy } from '../../spdm/policy.ts';
import { collectMeasurements } from '../../spdm/requester.ts';
import type { Exchange } from '../../spdm/talk.ts';
import type { Challenge } from '../attestor.ts';
import type { TargetEvidence } from './payload.ts';
import { decodeRelayAnswer, encodeRelayRequest, RELAY_LIMITS, RelayLog } from './relay.ts';

/** What the server's requester needs. */
export interface TunnelParts {
  readonly targets: readonly DpuTarget[];
  readonly spdm: SpdmPolicy;
  readonly clock: Clock;
}

/** The conversation that the tunnel is for. */
export interface TunnelSession {
  readonly session: string;
  readonly serverNonce: Uint8Array;
  /** The binding nonce of a component. */
  readonly nonceOf: (target: string) => Uint8Array;
}

/** What was collected through an agent. */
export interface Tunnelled {
  /** Nothing of it is verified. */
  readonly evidence: readonly TargetEvidence[];
  /** SHA-256 of all that was relayed. */
  readonly relayed: Uint8Array;
}

/**
 * Collects signed measurements of each component, one after the other, with the server's own requester:
 * each of its messages is a challenge that the agent relays to the card (dpu-attestation §7.2 B). Fails
 * with DPU_RELAY_BOUNDS, DPU_SESSION, DPU_MESSAGE, those of the challenge and of the requester.
 */
export async function collectByTunnel(
  { targets, spdm, clock }: TunnelParts,
  tunnel: TunnelSession,
  challenge: Challenge,
): Promise<Result<Tunnelled>> {
  const log = new RelayLog();
  const endMs = clock.nowMs() + RELAY_LIMITS.timeMs;
  const evidence: TargetEvidence[] = [];
  for (const { id: target } of targets) {
    const exchange: Exchange = async (request) => {
      if (log.exchanges >= RELAY_LIMITS.exchanges || clock.nowMs() > endMs) {
        return outOfBounds(`${log.exchanges} exchanges`);
      }
      const answered = await relay({ ...tunnel, target, at: log.exchanges, request }, challenge);
      if (!answered.ok) return answered;
      log.add(target, request, answered.value);
      return log.bytes > RELAY_LIMITS.bytes ? outOfBounds(`${log.bytes} bytes`) : answered;
    };
    const nonce = tunnel.nonceOf(target);
    const collected = await collectMeasurements(exchange, { nonce, policy: spdm, clock });
    if (!collected.ok) return collected;
    const { messages, certificateChain: certificates } = collected.value;
    evidence.push({ kind: 'spdm-tunnel', target, messages, certificates });
  }
  return ok({ evidence, relayed: log.digest() });
}

interface RelayQuestion extends TunnelSession {
  readonly target: string;
  readonly at: number;
  readonly request: Uint8Array;
}

/** One question and the answer to it, not to another one. */
async function relay(question: RelayQuestion, challenge: Challenge): Promise<Result<Uint8Array>> {
  const { session, serverNonce, target, at, request } = question;
  const asked = encodeRelayRequest({ session, serverNonce, target, at, request });
  const bytes = await challenge(asked);
  if (!bytes.ok) return bytes;
  const answer = decodeRelayAnswer(bytes.value);
  if (!answer.ok) return answer;
  if (answer.value.session === session && answer.value.at === at) return ok(answer.value.answer);
  return fail('DPU_SESSION', `${target}: an answer to another question was relayed`);
}

function outOfBounds(what: string): Result<never> {
  return fail('DPU_RELAY_BOUNDS', `the relayed conversation goes on after ${what}`);
}
