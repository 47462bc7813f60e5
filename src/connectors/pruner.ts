import type { Cancel, Clock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import type { ConnectorRegistry } from '../registry/connectors.ts';
import type { ConnectorGroup } from '../rules/connector/group.ts';
import { PENDING_SECONDS } from '../rules/connector/life.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';

/** How often connectors that have ended are looked for, in milliseconds. */
const PRUNE_EVERY_MS = 60_000;

/** Most that are forgotten in one transaction. */
const AT_ONCE = 500;

/** How long those of pods, whose names do not come back, are remembered, in seconds. */
const FORGET_POD_SECONDS = 3_600;

/** How long others are remembered, in seconds. */
const FORGET_OTHER_SECONDS = 7 * 86_400;

/**
 * How long a revoked one is remembered at least, in seconds: the longest life of a provisioning key. Its
 * claimant must not come in as somebody new with what it has still.
 */
const REMEMBER_REVOKED_SECONDS = 90 * 86_400;

/** Unix seconds from which a connector may be forgotten; infinite while it lives. */
export function forgetAtSeconds(
  connector: ConnectorRecord,
  group: Pick<ConnectorGroup, 'forgetAfterSeconds'> | undefined,
): number {
  const isPod = connector.claimant.startsWith('pod:');
  const usual = isPod ? FORGET_POD_SECONDS : FORGET_OTHER_SECONDS;
  const stated = group?.forgetAfterSeconds ?? 0;
  const after = stated === 0 ? usual : stated;
  switch (connector.standing) {
    case 'stopped':
      return connector.endedAtSeconds + after;
    case 'revoked':
      return (
        Math.max(connector.endedAtSeconds, connector.expiresAtSeconds) +
        Math.max(after, REMEMBER_REVOKED_SECONDS)
      );
    default:
      if (connector.serial === '') return connector.enrolledAtSeconds + PENDING_SECONDS + after;
      return connector.expiresAtSeconds + after;
  }
}

/** What forgetting stands on. */
export interface ConnectorPrunerOptions {
  readonly registry: Pick<
    ConnectorRegistry,
    'boundKey' | 'connectors' | 'group' | 'deleteConnectors'
  >;
  readonly clock: Clock;
  /** Told how many were forgotten. */
  readonly onForgotten: (count: number) => void;
  /** Told when the store does not take it; it is tried again. */
  readonly onFault: (error: SignetError) => void;
}

/** Forgets connectors that ended, a while after they did. Answers what ends it. */
export function startConnectorPruner(options: ConnectorPrunerOptions): Cancel {
  const { registry, clock } = options;
  let closed = false;
  let cancel: Cancel = () => {};
  const arm = (): void => {
    if (!closed) cancel = clock.after(PRUNE_EVERY_MS, () => void run());
  };
  const run = async (): Promise<void> => {
    const nowSeconds = clock.nowMs() / 1000;
    const isOver = (one: ConnectorRecord): boolean =>
      forgetAtSeconds(one, registry.group(one.group)) <= nowSeconds && !isBarred(registry, one);
    const ended = [...registry.connectors()].filter(isOver);
    for (let at = 0; at < ended.length && !closed; at += AT_ONCE) {
      // As they were looked at: one that has come back meanwhile is another revision.
      const which = ended.slice(at, at + AT_ONCE).map(({ id, revision }) => ({ id, revision }));
      const deleted = await registry.deleteConnectors(which);
      if (deleted.ok) {
        options.onForgotten(deleted.value.filter(Boolean).length);
      } else {
        options.onFault(deleted.error);
        break;
      }
    }
    arm();
  };
  arm();
  return () => {
    closed = true;
    cancel();
  };
}

/** Whether it was revoked and its key pair is registered yet: its record is all that keeps it out. */
function isBarred(
  registry: ConnectorPrunerOptions['registry'],
  { standing, claimant }: ConnectorRecord,
): boolean {
  const prefix = 'bound:';
  if (standing !== 'revoked' || !claimant.startsWith(prefix)) return false;
  return registry.boundKey(claimant.slice(prefix.length)) !== undefined;
}
