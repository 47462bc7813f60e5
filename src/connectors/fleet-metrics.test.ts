import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../base/clock.ts';
import type { ProvisioningKey } from '../rules/connector/keys.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { observeFleet } from './fleet-metrics.ts';

const NOW_S = 1_800_000_000;

const key = (group: string, uses: number, maxUses: number, expiresAtSeconds = NOW_S + 1) =>
  ({ group, uses, maxUses, expiresAtSeconds }) as ProvisioningKey;

const connector = (id: string, group: string, expiresAtSeconds: number) =>
  ({ id, group, expiresAtSeconds }) as ConnectorRecord;

test('certificates and keys are told by group: the first to end, and the most used', async () => {
  const metrics = createMetrics('signet_test');
  const view = {
    connectors: () => [
      connector('a', 'db', NOW_S + 60),
      connector('b', 'db', NOW_S + 50),
      connector('away', 'db', NOW_S + 40),
      connector('c', 'web', NOW_S + 70),
      connector('away-too', 'empty', NOW_S + 1),
    ],
    provisioningKeys: () => [
      key('db', 4, 5),
      key('db', 1, 5),
      key('db', 1, 1),
      key('web', 3, 4, NOW_S),
      key('web', 1, 4),
      key('single', 1, 1),
    ],
  };
  const live = { isOpen: (id: string) => !id.startsWith('away') };
  observeFleet(metrics, live, view, new ManualClock(NOW_S * 1000));
  const lines = (await metrics.registry.metrics()).split('\n').filter((line) => /^[^#]/.test(line));
  assert.deepEqual(lines.sort(), [
    `signet_test_connector_certificate_end_seconds{group="db"} ${NOW_S + 50}`,
    `signet_test_connector_certificate_end_seconds{group="web"} ${NOW_S + 70}`,
    'signet_test_connector_key_uses_ratio{group="db"} 0.8',
    'signet_test_connector_key_uses_ratio{group="web"} 0.25',
  ]);
});
