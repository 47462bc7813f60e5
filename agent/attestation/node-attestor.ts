import type { Result } from '../../src/base/result.ts';

/** The agent's half of a node attestor: what it shows the server. */
export interface NodeAttestor {
  /** `AttestationData.type`. */
  readonly type: string;
  /** Evidence for one attestation; asked again for the next, since evidence may be used up. */
  payload(): Promise<Result<Buffer>>;
}
