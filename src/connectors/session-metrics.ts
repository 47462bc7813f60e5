import type { ConnectorView } from '../registry/connectors.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { SessionHub } from './session-hub.ts';

/** Shows connectors and their sessions as metrics. */
export function observeSessions(
  metrics: Metrics,
  hub: SessionHub,
  view: Pick<ConnectorView, 'connectors'>,
): void {
  const { counts } = hub;
  metrics.reading('connector_sessions', 'Open sessions of connectors.', () => hub.size);
  metrics.reading(
    'connector_sessions_behind',
    'Sessions whose connectors have not accepted the newest segments of their group.',
    () => hub.behind,
  );
  const states = ['group', 'state'] as const;
  metrics.kept('gauge', 'connectors', 'Connectors by group and state.', states, function* () {
    const found = new Map<string, [Record<'group' | 'state', string>, number]>();
    for (const connector of view.connectors()) {
      const { state } = hub.stateOf(connector);
      const key = `${connector.group} ${state}`;
      const line = found.get(key);
      if (line !== undefined) line[1]++;
      else found.set(key, [{ group: connector.group, state }, 1]);
    }
    yield* found.values();
  });
  metrics.kept(
    'counter',
    'connector_messages_total',
    'What connectors said, by kind: heartbeats, nacks, events, events that were too many, and messages of unknown kinds.',
    ['kind'],
    () => [
      [{ kind: 'heartbeat' }, counts.heartbeats],
      [{ kind: 'nack' }, counts.nacks],
      [{ kind: 'event' }, counts.events],
      [{ kind: 'event_dropped' }, counts.eventsDropped],
      [{ kind: 'unknown' }, counts.unknownMessages],
    ],
  );
  metrics.kept(
    'counter',
    'connector_renewals_total',
    'Renewals that connectors asked for, by outcome.',
    ['outcome'],
    () => [
      [{ outcome: 'ok' }, counts.renewals],
      [{ outcome: 'refused' }, counts.renewalsFailed],
    ],
  );
  metrics.kept(
    'counter',
    'connector_session_ends_total',
    'Sessions that were not let in or made way, by why: replaced by another of the same connector, suspected of a copied key, refused as too many began at once.',
    ['why'],
    () => [
      [{ why: 'replaced' }, counts.replaced],
      [{ why: 'clone_suspected' }, counts.cloneSuspicions],
      [{ why: 'paced' }, counts.refused],
    ],
  );
}
