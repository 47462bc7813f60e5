import { setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { ok, type Result, unwrap } from '../base/result.ts';
import { importLocalKey } from '../keys/local-key.ts';
import { onlyLinted } from '../lint/linted-key.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { checkKeySource, createLeafIssuer, type LeafIssuer } from './leaf.ts';
import { packOutcomes, unpackOrders } from './packing.ts';
import type { FromWorker, SignWorkerData, ToWorker } from './worker-protocol.ts';
import { type DraftBatch, draftHere } from './workshop.ts';

/** A signing thread: lint tokens and bodies are made here, redeemed here and never leave. */

// What `SignThread` starts this thread with; nothing else does.
const { blockedKeys } = workerData as SignWorkerData;
let issuer: LeafIssuer | undefined;
const drafts = new Map<number, DraftBatch>();

function adopt(message: ToWorker & { kind: 'authority' }): void {
  const { slot, keyType: type, pkcs8 } = message;
  const key = importLocalKey({ slot, type, pkcs8, blocking: true });
  if (key === undefined) throw new TypeError(`key of slot ${slot} cannot be imported`);
  pkcs8.fill(0);
  issuer = createLeafIssuer(
    onlyLinted(key),
    unwrap(parseCertificate(message.certificate)),
    blockedKeys,
    message.crlPoints,
  );
}

function draft(message: ToWorker & { kind: 'draft' }): readonly Result<Uint8Array>[] {
  if (issuer === undefined) throw new TypeError('the authority was not announced');
  const batch = draftHere(unpackOrders(message.orders), issuer);
  drafts.set(message.job, batch);
  return batch.tbsHashes;
}

function check(message: ToWorker & { kind: 'check' }): readonly Result<Uint8Array>[] {
  return unpackOrders(message.orders).map(({ source }) => {
    const checked = checkKeySource(source, blockedKeys);
    return checked.ok ? ok(checked.value.spki) : checked;
  });
}

async function sign(message: ToWorker & { kind: 'sign' }): Promise<readonly Result<Uint8Array>[]> {
  const batch = drafts.get(message.drafts);
  drafts.delete(message.drafts);
  // Signed or discarded before: nothing comes back, which the pool refuses.
  return batch === undefined ? [] : batch.sign();
}

async function handle(message: ToWorker): Promise<void> {
  switch (message.kind) {
    case 'authority':
      return adopt(message);
    case 'discard':
      drafts.delete(message.drafts);
      return;
    case 'draft':
      return answer(message.job, draft(message));
    case 'check':
      return answer(message.job, check(message));
    case 'sign':
      return answer(message.job, await sign(message));
  }
}

function answer(job: number, outcomes: readonly Result<Uint8Array>[]): void {
  const packed = packOutcomes(outcomes);
  const reply: FromWorker = { job, outcomes: packed };
  parentPort?.postMessage(reply, [packed]);
}

/**
 * Lets the main thread go first when cores are short, so that health and admin calls are answered
 * while batches saturate the machine. On Linux a nice value is a thread's own; elsewhere it would be
 * the process's, so nothing is done there.
 */
function standBack(): void {
  try {
    if (process.platform === 'linux') setPriority(0, 5);
  } catch {
    // Without leave to do so the thread competes as an equal.
  }
}

standBack();
// What rejects here is a fault of ours: it ends this thread, and the pool starts another.
parentPort?.on('message', handle);
