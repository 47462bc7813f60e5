import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHealth } from '../../src/runtime/health.ts';
import { createLogger } from '../../src/runtime/log.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { createRegistration } from './services.ts';
import { checkDriverName, csiPaths } from './settings.ts';

test('the driver is ready while the kubelet has taken it', async () => {
  const health = createHealth();
  const registration = createRegistration({
    driverName: 'csi.spiffe.io',
    endpoint: '/plugins/csi.sock',
    part: health.part('registration', 'not yet'),
    log: createLogger({ level: 'silent' }),
  });
  const tell = (pluginRegistered: boolean, error: string) =>
    // Handlers get the context of their call; these do not look at it.
    registration.notifyRegistrationStatus({ pluginRegistered, error }, undefined as never);
  assert.equal(health.report('ready').ok, false);
  assertValue(await tell(true, ''));
  assert.equal(health.report('ready').ok, true);
  assertValue(await tell(false, 'a driver of this name is there'));
  const { ok, failures } = health.report('ready');
  assert.equal(ok, false);
  assert.match(failures.registration ?? '', /a driver of this name is there/);
  assert.equal(health.report('live').ok, true);
});

test("a driver's name is one that a CSIDriver object may have", () => {
  for (const name of ['csi.spiffe.io', 'a', 'A-1.b', 'x'.repeat(63)]) {
    assert.equal(assertValue(checkDriverName(name)), name);
  }
  for (const name of ['', '.a', 'a.', '-a', 'a-', 'a/b', '../a', 'a b', 'a_b', 'x'.repeat(64)]) {
    assertRefused(checkDriverName(name), 'CLI_USAGE');
  }
});

test('the sockets lie where the kubelet looks, if their paths are short enough', () => {
  const base = { driverName: 'csi.spiffe.io', nodeId: 'n', socketDir: '/run/s' };
  assert.deepEqual(assertValue(csiPaths({ ...base, kubeletDir: '/var/lib/kubelet' })), {
    endpoint: '/var/lib/kubelet/plugins/csi.spiffe.io/csi.sock',
    registration: '/var/lib/kubelet/plugins_registry/csi.spiffe.io-reg.sock',
    pods: '/var/lib/kubelet/pods',
  });
  const long = csiPaths({ ...base, kubeletDir: `/${'k'.repeat(80)}` });
  assertRefused(long, 'SOCKET_PATH_TOO_LONG');
});
