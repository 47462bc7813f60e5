import { join } from 'node:path';
import { z } from 'zod';
import { fail, type Result } from '../../src/base/result.ts';
import { openStateFile, type StateFile } from '../state-file.ts';

/** Name of the state file in the data directory. */
export const CONNECTOR_STATE_FILE = 'connector-state.json';

/** Name of the file with the segments that were accepted last. */
export const CONNECTOR_SEGMENTS_FILE = 'connector-segments.json';

const MAX_STATE_BYTES = 16 * 1024 * 1024;
const MAX_SEGMENTS_BYTES = 256 * 1024 * 1024;

const base64 = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/);

const stateSchema = z.strictObject({
  trustDomain: z.string(),
  group: z.string(),
  connectorId: z.string().optional(),
  /**
   * PKCS#8. The key that enrolments are for: with a provisioning key it is who the connector is, so that
   * another enrolment takes no other use. Kept before it is first sent.
   */
  enrolKey: base64.optional(),
  /** DER certificates, leaf first, and their PKCS#8 key. */
  svid: z.strictObject({ chain: z.array(base64), privateKey: base64 }).optional(),
  /** Version of the SVID that the server gave in the session; empty after an enrolment. */
  svidVersion: z.string(),
  /** `BundleUpdate`, encoded: what was accepted last. */
  bundles: base64.optional(),
  /** Decimal; of the bound key. */
  recoveryCount: z.string().regex(/^\d{1,20}$/),
  sessionEndpoints: z.array(z.string()),
  heartbeatSeconds: z.number(),
  /** 0 is until the SVID ends. */
  offlineSeconds: z.number(),
  /** Unix milliseconds: when a session was last known to be up; 0 for never. */
  lastSessionMs: z.number(),
});

/** What the companion keeps between runs. */
export type ConnectorState = z.output<typeof stateSchema>;

const segmentsSchema = z.strictObject({
  version: z.string(),
  /** `SegmentUpdate` with all segments, encoded. */
  update: base64,
});

/** The segments that were accepted last. */
export type StoredSegments = z.output<typeof segmentsSchema>;

/** Whose state it is. */
export interface StateOwner {
  /** Name of the trust domain. */
  readonly trustDomain: string;
  readonly group: string;
}

/**
 * Opens the state in a data directory that this process holds. Fails with COMPANION_STATE_CORRUPT or
 * COMPANION_STATE_FOREIGN.
 */
export async function openConnectorState(
  directory: string,
  owner: StateOwner,
): Promise<Result<StateFile<ConnectorState>>> {
  const path = join(directory, CONNECTOR_STATE_FILE);
  const { trustDomain, group } = owner;
  const state = await openStateFile<ConnectorState>({
    path,
    magic: 'signet-connector-state-1',
    maxBytes: MAX_STATE_BYTES,
    schema: stateSchema,
    initial: {
      trustDomain,
      group,
      svidVersion: '',
      recoveryCount: '0',
      sessionEndpoints: [],
      heartbeatSeconds: 30,
      offlineSeconds: 0,
      lastSessionMs: 0,
    },
    corrupt: 'COMPANION_STATE_CORRUPT',
    undoFailed: true,
  });
  if (!state.ok) return state;
  const found = state.value.current;
  if (found.trustDomain === trustDomain && found.group === group) return state;
  return fail(
    'COMPANION_STATE_FOREIGN',
    `${path} belongs to group "${found.group}" of "${found.trustDomain}"`,
  );
}

/** Opens the file with the segments. Fails with COMPANION_STATE_CORRUPT. */
export function openStoredSegments(directory: string): Promise<Result<StateFile<StoredSegments>>> {
  return openStateFile<StoredSegments>({
    path: join(directory, CONNECTOR_SEGMENTS_FILE),
    magic: 'signet-connector-segments-1',
    maxBytes: MAX_SEGMENTS_BYTES,
    schema: segmentsSchema,
    initial: { version: '', update: '' },
    corrupt: 'COMPANION_STATE_CORRUPT',
    undoFailed: true,
  });
}
