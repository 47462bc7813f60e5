import { z } from 'zod';
import {
  countSetting,
  durationSetting,
  formatDuration,
  formatSize,
  sizeSetting,
} from '../runtime/units.ts';
import type { AnonymousLimits, CallLimits, RpcLimits } from './limits.ts';

/** The settings of what calls may take and make a listener hold; their defaults are its limits. */
export function callLimitSettings(defaults: CallLimits) {
  const size = (bytes: number, max: string) =>
    sizeSetting({ min: '1KiB', max }).prefault(formatSize(bytes));
  return {
    messageSize: size(defaults.maxReceiveBytes, '16MiB').describe('Longest request message.'),
    openRequests: countSetting(defaults.maxOpenRequests).describe(
      'Calls whose request has not arrived whole, in all.',
    ),
    openRequestsPerCaller: countSetting(defaults.maxOpenRequestsPerPeer).describe(
      'The same of one caller: a SPIFFE ID, a user or, without one, an address.',
    ),
    requestMemory: size(defaults.maxRequestBytes, '64GiB').describe(
      'Memory for requests that have not arrived whole, in all.',
    ),
    requestMemoryPerCaller: size(defaults.maxRequestBytesPerPeer, '64GiB').describe(
      'The same of one caller.',
    ),
    requestTimeout: time(defaults.requestTimeoutMs).describe('Time for a request to arrive.'),
  };
}

/** The settings of a listener: those of its calls, and of the connections that they come on. */
export function listenerLimitSettings(defaults: RpcLimits) {
  return {
    ...callLimitSettings(defaults),
    sessionMemory: sizeSetting({ min: '1MiB', max: '1GiB' })
      .prefault(formatSize(defaults.maxSessionMegabytes * MEGABYTE))
      .describe('Memory of one HTTP/2 session, in whole MiB.'),
    resetBurst: countSetting(defaults.resetBurst).describe(
      'Calls that a client may cancel at once before its connection ends.',
    ),
    resetsPerSecond: countSetting(defaults.resetPerSecond).describe(
      'Calls that a client may go on cancelling.',
    ),
    handshakeTimeout: time(defaults.handshakeTimeoutMs).describe(
      'Time for the TLS handshake, and for the first bytes of HTTP/2.',
    ),
    stalledReader: time(defaults.stalledWriteMs).describe(
      'A caller that takes nothing of its answer for so long is cut off.',
    ),
  };
}

/** The settings of callers without an identity. */
export function anonymousLimitSettings(defaults: AnonymousLimits) {
  return z
    .strictObject({
      connections: countSetting(defaults.maxConnections).describe('Their connections in all.'),
      connectionsPerAddress: countSetting(defaults.maxConnectionsPerPeer).describe(
        'Their connections of one address.',
      ),
      callsPerConnection: countSetting(defaults.maxStreamsPerConnection, 10_000).describe(
        'Calls under way on one connection.',
      ),
      ...callLimitSettings(defaults),
    })
    .superRefine(refuseUselessMemory)
    .prefault({});
}

type CallSettings = z.output<z.ZodObject<ReturnType<typeof callLimitSettings>>>;
type ListenerSettings = z.output<z.ZodObject<ReturnType<typeof listenerLimitSettings>>>;
type AnonymousSettings = z.output<ReturnType<typeof anonymousLimitSettings>>;

/** Refuses limits by which a message of the allowed length would never be read. */
export function refuseUselessMemory(limits: CallSettings, context: z.RefinementCtx): void {
  for (const key of ['requestMemory', 'requestMemoryPerCaller'] as const) {
    // The five octets before a message are held with it.
    if (limits[key] > limits.messageSize) continue;
    const message = 'must be more than messageSize, or no message of that length is ever read';
    context.addIssue({ code: 'custom', path: [key], message });
  }
}

/** What the settings of calls say. */
export function callLimitsOf(settings: CallSettings): Omit<CallLimits, 'maxStreamsPerConnection'> {
  return {
    maxReceiveBytes: settings.messageSize,
    maxOpenRequests: settings.openRequests,
    maxOpenRequestsPerPeer: settings.openRequestsPerCaller,
    maxRequestBytes: settings.requestMemory,
    maxRequestBytesPerPeer: settings.requestMemoryPerCaller,
    requestTimeoutMs: settings.requestTimeout * 1000,
  };
}

/** What the settings of a listener say; its connections are counted by settings of their own. */
export function listenerLimitsOf(
  settings: ListenerSettings,
): Omit<
  RpcLimits,
  'maxStreamsPerConnection' | 'maxConnections' | 'maxConnectionsPerPeer' | 'anonymous'
> {
  return {
    ...callLimitsOf(settings),
    maxSessionMegabytes: Math.floor(settings.sessionMemory / MEGABYTE),
    resetBurst: settings.resetBurst,
    resetPerSecond: settings.resetsPerSecond,
    handshakeTimeoutMs: settings.handshakeTimeout * 1000,
    stalledWriteMs: settings.stalledReader * 1000,
  };
}

/** What the settings of callers without an identity say. */
export function anonymousLimitsOf(settings: AnonymousSettings): AnonymousLimits {
  return {
    ...callLimitsOf(settings),
    maxConnections: settings.connections,
    maxConnectionsPerPeer: settings.connectionsPerAddress,
    maxStreamsPerConnection: settings.callsPerConnection,
  };
}

const MEGABYTE = 2 ** 20;

function time(defaultMs: number) {
  return durationSetting({ min: '100ms', max: '1h' }).prefault(formatDuration(defaultMs / 1000));
}
