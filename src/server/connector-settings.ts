import { z } from 'zod';
import type { RateLimit } from '../rpc/rate-limiter.ts';
import { countSetting, durationSetting } from '../runtime/units.ts';
import { enrolmentRootSchema } from './vendor-settings.ts';

/** `host:port`, an IPv6 address in brackets. */
const endpoint = z
  .string()
  .regex(
    /^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,253}):\d{1,5}$/,
    'must be host:port, an IPv6 address in brackets',
  );

/** The `connectors` section of `server.yaml`. */
export const connectorsSchema = z
  .strictObject({
    audiences: z
      .array(z.string().min(1).max(253))
      .min(1)
      .max(16)
      .default(['signet-connectors'])
      .describe('Whom a service account token must be for, by which a pod enrols: one of these.'),
    sessionEndpoints: z
      .array(endpoint)
      .max(64)
      .default([])
      .describe('Servers that take sessions, host:port; the one that enrolled it unless set.'),
    heartbeat: durationSetting({ min: '1s', max: '10m' })
      .prefault('30s')
      .describe('How often a connector tells how it is; it is lost after three of these.'),
    sessionsPerSecond: countSetting(300, 100_000).describe(
      'Sessions that may begin in a second; the others are told when to come again.',
    ),
    maxClockSkew: durationSetting({ min: '1s', max: '1h' })
      .prefault('5m')
      .describe('A connector whose clock is further away does not enrol.'),
    enrolmentsPerSecond: z
      .number()
      .min(0.1)
      .max(10_000)
      .default(50)
      .describe(
        'Enrolments of one address, and challenges as many, besides limits.anonymousCalls.',
      ),
    enrolmentBurst: countSetting(200, 100_000).describe('How many of them at once.'),
    tokenReviews: countSetting(32, 1000).describe(
      'Service account tokens that may wait for an API server at once.',
    ),
    enrolmentRoot: enrolmentRootSchema,
  })
  .optional()
  .describe('Connectors enrol and hold sessions (docs/connectors.md); off unless set.');

/** The limits of `connectors` that a reload changes, each read anew. */
export interface ConnectorLimits {
  readonly sessionsPerSecond: number;
  readonly enrolments: RateLimit;
}

/** The limits as `now` has them. A reload neither switches connectors on nor off. */
export function connectorLimits(now: () => ConnectorSettings): ConnectorLimits {
  return {
    get sessionsPerSecond() {
      return now().sessionsPerSecond;
    },
    enrolments: {
      get perSecond() {
        return now().enrolmentsPerSecond;
      },
      get burst() {
        return now().enrolmentBurst;
      },
    },
  };
}

/** What `connectors` says. */
export type ConnectorSettings = NonNullable<z.output<typeof connectorsSchema>>;
