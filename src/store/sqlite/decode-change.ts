import { fail, ok, type Result } from '../../base/result.ts';
import type { TrustDomain } from '../../spiffe/trust-domain.ts';
import type { Change } from '../store.ts';
import { decodeAgent } from './agent-codec.ts';
import { decodeBundle } from './bundle-codec.ts';
import { decodeConnectorChange } from './connector-codec.ts';
import { decodeDpu } from './dpu-codec.ts';
import { decodeEntry } from './entry-codec.ts';
import { decodeFederationChange } from './federation-codec.ts';
import type { Interner } from './interner.ts';
import { decodeIssuingCa } from './issuing-ca-codec.ts';
import type { ChangeRow } from './protocol.ts';
import { decodeRevocation } from './revocation-codec.ts';

/** Decodes a line of the feed. */
export function decodeChange(
  change: ChangeRow,
  intern: Interner,
  trustDomain: TrustDomain,
): Result<Change> {
  const sequence = BigInt(change.sequence);
  switch (change.kind) {
    case 'entry': {
      if (change.row === undefined) {
        return ok({ kind: 'entry-deleted', sequence, entryId: change.ref });
      }
      const entry = decodeEntry(change.row, intern);
      return entry.ok ? ok({ kind: 'entry', sequence, entry: entry.value }) : entry;
    }
    case 'agent': {
      if (change.row === undefined) {
        return ok({ kind: 'agent-deleted', sequence, agentId: change.ref });
      }
      const agent = decodeAgent(change.row, intern);
      return agent.ok ? ok({ kind: 'agent', sequence, agent: agent.value }) : agent;
    }
    case 'bundle': {
      if (change.row === undefined) return fail('STORE_CORRUPT', 'the bundle is missing');
      const bundle = decodeBundle(change.row, trustDomain);
      if (!bundle.ok) return bundle;
      return ok({ kind: 'bundle', sequence, bundle: bundle.value });
    }
    case 'revocation': {
      if (change.row === undefined) return ok({ kind: 'ended', sequence });
      const revocation = decodeRevocation(change.row, intern);
      if (!revocation.ok) return revocation;
      return ok({ kind: 'revocation', sequence, revocation: revocation.value });
    }
    case 'dpu': {
      if (change.row === undefined) {
        return fail('STORE_CORRUPT', `the DPU ${change.ref} is missing`);
      }
      const dpu = decodeDpu(change.row, intern);
      return dpu.ok ? ok({ kind: 'dpu', sequence, dpu: dpu.value }) : dpu;
    }
    case 'issuing-ca': {
      if (change.row === undefined) return ok({ kind: 'ended', sequence });
      const issuingCa = decodeIssuingCa(change.row);
      if (!issuingCa.ok) return issuingCa;
      return ok({ kind: 'issuing-ca', sequence, issuingCa: issuingCa.value });
    }
    case 'federation':
    case 'federated-bundle':
      return decodeFederationChange(change);
    default: {
      const decoded = decodeConnectorChange(change, intern);
      return decoded.ok ? ok({ ...decoded.value, sequence }) : decoded;
    }
  }
}
