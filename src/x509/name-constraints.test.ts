import { describe, it } from 'node:test';
import { assertRefused, assertValue } from '../../test/support/refused.ts';
import {
  directoryName,
  makeIntermediate,
  makeKey,
  makeLeaf,
  makeRoot,
  nameConstraintsExtension,
  type TestCertificateOptions,
} from '../../test/support/x509.ts';
import type { ErrorCode } from '../base/errors.ts';
import { contextConstructed, contextPrimitive, TAG } from '../der/tags.ts';
import {
  derAscii,
  derElement,
  derNumber,
  derOid,
  derSequence,
  derSetOf,
  derUtf8String,
} from '../der/writer.ts';
import { derExtension } from './extension-writer.ts';
import { GENERAL_NAME_TAG } from './general-name.ts';
import { derName } from './name-writer.ts';
import { OID } from './oids.ts';
import { validatePath } from './path.ts';

const NOW_MS = Date.UTC(2026, 5, 1);
const key = makeKey();
const caKey = makeKey();
const subject = derName({ country: 'US', organization: 'Spire', commonName: 'x' });

const uri = (text: string): Uint8Array => derAscii(GENERAL_NAME_TAG.uri, text);
const dns = (text: string): Uint8Array => derAscii(GENERAL_NAME_TAG.dns, text);
const email = (text: string): Uint8Array => derAscii(GENERAL_NAME_TAG.email, text);
const ip = (...octets: number[]): Uint8Array =>
  derElement(GENERAL_NAME_TAG.ip, Uint8Array.from(octets));
const otherName = derElement(contextConstructed(0), derOid('1.2.3'), derElement(0xa0));
const registeredId = derElement(contextPrimitive(8), Uint8Array.of(0x2a));

/** A leaf under an authority with constraints: nothing where the path holds, else the code. */
function judge(
  permitted: readonly Uint8Array[],
  excluded: readonly Uint8Array[],
  names: TestCertificateOptions,
): ReturnType<typeof validatePath> {
  const extraExtensions = [nameConstraintsExtension(permitted, excluded)];
  const root = makeRoot('example.org', { key: caKey, extraExtensions });
  return judgeUnder(root, names);
}

function judgeUnder(
  root: ReturnType<typeof makeRoot>,
  names: TestCertificateOptions,
): ReturnType<typeof validatePath> {
  const leaf = makeLeaf(root, undefined, { key, subject, uris: [], ...names });
  return validatePath({
    chain: [leaf.certificate],
    roots: [root.certificate],
    atMs: NOW_MS,
  });
}

type Case = readonly [
  name: string,
  permitted: readonly Uint8Array[],
  excluded: readonly Uint8Array[],
  names: TestCertificateOptions,
  code: ErrorCode | 'fine',
];

const OUTSIDE = 'PATH_NAME_CONSTRAINTS';
const UNREADABLE = 'PATH_NAME_CONSTRAINTS_UNREADABLE';
const uris = (...texts: string[]): TestCertificateOptions => ({ uris: texts });

const URI_CASES: readonly Case[] = [
  ['the host permitted', [uri('example.org')], [], uris('spiffe://example.org/web'), 'fine'],
  ['the host in another case', [uri('Example.ORG')], [], uris('spiffe://EXAMPLE.org/a'), 'fine'],
  ['another host', [uri('example.org')], [], uris('spiffe://example.com/web'), OUTSIDE],
  [
    'a host below the host permitted',
    [uri('example.org')],
    [],
    uris('spiffe://a.example.org/w'),
    OUTSIDE,
  ],
  [
    'a host that ends like the one permitted',
    [uri('example.org')],
    [],
    uris('spiffe://badexample.org/w'),
    OUTSIDE,
  ],
  [
    'the host permitted in the path',
    [uri('example.org')],
    [],
    uris('spiffe://evil.org/example.org'),
    OUTSIDE,
  ],
  [
    'the host permitted in the query',
    [uri('example.org')],
    [],
    uris('spiffe://evil.org?//example.org'),
    OUTSIDE,
  ],
  [
    'the host permitted in the fragment',
    [uri('example.org')],
    [],
    uris('spiffe://evil.org#@example.org'),
    OUTSIDE,
  ],
  [
    'the host permitted as user',
    [uri('example.org')],
    [],
    uris('spiffe://example.org@evil.org/w'),
    OUTSIDE,
  ],
  [
    'user information before the host',
    [uri('example.org')],
    [],
    uris('spiffe://u@example.org/w'),
    OUTSIDE,
  ],
  ['a port after the host', [uri('example.org')], [], uris('spiffe://example.org:443/w'), 'fine'],
  ['a port that is no number', [uri('example.org')], [], uris('spiffe://example.org:x/w'), OUTSIDE],
  [
    'a backslash in the authority',
    [uri('example.org')],
    [],
    uris('spiffe://evil.org\\.example.org/'),
    OUTSIDE,
  ],
  [
    'a query right after the host',
    [uri('example.org')],
    [],
    uris('spiffe://example.org?x'),
    'fine',
  ],
  [
    'a fragment right after the host',
    [uri('example.org')],
    [],
    uris('spiffe://example.org#x'),
    'fine',
  ],
  [
    'an IPv4 address beside an exclusion',
    [],
    [uri('example.org')],
    uris('spiffe://192.0.2.1/w'),
    OUTSIDE,
  ],
  ['an IPv4 address', [uri('example.org')], [], uris('spiffe://192.0.2.1/w'), OUTSIDE],
  ['an IPv6 address', [uri('example.org')], [], uris('spiffe://[::1]/w'), OUTSIDE],
  ['a trailing dot', [], [uri('example.org')], uris('spiffe://example.org./w'), OUTSIDE],
  [
    'a percent sign in the host',
    [],
    [uri('example.org')],
    uris('spiffe://exampl%65.org/w'),
    OUTSIDE,
  ],
  ['an empty host', [uri('example.org')], [], uris('spiffe:///w'), OUTSIDE],
  ['no authority', [uri('example.org')], [], uris('urn:example.org'), OUTSIDE],
  ['one slash only', [uri('example.org')], [], uris('spiffe:/example.org'), OUTSIDE],
  ['a host below a domain', [uri('.example.org')], [], uris('spiffe://a.b.example.org/w'), 'fine'],
  [
    'the domain itself under a leading dot',
    [uri('.example.org')],
    [],
    uris('spiffe://example.org/w'),
    OUTSIDE,
  ],
  ['one of two permitted', [uri('a.test'), uri('b.test')], [], uris('spiffe://b.test/w'), 'fine'],
  [
    'a second URI outside',
    [uri('a.test')],
    [],
    uris('spiffe://a.test/w', 'https://b.test'),
    OUTSIDE,
  ],
  ['the host excluded', [], [uri('example.org')], uris('spiffe://example.org/w'), OUTSIDE],
  [
    'the host excluded in another case',
    [],
    [uri('example.org')],
    uris('spiffe://Example.Org/w'),
    OUTSIDE,
  ],
  [
    'a host beside the one excluded',
    [],
    [uri('example.org')],
    uris('spiffe://example.com/w'),
    'fine',
  ],
  [
    'a host below the one excluded',
    [],
    [uri('example.org')],
    uris('spiffe://a.example.org/w'),
    'fine',
  ],
  [
    'a host below a domain excluded',
    [],
    [uri('.example.org')],
    uris('spiffe://a.example.org/w'),
    OUTSIDE,
  ],
  [
    'excluded and permitted',
    [uri('example.org')],
    [uri('example.org')],
    uris('spiffe://example.org/w'),
    OUTSIDE,
  ],
  ['an underscore in the host', [uri('a_b.test')], [], uris('spiffe://a_b.test/w'), 'fine'],
  ['a label without dots', [uri('prod')], [], uris('spiffe://prod/w'), 'fine'],
  ['no URI at all', [uri('example.org')], [], { dnsNames: ['x.test'] }, 'fine'],
  [
    'a whole SPIFFE ID as constraint',
    [uri('spiffe://example.org')],
    [],
    uris('spiffe://example.org/w'),
    UNREADABLE,
  ],
  ['an empty constraint', [], [uri('')], uris('spiffe://example.org/w'), UNREADABLE],
  ['a dot as constraint', [uri('.')], [], uris('spiffe://example.org/w'), UNREADABLE],
  [
    'a wildcard as constraint',
    [uri('*.example.org')],
    [],
    uris('spiffe://a.example.org/w'),
    UNREADABLE,
  ],
];

const dnsNames = (...texts: string[]): TestCertificateOptions => ({ dnsNames: texts });

const DNS_CASES: readonly Case[] = [
  ['the domain', [dns('example.org')], [], dnsNames('example.org'), 'fine'],
  [
    'a name below it in another case',
    [dns('example.org')],
    [],
    dnsNames('A.b.EXAMPLE.org'),
    'fine',
  ],
  ['a name that ends like it', [dns('example.org')], [], dnsNames('badexample.org'), OUTSIDE],
  ['every name', [dns('')], [], dnsNames('any.test'), 'fine'],
  ['no name at all', [], [dns('')], dnsNames('any.test'), OUTSIDE],
  ['a wildcard below it', [dns('example.org')], [], dnsNames('*.example.org'), 'fine'],
  ['a wildcard above it', [dns('a.example.org')], [], dnsNames('*.example.org'), OUTSIDE],
  [
    'a wildcard that could match an exclusion',
    [],
    [dns('a.example.org')],
    dnsNames('*.example.org'),
    OUTSIDE,
  ],
  ['a wildcard within an exclusion', [], [dns('example.org')], dnsNames('*.example.org'), OUTSIDE],
  ['a wildcard beside an exclusion', [], [dns('example.com')], dnsNames('*.example.org'), 'fine'],
  [
    'a constraint with a leading dot',
    [dns('.example.org')],
    [],
    dnsNames('a.example.org'),
    UNREADABLE,
  ],
  ['a constraint with a wildcard', [], [dns('*.example.org')], dnsNames('a.test'), UNREADABLE],
];

const emails = (...texts: string[]): TestCertificateOptions => ({ emails: texts });

const EMAIL_CASES: readonly Case[] = [
  ['the mailbox', [email('a@x.test')], [], emails('a@X.test'), 'fine'],
  ['a mailbox in another case', [email('a@x.test')], [], emails('A@x.test'), OUTSIDE],
  ['any mailbox of the host', [email('x.test')], [], emails('b@x.test'), 'fine'],
  ['a mailbox of a host below', [email('x.test')], [], emails('b@y.x.test'), OUTSIDE],
  ['a mailbox below a domain', [email('.x.test')], [], emails('b@y.x.test'), 'fine'],
  ['a mailbox of the domain itself', [email('.x.test')], [], emails('b@x.test'), OUTSIDE],
  ['two at signs', [email('x.test')], [], emails('a@b@x.test'), OUTSIDE],
  ['a quoted local part', [], [email('y.test')], emails('"a@y.test"@x.test'), OUTSIDE],
  ['no at sign', [email('x.test')], [], emails('x.test'), OUTSIDE],
  [
    'an address in the subject',
    [],
    [email('x.test')],
    {
      subject: derSequence(
        derSetOf(derSequence(derOid('1.2.840.113549.1.9.1'), derAscii(TAG.ia5String, 'a@x.test'))),
      ),
    },
    OUTSIDE,
  ],
  ['a constraint with two at signs', [email('a@b@x.test')], [], emails('a@x.test'), UNREADABLE],
];

const ips = (...octets: number[]): TestCertificateOptions => ({ ips: [Uint8Array.from(octets)] });
const net10 = ip(10, 0, 0, 0, 255, 0, 0, 0);
const v6 = ip(0x20, 1, 0xd, 0xb8, ...Array(12).fill(0), 255, 255, 255, 255, ...Array(12).fill(0));

const IP_CASES: readonly Case[] = [
  ['an address within', [net10], [], ips(10, 9, 8, 7), 'fine'],
  ['an address outside', [net10], [], ips(11, 0, 0, 1), OUTSIDE],
  ['an address excluded', [], [net10], ips(10, 9, 8, 7), OUTSIDE],
  ['an IPv6 address within', [v6], [], ips(0x20, 1, 0xd, 0xb8, ...Array(12).fill(9)), 'fine'],
  ['an IPv4 address under an IPv6 range', [v6], [], ips(10, 0, 0, 1), OUTSIDE],
  [
    'an IPv4 address where all of IPv6 is excluded',
    [],
    [ip(...Array(32).fill(0))],
    ips(10, 0, 0, 1),
    'fine',
  ],
  [
    'an IPv6 address under all of IPv4',
    [ip(...Array(8).fill(0))],
    [],
    ips(...Array(16).fill(9)),
    OUTSIDE,
  ],
  ['a mask with a gap', [ip(10, 0, 0, 0, 255, 0, 255, 0)], [], ips(10, 0, 0, 1), UNREADABLE],
  ['a range without mask', [ip(10, 0, 0, 0)], [], ips(10, 0, 0, 1), UNREADABLE],
];

const utf8Organization = derElement(
  GENERAL_NAME_TAG.directory,
  derSequence(
    derName({ country: 'us' }).subarray(2),
    derSetOf(derSequence(derOid(OID.organization), derUtf8String('  sPIRE '))),
  ),
);

/** A subject with one organisation in a string type. */
const organizationAs = (tag: number, bytes: Uint8Array): TestCertificateOptions => ({
  subject: derSequence(derSetOf(derSequence(derOid(OID.organization), derElement(tag, bytes)))),
});
const bmp = Buffer.from('Spire', 'utf16le').swap16();
const universal = Buffer.concat([...'Spire'].map((c) => Buffer.from([0, 0, 0, c.charCodeAt(0)])));
const onlySpire = directoryName({ organization: 'Spire' });

const DIRECTORY_CASES: readonly Case[] = [
  ...(
    [
      ['UTF8String', TAG.utf8String, Buffer.from('SPIRE')],
      ['IA5String', TAG.ia5String, Buffer.from('Spire')],
      ['TeletexString', TAG.teletexString, Buffer.from('Spire')],
      ['VisibleString', TAG.visibleString, Buffer.from('Spire')],
      ['BMPString', TAG.bmpString, bmp],
      ['UniversalString', TAG.universalString, universal],
    ] as const
  ).map(
    ([name, tag, bytes]): Case => [
      `an exclusion in a ${name}`,
      [],
      [onlySpire],
      organizationAs(tag, bytes),
      OUTSIDE,
    ],
  ),
  ['half a BMPString', [onlySpire], [], organizationAs(TAG.bmpString, bmp.subarray(1)), OUTSIDE],
  [
    'a UniversalString cut short',
    [onlySpire],
    [],
    organizationAs(TAG.universalString, universal.subarray(1)),
    OUTSIDE,
  ],
  [
    'a UniversalString of no characters',
    [onlySpire],
    [],
    organizationAs(TAG.universalString, Buffer.alloc(4, 255)),
    OUTSIDE,
  ],
  [
    'an attribute that is no text',
    [onlySpire],
    [],
    organizationAs(TAG.integer, Uint8Array.of(1)),
    OUTSIDE,
  ],
  ['a subject within', [directoryName({ country: 'US', organization: 'Spire' })], [], {}, 'fine'],
  ['a subject within, otherwise written', [utf8Organization], [], {}, 'fine'],
  ['an exclusion, otherwise written', [], [utf8Organization], {}, OUTSIDE],
  ['a subject outside', [directoryName({ country: 'DE' })], [], {}, OUTSIDE],
  [
    'a subject shorter than the base',
    [directoryName({ country: 'US', organization: 'Spire', commonName: 'x', serialNumber: '1' })],
    [],
    {},
    OUTSIDE,
  ],
  [
    'a directory name outside',
    [directoryName({ country: 'US' })],
    [],
    { otherNames: [directoryName({ country: 'DE' })] },
    OUTSIDE,
  ],
];

const OTHER_CASES: readonly Case[] = [
  ['a kind that nothing here has', [], [otherName], dnsNames('a.test'), 'fine'],
  ['an other name under its constraint', [], [otherName], { otherNames: [otherName] }, OUTSIDE],
  ['another unsupported kind', [], [otherName], { otherNames: [registeredId] }, 'fine'],
  ['a name of a kind without constraint', [dns('a.test')], [], uris('spiffe://b.test/x'), 'fine'],
];

const KINDS = {
  'URI (X509-18, G-7)': URI_CASES,
  DNS: DNS_CASES,
  'e-mail': EMAIL_CASES,
  IP: IP_CASES,
  directory: DIRECTORY_CASES,
  'other names': OTHER_CASES,
};

for (const [kind, cases] of Object.entries(KINDS)) {
  describe(`name constraints on ${kind}`, () => {
    for (const [name, permitted, excluded, names, code] of cases) {
      it(`${code === 'fine' ? 'accept' : 'refuse'} ${name}`, () => {
        const result = judge(permitted, excluded, names);
        if (code === 'fine') assertValue(result);
        else assertRefused(result, code);
      });
    }
  });
}

describe('name constraints in a path', () => {
  const constrained = (...permitted: Uint8Array[]): TestCertificateOptions => ({
    extraExtensions: [nameConstraintsExtension(permitted)],
  });
  const leafName = 'spiffe://example.org/web';

  function judgePath(
    rootOptions: TestCertificateOptions,
    caOptions: TestCertificateOptions,
  ): ReturnType<typeof validatePath> {
    const root = makeRoot('example.org', { key: caKey, ...rootOptions });
    const ca = makeIntermediate(root, caOptions);
    const leaf = makeLeaf(ca, leafName, { key });
    return validatePath({
      chain: [leaf.certificate, ca.certificate],
      roots: [root.certificate],
      atMs: NOW_MS,
    });
  }

  it('let a lower authority narrow but not widen', () => {
    const narrow = constrained(uri('example.org'));
    const wide = constrained(uri('example.org'), uri('example.com'));
    assertValue(judgePath(wide, narrow));
    assertValue(judgePath(narrow, wide));
    assertRefused(judgePath(narrow, constrained(uri('example.com'))), OUTSIDE);
    assertRefused(judgePath(constrained(uri('example.com')), wide), OUTSIDE);
  });

  it('apply to the names of intermediates', () => {
    const ca = { uris: ['spiffe://example.com'] };
    assertRefused(judgePath(constrained(uri('example.org')), ca), OUTSIDE);
  });

  it('do not apply to self-issued intermediates', () => {
    const name = derName({ commonName: 'ca' });
    const root = { ...constrained(uri('example.org')), subject: name };
    assertValue(judgePath(root, { subject: name, uris: ['spiffe://example.com'] }));
  });

  it('apply to a leaf that is self-issued', () => {
    const name = derName({ commonName: 'ca' });
    const extraExtensions = [nameConstraintsExtension([uri('example.org')])];
    const root = makeRoot('example.org', { key: caKey, subject: name, extraExtensions });
    assertValue(judgeUnder(root, { subject: name, uris: ['spiffe://example.org/a'] }));
    assertRefused(judgeUnder(root, { subject: name, uris: ['spiffe://x.test/a'] }), OUTSIDE);
  });

  it('do not apply to the authority itself', () => {
    assertValue(judgePath({}, { ...constrained(uri('example.org')), uris: ['spiffe://x.test'] }));
  });

  const malformed: readonly [name: string, value: Uint8Array, code: ErrorCode][] = [
    ['empty', derSequence(), UNREADABLE],
    ['with empty subtrees', derSequence(derElement(0xa0)), 'DER_TRUNCATED'],
    [
      'with a minimum',
      derSequence(derElement(0xa0, derSequence(uri('a.test'), derElement(0x80, Uint8Array.of(0))))),
      'DER_TRAILING_BYTES',
    ],
    [
      'with a maximum',
      derSequence(derElement(0xa0, derSequence(uri('a.test'), derElement(0x81, Uint8Array.of(1))))),
      'DER_TRAILING_BYTES',
    ],
    [
      'with subtrees in the wrong order',
      derSequence(
        derElement(0xa1, derSequence(uri('a.test'))),
        derElement(0xa0, derSequence(uri('a.test'))),
      ),
      'DER_TRAILING_BYTES',
    ],
    ['that are a number', derNumber(1), 'DER_TAG'],
    [
      'with bytes after them',
      new Uint8Array([...derSequence(derElement(0xa0, derSequence(uri('a.test')))), 0]),
      'DER_TRAILING_BYTES',
    ],
  ];
  for (const [name, value, code] of malformed) {
    it(`are refused ${name}`, () => {
      const extraExtensions = [derExtension(OID.nameConstraints, true, value)];
      assertRefused(judgePath({ extraExtensions }, {}), code);
    });
  }

  it('are refused in a leaf', () => {
    const root = makeRoot('example.org', { key: caKey });
    const extraExtensions = [nameConstraintsExtension([uri('example.org')])];
    assertRefused(judgeUnder(root, { extraExtensions }), 'PATH_EXTENSION');
  });

  it('cost at most 16,384 comparisons', () => {
    const subtrees = Array.from({ length: 128 }, (_, i) => dns(`d${i}.test`));
    const names = (count: number): TestCertificateOptions =>
      dnsNames(...Array.from({ length: count }, (_, i) => `n${i}.d0.test`));
    // The subject is a name too.
    assertValue(judge(subtrees, [], names(127)));
    assertRefused(judge(subtrees, [], names(128)), 'PATH_TOO_COSTLY');
  });
});
