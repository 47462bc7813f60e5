import { ok, type Result } from '../base/result.ts';
import {
  negotiateAlgorithmsRequest,
  readAlgorithms,
  readNegotiateAlgorithms,
} from './algorithms-message.ts';
import { ByteReader } from './byte-reader.ts';
import { getCapabilitiesRequest, readCapabilities } from './capabilities-message.ts';
import { checkAllowed, type Negotiated } from './negotiated.ts';
import { type Asked, ask, type Talk } from './talk.ts';
import type { SpdmVersion } from './version.ts';
import { chooseVersion, getVersionRequest, readVersionResponse } from './version-message.ts';

/** What was settled, and the six messages that did it. */
export interface Negotiation extends Negotiated {
  readonly messages: readonly Uint8Array[];
}

/** Both messages of a question. */
export function messagesOf(asked: Asked<unknown>): readonly Uint8Array[] {
  return [asked.request, asked.response];
}

function askVersion(talk: Talk): Promise<Result<Asked<SpdmVersion>>> {
  return ask(talk, 'VERSION', getVersionRequest(), (reader) =>
    chooseVersion(readVersionResponse(reader), talk.policy.versions),
  );
}

/**
 * The negotiation that every exchange begins with: the highest version that both sides speak, and
 * algorithms of the policy. Errors: SPDM_VERSION, SPDM_ALGORITHM, those of `ask`.
 */
export async function negotiate(talk: Talk): Promise<Result<Negotiation>> {
  const versions = await askVersion(talk);
  if (!versions.ok) return versions;
  const version = versions.value.value;
  const capabilities = await ask(
    talk,
    'CAPABILITIES',
    getCapabilitiesRequest(version, talk.policy.maxEvidenceBytes),
    (reader) => readCapabilities(reader, version, false),
  );
  if (!capabilities.ok) return capabilities;
  const { flags, dataTransferBytes } = capabilities.value.value;
  talk.maxRequestBytes = dataTransferBytes;
  const request = negotiateAlgorithmsRequest(version, talk.policy);
  const algorithms = await ask(talk, 'ALGORITHMS', request, (reader) => {
    const offered = readNegotiateAlgorithms(new ByteReader(request), version);
    const selected = readAlgorithms(reader, version, offered);
    checkAllowed(selected, talk.policy);
    return selected;
  });
  if (!algorithms.ok) return algorithms;
  return ok({
    version,
    flags,
    ...algorithms.value.value,
    messages: [versions.value, capabilities.value, algorithms.value].flatMap(messagesOf),
  });
}
