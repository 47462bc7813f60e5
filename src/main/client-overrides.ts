import type { OverrideFlag } from './config-source.ts';

/** Flags of programs that are clients of a server; those of SPIRE's agent have its spelling beside. */
export const CLIENT_OVERRIDES = {
  trustDomain: {
    name: 'trust-domain',
    value: 'name',
    key: 'trustDomain',
    help: 'trust domain of the server',
  },
  serverAddress: {
    name: 'server-address',
    value: 'host',
    key: 'server.address',
    help: 'name or address of the server',
  },
  serverPort: {
    name: 'server-port',
    value: 'port',
    key: 'server.port',
    kind: 'number',
    help: 'port of the server',
  },
  insecureBootstrap: {
    name: 'insecure-bootstrap',
    key: 'bootstrap.insecure',
    help: 'take the first bundle from whoever answers: for trials only',
  },
  logLevel: {
    name: 'log-level',
    value: 'level',
    key: 'log.level',
    kind: 'lowercase',
    help: 'debug, info, warn, error or silent',
  },
} as const satisfies Readonly<Record<string, OverrideFlag>>;
