import { backOffMs } from '../../src/base/back-off.ts';
import type { Cancel, Clock } from '../../src/base/clock.ts';
import { SignetError } from '../../src/base/errors.ts';
import type { Random } from '../../src/base/random.ts';
import type { Result } from '../../src/base/result.ts';
import type { Logger } from '../../src/runtime/log.ts';
import type { Bundle } from '../../src/spiffe/bundle.ts';
import type { TrustDomain } from '../../src/spiffe/trust-domain.ts';
import type { AgentConfig } from '../config.ts';
import type { TrustBundle } from '../identity/trust-bundle.ts';
import { renewalTime, validityProblem } from '../identity/x509-svid.ts';
import { type Attested, attestNode } from './attest.ts';
import { bootstrapTrust, hasOtherAuthorities } from './bootstrap.ts';
import type { NodeAttestor } from './node-attestor.ts';
import { type OwnSvid, storedSvid } from './own-svid.ts';
import { renewSvid } from './renew.ts';
import { callServer, type Denial, denialOf } from './server-call.ts';
import type { DialServer, ServerClients } from './server-clients.ts';
import type { StateFile } from './state.ts';

/** Delays between attempts to attest. */
const ATTEST_RETRY = { firstMs: 250, maxMs: 30_000 };

/** Delays between attempts to renew. */
const RENEW_RETRY = { firstMs: 1000, maxMs: 60_000 };

/** Shortest time from an SVID to its renewal, whatever its life, in milliseconds. */
const SHORTEST_RENEWAL_MS = 500;

/** When an SVID is renewed again that a tainted authority signed once more, in milliseconds. */
const TAINTED_RETRY_MS = 5000;

/** Shortest time between two attestations to what the bootstrap file says, in milliseconds. */
const BOOTSTRAP_RETRY_MS = 30_000;

/** Longest wait when the version is reported, in milliseconds. */
const REPORT_TIMEOUT_MS = 30_000;

/** What the agent's standing with its server needs. */
export interface StandingParts {
  readonly trustDomain: TrustDomain;
  readonly bootstrap: AgentConfig['bootstrap'];
  readonly attestor: NodeAttestor;
  readonly state: StateFile;
  readonly dial: DialServer;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Sent to the server, at most 255 bytes. */
  readonly version: string;
  /** The own bundle as it stands. */
  readonly bundle: () => TrustBundle | undefined;
  /** An attestation brought a bundle. */
  readonly onBundle: (bundle: TrustBundle) => void;
  /** A channel under a new SVID is open; the one before it ends. */
  readonly onClients: (clients: ServerClients, svid: OwnSvid) => void;
  /** The standing is over for good: the process has to end. */
  readonly onEnd: (error: SignetError) => void;
}

/**
 * What a refusal of the server leads to: the end, where nothing else is left; nothing, where another
 * attestation was only asked for; another attempt later, where it was to renew an SVID that still lives.
 */
type OnRefusal = 'end' | 'go on' | 'later';

/**
 * The agent's own identity and its channel. Attesting: no SVID that the server accepts; attempts go
 * on until the server accepts or refuses. Attested: an SVID, renewed at half its life; where the method
 * lets the node attest again, by another attestation (spire-compatibility A.3), else by RenewAgent.
 * A denial leads back to attesting; a ban, or an attestation that the server refuses, to the end.
 */
export class Standing {
  readonly #parts: StandingParts;
  #svid: OwnSvid | undefined;
  #clients: ServerClients | undefined;
  #attesting = false;
  #over = false;
  #failures = 0;
  /** The SVID that a renewal is under way for. */
  #renewing: OwnSvid | undefined;
  #cancel: Cancel | undefined;
  #reported = false;
  /** When the agent may attest again to what the bootstrap file says, on the monotonic clock. */
  #bootstrapAtMs = Number.NEGATIVE_INFINITY;
  #tainted: ReadonlySet<string> = new Set();

  constructor(parts: StandingParts) {
    this.#parts = parts;
  }

  readonly #renewal = (notAfterMs: number): number =>
    renewalTime(this.#parts.clock.nowMs(), notAfterMs, this.#parts.random);

  /** The SVID in use. */
  get svid(): OwnSvid | undefined {
    return this.#svid;
  }

  /** Goes on with a stored SVID that is still valid, else attests. Answers at once. */
  start(stored: OwnSvid | undefined): void {
    const nowMs = this.#parts.clock.nowMs();
    if (stored !== undefined && stored.notAfterMs > nowMs && this.#parts.bundle() !== undefined) {
      this.#parts.log.info({ agentId: stored.id.uri }, 'going on with the stored SVID');
      this.#become(stored);
      return;
    }
    if (stored !== undefined) this.#parts.log.warn('the stored SVID has lapsed: attesting anew');
    void this.#attest('end');
  }

  /** The server denied a call of this agent. */
  denied(denial: Denial, message: string): void {
    if (this.#attesting || this.#over) return;
    if (denial === 'banned') {
      void this.#endBanned(message);
      return;
    }
    this.#parts.log.warn({ denial, reason: message }, 'the server no longer accepts this agent');
    // Should the process end now, the next one must not go on with an SVID that is worth nothing.
    void this.#parts.state.save({ svid: undefined });
    void this.#attest('end', message);
  }

  /** Another attestation is wanted, by the server most of all; where none is possible the SVID stays in use. */
  reattest(reason: string): void {
    if (this.#attesting || this.#over) return;
    this.#parts.log.info({ reason }, 'attesting once more');
    void this.#attest('go on');
  }

  /**
   * The server was not verified by what is held. Where the bootstrap file names other authorities, the
   * trust domain was made anew, and the agent attests to what the file says.
   */
  async unverified(): Promise<void> {
    const { clock } = this.#parts;
    if (this.#svid === undefined || this.#attesting || this.#over) return;
    if (clock.monotonicMs() < this.#bootstrapAtMs) return;
    const held = this.#parts.bundle()?.bundle;
    if (!(await hasOtherAuthorities({ ...this.#parts, held }))) return;
    this.#bootstrapAtMs = clock.monotonicMs() + BOOTSTRAP_RETRY_MS;
    this.reattest('the bootstrap bundle names other authorities than those that are held');
  }

  /** Opens another channel under the same SVID: the server asked to reconnect. */
  redial(): void {
    if (this.#svid !== undefined && !this.#attesting && !this.#over) this.#connect(this.#svid);
  }

  /** Authorities are tainted (key identifiers in hex): an SVID that one of them signed is renewed now. */
  taint(keyIds: ReadonlySet<string>): void {
    this.#tainted = this.#tainted.union(keyIds);
    const svid = this.#svid;
    if (svid === undefined || this.#attesting || this.#over || !this.#isTainted(svid)) return;
    this.#parts.log.info(
      { serial: svid.serial },
      'the authority of this SVID is tainted: renewing',
    );
    this.#wake(0);
  }

  /** Time has jumped: an SVID that is due is renewed now. */
  recheck(): void {
    if (this.#svid !== undefined && !this.#attesting && !this.#over) this.#schedule(this.#svid);
  }

  /** Ends timers and the channel. */
  stop(): void {
    this.#over = true;
    this.#cancel?.();
    this.#clients?.close();
  }

  async #endBanned(message: string): Promise<void> {
    // The process ends at the next line's end: what it leaves behind must be gone by then.
    const wiped = await this.#parts.state.wipe();
    if (!wiped.ok) {
      this.#parts.log.error(
        { reason: wiped.error.message },
        'the banned identity is still on disk',
      );
    }
    this.#end(new SignetError('AGENT_BANNED', message));
  }

  async #attest(onRefusal: OnRefusal, denied?: string): Promise<void> {
    this.#attesting = true;
    this.#cancel?.();
    for (let failures = 1; !this.#over; failures++) {
      const attested = await this.#attemptAttestation();
      if (this.#over) return;
      if (attested.ok) {
        this.#attesting = false;
        await this.#accept(attested.value);
        return;
      }
      const { error } = attested;
      if (!error.retryable) {
        this.#attesting = false;
        // A key that was refused is not shown again: the next token gets another.
        void this.#parts.state.save({ pendingKey: undefined });
        this.#refused(onRefusal, error, denied);
        return;
      }
      const delayMs = backOffMs(ATTEST_RETRY, failures, this.#parts.random);
      this.#parts.log.warn(
        { code: error.code, reason: error.message, retryInMs: Math.round(delayMs) },
        'attestation did not succeed',
      );
      await this.#pause(delayMs);
    }
  }

  #refused(onRefusal: OnRefusal, error: SignetError, denied: string | undefined): void {
    if (error.code === 'AGENT_BANNED') {
      void this.#endBanned(error.message);
    } else if (onRefusal === 'end') {
      this.#end(denied === undefined ? error : mustAttest(denied, error));
    } else if (onRefusal === 'later' && this.#svid !== undefined) {
      this.#renewalFailed(this.#svid, error);
    } else {
      this.#goOn(error);
    }
  }

  /** Keeps the SVID that is held, and its renewal, after an attestation that was only asked for. */
  #goOn({ code, message }: SignetError): void {
    this.#parts.log.error({ code, reason: message }, 'not attested anew');
    if (this.#svid !== undefined) this.#schedule(this.#svid);
  }

  async #attemptAttestation(): Promise<Result<Attested>> {
    const trust = await bootstrapTrust({
      ...this.#parts,
      held: this.#parts.bundle()?.bundle,
      onIgnored: ({ code, message }) =>
        this.#parts.log.warn({ code, reason: message }, 'attesting by the bundle that is held'),
    });
    if (!trust.ok) return trust;
    if (trust.value.kind === 'insecure') {
      this.#parts.log.warn('the server is not verified in this attestation: bootstrap.insecure');
    }
    const clients = this.#parts.dial(trust.value, undefined);
    if (!clients.ok) return clients;
    try {
      return await attestNode({ ...this.#parts, renewal: this.#renewal }, clients.value);
    } finally {
      clients.value.close();
    }
  }

  async #accept(attested: Attested): Promise<void> {
    this.#parts.log.info({ agentId: attested.svid.id.uri }, 'attested');
    this.#parts.onBundle(attested.bundle);
    this.#become(attested.svid);
    const saved = await this.#parts.state.save({
      svid: storedSvid(attested.svid),
      pendingKey: undefined,
    });
    if (!saved.ok) this.#warnUnsaved(saved.error);
  }

  #become(svid: OwnSvid): void {
    if (this.#over) return;
    this.#svid = svid;
    this.#failures = 0;
    const problem = validityProblem(svid, this.#parts.clock.nowMs());
    if (problem !== undefined) {
      this.#parts.log.error({ code: 'AGENT_CLOCK_SKEW' }, `the SVID of this agent ${problem}`);
    }
    this.#connect(svid);
    this.#schedule(svid);
  }

  #connect(svid: OwnSvid): void {
    const first = this.#parts.bundle();
    if (first === undefined) return;
    const bundle = (): Bundle => (this.#parts.bundle() ?? first).bundle;
    const clients = this.#parts.dial({ kind: 'bundle', bundle }, svid.tls);
    if (!clients.ok) {
      this.#end(clients.error);
      return;
    }
    const previous = this.#clients;
    this.#clients = clients.value;
    // Those who use the old channel move first, so that nothing of theirs fails.
    this.#parts.onClients(clients.value, svid);
    previous?.close();
    this.#report(clients.value);
  }

  /** Tells the server our version, once; what it says does not matter. */
  #report({ agent }: ServerClients): void {
    if (this.#reported) return;
    this.#reported = true;
    const request = { currentBundleSerial: 0n, agentVersion: this.#parts.version };
    void callServer(agent.postStatus.bind(agent), request, REPORT_TIMEOUT_MS).then((answer) => {
      if (!answer.ok) this.#parts.log.debug({ reason: answer.error.message }, 'status not posted');
    });
  }

  #schedule(svid: OwnSvid): void {
    const dueMs = Math.max(svid.renewAtMs - this.#parts.clock.nowMs(), SHORTEST_RENEWAL_MS);
    // A server may need a moment to go over to another authority.
    this.#wake(this.#isTainted(svid) ? Math.min(dueMs, TAINTED_RETRY_MS) : dueMs);
  }

  #isTainted({ authorityKeyIds }: OwnSvid): boolean {
    return authorityKeyIds.some((keyId) => this.#tainted.has(keyId));
  }

  #wake(delayMs: number): void {
    this.#cancel?.();
    this.#cancel = this.#parts.clock.after(delayMs, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    const svid = this.#svid;
    const clients = this.#clients;
    if (svid === undefined || clients === undefined || this.#over || this.#attesting) return;
    if (svid.reattestable) {
      // Such a server answers RenewAgent with AGENT_MUST_REATTEST.
      void this.#attest('later');
      return;
    }
    // Of two new SVIDs the server knows the later one only: the first would be refused when used.
    if (this.#renewing === svid) return;
    this.#renewing = svid;
    await this.#renewByServer(svid, clients);
    if (this.#renewing === svid) this.#renewing = undefined;
  }

  async #renewByServer(svid: OwnSvid, clients: ServerClients): Promise<void> {
    const renewed = await renewSvid({ ...this.#parts, renewal: this.#renewal }, svid, clients);
    if (this.#over || this.#attesting || this.#svid !== svid) return;
    if (renewed.ok) {
      // Durable before its first use, which ends the old one's validity at the server.
      const saved = await this.#parts.state.save({ svid: storedSvid(renewed.value) });
      if (!saved.ok) this.#warnUnsaved(saved.error);
      this.#become(renewed.value);
      return;
    }
    this.#renewalFailed(svid, renewed.error);
  }

  #renewalFailed(svid: OwnSvid, error: SignetError): void {
    const denial = denialOf(error);
    if (denial !== undefined) {
      this.denied(denial, error.message);
      return;
    }
    const leftMs = svid.notAfterMs - this.#parts.clock.nowMs();
    this.#parts.log.warn(
      { code: error.code, reason: error.message, secondsLeft: Math.round(leftMs / 1000) },
      'the SVID of this agent was not renewed',
    );
    if (leftMs <= 0) {
      this.denied('expired', 'the SVID of this agent lapsed before it could be renewed');
      return;
    }
    this.#failures++;
    this.#wake(Math.min(backOffMs(RENEW_RETRY, this.#failures, this.#parts.random), leftMs));
  }

  #warnUnsaved(error: SignetError): void {
    this.#parts.log.error(
      { code: error.code, reason: error.message },
      'the SVID of this agent is not saved: a restart would have to attest',
    );
  }

  #end(error: SignetError): void {
    if (this.#over) return;
    this.stop();
    const { code, message, action } = error;
    this.#parts.log.error({ code, reason: message, action }, 'this agent cannot go on');
    this.#parts.onEnd(error);
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#cancel = this.#parts.clock.after(delayMs, resolve);
    });
  }
}

/** Both halves of the story: why an attestation is needed, and why there is none. */
function mustAttest(denied: string, error: SignetError): SignetError {
  return new SignetError('AGENT_MUST_ATTEST', `${denied}; attesting again: ${error.message}`, {
    cause: error,
  });
}
