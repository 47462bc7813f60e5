import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { run } from '../support/processes.ts';
import { type RandomCertificates, randomCertificates } from '../support/random-certificates.ts';
import { skipNow } from '../support/shared.ts';
import { has } from './build.ts';
import { type Finding, PKILINT_WAIVERS, pkilint, preparePkilint } from './pkilint.ts';
import { goClient, type PeerEvent } from './workload-clients.ts';

const COUNT = 1000;
const seed = Number(process.env.SIGNET_TEST_SEED ?? Date.now() % 2 ** 31);

describe(`${COUNT} random certificates, SIGNET_TEST_SEED=${seed}`, () => {
  let folder: string;
  let made: RandomCertificates;
  const file = (name: string) => join(folder, name);

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sgn-'));
    made = await randomCertificates(COUNT, seed);
    writeFileSync(file('roots.pem'), made.roots.join(''));
    writeFileSync(file('intermediates.pem'), made.intermediates.join(''));
    writeFileSync(file('authorities.pem'), [...made.roots, ...made.intermediates].join(''));
    writeFileSync(file('leaves.pem'), made.chains.map(([leaf]) => leaf).join(''));
    // An empty line ends a chain.
    writeFileSync(
      file('chains.pem'),
      made.chains.map((chain) => chain.join('').trim()).join('\n\n'),
    );
    made.chains.forEach(([leaf = ''], index) => {
      writeFileSync(file(`${index}.pem`), leaf);
    });
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const openssl = async () => ((await has('openssl')) ? undefined : 'openssl is not installed');
  for (const purpose of ['sslserver', 'sslclient']) {
    test(`X509-20 OpenSSL verifies each strictly, as ${purpose}`, async (t) => {
      if (skipped(t, await openssl())) return;
      const verified = await run('openssl', [
        ...['verify', '-x509_strict', '-purpose', purpose],
        ...['-CAfile', file('roots.pem'), '-untrusted', file('intermediates.pem')],
        ...made.chains.map((_, index) => file(`${index}.pem`)),
      ]);
      assert.equal(verified.code, 0, verified.stderr.slice(0, 2000));
      assert.equal(verified.stdout.match(/: OK$/gm)?.length, COUNT);
    });
  }

  test('X509-1..9 go-spiffe verifies each chain', async (t) => {
    if (skipped(t, (await goClient.prepare()).missing)) return;
    const [command, args] = goClient.command(['verify', 'example.org', folder]);
    const told = await run(command, args);
    assert.equal(told.code, 0, told.stdout + told.stderr);
    // One line of the peer, which is ours.
    const { svids = [] } = JSON.parse(told.stdout) as PeerEvent;
    assert.equal(svids.length, COUNT);
    assert.deepEqual(
      svids.filter(({ verified }) => !verified),
      [],
    );
  });

  test('pkilint finds nothing but what was looked at and waived', async (t) => {
    if (skipped(t, await preparePkilint())) return;
    const told = await pkilint(file('leaves.pem'), file('authorities.pem'));
    assert.equal(told.certificates, COUNT + made.roots.length + made.intermediates.length);
    // Every leaf and intermediate was judged together with its issuer.
    assert.equal(told.pairs, COUNT + made.intermediates.length);
    const waiver = ({ kind, code, message }: Finding) =>
      PKILINT_WAIVERS.find(
        (each) => each.kind === kind && each.code === code && each.only.test(message),
      );
    assert.deepEqual(
      told.findings.filter((finding) => waiver(finding) === undefined),
      [],
    );
    const used = new Set(told.findings.map(waiver));
    assert.deepEqual(
      PKILINT_WAIVERS.filter((each) => !used.has(each)),
      [],
      'waivers that nothing needs any more',
    );
  });
});

/** Skips a test whose peer is missing; with CI=true it fails. */
function skipped(context: TestContext, missing: string | undefined): boolean {
  if (missing !== undefined) skipNow(context, missing);
  return missing !== undefined;
}
