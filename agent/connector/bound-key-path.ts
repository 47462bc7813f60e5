import { join } from 'node:path';
import { BOUND_KEY_FILE } from './bound-key.ts';
import type { ConnectorConfig } from './config.ts';

/** Where the bound key is: as configured, else in the data directory. */
export function boundKeyPath({
  enrol,
  dataDir,
}: Pick<ConnectorConfig, 'enrol' | 'dataDir'>): string {
  return enrol.boundKeyPath ?? join(dataDir, BOUND_KEY_FILE);
}
