import { concatBytes } from '../base/bytes.ts';
import { refuse } from '../der/refuse.ts';
import type { CertificatePortion } from './certificate-messages.ts';

/** Most parts that one chain is taken in; a responder that gives single bytes is not followed. */
const MAX_PORTIONS = 256;

/** A certificate chain that comes in parts: each must follow the one before and keep the total. */
export class ChainPortions {
  readonly #maxBytes: number;
  readonly #parts: Uint8Array[] = [];
  #bytes = 0;
  #total: number | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes that were taken: the offset of the next part. */
  get offset(): number {
    return this.#bytes;
  }

  /** Whether nothing is missing. */
  get complete(): boolean {
    return this.#bytes === this.#total;
  }

  /** Adds a part. Stops with `refuse`: SPDM_CERTIFICATE_CHAIN, SPDM_TOO_LARGE. */
  add({ bytes, remainder }: CertificatePortion): void {
    const total = this.#bytes + bytes.length + remainder;
    if (this.complete || (this.#total !== undefined && total !== this.#total)) {
      refuse('SPDM_CERTIFICATE_CHAIN', 'CERTIFICATE: parts of chains of different lengths');
    }
    if (total > this.#maxBytes || this.#parts.length >= MAX_PORTIONS) {
      refuse('SPDM_TOO_LARGE', `CERTIFICATE: ${total} bytes in ${this.#parts.length + 1} parts`);
    }
    this.#total = total;
    this.#bytes += bytes.length;
    this.#parts.push(bytes);
  }

  /** The whole chain. */
  join(): Uint8Array {
    return concatBytes(this.#parts);
  }
}
