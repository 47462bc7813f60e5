import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { makeAuthorities, TRUST_DOMAIN } from '../../test/support/issuance.ts';
import { assertValue } from '../../test/support/refused.ts';
import { directoryName, makeIntermediate, makeRoot } from '../../test/support/x509.ts';
import type { AuthoritySource } from '../authority/authority.ts';
import { ManualClock } from '../base/clock.ts';
import type { SignetError } from '../base/errors.ts';
import { seededRandom } from '../base/random.ts';
import { fail, ok, type Result } from '../base/result.ts';
import type { IssuingCa } from '../rules/issuing-ca.ts';
import type { Revocation } from '../rules/revocation.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import { type Crl, parseCrl } from '../x509/crl.ts';
import { CrlPublisher } from './crl-publisher.ts';

const NOW_MS = Date.UTC(2030, 0, 1);
const HOUR_MS = 3_600_000;
const spiffeId = assertValue(parseSpiffeId('spiffe://example.org/web'));

function revocation(serial: string, issuerDer: Uint8Array | undefined): Revocation {
  const nowSeconds = NOW_MS / 1000;
  return {
    serial,
    spiffeId,
    agentId: undefined,
    authorityId: 'aa',
    issuerDer,
    notAfterSeconds: nowSeconds + 3600,
    revokedAtSeconds: nowSeconds,
    reason: 'superseded',
  };
}

async function setUp(context: TestContext) {
  const clock = new ManualClock(NOW_MS);
  const authorities = makeAuthorities({ clock });
  assertValue(await authorities.start());
  const revoked: Revocation[] = [];
  const issuingCas: IssuingCa[] = [];
  let wake = (): void => {};
  const faults: SignetError[] = [];
  const recorded: string[] = [];
  const state: { root: Result<never> | undefined; recordCa: Result<void> } = {
    root: undefined,
    recordCa: ok(undefined),
  };
  const roots: AuthoritySource = {
    currentX509: () => state.root ?? authorities.currentX509(),
    currentJwt: () => authorities.currentJwt(),
    onChange: () => () => {},
  };
  const publisher = new CrlPublisher({
    trustDomain: TRUST_DOMAIN,
    registry: {
      revocations: () => revoked,
      issuingCas: () => issuingCas,
      onIssuingCas: () => () => {},
      onRevocations: (listener) => {
        wake = listener;
        return () => {};
      },
    },
    roots,
    clock,
    random: seededRandom(1),
    lifetimeSeconds: 3600,
    backdateSeconds: 60,
    recordCa: async ({ keyId }) => {
      recorded.push(Buffer.from(keyId).toString('hex'));
      return state.recordCa;
    },
    onFault: (error) => faults.push(error),
  });
  context.after(async () => {
    await publisher.close();
    await authorities.close();
  });
  const crl = (): Crl => assertValue(parseCrl(publisher.current?.der ?? new Uint8Array()));
  const revoke = async (...more: Revocation[]): Promise<void> => {
    revoked.push(...more);
    wake();
    await publisher.update();
  };
  return { clock, publisher, authorities, faults, recorded, state, crl, revoke, issuingCas };
}

test('a CRL begins before now, ends after its lifetime and lists what has a name', async (context) => {
  const { publisher, authorities, crl, revoke, recorded } = await setUp(context);
  await publisher.start();
  const issuerDer = assertValue(authorities.currentX509()).certificate.subjectDer;
  assert.deepEqual(crl().size, 0);
  assert.deepEqual([crl().thisUpdateMs, crl().nextUpdateMs], [NOW_MS - 60_000, NOW_MS + HOUR_MS]);
  await revoke(revocation('255', issuerDer), revocation('256', undefined));
  assert.equal(crl().size, 1);
  assert.equal(crl().find(issuerDer, Uint8Array.of(0, 255))?.reason, 4);
  assert.equal(crl().find(directoryName({}), Uint8Array.of(1, 0)), undefined);
  assert.equal(recorded.length, 1);
});

test('a revoked issuing CA is listed under the name of its root; a tainted one is not', async (context) => {
  const { publisher, crl, issuingCas } = await setUp(context);
  const root = makeRoot();
  const [tainted, revoked] = (['tainted', 'revoked'] as const).map((state): IssuingCa => {
    const { certificate } = makeIntermediate(root);
    const authorityId = Buffer.from(certificate.subjectKeyId ?? []).toString('hex');
    return { authorityId, certificate, server: 'a', state, sinceSeconds: NOW_MS / 1000 - 30 };
  });
  assert.ok(tainted !== undefined && revoked !== undefined);
  issuingCas.push(tainted, revoked);
  await publisher.start();
  assert.equal(crl().size, 1);
  const entry = crl().find(root.certificate.subjectDer, revoked.certificate.serial);
  assert.deepEqual([entry?.reason, entry?.revokedAtMs], [2, NOW_MS - 30_000]);
});

test('numbers rise, also for two CRLs of one millisecond', async (context) => {
  const { publisher, clock } = await setUp(context);
  await publisher.start();
  const numbers = [publisher.current?.number];
  await publisher.update();
  numbers.push(publisher.current?.number);
  clock.advance(1000);
  await publisher.update();
  numbers.push(publisher.current?.number);
  assert.deepEqual(numbers, [BigInt(NOW_MS), BigInt(NOW_MS) + 1n, BigInt(NOW_MS) + 1000n]);
});

test('another is made at half of its lifetime, and not before', async (context) => {
  const { publisher, clock } = await setUp(context);
  await publisher.start();
  const first = publisher.current;
  clock.advance(HOUR_MS / 2 - 1);
  assert.equal(publisher.current, first);
  const made = new Promise<void>((resolve) => publisher.onChange(resolve));
  clock.advance(1);
  await made;
  assert.equal(publisher.current?.nextUpdateMs, NOW_MS + HOUR_MS * 1.5);
});

test('the signer stays until half of its life, which its root bounds', async (context) => {
  const { publisher, clock, crl } = await setUp(context);
  await publisher.start();
  const first = crl().signerCertificate;
  assert.equal(first?.notAfterMs, NOW_MS + 24 * HOUR_MS);
  clock.advance(11 * HOUR_MS);
  await publisher.update();
  assert.equal(crl().signerCertificate?.serialDecimal, first?.serialDecimal);
  clock.advance(HOUR_MS);
  await publisher.update();
  assert.notEqual(crl().signerCertificate?.serialDecimal, first?.serialDecimal);
});

test('without a root it says so, keeps what it has, and tries again', async (context) => {
  const { publisher, clock, state, faults } = await setUp(context);
  state.root = fail('AUTHORITY_EXPIRED', 'planted');
  await publisher.start();
  assert.equal(publisher.current, undefined);
  assert.deepEqual(
    faults.map(({ code }) => code),
    ['AUTHORITY_EXPIRED'],
  );
  state.root = undefined;
  const made = new Promise<void>((resolve) => publisher.onChange(resolve));
  clock.advance(1000);
  await made;
  const first = publisher.current;
  state.root = fail('AUTHORITY_EXPIRED', 'planted');
  await publisher.update();
  assert.equal(publisher.current, first);
});

test('no certificate of a signer is signed that is not on record', async (context) => {
  const { publisher, state, faults } = await setUp(context);
  state.recordCa = fail('LEDGER_IO', 'planted');
  await publisher.start();
  assert.equal(publisher.current, undefined);
  assert.deepEqual(
    faults.map(({ code }) => code),
    ['LEDGER_IO'],
  );
});
