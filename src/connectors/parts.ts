import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { FindIssued, FindIssuerName } from '../issuance/find-issued.ts';
import type { Issuer } from '../issuance/issuer.ts';
import type { RecordAct } from '../issuance/ledger-recorder.ts';
import type { PolicyContext } from '../policy/context.ts';
import type { ConnectorRegistry } from '../registry/connectors.ts';
import type { Registry } from '../registry/registry.ts';
import type { Logger } from '../runtime/log.ts';

/** What everything about connectors stands on. */
export interface ConnectorParts {
  readonly registry: Pick<
    Registry,
    'trustDomain' | 'bundle' | 'agent' | 'entriesBySpiffeId' | 'revocation' | 'revoke'
  >;
  readonly connectors: ConnectorRegistry;
  readonly issuer: Pick<Issuer, 'checkCsr' | 'issueX509Batch'>;
  readonly policy: PolicyContext;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Writes acts into the ledger, where there is one. */
  readonly recordAct?: RecordAct | undefined;
  /** Finds what was issued in the ledger, where there is one. */
  readonly findIssued?: FindIssued | undefined;
  readonly findIssuerName?: FindIssuerName | undefined;
}
