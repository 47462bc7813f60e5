import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { toHex } from '../../src/base/bytes.ts';
import type { Clock } from '../../src/base/clock.ts';
import type { SignetError } from '../../src/base/errors.ts';
import type {
  AgentMessage,
  AgentSyncClient,
  ServerMessage,
  Snapshot,
} from '../../src/gen/signet/agent/v1/agent.ts';
import type { Entry } from '../../src/gen/spire/api/types/entry.ts';
import { beginCall, serverError } from '../attestation/server-call.ts';
import type { ClockOffset } from './clock-offset.ts';
import type { SyncSink } from './identities.ts';

/** How far a feed was followed; kept from one stream to the next. */
export interface FeedPosition {
  feedId: string;
  revision: bigint;
  bundleSequence: bigint;
  /** Of the CRL that was taken; 0 for none. */
  crlNumber: bigint;
  /** Told to hold everything back, and not yet that this has ended. */
  quarantined: boolean;
}

/** What following a push stream needs. */
export interface PushParts {
  readonly client: AgentSyncClient;
  readonly sink: SyncSink;
  readonly position: FeedPosition;
  readonly version: string;
  readonly trustDomainName: string;
  readonly clock: Clock;
  readonly offset: ClockOffset;
  /** A message came: the state is fresh. */
  readonly onFresh: () => void;
  readonly onReattest: (reason: string) => void;
  readonly onRebalance: (withinSeconds: number) => void;
  readonly onQuarantine: (active: boolean, reason: string) => void;
}

/** Why a stream ended; undefined when the server ended it without a reason, or it was aborted. */
export type PushEnd = SignetError | undefined;

type Stream = ClientDuplexStream<AgentMessage, ServerMessage>;

/**
 * Follows the server's push stream until it ends or `signal` aborts. What is complete was applied
 * when it returns; a snapshot that broke off was not.
 */
export async function followPush(parts: PushParts, signal: AbortSignal): Promise<PushEnd> {
  const begun = beginCall((): Stream => parts.client.sync());
  if (!begun.ok) return begun.error;
  const stream = begun.value;
  const { promise, resolve } = Promise.withResolvers<PushEnd>();
  const follower = new PushFollower(parts, stream);
  const abort = (): void => {
    follower.end();
    stream.cancel();
  };
  const end = (why: PushEnd): void => {
    signal.removeEventListener('abort', abort);
    follower.end();
    resolve(why);
  };
  stream.on('data', (message: ServerMessage) => follower.take(message));
  stream.on('error', (error: ServiceError) => end(signal.aborted ? undefined : serverError(error)));
  stream.on('end', () => end(undefined));
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  stream.write({
    kind: { $case: 'hello', value: { ...parts.position, agentVersion: parts.version } },
  });
  return promise;
}

/** One stream's messages, applied in order; acknowledged once they reached the open streams. */
class PushFollower {
  readonly #parts: PushParts;
  readonly #stream: Stream;
  #snapshot: Entry[] = [];
  #ackScheduled = false;
  #ended = false;

  constructor(parts: PushParts, stream: Stream) {
    this.#parts = parts;
    this.#stream = stream;
  }

  end(): void {
    this.#ended = true;
  }

  take({ kind }: ServerMessage): void {
    // Aborted: another stream is followed, and this one's state is older.
    if (this.#ended) return;
    const { sink, position } = this.#parts;
    switch (kind?.$case) {
      case 'snapshot':
        this.#takeSnapshot(kind.value);
        break;
      case 'delta':
        sink.changeEntries(kind.value.upserts, kind.value.deletedIds);
        position.revision = kind.value.revision;
        sink.synchronised();
        this.#acknowledge();
        break;
      case 'bundle':
        sink.setBundle(kind.value);
        if (kind.value.trustDomain === this.#parts.trustDomainName) {
          position.bundleSequence = kind.value.sequenceNumber;
        }
        this.#acknowledge();
        break;
      case 'federation':
        sink.keepFederated(new Set(kind.value.trustDomains));
        break;
      case 'taint':
        sink.taint(new Set(kind.value.subjectKeyIds.map(toHex)));
        break;
      case 'revoke':
        sink.revoke(new Set(kind.value.serialNumbers));
        break;
      case 'crl':
        sink.setCrl(kind.value.der);
        position.crlNumber = kind.value.number;
        break;
      case 'quarantine':
        sink.quarantine(kind.value.active);
        position.quarantined = kind.value.active;
        this.#parts.onQuarantine(kind.value.active, kind.value.reason);
        break;
      case 'reattest':
        this.#parts.onReattest(kind.value.reason);
        break;
      case 'rebalance':
        this.#parts.onRebalance(kind.value.withinSeconds);
        break;
      case undefined:
        // A kind of a later version: what is not understood is left out.
        break;
    }
    this.#parts.onFresh();
  }

  #takeSnapshot(snapshot: Snapshot): void {
    const { sink, position, offset, clock } = this.#parts;
    for (const entry of snapshot.entries) this.#snapshot.push(entry);
    if (snapshot.serverTimeMs > 0n) offset.measured(Number(snapshot.serverTimeMs), clock.nowMs());
    if (!snapshot.last) return;
    // Complete: only now, so that a stream that breaks off takes no identity away.
    const entries = this.#snapshot;
    this.#snapshot = [];
    sink.replaceEntries(entries);
    position.feedId = snapshot.feedId;
    position.revision = snapshot.revision;
    sink.synchronised();
    this.#acknowledge();
  }

  #acknowledge(): void {
    if (this.#ackScheduled) return;
    this.#ackScheduled = true;
    // After the microtask in which open streams are told.
    setImmediate(() => {
      this.#ackScheduled = false;
      if (this.#ended) return;
      const { bundleSequence, revision } = this.#parts.position;
      this.#stream.write({ kind: { $case: 'ack', value: { bundleSequence, revision } } });
    });
  }
}
