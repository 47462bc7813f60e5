import { equalBytes } from '../base/bytes.ts';
import { fail, ok, type Result } from '../base/result.ts';
import { attempt } from '../der/refuse.ts';
import { readCertificateChain } from './certificate-chain.ts';
import {
  getCertificateRequest,
  getDigestsRequest,
  readCertificate,
  readDigests,
} from './certificate-messages.ts';
import { ChainPortions } from './chain-portions.ts';
import { CAPABILITY } from './codes.ts';
import { messagesOf, type Negotiation } from './negotiate.ts';
import { spdmHash } from './signing.ts';
import { ask, type Talk } from './talk.ts';

/** Bytes of a chain that are asked for at once: what every transport carries. */
const PORTION_BYTES = 1024;

/** The certificate chain of a slot, and the messages that brought it. */
export interface FetchedChain {
  /** DER, the root first; not judged yet. */
  readonly certificates: readonly Uint8Array[];
  /** Hash of the chain with its header, under the negotiated hash. */
  readonly digest: Uint8Array;
  readonly messages: readonly Uint8Array[];
}

/** The whole chain in parts. */
async function fetchPortions(
  talk: Talk,
  { version }: Negotiation,
): Promise<Result<Omit<FetchedChain, 'certificates' | 'digest'> & { readonly blob: Uint8Array }>> {
  const { slot, maxChainBytes } = talk.policy;
  const portions = new ChainPortions(maxChainBytes);
  const messages: Uint8Array[] = [];
  do {
    const part = { slot, offset: portions.offset, length: PORTION_BYTES };
    const request = getCertificateRequest(version, part);
    const asked = await ask(talk, 'CERTIFICATE', request, (reader) =>
      readCertificate(reader, version, part),
    );
    if (!asked.ok) return asked;
    const added = attempt('CERTIFICATE', () => portions.add(asked.value.value));
    if (!added.ok) return added;
    messages.push(...messagesOf(asked.value));
  } while (!portions.complete);
  return ok({ blob: portions.join(), messages });
}

/**
 * Digests and certificate chain of the policy's slot; the chain must have the digest that was announced.
 * Errors: SPDM_CAPABILITY, SPDM_SLOT for a slot without a chain, SPDM_CHAIN_DIGEST, those of `ask` and
 * `readCertificateChain`.
 */
export async function fetchChain(
  talk: Talk,
  negotiation: Negotiation,
): Promise<Result<FetchedChain>> {
  const { version, hash, flags } = negotiation;
  if ((flags & CAPABILITY.cert) === 0) {
    return fail('SPDM_CAPABILITY', 'CAPABILITIES: no certificates');
  }
  const digests = await ask(talk, 'DIGESTS', getDigestsRequest(version), (reader) =>
    readDigests(reader, version, hash),
  );
  if (!digests.ok) return digests;
  const { slot } = talk.policy;
  const digest = digests.value.value.get(slot);
  if (digest === undefined) return fail('SPDM_SLOT', `DIGESTS: slot ${slot} has no certificates`);
  const fetched = await fetchPortions(talk, negotiation);
  if (!fetched.ok) return fetched;
  const { blob, messages } = fetched.value;
  if (!equalBytes(spdmHash(hash, blob), digest)) {
    return fail('SPDM_CHAIN_DIGEST', 'certificate chain: not the one whose digest was announced');
  }
  const certificates = readCertificateChain(blob, hash, talk.policy);
  if (!certificates.ok) return certificates;
  return ok({
    certificates: certificates.value,
    digest,
    messages: [...messagesOf(digests.value), ...messages],
  });
}
