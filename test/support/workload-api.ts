import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type ClientReadableStream, Metadata, type ServiceError } from '@grpc/grpc-js';
import { SpiffeWorkloadAPIClient } from '../../src/gen/workload.ts';
import { openUnixChannel, type RpcChannel } from '../../src/rpc/channel.ts';

/** A folder that is removed after the test; short, since socket paths are. */
export function testFolder(context: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'sgn-'));
  context.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** What the Workload API wants of every call. */
export function securityHeader(): Metadata {
  const metadata = new Metadata();
  metadata.set('workload.spiffe.io', 'true');
  return metadata;
}

/** A client of a Workload API socket, on a connection of its own; closed after the test. */
export function workloadClient(
  context: TestContext,
  path: string,
): { readonly api: SpiffeWorkloadAPIClient; readonly channel: RpcChannel } {
  const channel = openUnixChannel(path);
  context.after(() => channel.close());
  return { api: channel.client(SpiffeWorkloadAPIClient), channel };
}

/** The messages of a stream as they come, and its end. */
export class Reading<T> {
  readonly messages: T[] = [];
  /** Code and text of the end; code 0 is OK. */
  end: { readonly code: number; readonly details: string } | undefined;
  readonly #stream: ClientReadableStream<T>;
  #waiting: (() => void)[] = [];

  constructor(stream: ClientReadableStream<T>) {
    this.#stream = stream;
    stream.on('data', (message: T) => {
      this.messages.push(message);
      this.#wake();
    });
    stream.on('error', (error: ServiceError) => {
      this.end = { code: error.code, details: error.details };
      this.#wake();
    });
    stream.on('end', () => {
      this.end ??= { code: 0, details: '' };
      this.#wake();
    });
  }

  /** Waits for the n-th message (1 is the first); fails if the stream ends before. */
  async message(count: number): Promise<T> {
    while (this.messages.length < count && this.end === undefined) await this.#change();
    const message = this.messages[count - 1];
    if (message !== undefined) return message;
    throw new Error(`stream ended with ${this.end?.code} ${this.end?.details}`);
  }

  /** Waits for the end. */
  async ended(): Promise<{ readonly code: number; readonly details: string }> {
    for (;;) {
      if (this.end !== undefined) return this.end;
      await this.#change();
    }
  }

  cancel(): void {
    this.#stream.cancel();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** A unary call's answer, or its status. */
export function answerOf<T>(
  call: (callback: (error: ServiceError | null, response: T) => void) => unknown,
): Promise<{ readonly code: number; readonly details: string; readonly value: T | undefined }> {
  return new Promise((resolve) => {
    call((error, value) => {
      resolve(
        error === null
          ? { code: 0, details: '', value }
          : { code: error.code, details: error.details, value: undefined },
      );
    });
  });
}
