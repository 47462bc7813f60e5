import type { ConnectorRecord } from '../../rules/connector/record.ts';
import type {
  ConnectorDelete,
  ConnectorForget,
  ConnectorStep,
  DeletedConnectorValue,
  Enrolled,
} from '../connectors.ts';
import type {
  BoundKeyRow,
  ConnectorRow,
  GroupRow,
  ProvisioningKeyRow,
  SegmentRow,
} from './connector-rows.ts';

/** A group or a segment to be written, encoded. */
export interface ConnectorWriteRow<Row> {
  readonly row: Row;
  readonly expectedRevision: number | undefined;
}

/** What became of it. */
export type WrittenConnectorRow<Row> =
  | { readonly outcome: 'written'; readonly row: Row }
  | { readonly outcome: 'conflict'; readonly row: Row | undefined };

/** A group as somebody states it, encoded. */
export type GroupDraftRow = Omit<GroupRow, 'revision' | 'checksum'>;

/** A segment as somebody states it, encoded. */
export type SegmentDraftRow = Omit<SegmentRow, 'revision' | 'createdRevision' | 'checksum'>;

/** What a claimant brings to its connector, encoded. */
export type ClaimRow = Pick<
  ConnectorRow,
  'claimant' | 'proof' | 'keySha256' | 'agentId' | 'instance'
>;

/** An enrolment, encoded. */
export interface EnrolmentRow {
  readonly claim: ClaimRow;
  readonly group: string;
  readonly newId: string;
  readonly newSpiffeId: string;
  readonly use:
    | { readonly kind: 'provisioning-key'; readonly keyId: string }
    | { readonly kind: 'repetition' }
    | { readonly kind: 'bound-key'; readonly keyId: string; readonly recoveryCount: bigint }
    | undefined;
  readonly takesNewKey: boolean;
  readonly now: number;
}

/** An outcome of an enrolment that has no connector in it. */
export type RefusedEnrolment = Exclude<
  Enrolled,
  { readonly connector: ConnectorRecord | undefined }
>;

/** What became of an enrolment. */
export type EnrolledRow =
  | {
      readonly outcome: 'enrolled';
      readonly again: boolean;
      readonly row: ConnectorRow;
      readonly recoveryCount: number;
    }
  | { readonly outcome: 'clone'; readonly row: ConnectorRow | undefined }
  | { readonly outcome: 'revoked'; readonly row: ConnectorRow }
  | RefusedEnrolment;

/** All rows of connectors. */
export interface ConnectorRows {
  readonly groups: readonly GroupRow[];
  readonly segments: readonly SegmentRow[];
  readonly connectors: readonly ConnectorRow[];
  readonly provisioningKeys: readonly ProvisioningKeyRow[];
  readonly boundKeys: readonly BoundKeyRow[];
}

interface Line<Kind extends string, Row> {
  readonly kind: Kind;
  readonly sequence: number;
  readonly ref: string;
  readonly row: Row | undefined;
}

/** A line of the change feed about connectors; without a row the thing is gone. */
export type ConnectorChangeRow =
  | Line<'connector-group', GroupRow>
  | Line<'connector-segment', SegmentRow>
  | Line<'connector', ConnectorRow>
  | Line<'provisioning-key', ProvisioningKeyRow>
  | Line<'bound-key', BoundKeyRow>;

interface Ids {
  readonly ids: readonly string[];
}

/** What the worker does for connectors: what each takes and what it answers. */
export interface ConnectorOperations {
  writeConnectorGroups: {
    readonly args: { readonly writes: readonly ConnectorWriteRow<GroupDraftRow>[] };
    readonly answer: readonly WrittenConnectorRow<GroupRow>[];
  };
  deleteConnectorGroups: {
    readonly args: { readonly deletes: readonly ConnectorDelete[]; readonly now: number };
    readonly answer: readonly DeletedConnectorValue[];
  };
  writeConnectorSegments: {
    readonly args: { readonly writes: readonly ConnectorWriteRow<SegmentDraftRow>[] };
    readonly answer: readonly WrittenConnectorRow<SegmentRow>[];
  };
  deleteConnectorSegments: {
    readonly args: { readonly deletes: readonly ConnectorDelete[] };
    readonly answer: readonly DeletedConnectorValue[];
  };
  createProvisioningKey: {
    readonly args: Omit<ProvisioningKeyRow, 'uses' | 'checksum'>;
    readonly answer: 'created' | 'exists' | 'group-missing';
  };
  deleteProvisioningKeys: { readonly args: Ids; readonly answer: readonly boolean[] };
  registerBoundKey: {
    readonly args: Omit<BoundKeyRow, 'recoveryCount' | 'unansweredKey' | 'restored' | 'checksum'>;
    readonly answer: 'created' | 'exists' | 'group-missing';
  };
  deleteBoundKeys: { readonly args: Ids; readonly answer: readonly boolean[] };
  enrolConnector: { readonly args: EnrolmentRow; readonly answer: EnrolledRow };
  changeConnectors: {
    readonly args: { readonly changes: readonly ConnectorStep[] };
    readonly answer: readonly (ConnectorRow | undefined)[];
  };
  deleteConnectors: {
    readonly args: { readonly which: readonly ConnectorForget[] };
    readonly answer: readonly boolean[];
  };
}
