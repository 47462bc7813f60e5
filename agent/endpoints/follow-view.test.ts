import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metadata } from '@grpc/grpc-js';
import { type CallContext, Encoded } from '../../src/rpc/service.ts';
import { assertRefused } from '../../test/support/refused.ts';
import type { View, ViewAnswer } from '../identity/view.ts';
import { makeWorkload } from '../workload/attestation.ts';
import { followView } from './follow-view.ts';

/** A view whose answer the test sets, and a stream whose reader the test is. */
function setUp(first: ViewAnswer) {
  const abort = new AbortController();
  const listeners = new Set<() => void>();
  const sent: string[] = [];
  let answer = first;
  let alive = true;
  let drained: (() => void) | undefined;
  let slow = false;
  const view = {
    entries: [{}],
    answer: () => answer,
    subscribe: (_topic: string, listener: () => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const done = followView({
    // A stand-in with the three members that following uses.
    view: view as unknown as View,
    topic: 'x509',
    workload: makeWorkload({ pid: 1, uid: 1, gid: 1, isAlive: () => alive }, []),
    stream: {
      write: (message) => {
        sent.push((message as Encoded).bytes.toString());
        return !slow;
      },
      drained: () =>
        new Promise((resolve) => {
          drained = resolve;
        }),
    },
    context: { metadata: new Metadata(), signal: abort.signal } as CallContext,
    withoutIdentity: false,
  });
  return {
    done,
    sent,
    listeners,
    abort: () => abort.abort(),
    change: async (next: ViewAnswer) => {
      answer = next;
      for (const listener of [...listeners]) listener();
      await new Promise(setImmediate);
    },
    drain: async () => {
      drained?.();
      await new Promise(setImmediate);
    },
    exit: () => {
      alive = false;
    },
    block: () => {
      slow = true;
    },
  };
}

function message(text: string): ViewAnswer {
  return { kind: 'send', message: new Encoded(Buffer.from(text)) };
}

test('WLAPI-4 WLAPI-5 the state is sent at once, and again only when it changed', async () => {
  const one = message('one');
  const stream = setUp(one);
  assert.deepEqual(stream.sent, ['one']);
  await stream.change(one);
  assert.deepEqual(stream.sent, ['one']);
  await stream.change(message('two'));
  await stream.change({ kind: 'wait' });
  assert.deepEqual(stream.sent, ['one', 'two']);
  stream.abort();
  assert.ok((await stream.done).ok);
  assert.equal(stream.listeners.size, 0);
});

test('E2 a process that exited gets no further message', async () => {
  const stream = setUp(message('one'));
  stream.exit();
  await stream.change(message('two'));
  assertRefused(await stream.done, 'WORKLOAD_ATTESTATION_FAILED');
  assert.deepEqual(stream.sent, ['one']);
});

test('E2 a process that exited before its first message gets none', async () => {
  const stream = setUp({ kind: 'wait' });
  stream.exit();
  await stream.change(message('one'));
  assertRefused(await stream.done, 'WORKLOAD_ATTESTATION_FAILED');
  assert.deepEqual(stream.sent, []);
});

test('D6 a slow reader gets the latest state, not those between', async () => {
  const stream = setUp({ kind: 'wait' });
  stream.block();
  await stream.change(message('one'));
  for (const text of ['two', 'three', 'four']) await stream.change(message(text));
  assert.deepEqual(stream.sent, ['one']);
  await stream.drain();
  assert.deepEqual(stream.sent, ['one', 'four']);
  stream.abort();
  await stream.drain();
  await stream.done;
});

test('WLAPI-15 the stream ends when the last identity is taken away', async () => {
  const stream = setUp(message('one'));
  await stream.change({ kind: 'none' });
  const end = await stream.done;
  assertRefused(end, 'WORKLOAD_NO_IDENTITY');
  assert.ok(!end.ok && end.error.message === 'no identity issued');
  assert.ok(!end.ok && end.error.statusName === 'PermissionDenied');
});
