/**
 * What issuing costs: CPU of all threads per SVID, beside what the cryptography alone costs. All rows
 * are measured in turns, so that a busy machine slows each of them alike. Prints a table and writes
 * `bench-issuance.json`. Run it with `npm run bench`, or directly with Node.
 */
import { createPublicKey, sign, verify } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { unwrap } from '../../src/base/result.ts';
import { provenKey } from '../../src/issuance/csr-key.ts';
import { createJwtSigner } from '../../src/issuance/issue-jwt.ts';
import type { Issuer } from '../../src/issuance/issuer.ts';
import { createLeafIssuer, draftLeaf, signLeaf } from '../../src/issuance/leaf.ts';
import { createLedgerRecorder } from '../../src/issuance/ledger-recorder.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import { lintJwt, lintLeaf } from '../../src/lint/gate.ts';
import { FileTree } from '../../src/runtime/file-tree.ts';
import { encodeJwtSvidInput } from '../../src/spiffe/jwt-svid-encoding.ts';
import { checkNotBlocked, PUBLISHED_BLOCKED_KEYS } from '../../src/x509/blocked-keys.ts';
import { parseCsr } from '../../src/x509/csr.ts';
import { subjectKeyId } from '../../src/x509/key-id.ts';
import { parsePublicKey, rsaNumbers } from '../../src/x509/public-key.ts';
import { buildLeafTbs } from '../../src/x509/template.ts';
import { rsaWeakness } from '../../src/x509/weak-rsa.ts';
import { jwtGrant, makeIssuer, startAuthorities, x509Grant } from '../support/issuance.ts';
import { makeNoteSigner } from '../support/ledger.ts';
import { makeCsr, makeKey } from '../support/x509.ts';
import { quantile, report } from './report.ts';

const AGENTS = 8;
const BATCH = 50;
const PER_TURN = AGENTS * BATCH;
const WARM_UP_TURNS = 8;
const TURNS = 24;

/** One row: work for {@link PER_TURN} SVIDs, and the row that it stands on or is a part of. */
interface Row {
  readonly name: string;
  readonly above?: string;
  readonly partOf?: string;
  readonly work: () => Promise<void>;
  readonly samples: number[];
}

const rows: Row[] = [];
const row = (name: string, work: () => Promise<void>, above?: string): void => {
  rows.push({ name, work, samples: [], ...(above === undefined ? {} : { above }) });
};
const part = (name: string, work: () => Promise<void>, partOf: string): void => {
  rows.push({ name, work, samples: [], partOf });
};
/** Does one thing as often as there are SVIDs in a turn. */
const each = (one: (index: number) => unknown) => async (): Promise<void> => {
  for (let index = 0; index < PER_TURN; index++) await one(index);
};

const authority = await startAuthorities();
const current = unwrap(authority.currentX509());
const csrs = Array.from({ length: PER_TURN }, (_, index) =>
  makeCsr({ uris: [`spiffe://example.org/w/${index}`] }),
);
const csrAt = (index: number): Uint8Array => csrs[index] ?? new Uint8Array();

const key = makeKey();
const message = systemRandom.bytes(250);
const signature = sign('sha256', message, key.privateKey);
const spki = Buffer.from(key.spki);
const CRYPTO = 'X.509: cryptography alone (import, verify, sign)';
row(
  CRYPTO,
  each(() => {
    const imported = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    verify('sha256', message, imported, signature);
    sign('sha256', message, key.privateKey);
  }),
);

const leafIssuer = createLeafIssuer(current.key, current.certificate, PUBLISHED_BLOCKED_KEYS);
const STEPS = 'X.509: steps 1, 2, 4 for one leaf after the other';
row(
  STEPS,
  each(async (index) => {
    const draft = draftLeaf(
      {
        source: { kind: 'csr', der: csrAt(index) },
        id: x509Grant().spiffeId,
        dnsNames: [],
        serial: systemRandom.bytes(16),
        notBeforeSeconds: current.certificate.notBeforeMs / 1000,
        notAfterSeconds: current.certificate.notAfterMs / 1000,
      },
      leafIssuer,
    );
    unwrap(await signLeaf(unwrap(draft), leafIssuer));
  }),
  CRYPTO,
);

const planned = {
  serial: systemRandom.bytes(16),
  notBeforeMs: current.certificate.notBeforeMs,
  notAfterMs: current.certificate.notAfterMs,
  spki: key.spki,
  keyId: subjectKeyId(key.publicKey),
  dnsNames: [],
  id: x509Grant().spiffeId,
  issuer: leafIssuer.expected,
};
const body = buildLeafTbs(leafIssuer.template, { ...planned, uri: planned.id.uri });
part(
  'X.509: of it lint (strict reader and rules)',
  each(() => unwrap(lintLeaf(body, planned))),
  STEPS,
);
part(
  'X.509: of it the list of blocked keys',
  each(() => unwrap(checkNotBlocked(key.publicKey, PUBLISHED_BLOCKED_KEYS))),
  STEPS,
);

const rsa = makeKey('rsa-2048');
const rsaCsr = unwrap(parseCsr(makeCsr({ key: rsa })));
const RSA_CSR = 'X.509: checking a CSR with RSA-2048';
row(
  RSA_CSR,
  each(() => {
    const publicKey = unwrap(parsePublicKey(rsa.spki));
    unwrap(provenKey({ ...rsaCsr, publicKey }, PUBLISHED_BLOCKED_KEYS));
  }),
);
const { modulus } = unwrap(rsaNumbers(rsa.publicKey));
part(
  'X.509: of it the search for weak moduli',
  each(() => rsaWeakness(modulus)),
  RSA_CSR,
);

const batches = (desk: Issuer) => async (): Promise<void> => {
  await Promise.all(
    Array.from({ length: AGENTS }, async (_, agent) => {
      const requestedBy = `agent:${agent}`;
      const items = csrs.slice(agent * BATCH, (agent + 1) * BATCH);
      const issued = await desk.issueX509Batch(
        items.map((csr, index) => ({ csr, grant: x509Grant(`/w/${index}`, { requestedBy }) })),
      );
      for (const result of issued) unwrap(result);
    }),
  );
};
const desks = [0, 1, 2].map((workers) => makeIssuer({ authority, workers }));
desks.forEach((desk, workers) => {
  row(`X.509: ${AGENTS} agents x ${BATCH}, ${workers} threads`, batches(desk), CRYPTO);
});
const folder = mkdtempSync(join(tmpdir(), 'sgn-'));
const files = new FileTree(folder);
const ledger = unwrap(
  await openLedger({
    files,
    signer: makeNoteSigner(),
    clock: systemClock,
    random: systemRandom,
    originPrefix: 'example.org/ledger',
  }),
);
const recorder = createLedgerRecorder(ledger, systemClock);
const recorded = makeIssuer({ authority, workers: 2, recorder });
row(`X.509: ${AGENTS} agents x ${BATCH}, 2 threads, ledger`, batches(recorded), CRYPTO);
row(
  'JWT: issued, ledger, 16 at once',
  async () => {
    for (let index = 0; index < PER_TURN; index += 16) {
      const at = Array.from({ length: 16 }, () => recorded.issueJwt(jwtGrant()));
      for (const each of await Promise.all(at)) unwrap(each);
    }
  },
  'JWT: signature alone',
);
const [desk = makeIssuer({ authority })] = desks;
row(
  'X.509: one CSR a request',
  each(async (index) => {
    const [one] = await desk.issueX509Batch([{ csr: csrAt(index), grant: x509Grant() }]);
    if (one !== undefined) unwrap(one);
  }),
  CRYPTO,
);

const JWS = 'JWT: signature alone';
row(
  JWS,
  each(() => sign('sha256', message, { key: key.privateKey, dsaEncoding: 'ieee-p1363' })),
);
const JWT = 'JWT: issued';
row(
  JWT,
  each(async () => unwrap(await desk.issueJwt(jwtGrant()))),
  JWS,
);
const claims = {
  id: jwtGrant().spiffeId,
  audience: jwtGrant().audience,
  issuedAtSeconds: 1_800_000_000,
  expiresAtSeconds: 1_800_000_300,
};
const jwtSigner = unwrap(createJwtSigner(unwrap(authority.currentJwt())));
const jwtInput = encodeJwtSvidInput(jwtSigner.header, claims);
part(
  'JWT: of it lint',
  each(() => unwrap(lintJwt(jwtInput, claims, jwtSigner))),
  JWT,
);

for (let turn = 0; turn < WARM_UP_TURNS + TURNS; turn++) {
  for (const { work, samples } of rows) {
    const before = process.cpuUsage();
    await work();
    const used = process.cpuUsage(before);
    if (turn >= WARM_UP_TURNS) samples.push((used.user + used.system) / PER_TURN);
  }
}
for (const each of [...desks, recorded]) await each.close();
await ledger.close();
await files.close();
rmSync(folder, { recursive: true, force: true });
await authority.close();

const medianOf = (name: string): number =>
  quantile(rows.find((each) => each.name === name)?.samples ?? [], 0.5);
report(
  'issuance',
  Object.fromEntries(
    rows.map(({ name, above, partOf, samples }) => [
      name,
      {
        'CPU µs, median': medianOf(name),
        'tenth percentile': quantile(samples, 0.1),
        'above the cryptography': above ? medianOf(name) - medianOf(above) : undefined,
        'share, %': partOf ? (100 * medianOf(name)) / medianOf(partOf) : undefined,
      },
    ]),
  ),
);
