import { isStanding } from '../../rules/connector/life.ts';
import type { ConnectorChange } from '../connectors.ts';
import type { ConnectorRow } from './connector-rows.ts';

/** The row after a step; the same object where the step has no effect. */
export function applyConnectorChange(row: ConnectorRow, change: ConnectorChange): ConnectorRow {
  if (row.standing === 'revoked') return row;
  switch (change.kind) {
    case 'certified': {
      const { expectedSerial = row.serial } = change;
      return expectedSerial === row.serial ? certified(row, change) : row;
    }
    case 'promoted':
      return promoted(row, change.serial);
    case 'heard':
      return {
        ...row,
        lastHeardAt: Math.max(row.lastHeardAt, change.atSeconds),
        instance: change.instance === undefined ? row.instance : JSON.stringify(change.instance),
      };
    case 'draining': {
      if (!isStanding(row.standing)) return row;
      const { deadlineMs: drainDeadlineMs, reason } = change;
      return { ...row, standing: 'draining', drainDeadlineMs, reason };
    }
    case 'resumed':
      if (row.standing !== 'draining') return row;
      return { ...row, standing: 'enrolled', drainDeadlineMs: 0, reason: '' };
    case 'stopped':
      if (!isStanding(row.standing)) return row;
      return {
        ...ended(row, change),
        standing: 'stopped',
        lastHeardAt: Math.max(row.lastHeardAt, change.atSeconds),
      };
    case 'revoked':
      return { ...ended(row, change), standing: 'revoked' };
  }
}

/** Whether a step shows that the connector has what its last enrolment was answered. */
export function provesAnswer(row: ConnectorRow, change: ConnectorChange): boolean {
  if (change.kind === 'heard') return change.began;
  return change.kind === 'promoted' && change.serial === row.serial;
}

function certified(
  row: ConnectorRow,
  { serial, expiresAtSeconds, keySha256 }: Extract<ConnectorChange, { readonly kind: 'certified' }>,
): ConnectorRow {
  if (serial === row.serial) return row;
  const newest = { serial, expiresAt: expiresAtSeconds, keySha256 };
  // The one that it may still show stays, where the newest was never used.
  if (row.serial === '' || row.previousSerial !== '') return { ...row, ...newest };
  return {
    ...row,
    ...newest,
    previousSerial: row.serial,
    previousExpiresAt: row.expiresAt,
    previousKeySha256: row.keySha256,
  };
}

function promoted(row: ConnectorRow, serial: string): ConnectorRow {
  if (serial !== row.serial || row.previousSerial === '') return row;
  return { ...row, previousSerial: '', previousExpiresAt: 0, previousKeySha256: '' };
}

function ended(
  row: ConnectorRow,
  { atSeconds, reason }: { readonly atSeconds: number; readonly reason: string },
): ConnectorRow {
  return { ...row, endedAt: atSeconds, reason, drainDeadlineMs: 0 };
}
