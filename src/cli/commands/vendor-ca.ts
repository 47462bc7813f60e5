import { ok, type Result } from '../../base/result.ts';
import { parsePem } from '../../der/pem.ts';
import {
  EnrolmentCa,
  ListEnrolmentCasResponse,
  VendorAdminClient,
} from '../../gen/signet/connector/v1/vendor.ts';
import { readData } from '../files.ts';
import { flagError, wholeSecondsFlag } from '../flags.ts';
import { withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { formatTable, formatTime, safe, safeJson } from '../text.ts';
import { CERTIFICATE_FLAGS, giveCertificates, VENDOR_REFUSED } from '../vendor-certificates.ts';

const REQUEST_LABELS: readonly string[] = ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'];

const sign: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'The CSR is the one that the portal of the vendor made, PEM or DER. The CA is no SPIFFE authority: whoever holds its key, which is the vendor, can make no SVID with it. It is in the ledger before it is signed.',
  flags: [
    { name: 'csr', value: 'file', required: true, help: 'the request; - is standard input' },
    { name: 'vendor', value: 'name', required: true, help: 'whose CA it is, such as zpa' },
    {
      name: 'ttl',
      value: 'duration',
      help: 'its life; connectors.enrolmentRoot.caTtl unless told',
    },
    ...CERTIFICATE_FLAGS,
  ],
  refused: VENDOR_REFUSED,
  examples: ['signet connector vendor-ca sign --csr zpa.csr --vendor zpa --out zpa-ca.pem'],
  run: async (input, io) => {
    const ttl = wholeSecondsFlag(input, 'ttl');
    if (!ttl.ok) return ttl;
    const csr = await readRequest(input, io);
    if (!csr.ok) return csr;
    const vendor = input.text('vendor') ?? '';
    const request = { csr: Buffer.from(csr.value), ttlSeconds: ttl.value ?? 0, vendor };
    return withServer(input, io, async (server) => {
      const client = server.client(VendorAdminClient);
      const answer = await server.call<EnrolmentCa>('signing the CA', (m, o, done) =>
        client.signEnrolmentCa(request, m, o, done),
      );
      if (!answer.ok) return answer;
      const { serialNumber, expiresAt, chain } = answer.value;
      const until = formatTime(Number(expiresAt), io.clock.nowMs());
      io.err(`Signed ${safe(vendor)} ${safe(serialNumber)}, valid until ${until}\n`);
      return giveCertificates(input, io, chain.slice(0, 1), EnrolmentCa.toJSON(answer.value));
    });
  },
};

const list: CommandSpec = {
  connects: 'server',
  prints: true,
  about: 'All that were signed by this server, the newest last.',
  flags: [],
  refused: VENDOR_REFUSED,
  examples: ['signet connector vendor-ca list'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(VendorAdminClient);
      const answer = await server.call<ListEnrolmentCasResponse>('listing CAs', (m, o, done) =>
        client.listEnrolmentCas({}, m, o, done),
      );
      if (!answer.ok) return answer;
      const { cas } = answer.value;
      const rows = cas.map(({ vendor, expiresAt, serialNumber }) => [
        vendor,
        // The moment alone: with how far away it is, lines pass 80 columns.
        formatTime(Number(expiresAt), io.clock.nowMs()).slice(0, 20),
        serialNumber,
      ]);
      const json = (): unknown => ListEnrolmentCasResponse.toJSON(answer.value);
      const table = (): string => formatTable(['VENDOR', 'VALID UNTIL', 'SERIAL'], rows);
      const none = 'No enrolment CA was signed.\n';
      const isJson = input.text('output') === 'json';
      io.out(isJson ? `${safeJson(json())}\n` : rows.length === 0 ? none : table());
      return ok(undefined);
    }),
};

/** `signet connector vendor-ca sign|list`. */
export const vendorCa = { sign, list };

async function readRequest(input: Input, io: CliIo): Promise<Result<Uint8Array>> {
  const data = await readData(input.text('csr') ?? '', io);
  if (!data.ok) return data;
  if (!Buffer.from(data.value).includes('-----BEGIN')) return data;
  const blocks = parsePem(data.value);
  if (!blocks.ok) return blocks;
  const requests = blocks.value.filter(({ label }) => REQUEST_LABELS.includes(label));
  const [request, ...others] = requests;
  if (request !== undefined && others.length === 0) return ok(request.der);
  return flagError('csr', `holds ${requests.length} certificate requests`);
}
