import { plainText } from '../base/plain-text.ts';
import type { Instance } from '../gen/signet/connector/v1/connector.ts';
import type { ConnectorInstance } from '../rules/connector/record.ts';

/** Longest of each thing that a connector says of itself, in characters. */
const MAX_LENGTH = 253;

/** What a connector says of itself: short, well-formed, and without what a terminal would obey. */
export function instanceOf(said: Instance | undefined): ConnectorInstance {
  return {
    version: plain(said?.version),
    os: plain(said?.os),
    arch: plain(said?.arch),
    hostname: plain(said?.hostname),
    podName: plain(said?.podName),
    nodeName: plain(said?.nodeName),
  };
}

function plain(text = ''): string {
  return plainText(text, MAX_LENGTH);
}

/** Whether it says anything at all. */
export function isSaid(instance: ConnectorInstance): boolean {
  return Object.values(instance).some((text) => text !== '');
}
