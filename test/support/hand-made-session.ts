import assert from 'node:assert/strict';
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { pemOf } from '../../examples/connector/spiffe.ts';
import { loadIdentity } from '../../examples/connector/state.ts';
import {
  ConnectorMessage,
  ConnectorService,
  type SegmentUpdate,
  type ServerMessage,
} from '../../src/gen/signet/connector/v1/connector.ts';
import type { ConnectorRig } from './connector-rig.ts';
import { eventually } from './dev.ts';

/** A session by hand, over the identity that a connector left in its folder of state. */
export function handMadeSession(rig: ConnectorRig, state: string) {
  const kept = loadIdentity(state);
  assert.ok(kept);
  const { key, svid } = kept;
  const client = rig.client({ key, cert: pemOf(svid.chain) });
  const { path, responseDeserialize } = ConnectorService.session;
  const serialize = (bytes: Buffer): Buffer => bytes;
  const stream = client.makeBidiStreamRequest(path, serialize, responseDeserialize, new Metadata());
  const heard: NonNullable<ServerMessage['kind']>[] = [];
  stream.on('data', ({ kind }: ServerMessage) => void (kind !== undefined && heard.push(kind)));
  const ended = new Promise<string>((resolve) => {
    stream.on('error', (error: ServiceError) =>
      resolve(String(error.metadata?.get('signet-error-code')[0])),
    );
  });
  const say = (kind: ConnectorMessage['kind']): void =>
    void stream.write(Buffer.from(ConnectorMessage.encode({ kind }).finish()));
  const clockMs = BigInt(Date.now());
  const hello = { instance: undefined, versions: [], clockMs, uptimeSeconds: 0 };
  say({ $case: 'hello', value: hello });
  /** All updates of segments that have come. */
  const updates = (): readonly SegmentUpdate[] =>
    heard.flatMap((kind) => (kind.$case === 'segments' ? [kind.value] : []));
  /** The end of the n-th update of segments, once it has come. */
  const last = async (count: number): Promise<SegmentUpdate> => {
    await eventually(() => updates().filter((update) => update.last).length >= count, 30_000);
    return updates().filter((update) => update.last)[count - 1]!;
  };
  return { stream, heard, ended, say, updates, last };
}

/** What {@link handMadeSession} answers. */
export type HandMadeSession = ReturnType<typeof handMadeSession>;
