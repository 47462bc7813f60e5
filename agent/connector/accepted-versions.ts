import { ResourceType, type ResourceVersion } from '../../src/gen/signet/connector/v1/connector.ts';

/** What was accepted last, as Hello and heartbeats say it; what has no version yet is left out. */
export function acceptedVersions(of: {
  readonly svid: string;
  readonly bundle: string;
  readonly segments: string;
}): ResourceVersion[] {
  return [
    { type: ResourceType.RESOURCE_TYPE_SVID, version: of.svid },
    { type: ResourceType.RESOURCE_TYPE_BUNDLE, version: of.bundle },
    { type: ResourceType.RESOURCE_TYPE_SEGMENTS, version: of.segments },
  ].filter(({ version }) => version !== '');
}
