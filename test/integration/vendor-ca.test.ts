import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { equalBytes } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { type Result, unwrap } from '../../src/base/result.ts';
import { VendorAdminService, VendorKeysService } from '../../src/gen/signet/connector/v1/vendor.ts';
import { AgentService } from '../../src/gen/spire/api/server/agent/v1/agent.ts';
import { BundleService } from '../../src/gen/spire/api/server/bundle/v1/bundle.ts';
import { EntryService } from '../../src/gen/spire/api/server/entry/v1/entry.ts';
import { NO_CONTENT, x509AuthorityOf } from '../../src/kubectl/model.ts';
import { verifyChain } from '../../src/kubectl/verify.ts';
import { type Bundle, emptyBundle } from '../../src/spiffe/bundle.ts';
import { parseTrustDomain } from '../../src/spiffe/trust-domain.ts';
import { validateX509Svid } from '../../src/spiffe/x509-svid.ts';
import { createSvidValidator } from '../../src/tls/validator.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { validatePath } from '../../src/x509/path.ts';
import type { Certificate } from '../../src/x509/types.ts';
import { runAttestation } from '../support/attestor-suite.ts';
import { ask, assertStatus, TestServer, TRUST_DOMAIN } from '../support/server.ts';
import { makeVendor, VENDOR_SUBJECT, type Vendor } from '../support/vendor-ca.ts';
import { makeCsr, type TestCertificate } from '../support/x509.ts';
import { x509popRig } from '../support/x509pop.ts';

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);
const domain = unwrap(parseTrustDomain(TRUST_DOMAIN));

let server: TestServer;
let vendor: Vendor;
let roots: readonly Certificate[];

before(async () => {
  server = await TestServer.start({
    adminIds: [`spiffe://${TRUST_DOMAIN}/listed-admin`],
    connectors: { enrolmentRoot: { keyType: 'ec-p256' } },
  });
  vendor = await makeVendor(server);
  const bundle = await ask(server.admin(), BundleService.getBundle, { outputMask: undefined });
  roots = bundle.x509Authorities.map(({ asn1 }) => unwrap(parseCertificate(asn1)));
});

after(() => server.stop());

/** The bundle as it is, or as somebody would have it who puts the enrolment root into it. */
function bundleOf(...authorities: readonly Certificate[]): Bundle {
  return {
    ...emptyBundle(domain),
    x509Authorities: authorities.map((certificate) => ({ certificate, tainted: false })),
  };
}

/** Leaves of the vendor that say they are somebody of the trust domain. */
const NAMES: readonly (readonly [string, string])[] = [
  ['an agent', `spiffe://${TRUST_DOMAIN}/spire/agent/join_token/1`],
  ['an admin', `spiffe://${TRUST_DOMAIN}/listed-admin`],
  ['the server', `spiffe://${TRUST_DOMAIN}/spire/server`],
  ['a connector', `spiffe://${TRUST_DOMAIN}/connector/berlin/1`],
  ['a workload', `spiffe://${TRUST_DOMAIN}/web`],
  ['one of another trust domain', 'spiffe://other.example/web'],
];

function chainOf(leaf: TestCertificate): readonly Certificate[] {
  return [leaf.certificate, vendor.ca];
}

describe("a leaf with a URI below a vendor's enrolment CA", () => {
  for (const [who, uri] of NAMES) {
    test(`that says it is ${who} is refused by path, SVID, TLS and kubectl validation`, () => {
      const chain = chainOf(vendor.sign({ uris: [uri] }));
      const atMs = Date.now();
      for (const [trusted, expected] of [
        [roots, 'PATH_NOT_FOUND'],
        [[...roots, vendor.root], 'PATH_NAME_CONSTRAINTS'],
      ] as const) {
        assert.equal(code(validatePath({ chain, roots: trusted, atMs })), expected);
        const bundles = () => bundleOf(...trusted);
        const isOurs = uri.startsWith(`spiffe://${TRUST_DOMAIN}/`);
        const foreign = isOurs ? expected : 'X509_SVID_TRUST_DOMAIN';
        assert.equal(code(validateX509Svid({ chain, bundles, atMs })), foreign);
        const judge = createSvidValidator({ bundles, clock: systemClock, accepts: () => true });
        assert.equal(code(judge(chain.map(({ der }) => der))), foreign);
        const content = {
          ...NO_CONTENT,
          x509: trusted.map((certificate) => x509AuthorityOf(certificate, false)),
        };
        const checks = verifyChain(chain, {
          nowMs: atMs,
          bundle: () => content,
          trustDomain: undefined,
          revocation: undefined,
        });
        assert.ok(
          checks.some(({ result, code: why }) => result === 'Invalid' && why === expected),
          JSON.stringify(checks),
        );
      }
    });
  }

  for (const [who, uri] of NAMES) {
    test(`that says it is ${who} is nobody on the port of the server`, async () => {
      const leaf = vendor.sign({ uris: [uri] });
      const client = await server.tcp({ key: leaf.key, chain: [leaf.der, vendor.ca.der] });
      for (const call of [
        () => ask(client, AgentService.postStatus, { currentBundleSerial: 0n, agentVersion: '' }),
        () => ask(client, EntryService.countEntries, { filter: undefined }),
        () => ask(client, VendorKeysService.getVendorKey, {}),
        // Open to anybody who shows no certificate at all: a bad one ends the connection.
        () => ask(client, BundleService.getBundle, { outputMask: undefined }),
      ]) {
        await assert.rejects(call, { code: 14 });
      }
    });
  }

  test('attests no node by x509pop, even where its roots were set to hold the enrolment root', async (context) => {
    const leaf = vendor.sign({ uris: [`spiffe://${TRUST_DOMAIN}/web`] });
    const intermediate = { ...leaf, certificate: vendor.ca, der: vendor.ca.der };
    for (const trusted of [roots, [vendor.root]]) {
      const trust = { mode: 'external_pki', roots: trusted } as const;
      const rig = x509popRig(context, { leaf, intermediates: [intermediate], trust });
      const { result } = await runAttestation(rig);
      assert.match(code(result), /^PATH_/);
    }
  });
});

describe('the enrolment root', () => {
  test('is the one that signs, and is in no bundle', async () => {
    const root = await ask(server.admin(), VendorAdminService.getEnrolmentRoot, {});
    assert.ok(equalBytes(root.certificate, vendor.root.der));
    const keys = [...roots.map(({ publicKey }) => publicKey.spki)];
    assert.ok(keys.every((spki) => !equalBytes(spki, vendor.root.publicKey.spki)));
    assert.ok(keys.every((spki) => !equalBytes(spki, vendor.ca.publicKey.spki)));
  });

  test('is the same after a restart, with the CAs below it', async () => {
    await server.restart();
    const root = await ask(server.admin(), VendorAdminService.getEnrolmentRoot, {});
    assert.ok(equalBytes(root.certificate, vendor.root.der));
    const { cas } = await ask(server.admin(), VendorAdminService.listEnrolmentCas, {});
    assert.deepEqual(
      cas.map(({ vendor: of, serialNumber }) => [of, serialNumber]),
      [['zpa', vendor.ca.serialDecimal]],
    );
  });
});

test('without its setting it signs nothing, and without connectors neither', async () => {
  const csr = Buffer.from(makeCsr({ subject: VENDOR_SUBJECT }));
  const request = { csr, vendor: 'zpa', ttlSeconds: 0 };
  for (const [options, expected] of [
    [{ connectors: {} }, 'ENROLMENT_ROOT_OFF'],
    [{}, 'CONNECTORS_OFF'],
  ] as const) {
    const other = await TestServer.start(options);
    const client = other.admin();
    await assertStatus(ask(client, VendorAdminService.signEnrolmentCa, request), expected);
    await assertStatus(ask(client, VendorAdminService.getEnrolmentRoot, {}), expected);
    await other.stop();
  }
});
