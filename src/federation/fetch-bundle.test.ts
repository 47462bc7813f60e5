import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, describe, it, type TestContext } from 'node:test';
import {
  makeLeaf,
  makeRoot,
  type TestCertificate,
  type TestCertificateOptions,
} from '../../test/support/x509.ts';
import { type Clock, ManualClock, systemClock } from '../base/clock.ts';
import type { ErrorCode } from '../base/errors.ts';
import { type Result, unwrap } from '../base/result.ts';
import { encodePem } from '../der/pem.ts';
import type { EndpointProfile } from '../rules/federation.ts';
import { type Bundle, emptyBundle } from '../spiffe/bundle.ts';
import { MAX_BUNDLE_BYTES, type ParsedBundle } from '../spiffe/bundle-document.ts';
import { formatSpiffeBundle } from '../spiffe/bundle-format.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import { parseTrustDomain } from '../spiffe/trust-domain.ts';
import { fetchBundle } from './fetch-bundle.ts';

const OTHER = unwrap(parseTrustDomain('other.test'));
const ENDPOINT = 'spiffe://other.test/spire/server';
const LOOPBACK = { ips: [new Uint8Array([127, 0, 0, 1])] };
const root = makeRoot('other.test');
const foreignRoot = makeRoot('third.test');
const SPIFFE: EndpointProfile = {
  kind: 'https_spiffe',
  endpointId: unwrap(parseSpiffeId(ENDPOINT)),
};

const bundleWith = (...roots: readonly TestCertificate[]): Bundle => ({
  ...emptyBundle(OTHER),
  x509Authorities: roots.map(({ certificate }) => ({ certificate, tainted: false })),
  sequence: 5n,
  refreshHintSeconds: 60,
});
const BUNDLE = bundleWith(root);
const DOCUMENT = unwrap(formatSpiffeBundle(BUNDLE));

interface Endpoint {
  /** Answers a request. */
  readonly answer?: (response: ServerResponse) => void;
  readonly certificate?: TestCertificate;
  readonly profile?: EndpointProfile;
  readonly webRoots?: TestCertificate;
  readonly endpointBundle?: Bundle | undefined;
  readonly clock?: Clock;
}

const good = (response: ServerResponse): void => {
  response.writeHead(200, { 'content-type': 'application/json' }).end(DOCUMENT);
};

async function fetchFrom(context: TestContext, endpoint: Endpoint): Promise<Result<ParsedBundle>> {
  const { answer = good, profile = SPIFFE } = endpoint;
  const leaf = endpoint.certificate ?? makeLeaf(root, ENDPOINT);
  const server = createServer(
    {
      cert: encodePem('CERTIFICATE', leaf.certificate.der),
      key: leaf.key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    },
    (_request, response) => answer(response),
  ).listen(0, '127.0.0.1');
  context.after(() => {
    server.close();
    server.closeAllConnections();
  });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const webRoots = endpoint.webRoots;
  return fetchBundle(
    {
      trustDomain: OTHER,
      bundleEndpointUrl: `https://127.0.0.1:${port}/`,
      profile,
      origin: '',
      revision: 1n,
    },
    'endpointBundle' in endpoint ? endpoint.endpointBundle : BUNDLE,
    {
      clock: endpoint.clock ?? systemClock,
      timeoutMs: 30_000,
      webRoots: webRoots && encodePem('CERTIFICATE', webRoots.certificate.der),
      signal: new AbortController().signal,
    },
  );
}

function assertCode(result: Result<unknown>, code: ErrorCode): void {
  assert.equal(result.ok ? 'ok' : result.error.code, code);
}

describe('a fetch by https_spiffe', () => {
  const pemLeaf = (options: TestCertificateOptions) => makeLeaf(root, ENDPOINT, options);

  it('takes the bundle from the endpoint with exactly the SPIFFE ID, whatever its host (FED-12)', async (context) => {
    const fetched = unwrap(await fetchFrom(context, {}));
    assert.equal(fetched.bundle.sequence, 5n);
    assert.equal(fetched.bundle.refreshHintSeconds, 60);
    assert.equal(fetched.bundle.x509Authorities.length, 1);
  });

  const untrusted: readonly [what: string, certificate: () => TestCertificate][] = [
    ['another ID of its trust domain', () => makeLeaf(root, 'spiffe://other.test/spire/serve')],
    ['an ID that goes on', () => makeLeaf(root, `${ENDPOINT}/x`)],
    [
      'an ID of another trust domain by this root',
      () => makeLeaf(root, 'spiffe://third.test/spire/server'),
    ],
    ['the ID by a root that is not in the bundle', () => makeLeaf(foreignRoot, ENDPOINT)],
    ['a certificate that has ended', () => pemLeaf({ notAfterMs: Date.now() - 60_000 })],
    ['a certificate that is not valid yet', () => pemLeaf({ notBeforeMs: Date.now() + 600_000 })],
    ['a root', () => root],
  ];
  for (const [what, certificate] of untrusted) {
    it(`refuses ${what}, before anything is asked`, async (context) => {
      let asked = false;
      const answer = (response: ServerResponse): void => {
        asked = true;
        good(response);
      };
      const fetched = await fetchFrom(context, { certificate: certificate(), answer });
      assertCode(fetched, 'FEDERATION_ENDPOINT_UNTRUSTED');
      assert.equal(asked, false);
    });
  }

  it('asks nobody without a bundle to know the endpoint by, and trusts nobody by an empty one', async (context) => {
    const none = await fetchFrom(context, { endpointBundle: undefined });
    assertCode(none, 'FEDERATION_ENDPOINT_BUNDLE');
    const empty = await fetchFrom(context, { endpointBundle: emptyBundle(OTHER) });
    assertCode(empty, 'FEDERATION_ENDPOINT_UNTRUSTED');
  });
});

describe('a fetch by https_web', () => {
  const profile: EndpointProfile = { kind: 'https_web' };
  const webRoots = makeRoot('web.test');
  const certificate = makeLeaf(webRoots, 'spiffe://web.test/x', LOOPBACK);

  it('takes the bundle from the host of the URL, by its CA; a SPIFFE ID means nothing (FED-10)', async (context) => {
    const fetched = await fetchFrom(context, { profile, webRoots, certificate });
    assert.equal(unwrap(fetched).bundle.sequence, 5n);
  });

  const untrusted: readonly [what: string, endpoint: Endpoint][] = [
    ['a CA that is not known', { certificate: makeLeaf(root, ENDPOINT, LOOPBACK) }],
    [
      'another host',
      { certificate: makeLeaf(webRoots, 'spiffe://web.test/x', { dnsNames: ['a.test'] }) },
    ],
    ['no host', { certificate: makeLeaf(webRoots, ENDPOINT) }],
  ];
  for (const [what, endpoint] of untrusted) {
    it(`refuses a certificate of ${what}`, async (context) => {
      const fetched = await fetchFrom(context, { profile, webRoots, ...endpoint });
      assertCode(fetched, 'FEDERATION_ENDPOINT_UNTRUSTED');
    });
  }

  it('does not fall back to the bundle of the trust domain', async (context) => {
    // Public CAs alone: neither root of this test is one.
    const own = makeLeaf(root, ENDPOINT, LOOPBACK);
    const fetched = await fetchFrom(context, { profile, certificate: own });
    assertCode(fetched, 'FEDERATION_ENDPOINT_UNTRUSTED');
  });
});

describe('an answer', () => {
  const text =
    (body: string | Uint8Array, status = 200) =>
    (response: ServerResponse) => {
      response.writeHead(status).end(body);
    };
  const padded = (length: number): Uint8Array => {
    const whole = Buffer.alloc(length, ' ');
    whole.set(DOCUMENT);
    return whole;
  };
  const foreign = unwrap(formatSpiffeBundle(bundleWith(root, foreignRoot)));
  const unreadable = '{"keys":[{"kty":"AKP","use":"x509-svid"}]}';

  const refused: readonly [what: string, answer: (response: ServerResponse) => void][] = [
    [
      'that is a redirect',
      (r) => r.writeHead(302, { location: 'https://127.0.0.1/' }).end(DOCUMENT),
    ],
    ['with status 404', text(DOCUMENT, 404)],
    ['with status 500', text(DOCUMENT, 500)],
    ['with status 203', text(DOCUMENT, 203)],
    ['without a body', text('')],
    ['that is no JSON', text('<html>')],
    ['that is PEM', text(encodePem('CERTIFICATE', root.certificate.der))],
    ['without keys', text('{}')],
    ['with one key twice', text('{"keys":[],"keys":[]}')],
    ['with a sequence that is no integer', text('{"keys":[],"spiffe_sequence":1.5}')],
    ['with a sequence of 65 bits', text(`{"keys":[],"spiffe_sequence":${2n ** 64n}}`)],
    ['with a negative refresh hint', text('{"keys":[],"spiffe_refresh_hint":-1}')],
    ['with keys of which none can be read', text(unreadable)],
    ['with an authority of another trust domain', text(foreign)],
    ['that is a byte too long', text(padded(MAX_BUNDLE_BYTES + 1))],
  ];
  for (const [what, answer] of refused) {
    it(`${what} is refused`, async (context) => {
      assertCode(await fetchFrom(context, { answer }), 'FEDERATION_ENDPOINT_ANSWER');
    });
  }

  it('of just the longest length is read', async (context) => {
    unwrap(await fetchFrom(context, { answer: text(padded(MAX_BUNDLE_BYTES)) }));
  });

  it('with no keys at all is a bundle that trusts nothing (BUNDLE-2)', async (context) => {
    const { bundle } = unwrap(await fetchFrom(context, { answer: text('{"keys":[]}') }));
    assert.deepEqual(bundle, emptyBundle(OTHER));
  });

  it('without an end is read no further than the longest length', async (context) => {
    let sent = 0;
    const endless = (response: ServerResponse): void => {
      const more = (): void => {
        const chunk = Buffer.alloc(65_536, ' ');
        while (!response.destroyed && response.write(chunk)) sent += chunk.length;
      };
      response.writeHead(200).on('drain', more);
      more();
    };
    assertCode(await fetchFrom(context, { answer: endless }), 'FEDERATION_ENDPOINT_ANSWER');
    // What lies in the buffers between the two comes on top.
    assert.ok(sent < 32 * MAX_BUNDLE_BYTES, `${sent} bytes`);
  });

  it('that breaks off, or never comes, makes the endpoint unreachable', async (context) => {
    const half = (response: ServerResponse): void => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{"keys":[', () => response.destroy());
    };
    assertCode(await fetchFrom(context, { answer: half }), 'FEDERATION_ENDPOINT_UNREACHABLE');
    const clock = new ManualClock(Date.now());
    const silent = (): void => clock.advance(30_000);
    const late = await fetchFrom(context, { answer: silent, clock });
    assertCode(late, 'FEDERATION_ENDPOINT_UNREACHABLE');
    assert.match(late.ok ? '' : late.error.message, /within 30000 ms/);
  });
});

describe('an endpoint that speaks no TLS', () => {
  it('is unreachable', async () => {
    const { createServer: createPlain } = await import('node:net');
    const server = createPlain((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\n'));
    server.listen(0, '127.0.0.1');
    after(() => server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const fetched = await fetchBundle(
      {
        trustDomain: OTHER,
        bundleEndpointUrl: `https://127.0.0.1:${port}/`,
        profile: SPIFFE,
        origin: '',
        revision: 1n,
      },
      BUNDLE,
      {
        clock: systemClock,
        timeoutMs: 30_000,
        webRoots: undefined,
        signal: new AbortController().signal,
      },
    );
    assertCode(fetched, 'FEDERATION_ENDPOINT_UNREACHABLE');
  });
});
