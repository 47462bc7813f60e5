import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { createServer } from 'node:tls';
import { testHost } from '../../test/support/rpc.ts';
import { seededRandom } from '../base/random.ts';
import { fail } from '../base/result.ts';
import { TlsAcceptor } from './acceptor.ts';

/** A socket that says it comes from one port of one address. */
function accepted(): Socket {
  return Object.defineProperties(new Socket(), {
    remoteAddress: { value: '192.0.2.1' },
    remotePort: { value: 40_000 },
  });
}

test('D7 resets from one port, each followed by a new connection, leave no handshake counted', () => {
  const tls = createServer();
  const shaking: Socket[] = [];
  tls.removeAllListeners('connection');
  tls.on('connection', (socket: Socket) => shaking.push(socket));
  const acceptor = new TlsAcceptor(
    {
      validateClient: () => fail('INTERNAL', 'not asked'),
      maxConnectionAgeMs: 0,
      maxPendingHandshakes: 2,
      random: seededRandom(1),
    },
    testHost(),
    tls,
  );
  for (let round = 1; round <= 3; round++) {
    // The kernel hands over the second connection before the first one's end was noticed.
    const pair = [accepted(), accepted()];
    for (const socket of pair) acceptor.accept(socket);
    assert.equal(shaking.length, 2 * round, `round ${round}: a handshake was refused`);
    for (const socket of pair) socket.emit('close', false);
  }
});
