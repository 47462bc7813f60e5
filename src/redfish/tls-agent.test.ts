import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { MOCK_TLS, QUICK_PACE, startMockBmc } from '../../test/support/mock-bmc.ts';
import { makeCertificate, makeRoot } from '../../test/support/x509.ts';
import { unwrap } from '../base/result.ts';
import { encodePem } from '../der/pem.ts';
import { makeSelfSigned } from '../main/demo/mock-bmc/self-signed.ts';
import { SERVICE_ROOT } from './bmc-client.ts';
import { type BmcTrust, parseTlsCa, parseTlsPins } from './place.ts';

const LOOPBACK = new Uint8Array([127, 0, 0, 1]);

function pemOf(certificate: ReturnType<typeof makeCertificate>): { key: string; cert: string } {
  const key = certificate.key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { key, cert: encodePem('CERTIFICATE', certificate.der) };
}

const root = makeRoot();
const stranger = makeRoot();
const named = makeCertificate({ issuer: root, dnsNames: ['bmc-7.example.org'] });
const addressed = makeCertificate({ issuer: root, ips: [LOOPBACK] });
const expired = makeCertificate({
  issuer: root,
  ips: [LOOPBACK],
  notAfterMs: Date.UTC(2021, 0, 1),
});
const ca = unwrap(parseTlsCa(root.pem));
const other = makeSelfSigned('other.example').pin;

const spki = (certificate: { readonly key: { readonly spki: Uint8Array } }): BmcTrust => ({
  kind: 'spki',
  sha256: [createHash('sha256').update(certificate.key.spki).digest('hex')],
});

interface Case {
  readonly what: string;
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly trust: BmcTrust;
  readonly serverName?: string;
  readonly code?: string;
}

const CASES: readonly Case[] = [
  { what: 'the pinned certificate', trust: unwrap(parseTlsPins(MOCK_TLS.pin)) },
  { what: 'the second of two pins', trust: unwrap(parseTlsPins(`${other},${MOCK_TLS.pin}`)) },
  { what: 'the pinned key', tls: pemOf(addressed), trust: spki(addressed) },
  { what: 'the pinned key, expired', tls: pemOf(expired), trust: spki(expired) },
  { what: 'another certificate', trust: unwrap(parseTlsPins(other)), code: 'REDFISH_PIN_MISMATCH' },
  {
    what: 'another key',
    tls: pemOf(addressed),
    trust: spki(named),
    code: 'REDFISH_PIN_MISMATCH',
  },
  { what: 'a certificate of the CA', tls: pemOf(addressed), trust: ca },
  {
    what: 'a certificate of the CA with the name that is told',
    tls: pemOf(named),
    trust: ca,
    serverName: 'bmc-7.example.org',
  },
  {
    what: 'a certificate of the CA with another name',
    tls: pemOf(named),
    trust: ca,
    serverName: 'bmc-8.example.org',
    code: 'REDFISH_TLS_UNTRUSTED',
  },
  {
    what: 'a certificate of the CA without the address',
    tls: pemOf(named),
    trust: ca,
    code: 'REDFISH_TLS_UNTRUSTED',
  },
  {
    what: 'an expired certificate of the CA',
    tls: pemOf(expired),
    trust: ca,
    code: 'REDFISH_TLS_UNTRUSTED',
  },
  {
    what: 'a certificate of another CA',
    tls: pemOf(addressed),
    trust: unwrap(parseTlsCa(stranger.pem)),
    code: 'REDFISH_TLS_UNTRUSTED',
  },
  { what: 'a certificate that signed itself, for a CA', trust: ca, code: 'REDFISH_TLS_UNTRUSTED' },
];

for (const { what, tls, trust, serverName, code } of CASES) {
  for (const method of ['session', 'basic'] as const) {
    test(`${what} is ${code ?? 'taken'} (${method}), and a refused BMC is sent nothing`, async (context) => {
      const options = tls === undefined ? {} : { tls };
      const { mock, origin, connect } = await startMockBmc(context, options);
      let requests = 0;
      mock.seen = () => {
        requests += 1;
      };
      const credentials = { userName: 'signet', password: 'correct-horse-battery', method };
      const client = connect({ place: { origin, trust, serverName }, credentials });
      const answer = await client.get(SERVICE_ROOT);
      assert.equal(answer.ok ? undefined : answer.error.code, code);
      assert.equal(requests > 0, code === undefined);
    });
  }
}

test('a place that speaks no TLS is REDFISH_UNREACHABLE, and one that says nothing REDFISH_TIMEOUT', async (context) => {
  const { connect } = await startMockBmc(context);
  const plain = createServer((socket) => {
    socket.on('error', () => {});
    socket.end('HTTP/1.1 200 OK\r\n\r\n');
  }).listen(0, '127.0.0.1');
  const silent = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
  const ends = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  for (const [server, code] of [
    [plain, 'REDFISH_UNREACHABLE'],
    [ends, 'REDFISH_UNREACHABLE'],
    [silent, 'REDFISH_TIMEOUT'],
  ] as const) {
    if (!server.listening) await once(server, 'listening');
    context.after(() => server.close());
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const place = { origin: `https://127.0.0.1:${port}`, trust: unwrap(parseTlsPins(other)) };
    const pace = { ...QUICK_PACE, connectTimeoutMs: code === 'REDFISH_TIMEOUT' ? 50 : 60_000 };
    const answer = await connect({ place, pace }).get(SERVICE_ROOT);
    assert.equal(answer.ok ? undefined : answer.error.code, code);
  }
});
