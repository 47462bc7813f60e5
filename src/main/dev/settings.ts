import { stringify } from 'yaml';
import { utf8 } from '../../base/bytes.ts';
import type { Result } from '../../base/result.ts';
import { writeFileAtomic } from '../../runtime/atomic-file.ts';
import type { LogLevel } from '../../runtime/log.ts';
import { formatDuration } from '../../runtime/units.ts';
import type { DevLayout } from './layout.ts';

/** What a user may choose about the two processes; undefined takes their defaults. */
export interface DevSettings {
  readonly port: number;
  readonly caTtlSeconds: number | undefined;
  readonly x509TtlSeconds: number | undefined;
  readonly agentTtlSeconds: number | undefined;
  readonly jwtTtlSeconds: number | undefined;
  readonly logLevel: LogLevel;
}

/** Loopback only: nothing here is meant for a network. */
export const DEV_ADDRESS = '127.0.0.1';

/** A CA must outlive the leaves: where only its life is chosen, leaves take this part of it. */
const LEAF_PART_OF_CA = 1 / 3;

/** The server's default for leaves, in seconds. */
const DEFAULT_LEAF_SECONDS = 3600;

/** Writes `server.yaml`. */
export function writeServerConfig(layout: DevLayout, settings: DevSettings): Promise<Result<void>> {
  const { caTtlSeconds: ca } = settings;
  const leaf =
    ca === undefined ? undefined : Math.min(DEFAULT_LEAF_SECONDS, Math.floor(ca * LEAF_PART_OF_CA));
  return writeYaml(layout.serverConfig, {
    trustDomain: layout.trustDomain.name,
    dataDir: layout.serverData,
    listen: { address: DEV_ADDRESS, port: settings.port },
    adminSocket: { path: layout.adminSocket },
    ca: { ttl: duration(ca) },
    jwt: { ttl: duration(settings.jwtTtlSeconds) },
    svid: {
      x509Ttl: duration(settings.x509TtlSeconds ?? leaf),
      agentTtl: duration(settings.agentTtlSeconds ?? leaf),
    },
    // So that what there is can be tried; without groups nobody enrols.
    connectors: { enrolmentRoot: {} },
    log: { level: settings.logLevel },
  });
}

/** Writes `agent.yaml`. The bundle and the token stand in files of their own. */
export function writeAgentConfig(layout: DevLayout, settings: DevSettings): Promise<Result<void>> {
  return writeYaml(layout.agentConfig, {
    trustDomain: layout.trustDomain.name,
    dataDir: layout.agentData,
    server: { address: DEV_ADDRESS, port: settings.port },
    bootstrap: { bundlePath: layout.bundlePath },
    join: { tokenPath: layout.joinToken },
    workloadSocket: { path: layout.workloadSocket, mode: '0777' },
    // Without root, processes differ by the binary they run more than by their user. Hashing is left
    // out: the first process of a large binary would wait for it.
    workloadAttestors: { unix: { discoverPath: true, maxHashBytes: '0B' } },
    log: { level: settings.logLevel },
  });
}

function duration(seconds: number | undefined): string | undefined {
  return seconds === undefined ? undefined : formatDuration(seconds);
}

function writeYaml(path: string, value: unknown): Promise<Result<void>> {
  const head = '# Written by "signet dev" at every start.\n';
  // Through JSON, which leaves out what is undefined; YAML would write null.
  const text = stringify(JSON.parse(JSON.stringify(value)));
  return writeFileAtomic(path, utf8(head + text), { mode: 0o600 });
}
