import type { Clock } from '../../../src/base/clock.ts';
import { fail, type Result } from '../../../src/base/result.ts';
import { FramedConnection } from '../../../src/runtime/framed-connection.ts';
import { EMULATOR_FRAMING } from '../../../src/spdm/emulator-framing.ts';
import { DEFAULT_SPDM_POLICY } from '../../../src/spdm/policy.ts';
import { TCP_FRAMING } from '../../../src/spdm/tcp-framing.ts';
import type { DirectSettings } from './settings.ts';

/** Longest wait for the connection, and for each answer of the card. */
const TIMEOUT_MS = 30_000;

const FRAMINGS = { tcp: TCP_FRAMING, emulator: EMULATOR_FRAMING };

/**
 * Connects to a component of the card. Fails with AGENT_DPU_TARGET where configuration does not say
 * where it is, and with SPDM_UNREACHABLE.
 */
export function openEndpoint(
  direct: DirectSettings | undefined,
  target: string,
  clock: Clock,
): Promise<Result<FramedConnection>> {
  const place = direct?.targets.find(({ id }) => id === target)?.address;
  if (direct === undefined || place === undefined) {
    const why = `attestation.dpu.direct does not say where ${target} is`;
    return Promise.resolve(fail('AGENT_DPU_TARGET', why));
  }
  return FramedConnection.open({
    ...place,
    framing: FRAMINGS[direct.framing],
    clock,
    timeoutMs: TIMEOUT_MS,
    maxAnswerBytes: DEFAULT_SPDM_POLICY.maxEvidenceBytes,
  });
}
