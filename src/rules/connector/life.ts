import type { ConnectorRecord, ConnectorStanding } from './record.ts';

/** How long one whose first SVID was not signed yet counts as one, in seconds: the signing may be under way. */
export const PENDING_SECONDS = 300;

/** Whether one of this standing has neither stopped nor been revoked. */
export function isStanding(standing: ConnectorStanding): boolean {
  return standing === 'enrolled' || standing === 'draining';
}

/**
 * Whether a connector has not ended: neither stopped nor revoked, its newest SVID not past its end. Those
 * that live count against the limit of their group, and nobody else enrols in their name.
 */
export function connectorLives(
  connector: Pick<
    ConnectorRecord,
    'standing' | 'serial' | 'expiresAtSeconds' | 'enrolledAtSeconds'
  >,
  nowSeconds: number,
): boolean {
  if (!isStanding(connector.standing)) return false;
  if (connector.serial !== '') return connector.expiresAtSeconds > nowSeconds;
  return connector.enrolledAtSeconds + PENDING_SECONDS > nowSeconds;
}
