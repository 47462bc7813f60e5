import type { ServerConfig } from './config.ts';

/** How keys are protected, and how long what they sign lives: settings with their defaults filled in. */
export interface Protection {
  /** `direct`: authorities sign leaves. `delegated`: an issuing CA of each server does. */
  readonly x509: 'direct' | 'delegated';
  /** `direct`: the key manager signs tokens. `sealed`: keys in memory do, stored encrypted. */
  readonly jwt: 'direct' | 'sealed';
  /** How the key of the ledger lies on the disk. */
  readonly ledger: 'file' | 'sealed';
  /** Life of X.509 authorities. */
  readonly caTtlSeconds: number;
  /** Life of JWT keys. */
  readonly jwtKeyTtlSeconds: number;
  /** Longest life that an X.509-SVID may have: that of what signs it. */
  readonly signerTtlSeconds: number;
  /** Life that every X.509-SVID may have whenever it is asked for. */
  readonly certainTtlSeconds: number;
}

type Parts = Pick<ServerConfig, 'keys' | 'ca' | 'jwt' | 'ledger'>;

const DAY_SECONDS = 24 * 3600;
const DELEGATED_CA_TTL_SECONDS = 365 * DAY_SECONDS;
const CA_TTL_SECONDS = DAY_SECONDS;

/**
 * Whether the key manager keeps private keys in this process: nothing is gained by delegating then, and
 * there is nothing to seal with.
 */
function isInProcess({ keys }: Parts): boolean {
  return keys.manager === 'disk' || keys.manager === 'memory';
}

/**
 * Keys outside the process are asked for as little as may be, unless configuration says otherwise; keys
 * inside it sign as they always did.
 */
export function protectionOf(config: Parts): Protection {
  const { ca, jwt, ledger } = config;
  const x509 = ca.protection ?? (isInProcess(config) ? 'direct' : 'delegated');
  const usual = x509 === 'delegated' ? DELEGATED_CA_TTL_SECONDS : CA_TTL_SECONDS;
  const caTtlSeconds = ca.ttl ?? usual;
  const signerTtlSeconds =
    x509 === 'delegated' ? Math.min(ca.issuing.ttl, caTtlSeconds) : caTtlSeconds;
  return {
    x509,
    jwt: jwt.protection ?? (isInProcess(config) ? 'direct' : 'sealed'),
    ledger: ledger.protection ?? (isInProcess(config) ? 'file' : 'sealed'),
    caTtlSeconds,
    jwtKeyTtlSeconds: jwt.keyTtl ?? (x509 === 'delegated' ? CA_TTL_SECONDS : caTtlSeconds),
    signerTtlSeconds,
    // The successor signs from half of an issuing CA's life on, from the last sixth of a root's.
    certainTtlSeconds: x509 === 'delegated' ? signerTtlSeconds / 2 : signerTtlSeconds / 6,
  };
}

/** Settings of protection that contradict others: path and what is wrong. */
export function protectionFaults(
  config: Parts & Pick<ServerConfig, 'svid'>,
): readonly { readonly path: readonly string[]; readonly message: string }[] {
  const { svid, ca } = config;
  const { x509, caTtlSeconds, signerTtlSeconds } = protectionOf(config);
  const faults: { path: string[]; message: string }[] = [];
  if (x509 === 'delegated' && ca.issuing.ttl > caTtlSeconds) {
    const message = 'must not be longer than ca.ttl: an issuing CA ends with its root';
    faults.push({ path: ['ca', 'issuing', 'ttl'], message });
  }
  if (Math.max(svid.x509Ttl, svid.agentTtl ?? 0) > signerTtlSeconds) {
    const message = 'must not be shorter than svid.x509Ttl and svid.agentTtl: a CA outlives leaves';
    faults.push({ path: x509 === 'direct' ? ['ca', 'ttl'] : ['ca', 'issuing', 'ttl'], message });
  }
  for (const section of ['jwt', 'ledger'] as const) {
    if (config[section].protection !== 'sealed' || !isInProcess(config)) continue;
    const message = `there is nothing to seal with: keys.manager ${config.keys.manager} wraps no keys`;
    faults.push({ path: [section, 'protection'], message });
  }
  return faults;
}
