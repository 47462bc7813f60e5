import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { freePort, stopChild } from '../support/processes.ts';

/** A KMS that takes a while for each signature, and each wrapping. */
export interface SlowKms {
  readonly url: string;
  /** Whether each call breaks off without an answer; not for `direct`. */
  isDown: boolean;
  stop(): Promise<void>;
}

/** What a call to KMS says, as far as it is looked at here. */
interface KmsCall {
  readonly KeyId?: string;
  readonly KeySpec?: string;
  readonly AliasName?: string;
  readonly TargetKeyId?: string;
  readonly Plaintext?: string;
  readonly CiphertextBlob?: string;
  readonly Tags?: readonly unknown[];
}

const WRAPPING_KEY = '00000000-0000-0000-0000-0000000000ff';

/**
 * The load generator's KMS, which signs; before it a server of ours that stands for the one wrapping key,
 * which that one does not have. `direct` leaves it out, so that signatures take no detour.
 */
export async function startSlowKms(
  loadgen: string,
  { delayMs, direct }: { readonly delayMs: number; readonly direct: boolean },
): Promise<SlowKms> {
  const port = await freePort();
  const listen = ['-listen', `127.0.0.1:${port}`, '-delay', `${delayMs}ms`];
  const signer = spawn(loadgen, ['kms', ...listen], { stdio: 'ignore' });
  await answers(`http://127.0.0.1:${port}/`);
  const stopSigner = () => stopChild(signer as ChildProcess, 'SIGTERM');
  if (direct) return { url: `http://127.0.0.1:${port}`, isDown: false, stop: stopSigner };
  const state: { alias: string | undefined; tags: readonly unknown[] } = {
    alias: undefined,
    tags: [],
  };
  const kms = {
    url: '',
    isDown: false,
    async stop() {
      server.close();
      server.closeAllConnections();
      await stopSigner();
    },
  };
  const server = createServer(async (call, answer) => {
    if (kms.isDown) return void call.socket.destroy();
    const body = Buffer.concat(await call.toArray());
    const operation = String(call.headers['x-amz-target'] ?? '').split('.')[1] ?? '';
    const mine = wrapping(operation, JSON.parse(body.toString() || '{}'), state);
    if (mine === undefined) {
      const options = { port, host: '127.0.0.1', method: call.method, path: call.url };
      request({ ...options, headers: call.headers }, (reply) => {
        answer.writeHead(reply.statusCode ?? 500, reply.headers);
        reply.pipe(answer);
      }).end(body);
      return;
    }
    const slow = operation === 'Encrypt' || operation === 'Decrypt';
    await new Promise((resolve) => setTimeout(resolve, slow ? delayMs : 0));
    answer.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' });
    answer.end(JSON.stringify(mine));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A TCP server has such an address.
  const { port: front } = server.address() as AddressInfo;
  kms.url = `http://127.0.0.1:${front}`;
  return kms;
}

/** The answer for calls about the wrapping key. It encrypts nothing: its time is what is measured. */
function wrapping(
  operation: string,
  call: KmsCall,
  state: { alias: string | undefined; tags: readonly unknown[] },
): object | undefined {
  const about = call.KeyId ?? call.TargetKeyId ?? '';
  const isMine = about === WRAPPING_KEY || (state.alias !== undefined && about === state.alias);
  if (operation === 'CreateKey' && call.KeySpec === 'SYMMETRIC_DEFAULT') {
    state.tags = call.Tags ?? [];
    return { KeyMetadata: metadata() };
  }
  if (!isMine) return undefined;
  switch (operation) {
    case 'CreateAlias':
      state.alias = call.AliasName;
      return {};
    case 'DescribeKey':
      return { KeyMetadata: metadata() };
    case 'ListResourceTags':
      return { Tags: state.tags, Truncated: false };
    case 'Encrypt':
      return { KeyId: WRAPPING_KEY, CiphertextBlob: call.Plaintext };
    case 'Decrypt':
      return { KeyId: WRAPPING_KEY, Plaintext: call.CiphertextBlob };
    default:
      return {};
  }
}

function metadata(): object {
  return {
    KeyId: WRAPPING_KEY,
    KeySpec: 'SYMMETRIC_DEFAULT',
    KeyUsage: 'ENCRYPT_DECRYPT',
    KeyState: 'Enabled',
    CreationDate: 1_780_000_000,
  };
}

async function answers(url: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const answered = await fetch(url).then(
      () => true,
      () => false,
    );
    if (answered) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new TypeError(`nothing answers at ${url}`);
}
