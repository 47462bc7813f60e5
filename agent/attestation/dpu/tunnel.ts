import { evidenceTarget } from '../../../src/attestation/dpu/payload.ts';
import {
  encodeRelayAnswer,
  RELAY_LIMITS,
  RelayLog,
  type RelayRequest,
} from '../../../src/attestation/dpu/relay.ts';
import { equalBytes } from '../../../src/base/bytes.ts';
import type { Clock } from '../../../src/base/clock.ts';
import { fail, ok, type Result } from '../../../src/base/result.ts';
import type { FramedConnection } from '../../../src/runtime/framed-connection.ts';
import { openEndpoint } from './endpoint.ts';
import { beginsConversation, checkRelayed } from './relay-guard.ts';
import type { DirectSettings } from './settings.ts';

/** What relaying needs. */
export interface TunnelParts {
  readonly direct: DirectSettings | undefined;
  readonly clock: Clock;
  /** The binding nonce of a target in a session. */
  readonly nonceOf: (
    session: Pick<RelayRequest, 'session' | 'serverNonce'>,
    target: string,
  ) => Uint8Array;
}

/** The session that something was relayed in, and the digest of it. */
export interface Relayed extends Pick<RelayRequest, 'session' | 'serverNonce'> {
  readonly digest: Uint8Array;
}

/**
 * Relays the messages of the server's requester to the card within the bounds of one attestation: one
 * conversation for each component, one after the other, and nothing that reads no measurements. Close it
 * when the attestation is over.
 */
export class Tunnel {
  readonly #parts: TunnelParts;
  readonly #log = new RelayLog();
  readonly #targets: string[] = [];
  #session: Pick<RelayRequest, 'session' | 'serverNonce'> | undefined;
  #connection: FramedConnection | undefined;
  #endMs = 0;

  constructor(parts: TunnelParts) {
    this.#parts = parts;
  }

  /** What was relayed; undefined where nothing was. */
  get relayed(): Relayed | undefined {
    return this.#session && { ...this.#session, digest: this.#log.digest() };
  }

  /**
   * Relays one message and answers with what goes to the server. Fails with DPU_RELAY_REFUSED,
   * DPU_RELAY_BOUNDS, AGENT_DPU_TARGET and SPDM_*.
   */
  async relay(question: RelayRequest): Promise<Result<Uint8Array>> {
    const { session, target, at, request } = question;
    const fits = this.#check(question);
    if (!fits.ok) return fits;
    const allowed = checkRelayed(
      request,
      this.#parts.nonceOf(question, evidenceTarget('spdm-tunnel', target)),
    );
    if (!allowed.ok) return allowed;
    const connection = await this.#connect(target);
    if (!connection.ok) return connection;
    const answered = await connection.value.exchange(request);
    if (!answered.ok) return answered;
    this.#log.add(target, request, answered.value);
    if (this.#log.bytes > RELAY_LIMITS.bytes) return outOfBounds(`${this.#log.bytes} bytes`);
    return ok(encodeRelayAnswer({ session, at, answer: answered.value }));
  }

  /** Ends the connection. */
  close(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  /** Whether the question is the next one of this session's conversations. */
  #check({ session, serverNonce, target, at, request }: RelayRequest): Result<void> {
    const nowMs = this.#parts.clock.nowMs();
    if (this.#session === undefined) {
      this.#session = { session, serverNonce };
      this.#endMs = nowMs + RELAY_LIMITS.timeMs;
    }
    const same =
      this.#session.session === session && equalBytes(this.#session.serverNonce, serverNonce);
    if (!same || at !== this.#log.exchanges)
      return refused('out of its turn, or in another session');
    if (nowMs > this.#endMs) return outOfBounds(`${RELAY_LIMITS.timeMs} ms`);
    const goesOn = this.#targets.at(-1) === target;
    if (beginsConversation(request) === goesOn) return refused(`in the middle of a conversation`);
    if (!goesOn && this.#targets.includes(target)) return refused(`to ${target} a second time`);
    return ok(undefined);
  }

  async #connect(target: string): Promise<Result<FramedConnection>> {
    if (this.#connection !== undefined && this.#targets.at(-1) === target) {
      return ok(this.#connection);
    }
    this.close();
    this.#targets.push(target);
    const { direct, clock } = this.#parts;
    const opened = await openEndpoint(direct, target, clock);
    if (opened.ok) this.#connection = opened.value;
    return opened;
  }
}

function refused(what: string): Result<never> {
  return fail('DPU_RELAY_REFUSED', `the server asks to relay ${what}`);
}

function outOfBounds(what: string): Result<never> {
  return fail('DPU_RELAY_BOUNDS', `the server goes on relaying after ${what}`);
}
