import { createKey } from '../../agent/identity/csr.ts';
import type { MintJwt } from '../../agent/identity/jwt-cache.ts';
import { encodeTrustBundle, type TrustBundle } from '../../agent/identity/trust-bundle.ts';
import type { MintRequest, MintX509 } from '../../agent/identity/x509-mint.ts';
import { fail, ok, type Result, unwrap } from '../../src/base/result.ts';
import { Entry } from '../../src/gen/spire/api/types/entry.ts';
import { emptyBundle } from '../../src/spiffe/bundle.ts';
import { parseTrustDomain, type TrustDomain } from '../../src/spiffe/trust-domain.ts';
import { parseCsr, verifyCsrSignature } from '../../src/x509/csr.ts';
import { makeJwtKey, signCompact, signerFor, type TestJwtKey } from './jwt.ts';
import { makeLeaf, makeRoot, type TestCertificate } from './x509.ts';

/** The own trust domain of agent tests. */
export const AGENT_TEST_DOMAIN: TrustDomain = unwrap(parseTrustDomain('example.org'));

/** An entry as the server sends it; what is left out gets a harmless value. */
export function wireEntry(id: string, changes: Partial<Entry> = {}): Entry {
  return {
    ...Entry.fromJSON({}),
    id,
    spiffeId: { trustDomain: 'example.org', path: `/${id}` },
    selectors: [{ type: 'unix', value: 'uid:1000' }],
    createdAt: 1n,
    ...changes,
  };
}

/** What stands in for the server's issuance in tests of the agent's caches. */
export class TestAgentCa {
  readonly root: TestCertificate;
  readonly jwtKey: TestJwtKey = makeJwtKey('P-256', 'key-1');
  readonly trustDomain: TrustDomain;
  /** Entry ids of each call for X.509-SVIDs, in order. */
  readonly x509Calls: string[][] = [];
  /** Entry ids and audiences of each call for a token. */
  readonly jwtCalls: [string, readonly string[]][] = [];
  /** Fails whole calls while set. */
  down = false;
  /** What a request for a token waits for. */
  beforeJwt: () => Promise<void> = () => Promise.resolve();
  /** Refuses these entries. */
  readonly refused = new Set<string>();
  /** Life of what is minted, in milliseconds from now. */
  lifeMs = 3_600_000;
  readonly #nowMs: () => number;
  readonly #uris = new Map<string, string>();
  #serial = 0;

  constructor(nowMs: () => number, trustDomain = AGENT_TEST_DOMAIN) {
    this.#nowMs = nowMs;
    this.trustDomain = trustDomain;
    this.root = makeRoot(trustDomain.name);
  }

  /** Lets an entry have an identity of another path than its id. */
  register(entry: Entry): Entry {
    this.#uris.set(entry.id, `spiffe://example.org${entry.spiffeId?.path ?? ''}`);
    return entry;
  }

  /** The bundle of this CA. */
  bundle(sequence = 1n): TrustBundle {
    return unwrap(
      encodeTrustBundle({
        ...emptyBundle(this.trustDomain),
        x509Authorities: [{ certificate: this.root.certificate, tainted: false }],
        jwtAuthorities: [this.jwtKey.authority],
        sequence,
      }),
    );
  }

  /** BatchNewX509SVID. */
  readonly mintX509: MintX509 = async (requests) => {
    this.x509Calls.push(requests.map(({ entryId }) => entryId));
    await Promise.resolve();
    if (this.down) return fail('AGENT_SERVER_UNAVAILABLE', 'server: planted outage');
    return ok(requests.map((request) => this.#mintOne(request)));
  };

  /** NewJWTSVID. */
  readonly mintJwt: MintJwt = async (entryId, audience) => {
    this.jwtCalls.push([entryId, audience]);
    await this.beforeJwt();
    if (this.down) return fail('AGENT_SERVER_UNAVAILABLE', 'server: planted outage');
    if (this.refused.has(entryId)) return fail('AGENT_SERVER_REFUSED', 'server: planted refusal');
    return ok(this.token(this.#uriOf(entryId), audience));
  };

  /** A token of this CA. */
  token(sub: string, aud: readonly string[], changes: Record<string, unknown> = {}): string {
    const iat = Math.floor(this.#nowMs() / 1000);
    const exp = Math.floor((this.#nowMs() + this.lifeMs) / 1000);
    return signCompact(
      { alg: 'ES256', kid: this.jwtKey.keyId, typ: 'JWT' },
      { sub, aud, iat, exp, n: this.jwtCalls.length, ...changes },
      signerFor('ES256', this.jwtKey.privateKey),
    );
  }

  #mintOne({ entryId, csr }: MintRequest): Result<readonly Uint8Array[]> {
    if (this.refused.has(entryId)) return fail('AGENT_SERVER_REFUSED', 'server: planted refusal');
    const key = unwrap(verifyCsrSignature(unwrap(parseCsr(csr))));
    this.#serial++;
    const leaf = makeLeaf(this.root, this.#uriOf(entryId), {
      key: { privateKey: this.root.key.privateKey, publicKey: key, spki: key.spki },
      serial: Uint8Array.of(1, this.#serial >> 8, this.#serial & 255),
      notBeforeMs: this.#nowMs() - 60_000,
      notAfterMs: this.#nowMs() + this.lifeMs,
    });
    return ok([leaf.der]);
  }

  #uriOf(entryId: string): string {
    return this.#uris.get(entryId) ?? `spiffe://example.org/${entryId}`;
  }
}

/** Lets promises that are ready go on; key generation takes the thread pool. */
export async function settle(until: () => boolean): Promise<void> {
  for (let turns = 0; turns < 20_000 && !until(); turns++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/**
 * Lets everything that is under way come to rest: keys are made in the thread pool, so as many are
 * made here as it has threads, twice.
 */
export async function quiet(): Promise<void> {
  for (let round = 0; round < 2; round++) {
    await Promise.all(Array.from({ length: 4 }, () => createKey('ec-p256')));
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}
