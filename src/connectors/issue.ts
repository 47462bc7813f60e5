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
 */
export async function certifyConnector(
  parts: ConnectorParts,
  connectorId: string,
  csr: Uint8Array,
  requestedBy: string,
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
  });
  if (!certified.ok) return certified;
  const connector = certified.value;
  if (connector !== undefined && connector.standing !== 'revoked') {
    return ok({ issued: issued.value, connector });
  }
  const { spiffeId, agentId } = grant.value;
  const taken = { serial, notAfterSeconds: expiresAtSeconds };
  const revoked = await revokeSerials(parts, { spiffeId, agentId }, [taken], 'privilege-withdrawn');
  if (!revoked.ok) return revoked;
  return fail('CONNECTOR_REVOKED', `connector ${spiffeId.uri} was revoked meanwhile`);
}

/**
 * The next SVID of a connector that calls with its present one: for a new key, so that what was copied of
 * it ends with the old one. Fails with CONNECTOR_KEY_REUSED and as {@link certifyConnector} does.
 */
export async function renewConnector(
  connector: ConnectorRecord,
  csr: Uint8Array,
  parts: ConnectorParts,
): Promise<Result<CertifiedConnector>> {
  const key = parts.issuer.checkCsr(csr);
  if (!key.ok) return key;
  if (keySha256(key.value.spki) === connector.keySha256) {
    return fail('CONNECTOR_KEY_REUSED', 'the request is for the key that the connector has');
  }
  return certifyConnector(parts, connector.id, csr, `connector:${connector.spiffeId.uri}`);
}
