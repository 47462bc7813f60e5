import type { Result } from '../base/result.ts';
import type { ConnectorGroup, ConnectorGroupDraft } from '../rules/connector/group.ts';
import type { BoundKey, ProvisioningKey } from '../rules/connector/keys.ts';
import type {
  ConnectorClaim,
  ConnectorInstance,
  ConnectorRecord,
} from '../rules/connector/record.ts';
import type { ConnectorSegment, ConnectorSegmentDraft } from '../rules/connector/segment.ts';
import type { SpiffeId } from '../spiffe/spiffe-id.ts';

/** A value to be made or replaced by compare-and-swap. */
export interface ConnectorWrite<Draft> {
  readonly draft: Draft;
  /** Revision that it was made from, 0 where there was none; undefined takes whatever is there. */
  readonly expectedRevision: bigint | undefined;
}

/** What became of it; on a conflict, how it stands (undefined where it is not there). */
export type WrittenConnectorValue<T> =
  | { readonly outcome: 'written'; readonly value: T }
  | { readonly outcome: 'conflict'; readonly value: T | undefined };

/** A group or segment to be deleted. */
export interface ConnectorDelete {
  readonly name: string;
  /** Only the one of this origin; undefined is whoever made it. */
  readonly origin: string | undefined;
}

/**
 * What became of it. A group with connectors that live is `in-use` and stays; with one that goes go its
 * keys and its connectors, but for revoked ones: their claimants stay known until they are forgotten.
 */
export type DeletedConnectorValue = 'deleted' | 'missing' | 'in-use';

/** What an enrolment uses up. */
export type EnrolmentUse =
  | { readonly kind: 'provisioning-key'; readonly keyId: string }
  /** Of a key that may not be used: only who repeats its enrolment (`again`) is enrolled, and uses nothing up. */
  | { readonly kind: 'repetition' }
  /** `recoveryCount` as the claimant stated it. */
  | { readonly kind: 'bound-key'; readonly keyId: string; readonly recoveryCount: bigint };

/** An enrolment, in one transaction: what it uses up, the limits of its group, and the connector. */
export interface EnrolmentWrite {
  readonly claim: ConnectorClaim;
  readonly group: string;
  /** Name for a connector that is new; one that the claimant has already stays as it is named. */
  readonly newId: string;
  readonly newSpiffeId: SpiffeId;
  readonly instance: ConnectorInstance;
  readonly use: EnrolmentUse | undefined;
  /**
   * Whether the claimant may come with another key than its connector has, which then is the same connector
   * and uses nothing up again: it was looked at now, and has lost its key. Not so unless given.
   */
  readonly takesNewKey?: boolean | undefined;
  /** Unix seconds. */
  readonly nowSeconds: number;
}

/**
 * What became of an enrolment; nothing was written unless `enrolled`. `again`: the same claimant, while its
 * connector lives, with the key that it enrolled with or one of an SVID that is good; its answer may have been
 * lost. Nothing was used up.
 */
export type Enrolled =
  | {
      readonly outcome: 'enrolled';
      readonly again: boolean;
      readonly connector: ConnectorRecord;
      /** Of the bound key, afterwards; 0 without one. */
      readonly recoveryCount: bigint;
    }
  /**
   * A copy: the claimant has a connector with another key that lives (or one in another group), the name is
   * that of another claimant's that lives, or the counter of a bound key is not the one that the store has
   * (then without the connector, where that is forgotten).
   */
  | { readonly outcome: 'clone'; readonly connector: ConnectorRecord | undefined }
  /** The claimant's connector was revoked. */
  | { readonly outcome: 'revoked'; readonly connector: ConnectorRecord }
  | { readonly outcome: 'group-full'; readonly maxInstances: number }
  | { readonly outcome: 'group-missing' }
  /** Not a repetition, where nothing else would have been one. */
  | { readonly outcome: 'no-repetition' }
  /** The key: not there, of another group, past its end, or used up. Repetitions ask for none of that. */
  | { readonly outcome: 'key-unknown' | 'key-group' | 'key-expired' | 'key-exhausted' };

/** One step in a connector's life; applied to the row as it stands. */
export type ConnectorChange =
  /**
   * An SVID was signed for it. The one that it had becomes the previous one, unless that was never used:
   * then the previous one stays, as the connector may still show it.
   */
  | {
      readonly kind: 'certified';
      readonly serial: string;
      readonly expiresAtSeconds: number;
      readonly keySha256: string;
      /**
       * Serial that was its newest when the signing began: where another one is by now, this step has no
       * effect, as its connector may have been given that. Undefined takes whatever is there.
       */
      readonly expectedSerial?: string | undefined;
    }
  /** The newest SVID, with this serial, was used: the one before is no longer good. */
  | { readonly kind: 'promoted'; readonly serial: string }
  /** A session began or ended. */
  | {
      readonly kind: 'heard';
      readonly atSeconds: number;
      /** Whether one began since it was written down last. */
      readonly began: boolean;
      /** What it said of itself; undefined where it said nothing, and what is known stays. */
      readonly instance: ConnectorInstance | undefined;
    }
  | { readonly kind: 'draining'; readonly deadlineMs: number; readonly reason: string }
  | { readonly kind: 'resumed' }
  | { readonly kind: 'stopped'; readonly atSeconds: number; readonly reason: string }
  /** For good: no later step but its deletion has an effect. */
  | { readonly kind: 'revoked'; readonly atSeconds: number; readonly reason: string };

/** A step of one of several connectors. */
export interface ConnectorStep {
  readonly id: string;
  readonly change: ConnectorChange;
}

/** A connector to be forgotten. */
export interface ConnectorForget {
  readonly id: string;
  /** Only as it was at this revision: it may have come back since. Undefined is whatever is there. */
  readonly revision: bigint | undefined;
}

/** A line of the change feed about connectors; undefined where the thing is gone. */
export type ConnectorFeedChange =
  | {
      readonly kind: 'connector-group';
      readonly name: string;
      readonly group: ConnectorGroup | undefined;
    }
  | {
      readonly kind: 'connector-segment';
      readonly id: string;
      readonly segment: ConnectorSegment | undefined;
    }
  | {
      readonly kind: 'connector';
      readonly id: string;
      readonly connector: ConnectorRecord | undefined;
    }
  | {
      readonly kind: 'provisioning-key';
      readonly id: string;
      readonly key: ProvisioningKey | undefined;
    }
  | { readonly kind: 'bound-key'; readonly id: string; readonly key: BoundKey | undefined };

/** All that is durable of connectors, at one point of the feed. */
export interface ConnectorSnapshot {
  readonly groups: readonly ConnectorGroup[];
  readonly segments: readonly ConnectorSegment[];
  readonly connectors: readonly ConnectorRecord[];
  readonly provisioningKeys: readonly ProvisioningKey[];
  readonly boundKeys: readonly BoundKey[];
}

/** Durable state of connectors; part of the store. */
export interface ConnectorStore {
  /** Each in its turn, in one transaction; so with all that take several. Answers in order. */
  writeConnectorGroups(
    writes: readonly ConnectorWrite<ConnectorGroupDraft>[],
  ): Promise<Result<readonly WrittenConnectorValue<ConnectorGroup>[]>>;
  deleteConnectorGroups(
    deletes: readonly ConnectorDelete[],
    nowSeconds: number,
  ): Promise<Result<readonly DeletedConnectorValue[]>>;
  writeConnectorSegments(
    writes: readonly ConnectorWrite<ConnectorSegmentDraft>[],
  ): Promise<Result<readonly WrittenConnectorValue<ConnectorSegment>[]>>;
  deleteConnectorSegments(
    deletes: readonly ConnectorDelete[],
  ): Promise<Result<readonly DeletedConnectorValue[]>>;
  /** `exists` where its ID is taken, `group-missing` where its group is not there. */
  createProvisioningKey(
    key: Omit<ProvisioningKey, 'uses'>,
  ): Promise<Result<'created' | 'exists' | 'group-missing'>>;
  deleteProvisioningKeys(ids: readonly string[]): Promise<Result<readonly boolean[]>>;
  /** Keeps the counter of one that is registered already; `exists` where its group or connector differ. */
  registerBoundKey(
    key: Omit<BoundKey, 'recoveryCount'>,
  ): Promise<Result<'created' | 'exists' | 'group-missing'>>;
  deleteBoundKeys(ids: readonly string[]): Promise<Result<readonly boolean[]>>;
  enrolConnector(write: EnrolmentWrite): Promise<Result<Enrolled>>;
  /** Answers with the new state; undefined where it is gone. */
  changeConnector(
    id: string,
    change: ConnectorChange,
  ): Promise<Result<ConnectorRecord | undefined>>;
  /**
   * The same for many in one transaction; answers in order. Where one of their rows is damaged
   * (STORE_CORRUPT) none of them is changed.
   */
  changeConnectors(
    changes: readonly ConnectorStep[],
  ): Promise<Result<readonly (ConnectorRecord | undefined)[]>>;
  /** Forgets connectors; false where there was none, or another revision of it. */
  deleteConnectors(which: readonly ConnectorForget[]): Promise<Result<readonly boolean[]>>;
}
