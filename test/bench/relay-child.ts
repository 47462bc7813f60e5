/**
 * Ends of the forwarder's benchmark, each a process of its own: `relay-child.ts sink` takes all and answers
 * when it has ended, `relay-child.ts relay PORT` forwards to that port of this machine as socat would.
 */
import { connect, createServer } from 'node:net';

const [role, port = '0'] = process.argv.slice(2);

const server = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  if (role === 'relay') {
    const onward = connect({ port: Number(port), host: '127.0.0.1', allowHalfOpen: true });
    onward.on('error', () => socket.destroy());
    socket.pipe(onward).pipe(socket);
  } else {
    socket.resume().on('end', () => socket.end('all'));
  }
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const listening = typeof address === 'object' && address !== null ? address.port : 0;
  process.stdout.write(`${JSON.stringify({ event: 'listening', port: listening })}\n`);
});
