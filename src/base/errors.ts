import { agentErrors } from './errors/agent.ts';
import { apiErrors } from './errors/api.ts';
import { attestationErrors } from './errors/attestation.ts';
import { auditErrors } from './errors/audit.ts';
import { authorityErrors } from './errors/authority.ts';
import { backupErrors } from './errors/backup.ts';
import { cliErrors } from './errors/cli.ts';
import { companionErrors } from './errors/companion.ts';
import { configErrors } from './errors/config.ts';
import { connectorErrors } from './errors/connector.ts';
import { connectorAdminErrors } from './errors/connector-admin.ts';
import { connectorKubeErrors } from './errors/connector-kube.ts';
import { csiErrors } from './errors/csi.ts';
import { type ErrorRow, GRPC_STATUS, type GrpcStatusName } from './errors/define.ts';
import { diceErrors } from './errors/dice.ts';
import { dpuErrors } from './errors/dpu.ts';
import { dpuAttestationErrors } from './errors/dpu-attestation.ts';
import { encodingErrors } from './errors/encoding.ts';
import { enrolmentErrors } from './errors/enrolment.ts';
import { federationErrors } from './errors/federation.ts';
import { issuanceErrors } from './errors/issuance.ts';
import { issuerErrors } from './errors/issuer.ts';
import { istioErrors } from './errors/istio.ts';
import { k8sPsatErrors } from './errors/k8s-psat.ts';
import { keysErrors } from './errors/keys.ts';
import { kubeErrors } from './errors/kube.ts';
import { ledgerErrors } from './errors/ledger.ts';
import { manifestErrors } from './errors/manifest.ts';
import { oidcErrors } from './errors/oidc.ts';
import { podErrors } from './errors/pod.ts';
import { policyErrors } from './errors/policy.ts';
import { redfishErrors } from './errors/redfish.ts';
import { registryErrors } from './errors/registry.ts';
import { ruleErrors } from './errors/rule.ts';
import { spdmErrors } from './errors/spdm.ts';
import { spiffeErrors } from './errors/spiffe.ts';
import { storeErrors } from './errors/store.ts';
import { tpmErrors } from './errors/tpm.ts';
import { transportErrors } from './errors/transport.ts';
import { trustErrors } from './errors/trust.ts';
import { upstreamErrors } from './errors/upstream.ts';
import { vendorErrors } from './errors/vendor.ts';
import { voucherErrors } from './errors/voucher.ts';
import { x509Errors } from './errors/x509.ts';

/**
 * The one table of refusals. Codes are never renamed or used again for something else; a test ties
 * the table to docs/errors.md in both directions.
 */
export const ERRORS = {
  ...encodingErrors,
  ...x509Errors,
  ...spiffeErrors,
  ...configErrors,
  ...transportErrors,
  ...keysErrors,
  ...storeErrors,
  ...backupErrors,
  ...registryErrors,
  ...federationErrors,
  ...connectorErrors,
  ...connectorKubeErrors,
  ...connectorAdminErrors,
  ...ruleErrors,
  ...policyErrors,
  ...attestationErrors,
  ...redfishErrors,
  ...diceErrors,
  ...manifestErrors,
  ...spdmErrors,
  ...tpmErrors,
  ...dpuErrors,
  ...dpuAttestationErrors,
  ...vendorErrors,
  ...voucherErrors,
  ...kubeErrors,
  ...k8sPsatErrors,
  ...podErrors,
  ...istioErrors,
  ...oidcErrors,
  ...enrolmentErrors,
  ...csiErrors,
  ...companionErrors,
  ...issuerErrors,
  ...authorityErrors,
  ...upstreamErrors,
  ...ledgerErrors,
  ...auditErrors,
  ...issuanceErrors,
  ...apiErrors,
  ...agentErrors,
  ...cliErrors,
  ...trustErrors,
  INTERNAL: {
    status: 'Internal',
    retryable: false,
    means: 'Something happened that the program does not expect.',
    action: 'Report it with the log lines around it.',
  },
} as const satisfies Record<string, ErrorRow>;

/** A code of the table. */
export type ErrorCode = keyof typeof ERRORS;

/** What may be added to a refusal. */
export interface SignetErrorOptions {
  /** Kept for the log, never sent. */
  readonly cause?: unknown;
  /** gRPC status where the situation demands another than the table's (rare; say why at the call). */
  readonly status?: GrpcStatusName;
  /** Facts for the log and for `grpc-status-details-bin` encoders, without secrets. */
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}

/** A refusal: a code of the table and a message that is safe to send. */
export class SignetError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, string | number | boolean>>;
  readonly #status: GrpcStatusName | undefined;

  constructor(code: ErrorCode, message: string, options: SignetErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SignetError';
    this.code = code;
    this.details = options.details ?? {};
    this.#status = options.status;
  }

  /** gRPC status name that this refusal travels with. */
  get statusName(): GrpcStatusName {
    return this.#status ?? ERRORS[this.code].status;
  }

  /** gRPC status number that this refusal travels with. */
  get status(): number {
    return GRPC_STATUS[this.statusName];
  }

  /** Whether the same request may succeed later without anybody's act. */
  get retryable(): boolean {
    return ERRORS[this.code].retryable;
  }

  /** What the operator does next. */
  get action(): string {
    return ERRORS[this.code].action;
  }
}

/** The refusal that stands for anything caught: itself when coded, else INTERNAL with the cause kept. */
export function toSignetError(thrown: unknown, doing: string): SignetError {
  if (thrown instanceof SignetError) return thrown;
  return new SignetError('INTERNAL', `${doing} failed`, { cause: thrown });
}
