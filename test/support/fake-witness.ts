import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { utf8 } from '../../src/base/bytes.ts';
import { unwrap } from '../../src/base/result.ts';
import { openCheckpoint } from '../../src/ledger/checkpoint.ts';
import { cosignedMessage, encodeCosignature } from '../../src/ledger/cosignature.ts';
import {
  createNoteVerifier,
  formatVerifierKey,
  type NoteVerifier,
} from '../../src/ledger/note-key.ts';
import { verifyConsistency } from '../../src/ledger/verify.ts';

/**
 * A fake witness (C2SP tlog-witness), written after the specification: no real one could be had. It
 * remembers the last checkpoint of one log and really checks signature and growth before it cosigns.
 */
export interface FakeWitness {
  readonly url: string;
  /** Its verifier key. */
  readonly key: string;
  /** What it cosigned last. */
  last: { readonly size: number; readonly root: Uint8Array } | undefined;
  /** Answers in place of serving, one each. */
  readonly faults: { readonly status: number; readonly text: string }[];
  /** Sizes of the requests, as `old→new`. */
  readonly seen: string[];
  close(): Promise<void>;
}

/** Starts the fake for a log, whose key it learns when the first request comes. */
export async function startFakeWitness(
  name: string,
  logKey: () => NoteVerifier,
  tls?: { readonly key: string; readonly cert: string },
): Promise<FakeWitness> {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const verifier = unwrap(createNoteVerifier(name, 'cosignature', spki));
  const answer = (body: Buffer): { status: number; text: string } => {
    const end = body.indexOf('\n\n');
    const [first = '', ...hashes] = body.subarray(0, end).toString().split('\n');
    const oldSize = Number(/^old (\d+)$/.exec(first)?.[1]);
    const checkpoint = openCheckpoint(body.subarray(end + 2), logKey());
    if (!checkpoint.ok) return { status: 403, text: 'unknown key' };
    const { size, root, note } = checkpoint.value;
    witness.seen.push(`${oldSize}→${size}`);
    if (Number.isNaN(oldSize) || oldSize > size) return { status: 400, text: 'bad old size' };
    const { last } = witness;
    if (oldSize !== (last?.size ?? 0)) return { status: 409, text: `${last?.size ?? 0}\n` };
    if (last !== undefined && last.size === size && Buffer.compare(last.root, root) !== 0) {
      return { status: 409, text: `${size}\n` };
    }
    if (last !== undefined) {
      const claim = { oldSize, newSize: size, oldRoot: last.root, newRoot: root };
      const proof = hashes.map((each) => Buffer.from(each, 'base64'));
      if (!verifyConsistency(claim, proof).ok) return { status: 422, text: 'no growth' };
    }
    witness.last = { size, root };
    const time = 1_800_000_000n;
    const signature = sign(null, cosignedMessage(note.text, time), privateKey);
    const line = Buffer.concat([verifier.keyId, encodeCosignature(time, signature)]);
    return { status: 200, text: `\u2014 ${name} ${line.toString('base64')}\n` };
  };
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const known = request.method === 'POST' && request.url === '/w/add-checkpoint';
    const fault = known ? witness.faults.shift() : { status: 404, text: 'not found' };
    const { status, text } = fault ?? answer(Buffer.concat(parts));
    response.writeHead(status).end(utf8(text));
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void =>
    void serve(request, response);
  const server = tls === undefined ? createServer(onRequest) : createTlsServer(tls, onRequest);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const witness: FakeWitness = {
    url: tls === undefined ? `http://127.0.0.1:${port}/w/` : `https://localhost:${port}/w/`,
    key: formatVerifierKey(verifier),
    last: undefined,
    faults: [],
    seen: [],
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return witness;
}
