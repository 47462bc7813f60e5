import { fail, ok, type Result } from '../../base/result.ts';
import { DPU_STATES, type DpuDraft, type DpuRecord } from '../../rules/dpu.ts';
import type { SpiffeId } from '../../spiffe/spiffe-id.ts';
import type { DpuWrite, WrittenDpu } from '../store.ts';
import type { Interner } from './interner.ts';
import type { DpuWriteRow, WrittenDpuRow } from './protocol.ts';
import { type DpuRow, dpuChecksum } from './rows.ts';

/** A DPU as its row's body has it: what columns of their own have is left out. */
type Body = Omit<DpuDraft, 'serial' | 'state' | 'agentIds'> & {
  readonly agentIds: readonly string[];
};

/** Encodes a DPU; the store adds the revision. */
export function encodeDpu(draft: DpuDraft): Omit<DpuRow, 'revision' | 'checksum'> {
  const { serial, state, agentIds, ...rest } = draft;
  const body: Body = { ...rest, agentIds: agentIds.map(({ uri }) => uri) };
  return { serial, state, body: JSON.stringify(body) };
}

/** Decodes a row; one that is damaged is refused as a whole. */
export function decodeDpu(row: DpuRow, intern: Interner): Result<DpuRecord> {
  if (row.checksum !== dpuChecksum(row)) return damaged(row.serial, 'checksum differs');
  const state = DPU_STATES.find((known) => known === row.state);
  if (state === undefined) return damaged(row.serial, 'state is not known');
  // The checksum vouches that this program wrote it, in this shape.
  const body = JSON.parse(row.body) as Body;
  const agentIds: SpiffeId[] = [];
  for (const uri of body.agentIds) {
    const id = intern.spiffeId(uri);
    if (!id.ok) return damaged(row.serial, 'agent ID is malformed');
    agentIds.push(id.value);
  }
  const { serial, revision } = row;
  // JSON leaves undefined out; here every field is there.
  const absent = {
    ...{ bmc: undefined, zone: undefined, pairing: undefined, assessment: undefined },
    // Not in documents of earlier versions.
    ...{ ownKeySha256: '', ekSha256: '', lastFull: undefined },
  };
  const bmc = body.bmc && { ...body.bmc, tlsPin: body.bmc.tlsPin };
  const hostBmc = body.hostBmc && { hostBmc: { ...body.hostBmc, tlsPin: body.hostBmc.tlsPin } };
  const fields = { ...absent, ...body, bmc, ...hostBmc, agentIds };
  return ok({ ...fields, serial, state, revision: BigInt(revision) });
}

/** Encodes a DPU to be written. */
export function encodeDpuWrite({ dpu, expectedRevision }: DpuWrite): DpuWriteRow {
  return { dpu: encodeDpu(dpu), expectedRevision: Number(expectedRevision) };
}

/** Decodes what became of a DPU. */
export function decodeWrittenDpu(
  { outcome, row }: WrittenDpuRow,
  intern: Interner,
): Result<WrittenDpu> {
  if (row === undefined) return ok({ outcome, dpu: undefined });
  const dpu = decodeDpu(row, intern);
  return dpu.ok ? ok({ outcome, dpu: dpu.value }) : dpu;
}

function damaged(serial: string, why: string): Result<never> {
  return fail('STORE_CORRUPT', `the DPU ${serial} is damaged: ${why}`);
}
