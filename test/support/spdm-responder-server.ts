import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { Framing } from '../../src/base/framing.ts';
import { unwrap } from '../../src/base/result.ts';
import type { Respond } from './spdm-responder.ts';

/** A responder that listens on loopback. */
export interface ResponderServer {
  readonly host: string;
  readonly port: number;
  /** Connections that are open. */
  readonly open: () => number;
  /** Ends all connections and the listener. */
  readonly close: () => Promise<void>;
}

/** Serves one conversation with a responder on each connection. */
export async function serveResponder(
  framing: Framing,
  makeRespond: () => Respond,
): Promise<ResponderServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined);
    answerFrames(socket, framing, makeRespond());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { address: host, port } = server.address() as AddressInfo;
  return {
    host,
    port,
    open: () => sockets.size,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}

/** Answers each frame; a farewell or anything else that is no frame ends the connection. */
function answerFrames(socket: Socket, framing: Framing, respond: Respond): void {
  let received = Buffer.alloc(0);
  socket.on('data', (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
    for (;;) {
      const frame = framing.deframe(received);
      if (!frame.ok) {
        socket.end();
        return;
      }
      if (frame.value === undefined) return;
      received = received.subarray(frame.value.bytes);
      socket.write(unwrap(framing.frame(respond(frame.value.message))));
    }
  });
}
