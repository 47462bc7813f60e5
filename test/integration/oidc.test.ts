import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { pino } from 'pino';
import { LocalAuthorityService } from '../../src/gen/spire/api/server/localauthority/v1/localauthority.ts';
import { SVIDService } from '../../src/gen/spire/api/server/svid/v1/svid.ts';
import { checkConfigValue } from '../../src/runtime/config.ts';
import { callHttp, type HttpAnswer } from '../../src/runtime/http-call.ts';
import { serverConfigSchema } from '../../src/server/config.ts';
import { ask, TestServer } from '../support/server.ts';
import { makeCertificate, makeRoot } from '../support/x509.ts';

const ISSUER = 'https://id.example.org/prod';
const CONFIGURATION = '/prod/.well-known/openid-configuration';
const KEYS = '/prod/keys';

interface Key {
  readonly kid: string;
  readonly use: string;
  readonly alg: string;
  readonly kty: string;
}

function get(
  port: number,
  path: string,
  headers: Record<string, string> = {},
): Promise<HttpAnswer> {
  const signal = new AbortController().signal;
  const call = { method: 'GET', maxAnswerBytes: 65_536, signal, headers } as const;
  return callHttp(new URL(`http://127.0.0.1:${port}${path}`), call);
}

/** The keys that are served now, by their IDs. */
async function keyIds(port: number): Promise<readonly string[]> {
  const { keys } = JSON.parse((await get(port, KEYS)).text) as { keys: readonly Key[] };
  return keys.map(({ kid }) => kid);
}

describe('OIDC discovery over plain HTTP on loopback', () => {
  let server: TestServer;
  let port: number;
  const { promise: waited, resolve: waits } = Promise.withResolvers<void>();

  before(async () => {
    const write = (line: string): void => {
      if (line.includes('readers of OIDC discovery')) waits();
    };
    const settings = { jwt: { issuer: ISSUER }, oidc: { port: 0, cacheFor: '90s' } };
    server = await TestServer.start(settings, { log: pino({ level: 'warn' }, { write }) });
    port = server.running.oidcPort ?? 0;
  });
  after(() => server.stop());

  /** Sends what an HTTP client would not; answers the status line and the rest. */
  function raw(text: string): Promise<readonly [string, string]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly [string, string]>();
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.setEncoding('utf8').on('data', (part: string) => {
      answer += part;
    });
    socket.on('error', reject).on('close', () => {
      const end = answer.indexOf('\r\n');
      resolve([answer.slice(0, end), answer.slice(end)]);
    });
    return promise;
  }

  test('says what the keys of tokens are, as verifiers expect', async () => {
    const configuration = await get(port, CONFIGURATION);
    assert.equal(configuration.status, 200);
    assert.equal(configuration.headers['content-type'], 'application/json');
    assert.equal(configuration.headers['cache-control'], 'public, max-age=90');
    assert.deepEqual(JSON.parse(configuration.text), {
      issuer: ISSUER,
      jwks_uri: `${ISSUER}/keys`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
      claims_supported: ['sub', 'aud', 'iss', 'exp', 'iat'],
    });
    const { keys } = JSON.parse((await get(port, KEYS)).text) as { keys: readonly Key[] };
    assert.deepEqual(
      keys.map(({ use, alg, kty }) => [use, alg, kty]),
      [['sig', 'ES256', 'EC']],
    );
    const request = {
      id: { trustDomain: 'example.org', path: '/web' },
      audience: ['sts.example'],
      ttl: 0,
    };
    const { svid } = await ask(server.admin(), SVIDService.mintJwtsvid, request);
    const [header = '', claims = '', signature = ''] = (svid?.token ?? '').split('.');
    const decoded = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString());
    const [key] = keys;
    assert.equal(decoded(header).kid, key?.kid);
    assert.equal(decoded(claims).iss, ISSUER);
    assert.ok(key !== undefined);
    const signed = Buffer.from(signature, 'base64url');
    const verifier = createPublicKey({ format: 'jwk', key: { ...key } });
    const by = { key: verifier, dsaEncoding: 'ieee-p1363' } as const;
    assert.ok(verify('sha256', Buffer.from(`${header}.${claims}`), by, signed));
  });

  test('has a key from the moment that it is prepared, and says that what was read is old', async () => {
    const first = await get(port, KEYS);
    const { etag = '' } = first.headers;
    const same = await get(port, KEYS, { 'If-None-Match': `"x", W/${etag}` });
    assert.deepEqual([same.status, same.text, same.headers.etag], [304, '', etag]);
    assert.equal((await get(port, KEYS, { 'If-None-Match': '*' })).status, 304);
    const before = await keyIds(port);
    const prepared = await ask(server.admin(), LocalAuthorityService.prepareJwtAuthority, {});
    const id = prepared.preparedAuthority?.authorityId ?? '';
    assert.deepEqual((await keyIds(port)).toSorted(), [...before, id].toSorted());
    const activate = { authorityId: id, force: false };
    const early = ask(server.admin(), LocalAuthorityService.activateJwtAuthority, activate);
    // It is refused after a while; that it waits is enough.
    early.catch(() => {});
    await waited;
    const after = await get(port, KEYS, { 'If-None-Match': etag });
    assert.equal(after.status, 200);
    assert.notEqual(after.headers.etag, etag);
  });

  const host = 'Host: id.example.org\r\n';
  const ANSWERS: readonly (readonly [string, string, number])[] = [
    ['a query', `GET ${KEYS}?a=b HTTP/1.1\r\n${host}\r\n`, 404],
    ['a slash at the end', `GET ${KEYS}/ HTTP/1.1\r\n${host}\r\n`, 404],
    ['two slashes', `GET //prod/keys HTTP/1.1\r\n${host}\r\n`, 404],
    ['a way up', `GET /prod/x/../keys HTTP/1.1\r\n${host}\r\n`, 404],
    ['an escaped letter', `GET /prod/%6beys HTTP/1.1\r\n${host}\r\n`, 404],
    ['another case', `GET /prod/KEYS HTTP/1.1\r\n${host}\r\n`, 404],
    ['a whole URL', `GET http://id.example.org${KEYS} HTTP/1.1\r\n${host}\r\n`, 404],
    ['no path of the issuer', `GET /keys HTTP/1.1\r\n${host}\r\n`, 404],
    ['what every object inherits', `GET __proto__ HTTP/1.1\r\n${host}\r\n`, 400],
    ['the root', `GET / HTTP/1.1\r\n${host}\r\n`, 404],
    ['everything', `OPTIONS * HTTP/1.1\r\n${host}\r\n`, 405],
    ['POST', `POST ${KEYS} HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n`, 405],
    ['TRACE', `TRACE ${KEYS} HTTP/1.1\r\n${host}\r\n`, 405],
    ['a method that is none', `GETS ${KEYS} HTTP/1.1\r\n${host}\r\n`, 400],
    ['a body', `GET ${KEYS} HTTP/1.1\r\n${host}Content-Length: 1\r\n\r\nx`, 400],
    [
      'a body in chunks',
      `GET ${KEYS} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    [
      'a body of two lengths',
      `GET ${KEYS} HTTP/1.1\r\n${host}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n`,
      400,
    ],
    ['no host', `GET ${KEYS} HTTP/1.1\r\n\r\n`, 400],
    ['a folded header', `GET ${KEYS} HTTP/1.1\r\n${host}A: b\r\n c\r\n\r\n`, 400],
    ['lines that end in LF', `GET ${KEYS} HTTP/1.1\nHost: a\n\n`, 400],
    ['headers of 9 KB', `GET ${KEYS} HTTP/1.1\r\n${host}A: ${'x'.repeat(9000)}\r\n\r\n`, 400],
    ['HTTP/1.0', `GET ${KEYS} HTTP/1.0\r\n\r\n`, 200],
    ['any host', `GET ${KEYS} HTTP/1.1\r\nHost: evil.test\r\n\r\n`, 200],
    ['HTTP/2 by surprise', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['nonsense', '\0\0\0\r\n\r\n', 400],
  ];
  for (const [what, text, status] of ANSWERS) {
    test(`answers ${status} to ${what}, and ends the connection`, async () => {
      const [line, rest] = await raw(text);
      assert.match(line, new RegExp(`^HTTP/1\\.1 ${status} `), `${line}${rest}`);
      assert.match(rest, /\r\nConnection: close\r\n/i);
      if (status === 405) assert.match(rest, /\r\nAllow: GET, HEAD\r\n/);
      assert.doesNotMatch(rest, /evil\.test/);
    });
  }

  test('answers one request of a connection, and HEAD without the document', async () => {
    const one = `GET ${CONFIGURATION} HTTP/1.1\r\n${host}\r\n`;
    const [, twice] = await raw(one + one);
    assert.equal(twice.split('HTTP/1.1 200').length, 1);
    const [line, head] = await raw(`HEAD ${CONFIGURATION} HTTP/1.1\r\n${host}\r\n`);
    assert.match(line, / 200 /);
    const length = (await get(port, CONFIGURATION)).bytes.length;
    assert.match(head, new RegExp(`\\r\\nContent-Length: ${length}\\r\\n`));
    assert.ok(head.endsWith('\r\n\r\n'));
  });
});

describe('OIDC discovery over HTTPS', () => {
  /** The subject alternative names that a new connection sees. */
  async function names(port: number): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const options = { port, host: '127.0.0.1', rejectUnauthorized: false };
    const socket = connectTls(options, () => {
      resolve(socket.getPeerX509Certificate()?.subjectAltName ?? '');
      socket.destroy();
    }).on('error', reject);
    return promise;
  }

  test('shows the certificate of its files, another when they change, the one before when they are bad', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'sgn-oidc-'));
    const [certificatePath, keyPath] = [join(dir, 'tls.crt'), join(dir, 'tls.key')];
    const root = makeRoot();
    const put = (name: string): void => {
      const { pem, key } = makeCertificate({ issuer: root, dnsNames: [name] });
      writeFileSync(certificatePath, pem);
      writeFileSync(keyPath, key.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    };
    put('one.test');
    const oidc = { port: 0, address: '::', certificatePath, keyPath };
    const { promise: kept, resolve: keeps } = Promise.withResolvers<void>();
    const write = (line: string): void => {
      if (line.includes('"code":"OIDC_CERTIFICATE"')) keeps();
    };
    const surroundings = { log: pino({ level: 'error' }, { write }) };
    const settings = { jwt: { issuer: 'https://one.test' }, oidc };
    const server = await TestServer.start(settings, surroundings);
    const { oidcPort = 0 } = server.running;
    assert.equal(await names(oidcPort), 'DNS:one.test');
    put('two.test');
    server.running.reload(server.config);
    while ((await names(oidcPort)) !== 'DNS:two.test') await new Promise(setImmediate);
    const other = makeCertificate({ issuer: root, dnsNames: ['three.test'] });
    writeFileSync(certificatePath, other.pem);
    server.running.reload(server.config);
    await kept;
    const signal = new AbortController().signal;
    const url = new URL(`https://127.0.0.1:${oidcPort}/keys`);
    const tls = { servername: 'two.test' };
    const call = { method: 'GET', ca: root.pem, tls, maxAnswerBytes: 65_536, signal } as const;
    assert.equal((await callHttp(url, call)).status, 200);
    await server.stop();
  });

  test("shows the server's own SVID where it is to, and starts on a Unix socket without", async () => {
    const own = await TestServer.start({
      jwt: { issuer: 'https://id.test' },
      listen: { port: 0, dnsNames: ['id.test'] },
      oidc: { port: 0, address: '::', ownCertificate: true },
    });
    const told = await names(own.running.oidcPort ?? 0);
    assert.deepEqual(told.split(', ').sort(), [
      'DNS:id.test',
      'URI:spiffe://example.org/spire/server',
    ]);
    await own.stop();
    const socketPath = join(mkdtempSync(join(tmpdir(), 'sgn-oidc-')), 'oidc.sock');
    const local = await TestServer.start({
      jwt: { issuer: 'https://id.test' },
      oidc: { socketPath },
    });
    assert.equal(local.running.oidcPort, undefined);
    // The proxy is another user; who reaches the folder is for the folder to say.
    assert.equal(statSync(socketPath).mode & 0o777, 0o666);
    const call = {
      method: 'GET',
      socketPath,
      maxAnswerBytes: 65_536,
      signal: new AbortController().signal,
    } as const;
    assert.equal((await callHttp(new URL('http://id.test/keys'), call)).status, 200);
    await local.stop();
  });
});

describe('the settings of OIDC discovery', () => {
  const files = { certificatePath: '/a', keyPath: '/b' };
  const issuer = 'https://id.test';
  const REFUSED: readonly (readonly [string, object, string | undefined, string])[] = [
    ['no issuer', { port: 1 }, undefined, 'jwt.issuer'],
    ['an issuer that is no URL', { port: 1 }, 'signet', 'jwt.issuer'],
    ['a plain HTTP issuer', { port: 1 }, 'http://id.test', 'jwt.issuer'],
    ['an issuer with a slash at its end', { port: 1 }, 'https://id.test/', 'jwt.issuer'],
    ['an issuer with a query', { port: 1 }, 'https://id.test/?a', 'jwt.issuer'],
    ['an issuer with an empty fragment', { port: 1 }, 'https://id.test/a#', 'jwt.issuer'],
    ['an issuer with a user', { port: 1 }, 'https://u@id.test', 'jwt.issuer'],
    ['an issuer in capitals', { port: 1 }, 'https://ID.test', 'jwt.issuer'],
    ['an issuer with the usual port', { port: 1 }, 'https://id.test:443', 'jwt.issuer'],
    ['an issuer with a way up', { port: 1 }, 'https://id.test/a/../b', 'jwt.issuer'],
    ['neither port nor socket', {}, issuer, 'oidc.port'],
    ['both port and socket', { port: 1, socketPath: '/a/b' }, issuer, 'oidc.port'],
    ['a certificate without a key', { port: 1, certificatePath: '/a' }, issuer, 'oidc.keyPath'],
    ['a key without a certificate', { port: 1, keyPath: '/a' }, issuer, 'oidc.keyPath'],
    [
      'two certificates',
      { port: 1, ...files, ownCertificate: true },
      issuer,
      'oidc.ownCertificate',
    ],
    ['plain HTTP for everybody', { port: 1, address: '::' }, issuer, 'oidc.address'],
    [
      'plain HTTP for what looks like loopback',
      { port: 1, address: '127.0.0.1.test' },
      issuer,
      'oidc.address',
    ],
    [
      'keys that are elsewhere in the clear',
      { port: 1, jwksUri: 'http://id.test/k' },
      issuer,
      'oidc.jwksUri',
    ],
  ];
  for (const [what, oidc, named, path] of REFUSED) {
    test(`refuse ${what}`, () => {
      const jwt = named === undefined ? {} : { issuer: named };
      const value = { trustDomain: 'example.org', oidc, jwt };
      const checked = checkConfigValue(value, serverConfigSchema);
      const paths = checked.ok ? [] : checked.problems.map((problem) => problem.path);
      assert.deepEqual(paths, [path]);
    });
  }

  test('take what is right', () => {
    for (const oidc of [
      { port: 1 },
      { port: 1, address: '::1' },
      { port: 1, address: 'localhost' },
      { socketPath: '/run/a/b' },
      { port: 1, address: '::', ...files },
      { port: 1, address: '10.0.0.1', ownCertificate: true, jwksUri: 'https://cdn.test/k.json' },
    ]) {
      for (const named of [issuer, 'https://id.test/a/b', 'https://id.test:8443']) {
        const value = { trustDomain: 'example.org', oidc, jwt: { issuer: named } };
        assert.ok(checkConfigValue(value, serverConfigSchema).ok);
      }
    }
  });
});
