import type { WatchedConnector } from '../watcher.ts';
import type { ZpaSettings } from './settings.ts';
import type { StatusFact } from './status-facts.ts';

const DAY_MS = 86_400_000;

/** What is known of an App Connector, each part as it was said last. */
export interface ZpaStatus {
  readonly id: string | undefined;
  readonly name: string | undefined;
  readonly version: string | undefined;
  /** Unix milliseconds. */
  readonly certificateEndMs: number | undefined;
  /** As the connector calls it. */
  readonly control: string | undefined;
  /** Unix milliseconds since when it is down; undefined while it is up, or not known. */
  readonly disconnectedSinceMs: number | undefined;
  readonly skewSeconds: number | undefined;
  readonly activeFlows: number | undefined;
  readonly apps: { readonly registered: number; readonly alive: number } | undefined;
  readonly targets: { readonly registered: number; readonly alive: number } | undefined;
  /** Unix milliseconds of the last status, or of when watching began. */
  readonly heardAtMs: number;
  /** Whether a status was seen at all. */
  readonly seen: boolean;
}

/** Nothing was seen yet. */
export function noStatus(nowMs: number): ZpaStatus {
  return {
    id: undefined,
    name: undefined,
    version: undefined,
    certificateEndMs: undefined,
    control: undefined,
    disconnectedSinceMs: undefined,
    skewSeconds: undefined,
    activeFlows: undefined,
    apps: undefined,
    targets: undefined,
    heardAtMs: nowMs,
    seen: false,
  };
}

/** The status after one more fact. */
export function takeFact(status: ZpaStatus, fact: StatusFact, nowMs: number): ZpaStatus {
  const heard = { ...status, heardAtMs: nowMs, seen: true };
  switch (fact.kind) {
    case 'connector': {
      const { id, name, version } = fact;
      return { ...heard, id, name, version };
    }
    case 'certificate':
      return { ...heard, certificateEndMs: nowMs + fact.seconds * 1000 };
    case 'control': {
      const since = fact.connected ? undefined : (status.disconnectedSinceMs ?? nowMs);
      return { ...heard, control: fact.state, disconnectedSinceMs: since };
    }
    case 'skew':
      return { ...heard, skewSeconds: fact.seconds };
    case 'flows':
      return { ...heard, activeFlows: fact.active };
    case 'apps':
      return { ...heard, apps: fact };
    case 'targets':
      return { ...heard, targets: fact };
  }
}

/** Whether the connector has enrolled: it has an ID, and its cloud takes its certificate. */
export function isEnrolled({ id, control, disconnectedSinceMs }: ZpaStatus): boolean {
  return id !== undefined && control !== undefined && disconnectedSinceMs === undefined;
}

/** What the companion tells of it: health, why, and what was seen. */
export function judgeZpa(
  status: ZpaStatus,
  settings: Omit<ZpaSettings, 'provisioningKey' | 'patterns'>,
  nowMs: number,
): WatchedConnector {
  const reasons = reasonsOf(status, settings, nowMs);
  const health = reasons.length > 0 ? 'degraded' : status.seen ? 'ok' : 'unknown';
  const { activeFlows } = status;
  return { health, reason: reasons.join('; '), facts: factsOf(status, nowMs), activeFlows };
}

function reasonsOf(
  { certificateEndMs, control, disconnectedSinceMs, skewSeconds, heardAtMs, seen }: ZpaStatus,
  settings: Omit<ZpaSettings, 'provisioningKey' | 'patterns'>,
  nowMs: number,
): readonly string[] {
  const reasons: string[] = [];
  const { silentFor, certificateDays, disconnectedFor, maxClockSkew, logPath } = settings;
  if (nowMs - heardAtMs >= silentFor * 1000) {
    const since = `${seen ? 'since' : 'yet; watched since'} ${timeText(heardAtMs)}`;
    reasons.push(`no status in ${logPath} ${since}: see whether the App Connector runs`);
  }
  const daysLeft = daysUntil(certificateEndMs, nowMs);
  if (daysLeft !== undefined && daysLeft < certificateDays) {
    const left = daysLeft < 0 ? 'has ended' : `ends in ${Math.floor(daysLeft)} days`;
    reasons.push(`its certificate ${left}: have Zscaler renew it, or enrol a new App Connector`);
  }
  if (disconnectedSinceMs !== undefined && nowMs - disconnectedSinceMs >= disconnectedFor * 1000) {
    const since = `${control ?? 'down'} since ${timeText(disconnectedSinceMs)}`;
    reasons.push(`control connection ${since}: check the way out on 443 and TLS inspection`);
  }
  if (skewSeconds !== undefined && Math.abs(skewSeconds) > maxClockSkew) {
    reasons.push(`its clock is ${skewSeconds} s from that of the cloud: check NTP on the node`);
  }
  return reasons;
}

function factsOf(status: ZpaStatus, nowMs: number): WatchedConnector['facts'] {
  const { id, name, version, control, skewSeconds, apps, targets } = status;
  const days = daysUntil(status.certificateEndMs, nowMs);
  const facts = {
    id,
    name,
    version,
    certificateDays: days === undefined ? undefined : Math.floor(days),
    controlConnection: control,
    clockSkewSeconds: skewSeconds,
    registeredApps: apps?.registered,
    aliveApps: apps?.alive,
    registeredTargets: targets?.registered,
    aliveTargets: targets?.alive,
  };
  return Object.fromEntries(
    Object.entries(facts).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
}

/** Days until a moment; negative after it. */
export function daysUntil(endMs: number | undefined, nowMs: number): number | undefined {
  return endMs === undefined ? undefined : (endMs - nowMs) / DAY_MS;
}

/** To the minute: a reason that changed each second would be news each second. */
function timeText(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 16)}Z`;
}
