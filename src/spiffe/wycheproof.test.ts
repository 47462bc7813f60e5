import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { needsShared, sharedDir } from '../../test/support/shared.ts';
import { utf8 } from '../base/bytes.ts';
import { type JsonObject, type JsonValue, parseJson } from './json.ts';
import { type ParsedJwk, parseJwk } from './jwk.ts';
import { parseCompactJws, verifyCompactJws } from './jws.ts';

/** Where we say otherwise than the suite, each with its reason. `invalid` cases are never waived. */
const DIFFERENCES: Readonly<
  Record<string, (header: string, comment: string) => string | undefined>
> = {
  'json_web_signature.json': (header, comment) => {
    if (/"alg" *: *"HS/.test(header)) return 'HMAC is outside JWT-SVID §2.1';
    if (comment.startsWith('InvalidCharacterInserted'))
      return 'the suite calls stray characters valid';
    if (comment === 'Figure20') return 'its key is bound to PS256 and signs PS384';
    if (comment === 'Figure27') return 'its key names an algorithm that does not exist (ES521)';
    return undefined;
  },
  'json_web_key.json': (header) =>
    /"HS/.test(header) ? 'HMAC is outside JWT-SVID §2.1' : undefined,
  'json_web_crypto.json': (header) =>
    /"HS/.test(header) ? 'HMAC is outside JWT-SVID §2.1' : undefined,
};

/** How many cases of each file come out how: a shorter file, or a wider waiver, shows. */
const COUNTS: Readonly<Record<string, object>> = {
  'json_web_signature.json': { accepted: 32, refused: 355, waived: 14 },
  'json_web_key.json': { accepted: 1, refused: 21, waived: 4 },
  'json_web_crypto.json': { accepted: 2, refused: 45, waived: 2 },
};

interface Case {
  readonly tcId: number;
  readonly comment: string;
  readonly result: 'valid' | 'invalid' | 'acceptable';
  readonly jws?: string | object;
}

interface Group {
  readonly comment: string;
  readonly public?: object;
  readonly private?: object;
  readonly tests: readonly Case[];
}

/** What a publisher would put into a key set: the public key, else the symmetric one. */
function publishedKeys(group: Group): readonly JsonObject[] {
  const published = group.public ?? group.private ?? {};
  const keys = 'keys' in published && Array.isArray(published.keys) ? published.keys : [published];
  return keys.map((key) => {
    const value = parseJson(utf8(JSON.stringify(key)), { maxBytes: 100_000 });
    assert.ok(value.ok);
    return value.value as JsonObject;
  });
}

/** The Workload API's reading of a key set: other uses and unusable keys are left out. */
function usableKeys(keys: readonly JsonObject[]): readonly ParsedJwk[] {
  return keys.flatMap((jwk) => {
    const use: JsonValue | undefined = jwk.get('use');
    const parsed = use === undefined || use === 'sig' ? parseJwk(jwk) : undefined;
    return parsed?.ok ? [parsed.value] : [];
  });
}

function verifies(group: Group, jws: string): boolean {
  const parsed = parseCompactJws(jws, 16_384);
  if (!parsed.ok) return false;
  const keys = usableKeys(publishedKeys(group)).filter(({ keyId }) => keyId === parsed.value.keyId);
  const [key] = keys;
  if (key === undefined || keys.length > 1) return false;
  if (key.algorithm !== undefined && key.algorithm !== parsed.value.algorithm) return false;
  return verifyCompactJws(parsed.value, key.publicKey).ok;
}

function headerOf(jws: string): string {
  return Buffer.from(jws.split('.')[0] ?? '', 'base64url').toString();
}

for (const [file, waiver] of Object.entries(DIFFERENCES)) {
  const path = `vectors/wycheproof/${file}`;
  test(
    `wycheproof ${file}: every invalid token is refused, every valid one in profile accepted`,
    needsShared(path),
    () => {
      const { testGroups } = JSON.parse(readFileSync(join(sharedDir, path), 'utf8')) as {
        testGroups: Group[];
      };
      const counts = { accepted: 0, refused: 0, waived: 0 };
      for (const group of testGroups) {
        for (const { jws, comment, result, tcId } of group.tests) {
          if (jws === undefined) continue;
          const where = `${file} ${group.comment} ${tcId} ${comment}`;
          const text = typeof jws === 'string' ? jws : JSON.stringify(jws);
          const accepted = verifies(group, text);
          if (result === 'invalid') assert.equal(accepted, false, where);
          if (result !== 'valid') {
            counts.refused++;
          } else if (waiver(headerOf(text), comment) === undefined) {
            assert.equal(accepted, true, where);
            counts.accepted++;
          } else {
            assert.equal(accepted, false, `${where}: waived, yet accepted`);
            counts.waived++;
          }
        }
      }
      assert.deepEqual(counts, COUNTS[file]);
    },
  );
}
