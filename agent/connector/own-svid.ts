import { concatBytes } from '../../src/base/bytes.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import type { BundleSource } from '../../src/spiffe/bundle.ts';
import type { SpiffeId } from '../../src/spiffe/spiffe-id.ts';
import { parseX509Svid, validateX509Svid } from '../../src/spiffe/x509-svid.ts';
import type { TlsIdentity } from '../../src/tls/identity.ts';
import type { ConnectorState } from './state.ts';

/** The connector's SVID. */
export interface ConnectorSvid {
  readonly id: SpiffeId;
  readonly tls: TlsIdentity;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Decimal. */
  readonly serial: string;
}

/** What an SVID is read from and judged by. */
export interface ConnectorSvidCheck {
  /** DER, leaf first. */
  readonly chainDer: readonly Uint8Array[];
  readonly privateKeyPkcs8: Uint8Array;
  /** Name of the trust domain. */
  readonly trustDomain: string;
  readonly group: string;
}

/**
 * Reads an SVID: chain and key belong together, and it names a connector of this group. Says nothing about
 * time or authorities. Fails with COMPANION_SERVER_ANSWER.
 */
export function readConnectorSvid(check: ConnectorSvidCheck): Result<ConnectorSvid> {
  const { chainDer, privateKeyPkcs8, trustDomain, group } = check;
  const svid = parseX509Svid(concatBytes(chainDer), privateKeyPkcs8);
  if (!svid.ok) return refuse(svid.error.message);
  const { id, leaf } = svid.value;
  const [, room, named, name, ...more] = id.path.split('/');
  const ours = room === 'connector' && named === group && name !== undefined && more.length === 0;
  if (id.trustDomain.name !== trustDomain || !ours) {
    return refuse(`${id.uri} is no connector of group ${group} of ${trustDomain}`);
  }
  return ok({
    id,
    tls: { chainDer, privateKeyPkcs8 },
    notBeforeMs: leaf.notBeforeMs,
    notAfterMs: leaf.notAfterMs,
    serial: leaf.serialDecimal,
  });
}

/** Whether an SVID verifies now against the bundles. Fails with COMPANION_SERVER_ANSWER. */
export function verifyConnectorSvid(
  svid: ConnectorSvid,
  bundles: BundleSource,
  atMs: number,
): Result<void> {
  const parsed = parseX509Svid(concatBytes(svid.tls.chainDer), svid.tls.privateKeyPkcs8);
  if (!parsed.ok) return refuse(parsed.error.message);
  const valid = validateX509Svid({ chain: parsed.value.chain, bundles, atMs });
  return valid.ok ? ok(undefined) : refuse(valid.error.message);
}

/** When an SVID is renewed though nobody asked: at two thirds of its life, in Unix milliseconds. */
export function ownRenewalMs({ notBeforeMs, notAfterMs }: ConnectorSvid): number {
  return notBeforeMs + ((notAfterMs - notBeforeMs) * 2) / 3;
}

/** The stored form of an SVID. */
export function storedConnectorSvid({ tls }: ConnectorSvid): NonNullable<ConnectorState['svid']> {
  return { chain: tls.chainDer.map(toBase64), privateKey: toBase64(tls.privateKeyPkcs8) };
}

/** The SVID of a state; undefined where there is none. Fails with COMPANION_STATE_CORRUPT. */
export function restoreConnectorSvid(state: ConnectorState): Result<ConnectorSvid> | undefined {
  if (state.svid === undefined) return undefined;
  const svid = readConnectorSvid({
    ...state,
    chainDer: state.svid.chain.map((text) => Buffer.from(text, 'base64')),
    privateKeyPkcs8: Buffer.from(state.svid.privateKey, 'base64'),
  });
  if (svid.ok) return svid;
  return fail('COMPANION_STATE_CORRUPT', `the stored SVID is of no use: ${svid.error.message}`);
}

/** Bytes as the state files have them. */
export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}

function refuse(problem: string): Result<never> {
  return fail('COMPANION_SERVER_ANSWER', `the SVID of this connector: ${problem}`);
}
