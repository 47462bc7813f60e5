import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  base64url,
  jwtBundle,
  makeJwtKey,
  signCompact,
  signerFor,
  type TestKeyType,
} from '../../test/support/jwt.ts';
import type { ErrorCode } from '../base/errors.ts';
import { type Result, unwrap } from '../base/result.ts';
import { emptyBundle } from './bundle.ts';
import { jsonToPlain } from './json.ts';
import {
  type JwtSvidValidation,
  MAX_JWT_SVID_BYTES,
  MAX_LEEWAY_MS,
  parseJwtSvidUnverified,
  validateJwtSvid,
} from './jwt-svid.ts';
import { parseTrustDomain } from './trust-domain.ts';

const NOW_SECONDS = 1_800_000_000;
const TD = unwrap(parseTrustDomain('td'));
const OTHER = unwrap(parseTrustDomain('other'));

const P256 = makeJwtKey('P-256', 'p256');
const P384 = makeJwtKey('P-384', 'p384');
const P521 = makeJwtKey('P-521', 'p521');
const RSA = makeJwtKey('rsa-2048', 'rsa');
const FOREIGN = makeJwtKey('P-256', 'foreign');
const KEYS = { 'P-256': P256, 'P-384': P384, 'P-521': P521, 'rsa-2048': RSA };
const BUNDLE = jwtBundle(TD, Object.values(KEYS));
const OTHER_BUNDLE = jwtBundle(OTHER, [FOREIGN]);

const HEADER = { alg: 'ES256', kid: 'p256', typ: 'JWT' };
const CLAIMS = { sub: 'spiffe://td/w', aud: ['me'], exp: NOW_SECONDS + 300, iat: NOW_SECONDS };

function token(header: object | string = HEADER, claims: object | string = CLAIMS): string {
  return signCompact(header, claims, signerFor('ES256', P256.privateKey));
}

function validate(text: string, change: Partial<JwtSvidValidation> = {}): Result<unknown> {
  return validateJwtSvid({
    token: text,
    bundles: ({ name }) => (name === 'td' ? BUNDLE : name === 'other' ? OTHER_BUNDLE : undefined),
    audience: 'me',
    atMs: NOW_SECONDS * 1000,
    ...change,
  });
}

type Outcome = ErrorCode | 'ok';

function outcome(result: Result<unknown>): string {
  return result.ok ? 'ok' : result.error.code;
}

function table(rule: string, cases: readonly (readonly [string, string, Outcome])[]): void {
  for (const [name, text, expected] of cases) {
    const verb = expected === 'ok' ? 'accepts' : 'refuses';
    test(`${rule} ${verb} ${name}`, () => assert.equal(outcome(validate(text)), expected));
  }
}

function without(name: string): object {
  return Object.fromEntries(Object.entries(CLAIMS).filter(([key]) => key !== name));
}

const [H = '', P = '', S = ''] = token().split('.');

table('JWT-1', [
  ['a token in compact form', token(), 'ok'],
  [
    'JSON serialization',
    JSON.stringify({ payload: P, protected: H, signature: S }),
    'JWT_SVID_MALFORMED',
  ],
  ['two parts', `${H}.${P}`, 'JWT_SVID_MALFORMED'],
  ['four parts', `${H}.${P}.${S}.`, 'JWT_SVID_MALFORMED'],
  ['five parts', `${H}.${P}.${S}.${S}.${S}`, 'JWT_SVID_MALFORMED'],
  ['no header', `.${P}.${S}`, 'JWT_SVID_MALFORMED'],
  ['no payload', `${H}..${S}`, 'JSON_SYNTAX'],
  ['no signature', `${H}.${P}.`, 'JWT_SVID_MALFORMED'],
  ['nothing', '', 'JWT_SVID_MALFORMED'],
  ['padding', `${H}.${P}.${S}==`, 'JWT_SVID_MALFORMED'],
  ['a space before', ` ${H}.${P}.${S}`, 'JWT_SVID_MALFORMED'],
  ['a line end after', `${H}.${P}.${S}\n`, 'JWT_SVID_MALFORMED'],
  ['a space inside', `${H}.${P}.${S.slice(0, 9)} ${S.slice(9)}`, 'JWT_SVID_MALFORMED'],
  ['a character of the other alphabet', `${H}.${P}.+${S.slice(1)}`, 'JWT_SVID_MALFORMED'],
  [
    'stray bits in the last character',
    `${H}.${P}.${S.slice(0, -1)}${strayBits(S)}`,
    'JWT_SVID_MALFORMED',
  ],
  ['a header that is no JSON', token('{'), 'JSON_SYNTAX'],
  ['a header that is an array', token('[]'), 'JSON_SYNTAX'],
  ['claims that are no object', token(HEADER, '"x"'), 'JSON_SYNTAX'],
  ['a header with a key twice', token('{"alg":"ES256","alg":"ES256"}'), 'JSON_DUPLICATE_KEY'],
  [
    'claims with a key twice',
    token(HEADER, `{"sub":"spiffe://td/x",${JSON.stringify(CLAIMS).slice(1)}`),
    'JSON_DUPLICATE_KEY',
  ],
  ['claims nested 33 deep', token(HEADER, { ...CLAIMS, x: nested(33) }), 'JSON_TOO_DEEP'],
]);

/** Another last character that decodes to the same bytes where decoding is lax. */
function strayBits(part: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return alphabet[alphabet.indexOf(part.at(-1) ?? '') | 1] ?? '';
}

function nested(depth: number): unknown {
  return depth === 0 ? 0 : [nested(depth - 1)];
}

for (const [length, expected] of [
  [MAX_JWT_SVID_BYTES - 1, 'ok'],
  [MAX_JWT_SVID_BYTES, 'ok'],
  [MAX_JWT_SVID_BYTES + 1, 'JWT_SVID_TOO_LARGE'],
  [1_000_000, 'JWT_SVID_TOO_LARGE'],
] as const) {
  test(`JWT-1 a token of ${length} bytes: ${expected}`, () => {
    assert.equal(outcome(validate(tokenOfLength(length))), expected);
  });
}

function tokenOfLength(length: number): string {
  // Four characters carry three bytes; header padding tunes what the payload cannot reach.
  for (let pad = 0; ; pad++) {
    const header = { ...HEADER, pad: 'x'.repeat(pad) };
    const empty = token(header, { ...CLAIMS, fill: '' });
    const fill = Math.floor(((length - empty.length) * 3) / 4);
    for (const extra of [-1, 0, 1]) {
      const text = token(header, { ...CLAIMS, fill: 'x'.repeat(fill + extra) });
      if (text.length === length) return text;
    }
  }
}

const FITTING: readonly (readonly [string, TestKeyType])[] = [
  ['RS256', 'rsa-2048'],
  ['RS384', 'rsa-2048'],
  ['RS512', 'rsa-2048'],
  ['ES256', 'P-256'],
  ['ES384', 'P-384'],
  ['ES512', 'P-521'],
  ['PS256', 'rsa-2048'],
  ['PS384', 'rsa-2048'],
  ['PS512', 'rsa-2048'],
];
for (const [alg, type] of FITTING) {
  test(`JWT-3 accepts ${alg}`, () => {
    const { keyId, privateKey } = KEYS[type];
    const text = signCompact({ alg, kid: keyId }, CLAIMS, signerFor(alg, privateKey));
    assert.equal(outcome(validate(text)), 'ok');
  });
}

const OTHER_ALGORITHMS = [
  'none',
  'None',
  'NONE',
  'nOnE',
  'HS256',
  'HS384',
  'HS512',
  'EdDSA',
  'ES256K',
];
for (const alg of [...OTHER_ALGORITHMS, 'es256', 'RS1', 'A128KW', '', 'constructor', '__proto__']) {
  test(`JWT-4 refuses the algorithm "${alg}" before any key is looked at`, () => {
    const text = token({ ...HEADER, alg });
    const bundles = (): never => assert.fail('a bundle was asked for');
    assert.equal(outcome(validate(text, { bundles })), 'JWT_SVID_ALGORITHM');
  });
}

test('JWT-4 refuses an HMAC keyed with the public key', () => {
  const text = signCompact({ ...HEADER, alg: 'HS256' }, CLAIMS, signerFor('HS256', P256.publicKey));
  assert.equal(outcome(validate(text)), 'JWT_SVID_ALGORITHM');
});

table('JWT-4', [
  ['no algorithm', token({ kid: 'p256' }), 'JWT_SVID_ALGORITHM'],
  ['an algorithm that is a number', token({ ...HEADER, alg: 256 }), 'JWT_SVID_ALGORITHM'],
  ['an algorithm in an array', token({ ...HEADER, alg: ['ES256'] }), 'JWT_SVID_ALGORITHM'],
]);

table('JWT-5', [
  ['a token without kid, by trying the keys that fit', token({ alg: 'ES256' }), 'ok'],
  ['a kid that no key has', token({ ...HEADER, kid: 'nobody' }), 'JWT_SVID_KEY'],
  ['a kid in another case', token({ ...HEADER, kid: 'P256' }), 'JWT_SVID_KEY'],
  ['an empty kid', token({ ...HEADER, kid: '' }), 'JWT_SVID_KEY'],
  ['a kid that is a number', token({ ...HEADER, kid: 1 }), 'JWT_SVID_HEADER'],
  ['a kid that is null', token({ ...HEADER, kid: null }), 'JWT_SVID_HEADER'],
]);

test('JWT-5 refuses a token without kid that no key verifies', () => {
  const text = signCompact({ alg: 'ES256' }, CLAIMS, signerFor('ES256', FOREIGN.privateKey));
  assert.equal(outcome(validate(text)), 'JWT_SVID_SIGNATURE');
});

for (const [count, expected] of [
  [15, 'ok'],
  [16, 'ok'],
  [17, 'JWT_SVID_KEY'],
] as const) {
  test(`JWT-5 a token without kid against ${count} keys that fit: ${expected}`, () => {
    const others = Array.from({ length: count - 1 }, (_, index) =>
      makeJwtKey('P-256', `k${index}`),
    );
    const bundle = jwtBundle(TD, [...others, P256, P384, RSA]);
    const bundles = (): typeof bundle => bundle;
    assert.equal(outcome(validate(token({ alg: 'ES256' }), { bundles })), expected);
  });
}

test('JWT-5 refuses a kid that two keys of the bundle have', () => {
  const bundle = jwtBundle(TD, [
    P256,
    { ...P384, authority: { ...P384.authority, keyId: 'p256' } },
  ]);
  assert.equal(outcome(validate(token(), { bundles: () => bundle })), 'JWT_SVID_KEY');
});

table('JWT-6', [
  ['no typ', token({ alg: 'ES256', kid: 'p256' }), 'ok'],
  ['typ JWT', token(HEADER), 'ok'],
  ['typ JOSE', token({ ...HEADER, typ: 'JOSE' }), 'ok'],
  ['typ jwt', token({ ...HEADER, typ: 'jwt' }), 'JWT_SVID_HEADER'],
  ['a WIT-SVID (JWT-17)', token({ ...HEADER, typ: 'wit+jwt' }), 'JWT_SVID_HEADER'],
  ['an access token', token({ ...HEADER, typ: 'at+jwt' }), 'JWT_SVID_HEADER'],
  ['an empty typ', token({ ...HEADER, typ: '' }), 'JWT_SVID_HEADER'],
  ['a typ that is null', token({ ...HEADER, typ: null }), 'JWT_SVID_HEADER'],
]);

table('ID-19', [
  [
    'a kind of token that no SPIFFE text defines',
    token({ ...HEADER, typ: 'x+jwt' }),
    'JWT_SVID_HEADER',
  ],
]);

const BAD_SUBJECTS = [
  '',
  'w',
  'http://td/w',
  'spiffe:/td/w',
  'spiffe:///w',
  'spiffe://td/w?x',
  'spiffe://td/w#f',
  'spiffe://u@td/w',
  'spiffe://td:80/w',
  'spiffe://td/',
  'spiffe://td/w/',
  'spiffe://td//w',
  'spiffe://td/../w',
  'spiffe://td/%77',
  'spiffe://t%64/w',
  'spiffe://td/ä',
  'spiffe://t\u212a/w',
  `spiffe://td/${'a'.repeat(2037)}`,
  'spiffe://td',
];
for (const sub of BAD_SUBJECTS) {
  test(`JWT-7 refuses the subject ${JSON.stringify(sub.slice(0, 40))}`, () => {
    assert.equal(outcome(validate(token(HEADER, { ...CLAIMS, sub }))), 'JWT_SVID_SUBJECT');
  });
}

table('JWT-7', [
  ['no subject', token(HEADER, without('sub')), 'JWT_SVID_SUBJECT'],
  [
    'a subject that is an array',
    token(HEADER, { ...CLAIMS, sub: ['spiffe://td/w'] }),
    'JWT_SVID_SUBJECT',
  ],
  [
    'a subject of 2048 bytes',
    token(HEADER, { ...CLAIMS, sub: `spiffe://td/${'a'.repeat(2036)}` }),
    'ok',
  ],
  [
    'a trust domain in upper case, folded',
    token(HEADER, { ...CLAIMS, sub: 'spiffe://TD/w' }),
    'ok',
  ],
]);

function audience(aud: unknown): string {
  return token(HEADER, { ...CLAIMS, aud });
}

table('JWT-8', [
  ['no audience', token(HEADER, without('aud')), 'JWT_SVID_MALFORMED'],
  ['an empty array', audience([]), 'JWT_SVID_MALFORMED'],
  ['an empty string', audience(''), 'JWT_SVID_MALFORMED'],
  ['an empty string beside the right one', audience(['me', '']), 'JWT_SVID_MALFORMED'],
  ['an object', audience({ me: 1 }), 'JWT_SVID_MALFORMED'],
  ['a number', audience(1), 'JWT_SVID_MALFORMED'],
  ['null', audience(null), 'JWT_SVID_MALFORMED'],
  ['a number beside the right one', audience(['me', 1]), 'JWT_SVID_MALFORMED'],
  ['31 audiences', audience(['me', ...numbered(30)]), 'ok'],
  ['32 audiences', audience(['me', ...numbered(31)]), 'ok'],
  ['33 audiences', audience(['me', ...numbered(32)]), 'JWT_SVID_MALFORMED'],
]);

function numbered(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `a${index}`);
}

table('JWT-9', [
  ['one string', audience('me'), 'ok'],
  ['our audience among others', audience(['other', 'me']), 'ok'],
  ['another audience alone', audience(['other']), 'JWT_SVID_AUDIENCE'],
  ['our audience in another case', audience(['ME']), 'JWT_SVID_AUDIENCE'],
  ['an audience that only begins so', audience('me2'), 'JWT_SVID_AUDIENCE'],
]);

test('JWT-9 an empty audience of the validator matches nothing', () => {
  assert.equal(outcome(validate(token(), { audience: '' })), 'JWT_SVID_AUDIENCE');
});

function times(claims: object): string {
  return token(HEADER, { ...CLAIMS, ...claims });
}

table('JWT-11', [
  ['no expiry', token(HEADER, without('exp')), 'JWT_SVID_MALFORMED'],
  ['an expiry five minutes ago', times({ exp: NOW_SECONDS - 300 }), 'JWT_SVID_EXPIRED'],
  ['an expiry a second ago', times({ exp: NOW_SECONDS - 1 }), 'JWT_SVID_EXPIRED'],
  ['an expiry now', times({ exp: NOW_SECONDS }), 'JWT_SVID_EXPIRED'],
  ['an expiry in a second', times({ exp: NOW_SECONDS + 1 }), 'ok'],
  ['an expiry of 0', times({ exp: 0 }), 'JWT_SVID_EXPIRED'],
  ['an expiry in the year 3000', times({ exp: 32_503_680_000 }), 'JWT_SVID_LIFETIME'],
  ['an expiry in ten years', times({ exp: NOW_SECONDS + 10 * 366 * 86_400 }), 'ok'],
  [
    'an expiry a second later',
    times({ exp: NOW_SECONDS + 10 * 366 * 86_400 + 1 }),
    'JWT_SVID_LIFETIME',
  ],
]);

for (const [leewayMs, atMs, expected] of [
  [1_000, 999, 'ok'],
  [1_000, 1_000, 'JWT_SVID_EXPIRED'],
  [1_000, 1_001, 'JWT_SVID_EXPIRED'],
  [0, -1, 'ok'],
  [MAX_LEEWAY_MS, 119_999, 'ok'],
  [MAX_LEEWAY_MS, 300_000, 'JWT_SVID_EXPIRED'],
] as const) {
  test(`JWT-11 ${atMs} ms after the expiry with a leeway of ${leewayMs} ms: ${expected}`, () => {
    const at = { leewayMs, atMs: CLAIMS.exp * 1000 + atMs };
    assert.equal(outcome(validate(token(), at)), expected);
  });
}

test('JWT-11 an expired token is refused with the text that clients match', () => {
  const result = validate(times({ exp: NOW_SECONDS - 300 }));
  assert.equal(result.ok ? '' : result.error.message, 'token has expired');
  assert.equal(result.ok ? '' : result.error.statusName, 'InvalidArgument');
});

test('JWT-11 a leeway that is not small is a mistake of the caller', () => {
  for (const leewayMs of [MAX_LEEWAY_MS + 1, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => validate(token(), { leewayMs }), TypeError);
  }
});

for (const [name, exp] of [
  ['a string', `"${CLAIMS.exp}"`],
  ['a fraction', `${CLAIMS.exp}.5`],
  ['negative', '-1'],
  ['beyond 2^53', '9007199254740993'],
  ['null', 'null'],
  ['an array', `[${CLAIMS.exp}]`],
  ['true', 'true'],
] as const) {
  test(`JWT-12 refuses an expiry that is ${name}`, () => {
    const claims = JSON.stringify(CLAIMS).replace(`"exp":${CLAIMS.exp}`, `"exp":${exp}`);
    assert.ok(claims.includes(`"exp":${exp}`));
    assert.equal(outcome(validate(token(HEADER, claims))), 'JWT_SVID_MALFORMED');
  });
}

table('JWT-13', [
  ['nbf now', times({ nbf: NOW_SECONDS }), 'ok'],
  ['nbf in a second', times({ nbf: NOW_SECONDS + 1 }), 'JWT_SVID_NOT_YET_VALID'],
  ['nbf in five minutes', times({ nbf: NOW_SECONDS + 299 }), 'JWT_SVID_NOT_YET_VALID'],
  ['nbf that is a string', times({ nbf: '0' }), 'JWT_SVID_MALFORMED'],
  ['iat in the future, which limits nothing', times({ iat: NOW_SECONDS + 100 }), 'ok'],
  ['no iat', token(HEADER, without('iat')), 'ok'],
  ['iat that is a string', times({ iat: 'now' }), 'JWT_SVID_MALFORMED'],
  ['an unknown critical header', token({ ...HEADER, crit: ['exp'], exp: 1 }), 'JWT_SVID_HEADER'],
  [
    'a critical header named b64',
    token({ ...HEADER, crit: ['b64'], b64: true }),
    'JWT_SVID_HEADER',
  ],
  ['an empty list of critical headers', token({ ...HEADER, crit: [] }), 'JWT_SVID_HEADER'],
  ['an unknown header that is not critical', token({ ...HEADER, x: 1 }), 'ok'],
]);

test('JWT-13 nbf is judged with the same leeway', () => {
  const text = times({ nbf: NOW_SECONDS + 10 });
  assert.equal(outcome(validate(text, { leewayMs: 10_000 })), 'ok');
  assert.equal(outcome(validate(text, { leewayMs: 9_999 })), 'JWT_SVID_NOT_YET_VALID');
});

for (const name of ['jwk', 'jku', 'x5u', 'x5c']) {
  test(`JWT-4 refuses a token that brings its key in "${name}"`, () => {
    const text = token({ ...HEADER, [name]: 'x' });
    assert.equal(outcome(validate(text)), 'JWT_SVID_HEADER');
  });
}

for (const [alg, key] of [
  ['RS256', P256],
  ['PS256', P256],
  ['ES256', RSA],
  ['ES384', P256],
  ['ES512', P256],
  ['ES256', P384],
  ['ES256', P521],
] as const) {
  test(`JWT-14 refuses ${alg} with the key ${key.keyId}`, () => {
    const text = signCompact({ alg, kid: key.keyId }, CLAIMS, () => Buffer.alloc(64, 1));
    assert.equal(outcome(validate(text)), 'JWT_SVID_KEY');
    const nameless = signCompact({ alg }, CLAIMS, () => Buffer.alloc(64, 1));
    assert.equal(
      outcome(validate(nameless, { bundles: () => jwtBundle(TD, [key]) })),
      'JWT_SVID_KEY',
    );
  });
}

test('JWT-14 refuses RS256 with a signature of PS256, and the other way round', () => {
  for (const [alg, made] of [
    ['RS256', 'PS256'],
    ['PS256', 'RS256'],
    ['PS384', 'PS256'],
  ] as const) {
    const text = signCompact({ alg, kid: 'rsa' }, CLAIMS, signerFor(made, RSA.privateKey));
    assert.equal(outcome(validate(text)), 'JWT_SVID_SIGNATURE');
  }
});

test('JWT-14 a key that its publisher bound to one algorithm verifies no other', () => {
  const bound = { ...RSA, authority: { ...RSA.authority, algorithm: 'PS256' as const } };
  const bundles = () => jwtBundle(TD, [bound]);
  for (const [alg, expected] of [
    ['PS256', 'ok'],
    ['RS256', 'JWT_SVID_KEY'],
  ] as const) {
    for (const header of [{ alg, kid: 'rsa' }, { alg }]) {
      const text = signCompact(header, CLAIMS, signerFor(alg, RSA.privateKey));
      assert.equal(outcome(validate(text, { bundles })), expected);
    }
  }
});

test('JWT-15, ID-16 refuses a token for one trust domain that another one signed', () => {
  const sub = 'spiffe://other/w';
  assert.equal(outcome(validate(token(HEADER, { ...CLAIMS, sub }))), 'JWT_SVID_KEY');
  const nameless = token({ alg: 'ES256' }, { ...CLAIMS, sub });
  assert.equal(outcome(validate(nameless)), 'JWT_SVID_SIGNATURE');
});

test('JWT-15 refuses a token of a trust domain without a bundle', () => {
  const text = token(HEADER, { ...CLAIMS, sub: 'spiffe://nowhere/w' });
  assert.equal(outcome(validate(text)), 'JWT_SVID_TRUST_DOMAIN');
});

test('JWT-15 refuses a bundle of another trust domain, whoever hands it over', () => {
  const text = token(HEADER, { ...CLAIMS, sub: 'spiffe://nowhere/w' });
  assert.equal(outcome(validate(text, { bundles: () => BUNDLE })), 'JWT_SVID_TRUST_DOMAIN');
});

test('BUNDLE-3, BUNDLE-15 a bundle without JWT keys validates no token', () => {
  const bundles = () => emptyBundle(TD);
  assert.equal(outcome(validate(token(), { bundles })), 'JWT_SVID_KEY');
  assert.equal(outcome(validate(token({ alg: 'ES256' }), { bundles })), 'JWT_SVID_KEY');
});

test('a key of the bundle that cannot be read refuses the token that names it', () => {
  const broken = { ...P256.authority, publicKeySpki: Uint8Array.of(0x30, 0), publicKey: undefined };
  const { publicKey: _, ...authority } = broken;
  const bundles = () => ({ ...emptyBundle(TD), jwtAuthorities: [authority] });
  assert.equal(outcome(validate(token(), { bundles })), 'DER_TRUNCATED');
  assert.equal(outcome(validate(token({ alg: 'ES256' }), { bundles })), 'JWT_SVID_KEY');
});

table('JWT signature', [
  [
    'a changed header',
    `${base64url('{"alg":"ES256","kid":"p256"}')}.${P}.${S}`,
    'JWT_SVID_SIGNATURE',
  ],
  [
    'changed claims',
    `${H}.${base64url(JSON.stringify({ ...CLAIMS, x: 1 }))}.${S}`,
    'JWT_SVID_SIGNATURE',
  ],
  [
    'a changed signature',
    `${H}.${P}.${S[0] === 'A' ? 'B' : 'A'}${S.slice(1)}`,
    'JWT_SVID_SIGNATURE',
  ],
  ['a signature of zeros', `${H}.${P}.${base64url(new Uint8Array(64))}`, 'JWT_SVID_SIGNATURE'],
  ['a signature of 63 bytes', `${H}.${P}.${base64url(new Uint8Array(63))}`, 'JWT_SVID_SIGNATURE'],
  [
    'a signature of 65 bytes',
    `${H}.${P}.${base64url(Buffer.concat([Buffer.from(S, 'base64url'), Buffer.alloc(1)]))}`,
    'JWT_SVID_SIGNATURE',
  ],
]);

test('JWT signature an ECDSA signature in DER is refused', () => {
  const text = signCompact(HEADER, CLAIMS, (input) => signerFor('RS256', P256.privateKey)(input));
  assert.equal(outcome(validate(text)), 'JWT_SVID_SIGNATURE');
});

test('JWT-16 what else a token claims comes through', () => {
  const svid = unwrap(
    validateJwtSvid({
      token: times({ 'https://example.org/role': { a: [1, 'x', null] } }),
      bundles: () => BUNDLE,
      audience: 'me',
      atMs: NOW_SECONDS * 1000,
    }),
  );
  assert.equal(svid.id.uri, 'spiffe://td/w');
  assert.deepEqual(svid.audience, ['me']);
  assert.equal(svid.expiresAtSeconds, CLAIMS.exp);
  assert.equal(svid.issuedAtSeconds, CLAIMS.iat);
  assert.deepEqual(JSON.parse(JSON.stringify(jsonToPlain(svid.claims))), {
    ...CLAIMS,
    'https://example.org/role': { a: [1, 'x', null] },
  });
});

test('JWT-17 a token with jti is validated as often as it is shown', () => {
  const text = times({ jti: 'once' });
  assert.equal(outcome(validate(text)), 'ok');
  assert.equal(outcome(validate(text)), 'ok');
});

test('reading without verifying takes an expired token of anybody, and still refuses bad shapes', () => {
  const expired = times({ exp: NOW_SECONDS - 300 });
  assert.equal(unwrap(parseJwtSvidUnverified(expired)).expiresAtSeconds, NOW_SECONDS - 300);
  assert.equal(outcome(parseJwtSvidUnverified(`${H}.${P}.AAAA`)), 'ok');
  assert.equal(
    outcome(parseJwtSvidUnverified(token({ ...HEADER, typ: 'wit+jwt' }))),
    'JWT_SVID_HEADER',
  );
  assert.equal(outcome(parseJwtSvidUnverified(times({ sub: 'x' }))), 'JWT_SVID_SUBJECT');
});

test('messages quote foreign text short and escaped', () => {
  const result = validate(token({ ...HEADER, kid: `\u001b[31m${'x'.repeat(4_000)}` }));
  const message = result.ok ? '' : result.error.message;
  assert.ok(message.length < 300 && !message.includes('\u001b'), message);
});

test('no token makes the validator throw, and no mutation of a good one is accepted', () => {
  const good = token();
  const random = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 80 }),
    fc
      .array(fc.string({ maxLength: 20 }), { maxLength: 4 })
      .map((parts) => parts.map((part) => base64url(part)).join('.')),
    fc
      .tuple(fc.nat(good.length - 1), fc.stringMatching(/^[A-Za-z0-9._=+/ -]$/))
      .map(([at, c]) => good.slice(0, at) + c + good.slice(at + 1)),
    fc
      .tuple(fc.nat(good.length), fc.nat(good.length))
      .map(([a, b]) => good.slice(0, a) + good.slice(b)),
  );
  fc.assert(
    fc.property(random, (text) => {
      assert.equal(validate(text).ok, text === good);
      parseJwtSvidUnverified(text);
    }),
    { numRuns: 2_000 },
  );
});

test('no claims or header values make the validator throw', () => {
  const record = (keys: readonly string[]): fc.Arbitrary<object> =>
    fc.record(Object.fromEntries(keys.map((key) => [key, fc.jsonValue()])), { requiredKeys: [] });
  const headers = record(['alg', 'kid', 'typ', 'crit', 'x']);
  const claims = record(['sub', 'aud', 'exp', 'nbf', 'iat', 'x']);
  fc.assert(
    fc.property(headers, claims, (header, claim) => {
      validate(token({ ...HEADER, ...header }, { ...CLAIMS, ...claim }));
    }),
    { numRuns: 500 },
  );
});
