import { ok, type Result } from '../../base/result.ts';
import type { ConnectorGroup, ConnectorGroupDraft } from '../../rules/connector/group.ts';
import type { BoundKey, ProvisioningKey } from '../../rules/connector/keys.ts';
import type { ConnectorRecord } from '../../rules/connector/record.ts';
import type { ConnectorSegment, ConnectorSegmentDraft } from '../../rules/connector/segment.ts';
import type {
  ConnectorChange,
  ConnectorDelete,
  ConnectorForget,
  ConnectorStep,
  ConnectorStore,
  ConnectorWrite,
  DeletedConnectorValue,
  Enrolled,
  EnrolmentWrite,
  WrittenConnectorValue,
} from '../connectors.ts';
import { all } from './all.ts';
import {
  decodeConnector,
  decodeGroup,
  decodeSegment,
  encodeBoundKey,
  encodeGroup,
  encodeProvisioningKey,
  encodeSegment,
} from './connector-codec.ts';
import type {
  ConnectorWriteRow,
  EnrolledRow,
  EnrolmentRow,
  WrittenConnectorRow,
} from './connector-protocol.ts';
import type { ConnectorRow } from './connector-rows.ts';
import type { Interner } from './interner.ts';
import type { WorkerClient } from './worker-client.ts';

/** What the embedded store does for connectors. */
export class SqliteConnectors implements ConnectorStore {
  readonly #worker: WorkerClient;
  readonly #intern: Interner;

  constructor(worker: WorkerClient, intern: Interner) {
    this.#worker = worker;
    this.#intern = intern;
  }

  async writeConnectorGroups(
    writes: readonly ConnectorWrite<ConnectorGroupDraft>[],
  ): Promise<Result<readonly WrittenConnectorValue<ConnectorGroup>[]>> {
    const args = { writes: writes.map((write) => encodeWrite(write, encodeGroup)) };
    const rows = await this.#worker.call('writeConnectorGroups', args);
    return rows.ok ? all(rows.value, (row) => decodeWritten(row, decodeGroup)) : rows;
  }

  deleteConnectorGroups(
    deletes: readonly ConnectorDelete[],
    nowSeconds: number,
  ): Promise<Result<readonly DeletedConnectorValue[]>> {
    return this.#worker.call('deleteConnectorGroups', { deletes, now: nowSeconds });
  }

  async writeConnectorSegments(
    writes: readonly ConnectorWrite<ConnectorSegmentDraft>[],
  ): Promise<Result<readonly WrittenConnectorValue<ConnectorSegment>[]>> {
    const args = { writes: writes.map((write) => encodeWrite(write, encodeSegment)) };
    const rows = await this.#worker.call('writeConnectorSegments', args);
    return rows.ok ? all(rows.value, (row) => decodeWritten(row, decodeSegment)) : rows;
  }

  deleteConnectorSegments(
    deletes: readonly ConnectorDelete[],
  ): Promise<Result<readonly DeletedConnectorValue[]>> {
    return this.#worker.call('deleteConnectorSegments', { deletes });
  }

  createProvisioningKey(
    key: Omit<ProvisioningKey, 'uses'>,
  ): Promise<Result<'created' | 'exists' | 'group-missing'>> {
    return this.#worker.call('createProvisioningKey', encodeProvisioningKey(key));
  }

  deleteProvisioningKeys(ids: readonly string[]): Promise<Result<readonly boolean[]>> {
    return this.#worker.call('deleteProvisioningKeys', { ids });
  }

  registerBoundKey(
    key: Omit<BoundKey, 'recoveryCount'>,
  ): Promise<Result<'created' | 'exists' | 'group-missing'>> {
    return this.#worker.call('registerBoundKey', encodeBoundKey(key));
  }

  deleteBoundKeys(ids: readonly string[]): Promise<Result<readonly boolean[]>> {
    return this.#worker.call('deleteBoundKeys', { ids });
  }

  async enrolConnector(write: EnrolmentWrite): Promise<Result<Enrolled>> {
    const answer = await this.#worker.call('enrolConnector', encodeEnrolment(write));
    return answer.ok ? this.#decodeEnrolled(answer.value) : answer;
  }

  async changeConnector(
    id: string,
    change: ConnectorChange,
  ): Promise<Result<ConnectorRecord | undefined>> {
    const changed = await this.changeConnectors([{ id, change }]);
    return changed.ok ? ok(changed.value[0]) : changed;
  }

  async changeConnectors(
    changes: readonly ConnectorStep[],
  ): Promise<Result<readonly (ConnectorRecord | undefined)[]>> {
    const rows = await this.#worker.call('changeConnectors', { changes });
    return rows.ok ? all(rows.value, (row) => this.#decodeMaybe(row)) : rows;
  }

  deleteConnectors(which: readonly ConnectorForget[]): Promise<Result<readonly boolean[]>> {
    return this.#worker.call('deleteConnectors', { which });
  }

  #decodeEnrolled(answer: EnrolledRow): Result<Enrolled> {
    if (!('row' in answer)) return ok(answer);
    if (answer.outcome === 'clone') {
      const connector = this.#decodeMaybe(answer.row);
      return connector.ok ? ok({ outcome: 'clone', connector: connector.value }) : connector;
    }
    const connector = decodeConnector(answer.row, this.#intern);
    if (!connector.ok) return connector;
    if (answer.outcome === 'revoked') return ok({ outcome: 'revoked', connector: connector.value });
    const { outcome, again } = answer;
    const recoveryCount = BigInt(answer.recoveryCount);
    return ok({ outcome, again, connector: connector.value, recoveryCount });
  }

  #decodeMaybe(row: ConnectorRow | undefined): Result<ConnectorRecord | undefined> {
    return row === undefined ? ok(undefined) : decodeConnector(row, this.#intern);
  }
}

function encodeWrite<Draft, Row>(
  { draft, expectedRevision }: ConnectorWrite<Draft>,
  encode: (draft: Draft) => Row,
): ConnectorWriteRow<Row> {
  const expected = expectedRevision === undefined ? undefined : Number(expectedRevision);
  return { row: encode(draft), expectedRevision: expected };
}

function decodeWritten<Row, T>(
  written: WrittenConnectorRow<Row>,
  decode: (row: Row) => Result<T>,
): Result<WrittenConnectorValue<T>> {
  if (written.row === undefined) return ok({ outcome: 'conflict', value: undefined });
  const value = decode(written.row);
  return value.ok ? ok({ outcome: written.outcome, value: value.value }) : value;
}

function encodeEnrolment(write: EnrolmentWrite): EnrolmentRow {
  const { claim, group, newId, newSpiffeId, instance, use, takesNewKey = false } = write;
  const { proof, claimant, keySha256, agentId } = claim;
  return {
    claim: {
      proof,
      claimant,
      keySha256,
      agentId: agentId?.uri ?? null,
      instance: JSON.stringify(instance),
    },
    group,
    newId,
    newSpiffeId: newSpiffeId.uri,
    use,
    takesNewKey,
    now: write.nowSeconds,
  };
}
