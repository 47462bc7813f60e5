import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { type KeyBackend, testKeyManager } from '../../test/support/key-manager-suite.ts';
import { ok } from '../base/result.ts';
import { openDiskKeyManager } from './disk-key-manager.ts';
import { KEY_TYPES } from './key-manager.ts';
import { createMemoryKeyManager } from './memory-key-manager.ts';

const directory = await mkdtemp(join(tmpdir(), 'signet-keys-'));
after(() => rm(directory, { recursive: true, force: true }));

const inProcess = { inProcess: true, anyHash: true, keyTypes: KEY_TYPES };

/**
 * The backends that need nothing but this machine. Those that need a server or a device of somebody
 * else's run the same suite in test/peers.
 */
const BACKENDS: readonly KeyBackend[] = [
  {
    name: 'memory',
    capabilities: { ...inProcess, persistent: false },
    open: async () => ok(createMemoryKeyManager()),
  },
  {
    name: 'disk',
    capabilities: { ...inProcess, persistent: true },
    open: () => openDiskKeyManager(join(directory, 'keys')),
  },
];

for (const backend of BACKENDS) testKeyManager(backend);
