import { encodeTpmAnswer, type TpmQuestion } from '../../../src/attestation/dpu/tpm-question.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import type { AttestationKey, AttestationSession } from '../node-attestor.ts';
import { createTpmAttestor, type TpmAgentParts } from '../tpm/agent.ts';
import type { DpuAgentParts } from './agent.ts';

/** Most questions for the TPM in one attestation: for its keys, and for its quote. */
const MAX_QUESTIONS = 2;

/** The card's TPM for one attestation, opened when it is first asked. Close it when that is over. */
export class CardTpm {
  readonly #parts: Pick<DpuAgentParts, 'trustDomain' | 'clock'>;
  readonly #settings: TpmAgentParts['settings'] | undefined;
  readonly #key: AttestationKey;
  #session: AttestationSession | undefined;
  #questions = 0;

  constructor({ settings, ...parts }: DpuAgentParts, key: AttestationKey) {
    this.#parts = parts;
    this.#settings = settings.tpm;
    this.#key = key;
  }

  /** Answers one question. Fails with AGENT_SERVER_ANSWER for one too many, and with AGENT_TPM_*. */
  async answer({ session, challenge }: TpmQuestion): Promise<Result<Uint8Array>> {
    this.#questions += 1;
    const isFirst = this.#questions === 1;
    if (this.#questions > MAX_QUESTIONS || isFirst !== (challenge === undefined)) {
      return fail('AGENT_SERVER_ANSWER', 'the server asks the TPM out of its turn');
    }
    const answered =
      challenge === undefined ? await this.#open() : this.#session?.respond(challenge);
    const answer = await (answered ?? fail('AGENT_SERVER_ANSWER', 'the TPM is not open'));
    return answer.ok ? ok(encodeTpmAnswer({ session, answer: answer.value })) : answer;
  }

  /** Gives the TPM back. */
  async close(): Promise<void> {
    await this.#session?.close();
  }

  async #open(): Promise<Result<Uint8Array>> {
    if (this.#settings === undefined) {
      return fail('DPU_EVIDENCE_INCOMPLETE', 'no TPM is configured');
    }
    const begun = await createTpmAttestor({ settings: this.#settings, ...this.#parts }).begin(
      this.#key,
    );
    if (!begun.ok) return begun;
    this.#session = begun.value;
    return ok(begun.value.payload);
  }
}
