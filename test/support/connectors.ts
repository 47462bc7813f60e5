import { unwrap } from '../../src/base/result.ts';
import type { ConnectorRecord } from '../../src/rules/connector/record.ts';
import { parseSpiffeId } from '../../src/spiffe/spiffe-id.ts';

/** A connector with these fields and plain values for the rest. */
export function connectorRecord(fields: Partial<ConnectorRecord> = {}): ConnectorRecord {
  const { id = 'c1', group = 'edge' } = fields;
  return {
    id,
    group,
    spiffeId: unwrap(parseSpiffeId(`spiffe://example.org/connector/${group}/${id}`)),
    proof: 'provisioning-key',
    claimant: `csr:${id}`,
    keySha256: '00'.repeat(32),
    agentId: undefined,
    standing: 'enrolled',
    reason: '',
    instance: {
      version: '1.0',
      os: 'linux',
      arch: 'amd64',
      hostname: '',
      podName: '',
      nodeName: '',
    },
    enrolledAtSeconds: 0,
    serial: '',
    expiresAtSeconds: 0,
    previousSerial: '',
    previousExpiresAtSeconds: 0,
    previousKeySha256: '',
    enrolmentKeySha256: '00'.repeat(32),
    lastHeardAtSeconds: 0,
    drainDeadlineMs: 0,
    endedAtSeconds: 0,
    revision: 1n,
    ...fields,
  };
}
