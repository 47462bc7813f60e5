/**
 * What issuing costs: CPU of all threads per SVID, beside what the cryptography alone costs here.
 * Prints a table. Run it with `npm run bench`, or directly with Node.
 */
import { createPublicKey, sign, verify } from 'node:crypto';
import { systemRandom } from '../../src/base/random.ts';
import { unwrap } from '../../src/base/result.ts';
import { createLeafIssuer, draftLeaf, signLeaf } from '../../src/issuance/leaf.ts';
import { parseCsr, verifyCsrSignature } from '../../src/x509/csr.ts';
import { checkKeyPolicy } from '../../src/x509/key-policy.ts';
import { jwtGrant, makeIssuer, startAuthorities, x509Grant } from '../support/issuance.ts';
import { makeCsr, makeKey } from '../support/x509.ts';

/** CPU microseconds of the whole process for one of `count` operations that `work` does. */
async function cpuMicros(count: number, work: () => Promise<unknown> | unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const used = process.cpuUsage(before);
  return (used.user + used.system) / count;
}

/** The least of several runs: what the work costs when nothing else has the caches. */
async function least(runs: number, measure: () => Promise<number>): Promise<number> {
  let best = Infinity;
  for (let run = 0; run < runs; run++) best = Math.min(best, await measure());
  return best;
}

/** The same over many calls of one function, after it was warmed up. */
async function each(work: () => Promise<unknown> | unknown, count = 1000): Promise<number> {
  const many = async () => {
    for (let i = 0; i < count; i++) await work();
  };
  await many();
  return least(7, () => cpuMicros(count, many));
}

const AGENTS = 8;
const BATCH = 50;
const ROUNDS = 5;

const rows: Record<string, { 'CPU µs': string }> = {};
const note = (name: string, micros: number): void => {
  rows[name] = { 'CPU µs': micros.toFixed(1) };
};

const authority = await startAuthorities();
const current = unwrap(authority.currentX509());
const csrs = Array.from({ length: AGENTS * BATCH }, (_, index) =>
  makeCsr({ uris: [`spiffe://example.org/w/${index}`] }),
);
let turn = 0;
const nextCsr = (): Uint8Array => csrs[turn++ % csrs.length] ?? new Uint8Array();

const key = makeKey();
const message = systemRandom.bytes(250);
const signature = sign('sha256', message, key.privateKey);
const spki = Buffer.from(key.spki);
const floor =
  (await each(() =>
    verify(
      'sha256',
      message,
      createPublicKey({ key: spki, format: 'der', type: 'spki' }),
      signature,
    ),
  )) + (await each(() => sign('sha256', message, key.privateKey)));
note('X.509: cryptography alone (import, verify, sign)', floor);

const issuer = createLeafIssuer(current.key, current.certificate);
const order = () => ({
  source: { kind: 'csr' as const, der: nextCsr() },
  id: x509Grant().spiffeId,
  dnsNames: [],
  serial: systemRandom.bytes(16),
  notBeforeSeconds: 1_800_000_000,
  notAfterSeconds: 1_800_003_600,
});
note('  parse CSR', await each(() => parseCsr(nextCsr())));
note(
  '  parse CSR, key policy, verify',
  await each(() => {
    const csr = unwrap(parseCsr(nextCsr()));
    unwrap(checkKeyPolicy(csr.publicKey));
    unwrap(verifyCsrSignature(csr));
  }),
);
note('  steps 1 and 2 for one leaf', await each(() => unwrap(draftLeaf(order(), issuer))));
const whole = await each(async () =>
  unwrap(await signLeaf(unwrap(draftLeaf(order(), issuer)), issuer)),
);
note('  steps 1, 2, 4 for one leaf', whole);

for (const workers of [undefined, 1, 0]) {
  const desk = makeIssuer({ authority, ...(workers === undefined ? {} : { workers }) });
  const round = (): Promise<unknown> =>
    Promise.all(
      Array.from({ length: AGENTS }, async (_, agent) => {
        const requestedBy = `agent:${agent}`;
        const items = csrs.slice(agent * BATCH, (agent + 1) * BATCH);
        const issued = await desk.issueX509Batch(
          items.map((csr, index) => ({ csr, grant: x509Grant(`/w/${index}`, { requestedBy }) })),
        );
        for (const result of issued) unwrap(result);
      }),
    );
  const rounds = async () => {
    for (let i = 0; i < ROUNDS; i++) await round();
  };
  await rounds();
  const perSvid = await least(5, () => cpuMicros(AGENTS * BATCH * ROUNDS, rounds));
  const name = `X.509: ${AGENTS} agents x ${BATCH}, workers ${workers ?? 'default'}`;
  note(name, perSvid);
  note(`  over the cryptography`, perSvid - floor);
  if (workers === undefined) {
    note(
      'X.509: one at a time',
      await each(async () => {
        const [one] = await desk.issueX509Batch([{ csr: nextCsr(), grant: x509Grant() }]);
        if (one !== undefined) unwrap(one);
      }),
    );
    const jws = await each(() =>
      sign('sha256', message, { key: key.privateKey, dsaEncoding: 'ieee-p1363' }),
    );
    note('JWT: signature alone', jws);
    note('JWT: issued', await each(async () => unwrap(await desk.issueJwt(jwtGrant()))));
  }
  await desk.close();
}
await authority.close();
console.table(rows);
