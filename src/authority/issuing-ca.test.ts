import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { after, test } from 'node:test';
import {
  MemoryAuthorityStore,
  makeAuthorities,
  makeIssuer,
  SILENT,
  TRUST_DOMAIN,
  x509Grant,
} from '../../test/support/issuance.ts';
import { type Device, outsideKeys } from '../../test/support/outside-keys.ts';
import { keyFrom, makeCsr, makeIntermediate, makeLeaf, makeRoot } from '../../test/support/x509.ts';
import { equalBytes } from '../base/bytes.ts';
import { ManualClock } from '../base/clock.ts';
import { systemRandom } from '../base/random.ts';
import { fail, ok, type Result, unwrap } from '../base/result.ts';
import type { X509Grant } from '../policy/grant.ts';
import type { IssuingCaState } from '../rules/issuing-ca.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { validateX509Svid } from '../spiffe/x509-svid.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { OID } from '../x509/oids.ts';
import { validatePath } from '../x509/path.ts';
import type { X509Authority } from './authority.ts';
import { createIssuingCa, type IssuingCa, type IssuingCaOptions } from './issuing-ca.ts';
import type { CaRecord } from './x509-certificate.ts';

const HOUR_MS = 3_600_000;
const YEAR_SECONDS = 365 * 24 * 3600;

const closers: (() => Promise<void>)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});

const code = (result: Result<unknown>) => (result.ok ? 'ok' : result.error.code);

/** Roots of a year in a key manager outside, and an issuing CA below them that is not started. */
async function world(extra: Partial<IssuingCaOptions> = {}) {
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const kms = { signatures: 0, act: undefined as Device | undefined };
  const keys = outsideKeys({
    act: (sign, ...args) => {
      kms.signatures += 1;
      return kms.act === undefined ? sign(...args) : kms.act(sign, ...args);
    },
  });
  const store = new MemoryAuthorityStore();
  const roots = makeAuthorities({ clock, keys, store, ttlSeconds: YEAR_SECONDS });
  closers.push(() => roots.close());
  unwrap(await roots.start());
  const metrics = createMetrics('test');
  const base = { trustDomain: TRUST_DOMAIN, roots, clock, random: systemRandom, log: SILENT };
  const issuing = createIssuingCa({ ...base, metrics, ...extra });
  closers.push(() => issuing.close());
  kms.signatures = 0;
  return { clock, kms, store, roots, issuing, metrics };
}

async function started(extra: Partial<IssuingCaOptions> = {}) {
  const made = await world(extra);
  unwrap(await made.issuing.start());
  return made;
}

type World = Awaited<ReturnType<typeof world>>;

/** One leaf by the issuing CA. */
async function issueLeaf(
  { clock, issuing }: Pick<World, 'clock' | 'issuing'>,
  grant: Partial<X509Grant> = {},
) {
  const issuer = makeIssuer({ authority: issuing, clock, workers: 0 });
  const issued = await issuer.mintX509(x509Grant('/web', grant), makeCsr());
  await issuer.close();
  return issued;
}

/** Waits until another issuing CA signs. */
function changed(issuing: IssuingCa): Promise<void> {
  return new Promise((resolve) => {
    const end = issuing.onChange(() => {
      end();
      resolve();
    });
  });
}

/** Lets turns that cannot change anything come to their end. */
const settled = (issuing: IssuingCa) => issuing.close();

function validate({ store, clock }: World, chain: readonly Uint8Array[]) {
  return validateX509Svid({
    chain: chain.map((der) => unwrap(parseCertificate(der))),
    bundles: () => store.bundle,
    atMs: clock.nowMs(),
  });
}

test('a leaf goes with its issuing CA and leads to the root of the bundle', async () => {
  const here = await started();
  const { chain } = unwrap(await issueLeaf(here));
  const current = unwrap(here.issuing.currentX509());
  assert.equal(chain.length, 2);
  assert.ok(equalBytes(chain[1]!, current.certificate.der));
  assert.equal(code(validate(here, chain)), 'ok');
  assert.notEqual(code(validate(here, chain.slice(0, 1))), 'ok', 'the leaf alone leads nowhere');
  const roots = here.store.bundle!.x509Authorities;
  assert.equal(roots.length, 1, 'the bundle holds roots only');
  assert.ok(!equalBytes(roots[0]!.certificate.der, current.certificate.der));
});

test('RFC 5280 §4.2.1.9: nothing but leaves may follow an issuing CA', async () => {
  const { certificate } = unwrap((await started()).issuing.currentX509());
  assert.equal(certificate.basicConstraints?.pathLength, 0);
  assert.ok(!certificate.extensions.some(({ oid }) => oid === OID.nameConstraints));
});

test('the key manager signs the issuing CA and no leaf', async () => {
  const here = await started();
  for (let leaf = 0; leaf < 5; leaf++) unwrap(await issueLeaf(here));
  assert.equal(here.kms.signatures, 1);
});

test('X509-26 it lives 24 hours, inside the life of its root, and its leaves inside its own', async () => {
  const here = await started();
  const { certificate, notAfterMs } = unwrap(here.issuing.currentX509());
  assert.equal(notAfterMs, here.clock.nowMs() + 24 * HOUR_MS);
  const root = unwrap(here.roots.currentX509()).certificate;
  assert.ok(certificate.notBeforeMs >= root.notBeforeMs);
  const leaf = unwrap(await issueLeaf(here, { ttlSeconds: 48 * 3600 }));
  assert.equal(leaf.expiresAtSeconds * 1000, notAfterMs);
});

test('it is renewed with another key at half of its life', async () => {
  const here = await started();
  const first = unwrap(here.issuing.currentX509());
  here.clock.advance(12 * HOUR_MS - 1);
  assert.equal(unwrap(here.issuing.currentX509()), first);
  const renewed = changed(here.issuing);
  here.clock.advance(1);
  await renewed;
  const second = unwrap(here.issuing.currentX509());
  assert.notEqual(second.authorityId, first.authorityId);
  assert.ok(!equalBytes(second.key.publicKeySpki, first.key.publicKeySpki));
  assert.equal(second.notAfterMs, here.clock.nowMs() + 24 * HOUR_MS);
});

test('B1 it issues through an outage for the rest of its life, and is renewed when that ends', async () => {
  const here = await started();
  const first = unwrap(here.issuing.currentX509());
  const tried = Promise.withResolvers<void>();
  here.kms.act = async () => {
    tried.resolve();
    return fail('KEY_MANAGER_UNREACHABLE', 'the outage of the test');
  };
  const failed = async () => String(await here.metrics.registry.getSingleMetricAsString(GAUGE));
  const GAUGE = 'test_issuing_ca_renewal_failing';
  let refusals = 0;
  for (let hour = 0; hour < 23; hour++) {
    here.clock.advance(HOUR_MS);
    const issued = await issueLeaf(here);
    if (!issued.ok) refusals += 1;
  }
  assert.equal(refusals, 0);
  await tried.promise;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(unwrap(here.issuing.currentX509()), first);
  assert.equal(here.issuing.problem?.code, 'KEY_MANAGER_UNREACHABLE');
  assert.match(await failed(), / 1$/m);
  here.clock.advance(HOUR_MS - 1);
  assert.equal(code(here.issuing.currentX509()), 'ok');
  here.clock.advance(1);
  const expired = here.issuing.currentX509();
  assert.equal(code(expired), 'AUTHORITY_EXPIRED');
  assert.match(expired.ok ? '' : expired.error.message, /outage of the test/);
  here.kms.act = undefined;
  const renewed = changed(here.issuing);
  here.clock.advance(120_000);
  await renewed;
  assert.equal(code(await issueLeaf(here)), 'ok');
  assert.equal(here.issuing.problem, undefined);
  assert.match(await failed(), / 0$/m);
});

test('a failed renewal is tried again within a minute, not at the next half', async () => {
  const here = await started();
  const tried = Promise.withResolvers<void>();
  here.kms.act = async () => {
    tried.resolve();
    return fail('KEY_MANAGER_THROTTLED', 'by the test');
  };
  here.clock.advance(12 * HOUR_MS);
  await tried.promise;
  await new Promise((resolve) => setImmediate(resolve));
  here.kms.act = undefined;
  const renewed = changed(here.issuing);
  for (let second = 0; second < 60; second++) here.clock.advance(1000);
  await renewed;
  await settled(here.issuing);
});

test('the first one refuses the start with what the key manager says', async () => {
  const here = await world();
  here.kms.act = async () => fail('KEY_DISABLED', 'by the test');
  assert.equal(code(await here.issuing.start()), 'KEY_DISABLED');
  assert.equal(code(here.issuing.currentX509()), 'AUTHORITY_NOT_READY');
  here.kms.act = undefined;
  assert.equal(code(await here.issuing.start()), 'ok');
});

test('a signature by another key than the root makes no issuing CA', async () => {
  const here = await world();
  here.kms.act = async (sign, message, options) => {
    const signed = unwrap(await sign(message, options));
    signed[signed.length - 1]! ^= 1;
    return ok(signed);
  };
  assert.equal(code(await here.issuing.start()), 'KEY_SIGNATURE_WRONG');
});

test('I2 it is on record before it is signed, and not signed where that fails', async () => {
  const records: CaRecord[] = [];
  let signaturesThen = -1;
  const here: World = await world({
    recordCa: async (record) => {
      records.push(record);
      signaturesThen = here.kms.signatures;
      return ok(undefined);
    },
  });
  unwrap(await here.issuing.start());
  assert.equal(signaturesThen, 0);
  const { certificate } = unwrap(here.issuing.currentX509());
  assert.ok(equalBytes(records[0]!.keyId, certificate.subjectKeyId!));
  const refused = await world({ recordCa: async () => fail('STORE_FULL', 'full') });
  assert.equal(code(await refused.issuing.start()), 'STORE_FULL');
  assert.equal(refused.kms.signatures, 0);
});

test('another root has another issuing CA made below it at once', async () => {
  const here = await started();
  const first = unwrap(here.issuing.currentX509());
  const prepared = unwrap(await here.roots.prepare('x509'));
  const renewed = new Promise<X509Authority>((resolve) => {
    here.issuing.onChange(() => {
      const current = unwrap(here.issuing.currentX509());
      if (current !== first) resolve(current);
    });
  });
  unwrap(await here.roots.activate('x509', prepared.authorityId, { force: true }));
  const next = await renewed;
  const root = unwrap(here.roots.currentX509());
  assert.equal(root.authorityId, prepared.authorityId);
  assert.ok(equalBytes(next.certificate.issuerDer, root.certificate.subjectDer));
  const { chain } = unwrap(await issueLeaf(here));
  assert.equal(code(validate(here, chain)), 'ok');
});

test('a stolen one is replaced by hand with another key', async () => {
  const here = await started();
  const stolen = unwrap(here.issuing.currentX509());
  unwrap(await here.issuing.replace(stolen.authorityId));
  const next = unwrap(here.issuing.currentX509());
  assert.notEqual(next.authorityId, stolen.authorityId);
  unwrap(await here.issuing.replace(stolen.authorityId));
  assert.equal(unwrap(here.issuing.currentX509()), next, 'it was replaced already');
});

test('one that cannot be written down signs nothing, and is written down by the next try', async () => {
  const noted: string[] = [];
  let written: Result<void> = fail('STORE_IO', 'the disk is gone');
  const note = async ({ authorityId }: X509Authority) => {
    noted.push(authorityId);
    return written;
  };
  const here = await world({ note });
  assert.equal(code(await here.issuing.start()), 'STORE_IO');
  assert.equal(code(here.issuing.currentX509()), 'AUTHORITY_NOT_READY');
  written = ok(undefined);
  unwrap(await here.issuing.start());
  const { authorityId } = unwrap(here.issuing.currentX509());
  assert.deepEqual(noted, [authorityId, authorityId]);
  assert.equal(here.kms.signatures, 1, 'the root was not asked again');
});

test('one that was tainted elsewhere is replaced at once, and signs on until it can be', async () => {
  const states = new Map<string, IssuingCaState>();
  const here = await started({ stateOf: (authorityId) => states.get(authorityId) });
  const tainted = unwrap(here.issuing.currentX509());
  states.set(tainted.authorityId, 'tainted');
  here.kms.act = async () => fail('KEY_MANAGER_UNREACHABLE', 'down');
  here.issuing.reconsider();
  // Turns follow one another: this one waits for the one before, and fails like it.
  assert.equal(code(await here.issuing.replace('')), 'KEY_MANAGER_UNREACHABLE');
  assert.equal(unwrap(here.issuing.currentX509()), tainted);
  states.set(tainted.authorityId, 'revoked');
  assert.equal(code(here.issuing.currentX509()), 'AUTHORITY_NOT_READY');
  here.kms.act = undefined;
  const replaced = changed(here.issuing);
  here.issuing.reconsider();
  await replaced;
  assert.notEqual(unwrap(here.issuing.currentX509()).authorityId, tainted.authorityId);
});

test('one that ends with its root is not made again and again', async () => {
  const here = await started({ ttlSeconds: 2 * YEAR_SECONDS });
  const { notAfterMs, authorityId } = unwrap(here.issuing.currentX509());
  assert.equal(notAfterMs, unwrap(here.roots.currentX509()).notAfterMs);
  here.clock.advance(200 * 24 * HOUR_MS);
  // Turns follow one another: what was due came before this one.
  unwrap(await here.issuing.replace(authorityId));
  assert.equal(here.kms.signatures, 2);
});

test('X509-18 with name constraints a leaf of another trust domain leads nowhere', async () => {
  const here = await started({ nameConstraint: true });
  const { certificate } = unwrap(here.issuing.currentX509());
  const constraint = certificate.extensions.find(({ oid }) => oid === OID.nameConstraints);
  assert.equal(constraint?.critical, true, 'RFC 5280 §4.2.1.10');
  const { chain } = unwrap(await issueLeaf(here));
  assert.equal(code(validate(here, chain)), 'ok');
  assert.equal(judgeForged(here), 'PATH_NAME_CONSTRAINTS');
});

test('without them its key could sign names of any trust domain', async () => {
  assert.equal(judgeForged(await started()), 'ok');
});

/** What a path validator says of a leaf for another trust domain, made with the issuing CA's key. */
function judgeForged({ issuing, roots, clock }: World): string {
  const { certificate, key } = unwrap(issuing.currentX509());
  const pkcs8 = Buffer.from(key.exportPkcs8()!);
  const issuer = {
    ...makeIntermediate(makeRoot()),
    key: keyFrom(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })),
    subjectDer: certificate.subjectDer,
    keyId: certificate.subjectKeyId!,
  };
  const forged = makeLeaf(issuer, 'spiffe://other.example/web');
  return code(
    validatePath({
      chain: [unwrap(parseCertificate(forged.der)), certificate],
      roots: [unwrap(roots.currentX509()).certificate],
      atMs: clock.nowMs(),
    }),
  );
}
