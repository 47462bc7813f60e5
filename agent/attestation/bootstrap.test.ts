import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '../../src/base/clock.ts';
import { type Bundle, emptyBundle } from '../../src/spiffe/bundle.ts';
import { formatPemBundle, formatSpiffeBundle } from '../../src/spiffe/bundle-format.ts';
import { AGENT_TEST_DOMAIN } from '../../test/support/agent-ca.ts';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { testFolder } from '../../test/support/workload-api.ts';
import { makeRoot } from '../../test/support/x509.ts';
import { type BootstrapParts, bootstrapTrust, hasOtherAuthorities } from './bootstrap.ts';

const NOW_MS = Date.UTC(2030, 0, 1);

function bundle(notAfterMs = NOW_MS + 1): Bundle {
  const { certificate } = makeRoot('example.org', { notAfterMs: notAfterMs + 999 });
  return {
    ...emptyBundle(AGENT_TEST_DOMAIN),
    x509Authorities: [{ certificate, tainted: false }],
  };
}

function parts(changes: Partial<BootstrapParts>): BootstrapParts {
  return {
    bootstrap: { insecure: true, bundleFormat: 'pem' },
    trustDomain: AGENT_TEST_DOMAIN,
    clock: new ManualClock(NOW_MS),
    held: undefined,
    onIgnored: () => assert.fail('the file was ignored'),
    ...changes,
  };
}

test('insecure counts only where nothing is held that could verify the server', async () => {
  assert.equal(assertValue(await bootstrapTrust(parts({}))).kind, 'insecure');
  const held = assertValue(await bootstrapTrust(parts({ held: bundle() })));
  assert.equal(held.kind, 'bundle');
  const lapsed = assertValue(await bootstrapTrust(parts({ held: bundle(NOW_MS - 10_000) })));
  assert.equal(lapsed.kind, 'insecure');
});

test('the file counts together with what is held, in either format', async (context) => {
  const dir = testFolder(context);
  const inFile = bundle();
  const bundlePath = join(dir, 'bundle');
  for (const bundleFormat of ['pem', 'spiffe'] as const) {
    const bytes =
      bundleFormat === 'pem' ? formatPemBundle(inFile) : assertValue(formatSpiffeBundle(inFile));
    writeFileSync(bundlePath, bytes);
    const bootstrap = { bundlePath, bundleFormat, insecure: false };
    const alone = assertValue(await bootstrapTrust(parts({ bootstrap })));
    assert.ok(alone.kind === 'bundle');
    assert.equal(alone.bundle().x509Authorities.length, 1);
    const both = assertValue(await bootstrapTrust(parts({ bootstrap, held: bundle() })));
    assert.ok(both.kind === 'bundle');
    assert.equal(both.bundle().x509Authorities.length, 2);
  }
});

test('a file that is absent, broken or empty is refused, unless something valid is held', async (context) => {
  const dir = testFolder(context);
  const bundlePath = join(dir, 'bundle');
  const bootstrap = { bundlePath, bundleFormat: 'spiffe', insecure: false } as const;
  const held = bundle();
  const lapsed = bundle(NOW_MS - 10_000);
  for (const text of [undefined, '', 'junk', '{"keys":[]}']) {
    if (text !== undefined) writeFileSync(bundlePath, text);
    assertRefused(await bootstrapTrust(parts({ bootstrap })), 'AGENT_BOOTSTRAP_BUNDLE');
    const stale = parts({ bootstrap, held: lapsed });
    assertRefused(await bootstrapTrust(stale), 'AGENT_BOOTSTRAP_BUNDLE');
    const ignored: string[] = [];
    const onIgnored = ({ code }: { readonly code: string }) => ignored.push(code);
    const trust = assertValue(await bootstrapTrust(parts({ bootstrap, held, onIgnored })));
    assert.ok(trust.kind === 'bundle');
    assert.deepEqual(trust.bundle(), held);
    assert.deepEqual(ignored, ['AGENT_BOOTSTRAP_BUNDLE']);
  }
});

test('only a file with valid authorities, none of which is held, tells of a trust domain made anew', async (context) => {
  const dir = testFolder(context);
  const bundlePath = join(dir, 'bundle');
  const bootstrap = { bundlePath, bundleFormat: 'pem', insecure: false } as const;
  const held = bundle();
  const other = bundle();
  const asked = (changes: Partial<BootstrapParts> = {}) =>
    hasOtherAuthorities(parts({ bootstrap, held, ...changes }));
  assert.equal(await asked(), false, 'no file');
  const both = { ...held, x509Authorities: [...other.x509Authorities, ...held.x509Authorities] };
  for (const [content, answer, what] of [
    [formatPemBundle(other), true, 'other authorities'],
    [formatPemBundle(both), false, 'one of those held among them'],
    [formatPemBundle(held), false, 'the same'],
    [formatPemBundle(bundle(NOW_MS - 10_000)), false, 'lapsed ones'],
    ['junk', false, 'nothing'],
  ] as const) {
    writeFileSync(bundlePath, content);
    assert.equal(await asked(), answer, what);
  }
  writeFileSync(bundlePath, formatPemBundle(other));
  assert.equal(await asked({ held: undefined }), false, 'nothing is held');
  assert.equal(await asked({ bootstrap: parts({}).bootstrap }), false, 'no file is named');
});
