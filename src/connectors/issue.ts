import { createHash } from 'node:crypto';
import { fail, ok, type Result } from '../base/result.ts';
import type { IssuedX509 } from '../issuance/issuer.ts';
import { grantConnectorX509 } from '../policy/connector-grants.ts';
import type { ConnectorRecord } from '../rules/connector/record.ts';
import type { ConnectorParts } from './parts.ts';
import { revokeSerials } from './revoke.ts';

/** An SVID that was signed for a connector, and the connector with it. */
export interface CertifiedConnector {
  readonly issued: IssuedX509;
  readonly connector: ConnectorRecord;
}

/** SHA-256 of a SubjectPublicKeyInfo, hex: how claims and records call a key. */
export function keySha256(spki: Uint8Array): string {
  return createHash('sha256').update(spki).digest('hex');
}

/**
 * Signs an SVID for an enrolled connector and writes down that it has it; only then may it leave. One
 * that was revoked meanwhile gets nothing: what was signed is taken back. Fails as the grant, the
 * issuance and the store do.
 *
 * @param requestedBy As {@link grantConnectorX509} has it.
 * @param expectedSerial See `ConnectorChange`: what was signed in vain is taken back, and
 *   CONNECTOR_RENEWAL_BUSY answered.
 */
export async function certifyConnector(
  parts: ConnectorParts,
  connectorId: string,
  csr: Uint8Array,
  requestedBy: string,
  expectedSerial?: string,
): Promise<Result<CertifiedConnector>> {
  const key = parts.issuer.checkCsr(csr);
  if (!key.ok) return key;
  const grant = grantConnectorX509(connectorId, requestedBy, parts.policy);
  if (!grant.ok) return grant;
  const [issued] = await parts.issuer.issueX509Batch([{ grant: grant.value, csr }]);
  if (issued === undefined) throw new TypeError('issuance answers each request');
  if (!issued.ok) return issued;
  const { serialDecimal: serial, expiresAtSeconds } = issued.value;
  const certified = await parts.connectors.changeConnector(connectorId, {
    kind: 'certified',
    serial,
    expiresAtSeconds,
    keySha256: keySha256(key.value.spki),
    expectedSerial,
  });
  if (!certified.ok) return certified;
  const connector = certified.value;
  const isRevoked = connector === undefined || connector.standing === 'revoked';
  if (!isRevoked && connector.serial === serial) return ok({ issued: issued.value, connector });
  const { spiffeId, agentId } = grant.value;
  const taken = { serial, notAfterSeconds: expiresAtSeconds };
  const reason = isRevoked ? 'privilege-withdrawn' : 'superseded';
  const revoked = await revokeSerials(parts, { spiffeId, agentId }, [taken], reason);
  if (!revoked.ok) return revoked;
  return isRevoked
    ? fail('CONNECTOR_REVOKED', `connector ${spiffeId.uri} was revoked meanwhile`)
    : fail('CONNECTOR_RENEWAL_BUSY', `connector ${spiffeId.uri} got another SVID meanwhile`);
}

/**
 * The next SVID of a connector that calls with its present one: for a new key, so that what was copied of
 * it ends with the old one. Two at once, also on two servers, come to one: the other is refused, since the
 * connector could not know which of them stands. Fails with CONNECTOR_KEY_REUSED and as
 * {@link certifyConnector} does.
 */
export async function renewConnector(
  connector: ConnectorRecord,
  csr: Uint8Array,
  parts: ConnectorParts,
): Promise<Result<CertifiedConnector>> {
  const key = parts.issuer.checkCsr(csr);
  if (!key.ok) return key;
  if (hasHad(connector, keySha256(key.value.spki))) {
    return fail('CONNECTOR_KEY_REUSED', 'the request is for a key that the connector has had');
  }
  const requestedBy = `connector:${connector.spiffeId.uri}`;
  return certifyConnector(parts, connector.id, csr, requestedBy, connector.serial);
}

/**
 * Whether a connector is known to have used a key: the one that it enrolled with, and those of the SVIDs on
 * record. Not that of an SVID that was never used: the answer may have been lost, and the request is repeated.
 */
function hasHad(connector: ConnectorRecord, key: string): boolean {
  const { enrolmentKeySha256, previousSerial, previousKeySha256, keySha256: newest } = connector;
  if (key === enrolmentKeySha256) return true;
  return key === (previousSerial === '' ? newest : previousKeySha256);
}
