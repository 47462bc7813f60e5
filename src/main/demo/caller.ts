import { connect, type TLSSocket } from 'node:tls';
import type { SignetError } from '../../base/errors.ts';
import { type Authorize, tlsClientOptions } from '../../client/tls.ts';
import type { X509Source } from '../../client/x509-source.ts';
import { onLines } from './lines.ts';
import type { Calls } from './protocol.ts';

const CALL_EVERY_MS = 50;
const FRESH_EVERY_MS = 500;
const HOST = '127.0.0.1';

/** The client of the demo: one connection that is never closed, and a fresh one every half second. */
export class Caller {
  readonly #source: X509Source;
  readonly #port: number;
  readonly #authorize: Authorize;
  #answered = 0;
  #fresh = 0;
  #failed = 0;
  #opened = 0;
  #socket: TLSSocket | undefined;
  #onToken: ((answer: string) => void) | undefined;

  constructor(source: X509Source, port: number, authorize: Authorize) {
    this.#source = source;
    this.#port = port;
    this.#authorize = authorize;
  }

  /** Opens the connection and begins to call. */
  start(onConnected: () => void, onFailed: (reason: string) => void): void {
    this.#open(onConnected, onFailed);
    setInterval(() => this.#call(), CALL_EVERY_MS);
    setInterval(() => this.#openFresh(), FRESH_EVERY_MS);
  }

  /** Sends a token over the connection; answers with what the server says of it. */
  sendToken(token: string): Promise<string> {
    return new Promise((resolve) => {
      this.#onToken = resolve;
      this.#socket?.write(`token ${token}\n`);
    });
  }

  /** How it went so far. */
  calls(): Calls {
    return {
      answered: this.#answered,
      fresh: this.#fresh,
      failed: this.#failed,
      opened: this.#opened,
    };
  }

  #connect(): TLSSocket | SignetError {
    const context = this.#source.current();
    if (!context.ok) return context.error;
    const options = tlsClientOptions(context.value, this.#authorize);
    return connect({ ...options, host: HOST, port: this.#port });
  }

  #open(onConnected: () => void, onFailed: (reason: string) => void): void {
    const socket = this.#connect();
    if (socket instanceof Error) {
      onFailed(socket.message);
      return;
    }
    this.#socket = socket;
    this.#opened++;
    socket.once('secureConnect', onConnected);
    socket.on('error', (error) => onFailed(error.message));
    socket.on('close', () => {
      this.#failed++;
      onFailed('the connection ended');
    });
    onLines(socket, (line) => {
      if (line.startsWith('token ')) this.#onToken?.(line.slice('token '.length));
      else this.#answered++;
    });
  }

  #call(): void {
    if (this.#socket?.writable === true) this.#socket.write('call\n');
    else this.#failed++;
  }

  #openFresh(): void {
    const socket = this.#connect();
    if (socket instanceof Error) {
      this.#failed++;
      return;
    }
    socket.on('error', () => {
      this.#failed++;
    });
    socket.once('secureConnect', () => socket.write('call\n'));
    onLines(socket, () => {
      this.#fresh++;
      socket.end();
    });
  }
}
