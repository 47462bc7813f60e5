import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { readSecret } from '../runtime/secret.ts';
import { openDiskKeyManager } from './disk-key-manager.ts';
import type { KeyManager } from './key-manager.ts';
import { createMemoryKeyManager } from './memory-key-manager.ts';
import type { Pace } from './outside/paced-calls.ts';
import type { Pkcs11Options } from './pkcs11/pkcs11-key-manager.ts';
import type { KeysConfig } from './settings.ts';
import { vaultAuthOf } from './vault/vault-settings.ts';
import type { VaultOptions } from './vault-transit/vault-key-manager.ts';

/** What a key manager of any kind may need. */
export interface KeySurroundings {
  /** Name of the trust domain whose keys they are. */
  readonly trustDomain: string;
  /** Folder of the keys that are kept on disk. */
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * Opens the key manager that the configuration names. Backends outside the process are loaded only
 * here, where they are wanted: their clients cost memory and time that a server with keys of its own
 * does not pay. Refuses with what the backend found wrong; no key is made.
 */
export async function openKeyManager(
  config: KeysConfig,
  surroundings: KeySurroundings,
): Promise<Result<KeyManager>> {
  const { trustDomain, ...shared } = surroundings;
  const outside = {
    ...shared,
    owner: { namespace: config.namespace, trustDomain },
    pace: paceOf(config),
    refreshMs: config.refreshEvery * 1000,
    sweepAfterMs: config.sweepAfter * 1000,
  };
  switch (config.manager) {
    case 'disk':
      return openDiskKeyManager(surroundings.directory);
    case 'memory':
      return ok(createMemoryKeyManager());
    case 'aws-kms': {
      const { openKmsKeyManager } = await import('./aws-kms/kms-key-manager.ts');
      return openKmsKeyManager({ ...outside, ...config.awsKms });
    }
    case 'pkcs11':
      return openToken(config, outside);
    case 'vault-transit':
      return openVault(config, outside);
  }
}

async function openToken(
  { pkcs11 }: KeysConfig,
  outside: Omit<Pkcs11Options, 'place' | 'threads'>,
): Promise<Result<KeyManager>> {
  if (pkcs11 === undefined) return fail('KEY_MANAGER_SETTINGS', 'keys.pkcs11 is not set');
  const { threads, pinPath, pinEnv, ...place } = pkcs11;
  const setting = 'keys.pkcs11.pinPath';
  const code = 'KEY_MANAGER_SETTINGS';
  const pin = await readSecret({ path: pinPath, variable: pinEnv, setting, code });
  if (!pin.ok) return pin;
  const { openPkcs11KeyManager } = await import('./pkcs11/pkcs11-key-manager.ts');
  return openPkcs11KeyManager({ ...outside, threads, place: { ...place, pin: pin.value } });
}

async function openVault(
  { vaultTransit }: KeysConfig,
  outside: Omit<VaultOptions, 'place' | 'auth' | 'mount'>,
): Promise<Result<KeyManager>> {
  if (vaultTransit === undefined)
    return fail('KEY_MANAGER_SETTINGS', 'keys.vaultTransit is not set');
  const { address, namespace, caPath, mount, auth } = vaultTransit;
  const setting = 'keys.vaultTransit.caPath';
  const ca =
    caPath === undefined
      ? ok(undefined)
      : await readSecret({ path: caPath, variable: '', setting, code: 'KEY_MANAGER_SETTINGS' });
  if (!ca.ok) return ca;
  const { openVaultKeyManager } = await import('./vault-transit/vault-key-manager.ts');
  return openVaultKeyManager({
    ...outside,
    place: { address, namespace, ca: ca.value },
    auth: vaultAuthOf(auth),
    mount,
  });
}

function paceOf({ calls }: KeysConfig): Pace {
  const { perSecond, burst, inFlight, timeout, deadline } = calls;
  return {
    perSecond,
    burst,
    inFlight,
    timeoutMs: timeout * 1000,
    deadlineMs: deadline * 1000,
  };
}
