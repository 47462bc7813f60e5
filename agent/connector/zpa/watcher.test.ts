import assert from 'node:assert/strict';
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ManualClock } from '../../../src/base/clock.ts';
import { unwrap } from '../../../src/base/result.ts';
import { createMetrics } from '../../../src/runtime/metrics.ts';
import { SILENT } from '../../../test/support/issuance.ts';
import { testFolder } from '../../../test/support/workload-api.ts';
import { type ZpaSettings, zpaWatcherSchema } from './settings.ts';
import { startZpaWatcher } from './watcher.ts';

const AT_MS = Date.UTC(2026, 10, 1);

function block(control = 'fohh_connection_connected', days = 100): string {
  return [
    '-------- Connector Status:ID=1234:Name=berlin-1:Ver=24.1.2 --------',
    `Certificate will expire in ${days} days, 0 hours, 0 minutes, 0 seconds`,
    `Control connection state: ${control}, [10.0.0.1]:1;b.example:[10.0.0.2]:443`,
    'Mtunnels: Total Created = 9, Total Freed = 7, Current Active = 2, Alloc = 4',
    'Time skew: - 0.5s',
    '',
  ].join('\n');
}

async function watched(context: TestContext, content: string) {
  const logPath = join(testFolder(context), 'log');
  writeFileSync(logPath, content);
  const clock = new ManualClock(AT_MS);
  const metrics = createMetrics('signet_connector');
  // The schema answers undefined for undefined only.
  const settings = zpaWatcherSchema.parse({ logPath }) as ZpaSettings;
  const watcher = unwrap(await startZpaWatcher(settings, { clock, log: SILENT, metrics }));
  context.after(() => watcher.close());
  const changed = (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const end = watcher.onChange(() => {
      end();
      resolve();
    });
    return promise;
  };
  return { logPath, clock, metrics, watcher, changed };
}

test('tells what the last status of the log says', async (context) => {
  const { watcher, metrics } = await watched(context, block('down', 3) + block());
  const { health, activeFlows, facts } = watcher.current();
  assert.deepEqual([health, activeFlows, facts.name], ['ok', 2, 'berlin-1']);
  const text = await metrics.registry.metrics();
  for (const line of [
    'signet_connector_zpa_certificate_days 100',
    'signet_connector_zpa_control_connected 1',
    'signet_connector_zpa_clock_skew_seconds -0.5',
    'signet_connector_zpa_status_age_seconds 0',
  ]) {
    assert.ok(text.includes(`\n${line}\n`), line);
  }
});

test('tells of a change when one comes: a status, and silence', async (context) => {
  const { watcher, clock, logPath, changed } = await watched(context, block());
  const ending = changed();
  appendFileSync(logPath, block('fohh_connection_connected', 3));
  clock.advance(1000);
  await ending;
  assert.match(watcher.current().reason, /^its certificate ends in/);
  const silent = changed();
  clock.advance(180_000);
  await silent;
  assert.match(watcher.current().reason, /^no status in .* since .*; its certificate/);
});

test('takes it for enrolled by what is said from now on, not by a log of before', async (context) => {
  const { watcher, clock, logPath, changed } = await watched(context, block());
  assert.equal(watcher.current().health, 'ok');
  assert.ok(!watcher.enrolled);
  const down = changed();
  appendFileSync(logPath, block('down', 3));
  clock.advance(1000);
  await down;
  assert.ok(!watcher.enrolled);
  const up = changed();
  appendFileSync(logPath, block());
  clock.advance(1000);
  await up;
  assert.ok(watcher.enrolled);
});

test('knows nothing while there is nothing to read', async (context) => {
  const { watcher, metrics } = await watched(context, 'starting\n');
  assert.equal(watcher.current().health, 'unknown');
  assert.ok(!watcher.enrolled);
  const text = await metrics.registry.metrics();
  assert.match(text, /\nsignet_connector_zpa_certificate_days nan\n/i);
});
