import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { MOCK_TLS, startMockBmc } from '../../test/support/mock-bmc.ts';
import { systemClock } from '../base/clock.ts';
import { unwrap } from '../base/result.ts';
import { SERVICE_ROOT } from './bmc-client.ts';
import { parseTlsPins } from './place.ts';
import { readShownCertificate } from './shown-certificate.ts';

const at = (origin: string, timeoutMs = 60_000) => ({ origin, clock: systemClock, timeoutMs });

test('the certificate of a BMC is looked at without a request, and its pins then fit', async (context) => {
  const { mock, origin, connect } = await startMockBmc(context);
  mock.seen = (request) => assert.fail(request);
  const shown = unwrap(await readShownCertificate(at(origin)));
  assert.equal(`cert-sha256:${shown.sha256}`, MOCK_TLS.pin);
  assert.equal(shown.spkiSha256, MOCK_TLS.spkiSha256);
  assert.equal(shown.subject, 'CN=mock-bmc.example');
  assert.equal(new Date(shown.notAfterSeconds * 1000).getUTCFullYear(), 2049);
  mock.seen = () => {};
  const trust = unwrap(parseTlsPins(`spki-sha256:${shown.spkiSha256}`));
  assert.ok((await connect({ place: { origin, trust } }).get(SERVICE_ROOT)).ok);
});

test('an address that shows no certificate is REDFISH_UNREACHABLE, a silent one REDFISH_TIMEOUT', async (context) => {
  for (const [answer, timeoutMs, code] of [
    ['plain text', 60_000, 'REDFISH_UNREACHABLE'],
    [undefined, 50, 'REDFISH_TIMEOUT'],
  ] as const) {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      if (answer !== undefined) socket.end(answer);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    context.after(() => server.close());
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const shown = await readShownCertificate(at(`https://127.0.0.1:${port}`, timeoutMs));
    assert.equal(shown.ok ? 'ok' : shown.error.code, code);
  }
});

test('an address where nobody listens is told by what the system calls it', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  server.close();
  await once(server, 'close');
  const shown = await readShownCertificate(at(`https://127.0.0.1:${port}`));
  assert.match(shown.ok ? 'ok' : shown.error.message, /no certificate is shown: ECONNREFUSED$/);
});
