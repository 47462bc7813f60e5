import { concatBytes } from '../../src/base/bytes.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import { signerKeyIds } from '../../src/spiffe/bundle.ts';
import type { SpiffeId } from '../../src/spiffe/spiffe-id.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';
import { parseX509Svid } from '../../src/spiffe/x509-svid.ts';
import type { TlsIdentity } from '../../src/tls/identity.ts';
import type { AgentState } from './state.ts';

/** What agents are named after: `/spire/agent/<attestor>/…`. */
const AGENT_PATH = '/spire/agent/';

/** The agent's own SVID. */
export interface OwnSvid {
  readonly id: SpiffeId;
  readonly tls: TlsIdentity;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** When it is to be renewed; drawn once, when it came. */
  readonly renewAtMs: number;
  /** Decimal. */
  readonly serial: string;
  /** Key identifiers, in hex, of the authorities that signed the chain's certificates. */
  readonly authorityKeyIds: readonly string[];
  /** Whether the attestor lets this node attest again. */
  readonly reattestable: boolean;
}

/** What an own SVID is read from. */
export interface OwnSvidBytes {
  readonly chainDer: readonly Uint8Array[];
  readonly privateKeyPkcs8: Uint8Array;
  readonly reattestable: boolean;
}

/** When an SVID is to be renewed, from the end of its validity. */
export type RenewalTime = (notAfterMs: number) => number;

/**
 * Reads the agent's own SVID: chain and key belong together, and it names an agent of this trust
 * domain. Says nothing about time. Fails with AGENT_SERVER_ANSWER.
 */
export function readOwnSvid(
  bytes: OwnSvidBytes,
  trustDomain: TrustDomain,
  renewal: RenewalTime,
): Result<OwnSvid> {
  const svid = parseX509Svid(concatBytes(bytes.chainDer), bytes.privateKeyPkcs8);
  if (!svid.ok) {
    return fail('AGENT_SERVER_ANSWER', `the SVID of this agent: ${svid.error.message}`);
  }
  const { id, leaf } = svid.value;
  if (id.trustDomain.name !== trustDomain.name || !id.path.startsWith(AGENT_PATH)) {
    return fail('AGENT_SERVER_ANSWER', `${id.uri} is no agent of ${trustDomain.name}`);
  }
  return ok({
    id,
    tls: { chainDer: bytes.chainDer, privateKeyPkcs8: bytes.privateKeyPkcs8 },
    notBeforeMs: leaf.notBeforeMs,
    notAfterMs: leaf.notAfterMs,
    renewAtMs: renewal(leaf.notAfterMs),
    serial: leaf.serialDecimal,
    authorityKeyIds: signerKeyIds(svid.value.chain),
    reattestable: bytes.reattestable,
  });
}

/** The stored form of an SVID. */
export function storedSvid(svid: OwnSvid): NonNullable<AgentState['svid']> {
  return {
    chain: svid.tls.chainDer.map(toBase64),
    privateKey: toBase64(svid.tls.privateKeyPkcs8),
    reattestable: svid.reattestable,
    renewAtMs: svid.renewAtMs,
  };
}

/** The SVID of a stored form; undefined where none is stored. */
export function restoreSvid(
  state: AgentState,
  trustDomain: TrustDomain,
): Result<OwnSvid> | undefined {
  if (state.svid === undefined) return undefined;
  const { chain, privateKey, reattestable, renewAtMs } = state.svid;
  const bytes = {
    chainDer: chain.map((text) => Buffer.from(text, 'base64')),
    privateKeyPkcs8: Buffer.from(privateKey, 'base64'),
    reattestable,
  };
  return readOwnSvid(bytes, trustDomain, () => renewAtMs);
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}
