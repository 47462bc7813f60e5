import type { Clock } from '../../src/base/clock.ts';
import type { SignetError } from '../../src/base/errors.ts';
import { fail, ok, type Result } from '../../src/base/result.ts';
import {
  type BundleUpdate,
  type Command,
  ResourceType,
  type SegmentUpdate,
  type ServerMessage,
  type SvidUpdate,
  type Welcome,
} from '../../src/gen/signet/connector/v1/connector.ts';
import type { Logger } from '../../src/runtime/log.ts';
import type { ClockOffset } from '../identity/clock-offset.ts';
import { createKeyAndRequest, type KeyAndRequest } from '../identity/csr.ts';
import type { StateFile } from '../state-file.ts';
import { bundleSource, checkCrl, type HeldBundles, readBundles } from './bundles.ts';
import type { ConnectorConfig } from './config.ts';
import type { CompanionMetrics } from './metrics.ts';
import {
  type ConnectorSvid,
  readConnectorSvid,
  storedConnectorSvid,
  verifyConnectorSvid,
} from './own-svid.ts';
import { printable } from './printable.ts';
import type { SegmentSet } from './segments.ts';
import type { Session } from './session.ts';
import type { ConnectorState } from './state.ts';

/** What messages change; the companion acts on it. */
export interface MessageSink {
  readonly svid: ConnectorSvid | undefined;
  readonly bundles: HeldBundles | undefined;
  welcomed(welcome: Welcome): void;
  /** A new SVID is saved; the session ends, and another is opened under it. */
  renewed(svid: ConnectorSvid): void;
  bundlesChanged(bundles: HeldBundles): void;
  segmentsChanged(): void;
  drain(deadlineMs: number, reason: string): void;
  resume(): void;
  reEnrol(reason: string): void;
  revoked(reason: string): Promise<void>;
  upgrade(command: Extract<Command['kind'], { $case: 'upgrade' }>['value']): void;
  /** @param nonce Of the command, for what answers it. */
  diagnose(nonce: Buffer): void;
}

/** What handling messages needs. */
export interface MessageParts {
  readonly config: Pick<ConnectorConfig, 'trustDomain' | 'group' | 'keyType'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly offset: ClockOffset;
  readonly metrics: CompanionMetrics;
  readonly state: StateFile<ConnectorState>;
  readonly segments: SegmentSet;
  readonly sink: MessageSink;
}

/**
 * Handles the messages of one session, in order. What was accepted is durable before it is acknowledged;
 * what was not leaves everything as it was.
 */
export class ServerMessages {
  readonly #parts: MessageParts;
  /** Key of a renewal under way: an SVID for it can only come in this session. */
  #renewal: Promise<KeyAndRequest> | undefined;

  constructor(parts: MessageParts) {
    this.#parts = parts;
    parts.segments.reset();
  }

  async take({ kind }: ServerMessage, session: Session): Promise<void> {
    switch (kind?.$case) {
      case 'welcome':
        this.#welcome(kind.value, session);
        break;
      case 'svid':
        await this.#svid(kind.value, session);
        break;
      case 'bundle':
        await this.#bundle(kind.value, session);
        break;
      case 'segments':
        await this.#segments(kind.value, session);
        break;
      case 'command':
        await this.#command(kind.value, session);
        break;
      case 'ping':
        // The number of flows may take its time; what comes next may be a revocation.
        void session.beat();
        break;
      case 'notice': {
        const { code, message, action } = kind.value;
        this.#parts.metrics.noticed(code);
        const [reason, advice] = [printable(message), printable(action)];
        this.#parts.log.warn(
          { code: printable(code, 60), reason, action: advice },
          'the server did not take something',
        );
        break;
      }
      case undefined:
        // A kind of a later version: what is not understood is left out.
        break;
    }
  }

  /** Asks for a new SVID, with a new key; again with the same one until there is an answer. */
  async renew(reason: string, session: Session): Promise<void> {
    this.#parts.log.info({ reason: printable(reason) }, 'renewing the SVID');
    this.#renewal ??= createKeyAndRequest(this.#parts.config.keyType, undefined);
    const { csr } = await this.#renewal;
    session.send({ $case: 'renewCsr', value: { csr: Buffer.from(csr) } });
  }

  #welcome(welcome: Welcome, session: Session): void {
    const { offset, clock, sink } = this.#parts;
    offset.measured(Number(welcome.serverTimeMs), clock.nowMs());
    session.welcomed(welcome.heartbeatSeconds);
    sink.welcomed(welcome);
  }

  async #svid(update: SvidUpdate, session: Session): Promise<void> {
    const { metrics, sink } = this.#parts;
    const read = await this.#readSvid(update, await this.#renewal);
    this.#renewal = undefined;
    metrics.renewed(read.ok ? 'ok' : 'refused');
    answer(session, ResourceType.RESOURCE_TYPE_SVID, update, read);
    if (!read.ok) return this.#tell('SVID', read.error);
    sink.renewed(read.value);
  }

  async #readSvid(
    { svid, version }: SvidUpdate,
    renewal: KeyAndRequest | undefined,
  ): Promise<Result<ConnectorSvid>> {
    const { config, state, sink, clock } = this.#parts;
    if (renewal === undefined) {
      return fail('COMPANION_SERVER_ANSWER', 'an SVID came that was not asked for');
    }
    const read = readConnectorSvid({
      chainDer: svid?.chain ?? [],
      privateKeyPkcs8: renewal.privateKeyPkcs8,
      trustDomain: config.trustDomain.name,
      group: config.group,
    });
    if (!read.ok) return read;
    if (read.value.id.uri !== sink.svid?.id.uri) {
      return fail('COMPANION_SERVER_ANSWER', `the SVID is that of ${read.value.id.uri}`);
    }
    const source = sink.bundles === undefined ? () => undefined : bundleSource(sink.bundles);
    const valid = verifyConnectorSvid(read.value, source, clock.nowMs());
    if (!valid.ok) return valid;
    const saved = await state.save({ svid: storedConnectorSvid(read.value), svidVersion: version });
    return saved.ok ? read : saved;
  }

  async #bundle(update: BundleUpdate, session: Session): Promise<void> {
    const { config, state, sink } = this.#parts;
    const read = readBundles(update, config.trustDomain.name);
    const checked = read.ok ? checkCrl(read.value) : read;
    const saved =
      read.ok && checked.ok ? await state.save({ bundles: read.value.stored }) : checked;
    answer(session, ResourceType.RESOURCE_TYPE_BUNDLE, update, saved);
    if (!saved.ok) return this.#tell('bundles', saved.error);
    if (read.ok) sink.bundlesChanged(read.value);
  }

  async #segments(update: SegmentUpdate, session: Session): Promise<void> {
    const { segments, sink, log } = this.#parts;
    const taken = await segments.take(update);
    if (taken.ok && !taken.value) return;
    answer(session, ResourceType.RESOURCE_TYPE_SEGMENTS, update, taken);
    if (!taken.ok) return this.#tell('segments', taken.error);
    log.info({ version: update.version, segments: segments.size }, 'segments changed');
    sink.segmentsChanged();
  }

  #tell(what: string, { code, message, action }: SignetError): void {
    this.#parts.log.error({ code, reason: message, action }, `${what} not accepted`);
  }

  async #command({ kind, nonce }: Command, session: Session): Promise<void> {
    const type = ResourceType.RESOURCE_TYPE_COMMAND;
    const named = { version: '', nonce };
    if (kind === undefined) {
      answer(
        session,
        type,
        named,
        fail('COMPANION_SERVER_ANSWER', 'the command is not known here'),
      );
      return;
    }
    this.#parts.log.info({ command: kind.$case }, 'the server asks for something');
    await this.#obey(kind, nonce, session);
    answer(session, type, named, ok(undefined));
  }

  async #obey(kind: NonNullable<Command['kind']>, nonce: Buffer, session: Session): Promise<void> {
    const { sink } = this.#parts;
    switch (kind.$case) {
      case 'renewNow':
        return this.renew(kind.value.reason, session);
      case 'drain':
        return sink.drain(Number(kind.value.deadlineMs), kind.value.reason);
      case 'resume':
        return sink.resume();
      case 'reEnrol':
        return sink.reEnrol(kind.value.reason);
      case 'revoke':
        return sink.revoked(kind.value.reason);
      case 'upgrade':
        return sink.upgrade(kind.value);
      case 'collectDiagnostics':
        return sink.diagnose(nonce);
    }
  }
}

function answer(
  session: Session,
  type: ResourceType,
  { version, nonce }: { readonly version: string; readonly nonce: Buffer },
  outcome: Result<unknown>,
): void {
  if (outcome.ok) session.send({ $case: 'ack', value: { type, version, nonce } });
  else {
    const error = printable(outcome.error.message);
    session.send({ $case: 'nack', value: { type, version, nonce, error } });
  }
}
