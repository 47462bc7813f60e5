import type { Socket } from 'node:net';
import type { Cancel, Clock } from '../base/clock.ts';
import { PREFACE } from './authority/frames.ts';

/** What waiting for a preface needs. */
export interface PrefaceWait {
  readonly socket: Socket;
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** The preface is there, or it is wrong; what came is on the socket again. */
  readonly onReady: () => void;
  /** The client sent too little; the socket is about to be destroyed. */
  readonly onTimeout: () => void;
}

/**
 * Waits for a client's preface, since Node's HTTP/2 would wait for ever. What it says is left to
 * nghttp2.
 */
export function awaitPreface(wait: PrefaceWait): void {
  const { socket } = wait;
  const chunks: Buffer[] = [];
  let matched = 0;
  let timer: Cancel = () => {};
  const leave = (): void => {
    timer();
    socket.off('data', take);
    socket.off('close', leave);
  };
  const take = (chunk: Buffer): void => {
    chunks.push(chunk);
    const expected = PREFACE.subarray(matched, matched + chunk.length);
    const right = chunk.subarray(0, expected.length).equals(expected);
    matched += expected.length;
    if (right && matched < PREFACE.length) return;
    leave();
    socket.pause();
    socket.unshift(Buffer.concat(chunks));
    wait.onReady();
  };
  timer = wait.clock.after(wait.timeoutMs, () => {
    leave();
    wait.onTimeout();
    socket.destroy();
  });
  socket.on('data', take);
  socket.once('close', leave);
}
