import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import { makeKey, makeRoot } from '../../test/support/x509.ts';
import { kubectlCommands } from './commands.ts';
import { complete } from './complete.ts';
import { contentReader, looksLikeBundle, readContent } from './content.ts';
import { parseDocument } from './documents.ts';
import { nameText } from './name-text.ts';
import { formatColumns } from './print.ts';
import { parseSource } from './reference.ts';
import { copyOf } from './sources/object-copy.ts';

const ROOT = makeRoot('example.org', { subject: { country: 'US', commonName: 'a,b' } });
const KEY = String(makeKey().privateKey.export({ type: 'pkcs8', format: 'pem' }));

test('a bundle is PEM of certificates, a SPIFFE document, or a JWK Set', () => {
  const pem = assertValue(readContent(`# comment\n${ROOT.pem}`));
  assert.deepEqual([pem.form, pem.x509.length], ['pem', 1]);
  const jwk = {
    kty: 'EC',
    kid: 'k',
    ...makeKey().privateKey.export({ format: 'jwk' }),
    d: undefined,
  };
  const jwks = assertValue(readContent(JSON.stringify({ keys: [jwk] })));
  assert.deepEqual([jwks.form, jwks.jwt.map(({ keyId }) => keyId)], ['jwks', ['k']]);
  const keys = [{ ...jwk, use: 'jwt-svid' }];
  const spiffe = assertValue(readContent(JSON.stringify({ keys, spiffe_sequence: 5 })));
  assert.deepEqual([spiffe.form, spiffe.jwt.length, spiffe.sequence], ['spiffe', 1, 5n]);
  assert.equal(assertValue(readContent(' \n')).x509.length, 0);
});

for (const [name, text] of [
  ['a private key', KEY],
  ['a certificate with its private key', ROOT.pem + KEY],
  ['half a block', ROOT.pem.slice(0, 100)],
  ['other JSON', '{"a":1}'],
  ['a duplicate member', '{"keys":[],"keys":[]}'],
] as const) {
  test(`a bundle is not ${name}, and nothing of it is in the message`, () => {
    const refused = readContent(text);
    assertRefused(refused, 'TRUST_UNREADABLE');
    const secret = KEY.split('\n')[1] ?? '';
    assert.ok(refused.ok || !refused.error.message.includes(secret.slice(0, 20)));
  });
}

test('the same text is read once', () => {
  const read = contentReader();
  assert.equal(read(ROOT.pem), read(`${ROOT.pem}`));
  assert.ok(looksLikeBundle(ROOT.pem) && looksLikeBundle('{ "keys": [] }'));
  assert.ok(!looksLikeBundle('key: value'));
});

test('sources are written as kubectl writes objects, with a context before and a key after', () => {
  const parsed = (text: string): unknown[] => {
    const { kind, context, namespace, name, key } = assertValue(parseSource(text));
    return [kind, context, namespace, name, key];
  };
  assert.deepEqual(parsed('cm/ns/n:ca.crt'), ['cm', undefined, 'ns', 'n', 'ca.crt']);
  assert.deepEqual(parsed('configmap/n'), ['cm', undefined, undefined, 'n', undefined]);
  assert.deepEqual(parsed('prod@ctb/a:b:c'), ['ctb', 'prod', undefined, 'a:b:c', undefined]);
  assert.deepEqual(parsed('pod/ns/n:/run/x.pem'), ['pod', undefined, 'ns', 'n', '/run/x.pem']);
  assert.equal(parsed('server')[0], 'server');
  assert.equal(parsed('https://a/b')[0], 'endpoint');
  for (const file of ['./a', 'a.pem', '-', 'file/a.pem']) assert.equal(parsed(file)[0], 'file');
  for (const bad of ['', 'word', 'cm/', 'cm/a/b/c', 'ctb/a/b', 'secret//x', 'http']) {
    assertRefused(parseSource(bad), 'CLI_USAGE');
  }
});

test('a document is certificates or a token; keys beside certificates are passed over', () => {
  const both = assertValue(parseDocument('x', Buffer.from(KEY + ROOT.pem)));
  assert.deepEqual([both.kind, both.kind === 'x509' && both.chain.length], ['x509', 1]);
  assert.equal(assertValue(parseDocument('x', ROOT.der)).kind, 'x509');
  assert.equal(assertValue(parseDocument('x', Buffer.from('a.b.c\n'))).kind, 'jwt');
  const refused = parseDocument('x', Buffer.from(KEY));
  assertRefused(refused, 'TRUST_UNREADABLE');
});

test('an object says whose bundle it holds and which; what it says wrongly is not believed', () => {
  const read = contentReader();
  const of = (annotations: object) =>
    copyOf(
      { metadata: { name: 'n', namespace: 'ns', annotations } },
      { context: 'c', source: 'cm', key: 'k', text: ROOT.pem },
      read,
    );
  const right = of({ 'signet.dev/trust-domain': 'a.example', 'signet.dev/bundle-sequence': '7' });
  assert.deepEqual([right.trustDomain, right.sequence], ['a.example', 7n]);
  const wrong = of({
    'signet.dev/trust-domain': 'A/B',
    'signet.dev/bundle-sequence': String(2n ** 64n),
  });
  assert.deepEqual([wrong.trustDomain, wrong.sequence], ['example.org', undefined]);
});

test('nothing that a cluster says reaches a terminal raw, and colours only where they are wanted', () => {
  const rows = [['\u001b[31mred\u202e', 'InSync']];
  const plain = formatColumns(
    { heads: ['NAME', 'STATE'], rows },
    { headers: true, colours: false },
  );
  assert.equal(
    plain,
    'NAME                   STATE\n\\u001b[31mred\\u202e  InSync\n'.replace(
      'NAME                   ',
      'NAME                 ',
    ),
  );
  const coloured = formatColumns({ heads: ['A', 'B'], rows }, { headers: false, colours: true });
  assert.equal(coloured, '\\u001b[31mred\\u202e  \u001b[32mInSync\u001b[0m\n');
});

test('names of certificates are shown with what separates escaped', () => {
  assert.equal(nameText(ROOT.subjectDer), 'C=US,CN=a\\,b');
  assert.equal(nameText(Uint8Array.of(0x30, 0x00)), '(no name)');
  assert.match(nameText(Uint8Array.of(0x31)), /^\(/);
});

test('completion offers commands, flags, forms and sources', async () => {
  const ask = (...words: string[]) => complete(words, kubectlCommands, 'list');
  assert.match(await ask('e'), /^expiring\t.*\nexport\t.*\n:4\n$/);
  assert.equal(await ask('list', '-o', 'y'), 'yaml\n:4\n');
  assert.match(await ask('--conte'), /^--context\t.*\n:4\n$/);
  assert.equal(await ask('verify', 's'), 'secret/\nserver\n:0\n');
  assert.equal(await ask('list', '--kubeconfig', ''), ':0\n');
});
