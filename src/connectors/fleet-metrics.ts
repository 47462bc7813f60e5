import type { Clock } from '../base/clock.ts';
import type { ConnectorView } from '../registry/connectors.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { LiveConnectors } from './live.ts';

/** Shows what of the connectors' certificates and keys comes to an end. */
export function observeFleet(
  metrics: Metrics,
  live: Pick<LiveConnectors, 'isOpen'>,
  view: Pick<ConnectorView, 'connectors' | 'provisioningKeys'>,
  clock: Clock,
): void {
  metrics.kept(
    'gauge',
    'connector_certificate_end_seconds',
    'When the first certificate of a group ends, of connectors with a session, in Unix seconds.',
    ['group'],
    () => byGroup(certificateEnds(live, view), Math.min),
  );
  metrics.kept(
    'gauge',
    'connector_key_uses_ratio',
    'Share of its uses that a provisioning key of a group has had: of those for several that still count, the most.',
    ['group'],
    () => byGroup(keyUses(view, clock), Math.max),
  );
}

type Figure = readonly [group: string, value: number];

function* certificateEnds(
  live: Pick<LiveConnectors, 'isOpen'>,
  view: Pick<ConnectorView, 'connectors'>,
): Generator<Figure> {
  // One without a session cannot renew: that it is lost is told by its state.
  for (const { id, group, expiresAtSeconds } of view.connectors()) {
    if (live.isOpen(id)) yield [group, expiresAtSeconds];
  }
}

function* keyUses(view: Pick<ConnectorView, 'provisioningKeys'>, clock: Clock): Generator<Figure> {
  const nowSeconds = clock.nowMs() / 1000;
  for (const { group, uses, maxUses, expiresAtSeconds } of view.provisioningKeys()) {
    // A key for one connector is meant to be used up.
    if (maxUses > 1 && expiresAtSeconds > nowSeconds) yield [group, uses / maxUses];
  }
}

function byGroup(
  figures: Iterable<Figure>,
  better: (a: number, b: number) => number,
): (readonly [{ readonly group: string }, number])[] {
  const found = new Map<string, number>();
  for (const [group, value] of figures) {
    const before = found.get(group);
    found.set(group, before === undefined ? value : better(before, value));
  }
  return [...found].map(([group, value]) => [{ group }, value]);
}
