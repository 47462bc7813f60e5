import { type KeyObject, X509Certificate } from 'node:crypto';
import type { ServiceError } from '@grpc/grpc-js';
import { makeCsr } from './csr.ts';
import { newKey } from './enrol.ts';
import type { Held } from './held.ts';
import type { Identity } from './state.ts';
import { type Command, Refused, type ServerMessage, type Session, type Welcome } from './wire.ts';

/** What a session tells the connector, and asks of it. */
export interface SessionSeams {
  readonly held: Held;
  readonly onWelcome: (welcome: Welcome) => void;
  /** What is held has changed: open flows are to be judged again. */
  readonly onHeld: (update: Pick<Identity, 'bundles'> | undefined) => void;
  readonly onRenewed: (identity: Pick<Identity, 'key' | 'svid'>) => void;
  readonly onCommand: (command: Command) => string | undefined;
  readonly heartbeat: () => object;
  readonly say: (event: string, detail?: object) => void;
}

/** One session stream: what comes in is applied and answered, until it ends. */
export class SessionTalk {
  /** Why it ended; undefined where the server ended it with OK. */
  readonly ended: Promise<Refused | undefined>;
  readonly #stream: Session;
  readonly #seams: SessionSeams;
  #beat: NodeJS.Timeout | undefined;
  #nextKey: KeyObject | undefined;

  /** @param welcomeMs A server that has not said Welcome by then is not there. */
  constructor(stream: Session, hello: object, seams: SessionSeams, welcomeMs: number) {
    this.#stream = stream;
    this.#seams = seams;
    seams.held.reset();
    this.ended = new Promise((resolve) => {
      stream.once('error', (error: ServiceError) => resolve(Refused.of(error)));
      stream.once('end', () => setImmediate(resolve, undefined));
    });
    this.#beat = setTimeout(() => stream.cancel(), welcomeMs);
    void this.ended.then(() => clearTimeout(this.#beat));
    stream.on('data', (message: ServerMessage) => this.#take(message));
    this.send('hello', hello);
  }

  send(kind: string, body: object): void {
    if (this.#stream.writable) this.#stream.write({ [kind]: body });
  }

  heartbeat(): void {
    this.send('heartbeat', this.#seams.heartbeat());
  }

  /** Says no more; the server ends the stream. What does not answer is cut off. */
  async finish(): Promise<void> {
    this.#stream.end();
    const cut = setTimeout(() => this.#stream.cancel(), 5000);
    await this.ended;
    clearTimeout(cut);
  }

  cancel(): void {
    this.#stream.cancel();
  }

  /** Asks for an SVID for a new key; with the same key again until it has come. */
  renew(): void {
    this.#nextKey ??= newKey();
    this.send('renewCsr', { csr: makeCsr(this.#nextKey) });
  }

  #take(message: ServerMessage): void {
    const { welcome, svid, bundle, segments, command, notice } = message;
    if (welcome != null) {
      this.#seams.onWelcome(welcome);
      this.#beatEvery(welcome.heartbeatSeconds);
    } else if (svid != null) {
      this.#answer('RESOURCE_TYPE_SVID', svid, () => this.#takeSvid(svid.svid));
    } else if (bundle != null) {
      this.#answer('RESOURCE_TYPE_BUNDLE', bundle, () => {
        this.#seams.held.takeBundle(bundle);
        this.#seams.onHeld({ bundles: bundle.bundles });
        return true;
      });
    } else if (segments != null) {
      this.#answer('RESOURCE_TYPE_SEGMENTS', segments, () => {
        const whole = this.#seams.held.takeSegments(segments, message.bytes);
        if (whole) this.#seams.onHeld(undefined);
        return whole;
      });
    } else if (command != null) {
      this.#takeCommand(command);
    } else if (message.kind === 'ping') {
      this.heartbeat();
    } else if (notice != null) {
      this.#seams.say('notice', notice);
    } else {
      // A newer server than this .proto: what it means cannot matter to an older connector.
      this.#seams.say('unknown-message');
    }
  }

  /** Applies an update, then says Ack once it is whole, or Nack where it could not be. */
  #answer(
    type: string,
    { version, nonce }: { readonly version: string; readonly nonce: Buffer },
    apply: () => boolean,
  ): void {
    try {
      if (apply()) this.send('ack', { type, version, nonce });
    } catch (problem) {
      const error = problem instanceof Error ? problem.message : String(problem);
      this.#seams.say('nack', { type, version, error });
      this.send('nack', { type, version, nonce, error: error.slice(0, 256) });
    }
  }

  #takeSvid(svid: Identity['svid'] | null): boolean {
    const key = this.#nextKey;
    const leaf = svid?.chain[0];
    if (svid === null || leaf === undefined) throw new TypeError('the update holds no SVID');
    if (key === undefined || !new X509Certificate(leaf).checkPrivateKey(key)) {
      throw new TypeError('the SVID is for another key than was asked for');
    }
    this.#nextKey = undefined;
    this.#seams.onRenewed({ key: String(key.export({ type: 'pkcs8', format: 'pem' })), svid });
    return true;
  }

  #takeCommand(command: Command): void {
    const about = { type: 'RESOURCE_TYPE_COMMAND', version: '', nonce: command.nonce };
    const error = command.kind === undefined ? 'unknown command' : this.#seams.onCommand(command);
    if (error === undefined) this.send('ack', about);
    else this.send('nack', { ...about, error });
    if (command.kind === 'renewNow') this.renew();
  }

  #beatEvery(seconds: number): void {
    clearTimeout(this.#beat);
    const ms = Math.max(seconds, 1) * 1000 * (0.9 + Math.random() * 0.2);
    this.#beat = setTimeout(() => {
      this.heartbeat();
      this.#beatEvery(seconds);
    }, ms);
  }
}
