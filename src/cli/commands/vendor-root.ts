import { ok } from '../../base/result.ts';
import {
  EnrolmentRoot,
  EnrolmentRootState,
  ListEnrolmentRootsResponse,
  VendorAdminClient,
} from '../../gen/signet/connector/v1/vendor.ts';
import { withServer } from '../server-connection.ts';
import type { CommandSpec } from '../spec.ts';
import { formatTable, formatTime, safe } from '../text.ts';
import { CERTIFICATE_FLAGS, giveCertificates, VENDOR_REFUSED } from '../vendor-certificates.ts';

/** What the states are called for people. */
const STATES: Readonly<Record<number, string>> = {
  [EnrolmentRootState.ENROLMENT_ROOT_STATE_ACTIVE]: 'active',
  [EnrolmentRootState.ENROLMENT_ROOT_STATE_NEXT]: 'next',
  [EnrolmentRootState.ENROLMENT_ROOT_STATE_OLD]: 'old',
};

const show: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'The one that signs; made at the first call. It goes to the portal of the vendor, as the root of their enrolment CAs; it is in no trust bundle, and no SPIFFE ID is valid below it.',
  flags: CERTIFICATE_FLAGS,
  refused: VENDOR_REFUSED,
  examples: ['signet connector vendor-ca root --out enrolment-root.pem'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(VendorAdminClient);
      const answer = await server.call<EnrolmentRoot>('asking for the root', (m, o, done) =>
        client.getEnrolmentRoot({}, m, o, done),
      );
      if (!answer.ok) return answer;
      const json = EnrolmentRoot.toJSON(answer.value);
      return giveCertificates(input, io, [answer.value.certificate], json);
    }),
};

const list: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'The one that signs first, then the one that is prepared, then those before. With -o pem or --out: all their certificates, for portals that are to know every root.',
  flags: CERTIFICATE_FLAGS,
  refused: VENDOR_REFUSED,
  examples: [
    'signet connector vendor-ca roots',
    'signet connector vendor-ca roots --out roots.pem',
  ],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(VendorAdminClient);
      const answer = await server.call<ListEnrolmentRootsResponse>(
        'asking for roots',
        (m, o, done) => client.listEnrolmentRoots({}, m, o, done),
      );
      if (!answer.ok) return answer;
      const { roots } = answer.value;
      const isTable = ['', 'pretty'].includes(input.text('output') ?? '');
      if (!isTable || input.text('out') !== undefined) {
        const json = ListEnrolmentRootsResponse.toJSON(answer.value);
        const certificates = roots.map(({ certificate }) => certificate);
        return giveCertificates(input, io, certificates, json);
      }
      const rows = roots.map(({ state, expiresAt, serialNumber }) => [
        STATES[state] ?? 'unknown',
        // The moment alone: with how far away it is, lines pass 80 columns.
        formatTime(Number(expiresAt), io.clock.nowMs()).slice(0, 20),
        serialNumber,
      ]);
      const none = 'There is no enrolment root yet.\n';
      io.out(rows.length === 0 ? none : formatTable(['STATE', 'VALID UNTIL', 'SERIAL'], rows));
      return ok(undefined);
    }),
};

const prepare: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'The root that signs stays the one that signs. Have the vendor know the new one as well, then say activate-root. Asked again it gives the same one.',
  flags: CERTIFICATE_FLAGS,
  refused: VENDOR_REFUSED,
  examples: ['signet connector vendor-ca prepare-root --out next-root.pem'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(VendorAdminClient);
      const answer = await server.call<EnrolmentRoot>('preparing a root', (m, o, done) =>
        client.prepareEnrolmentRoot({}, m, o, done),
      );
      if (!answer.ok) return answer;
      const { certificate, serialNumber } = answer.value;
      io.err(`Prepared, and not signing yet: ${safe(serialNumber)}\n`);
      return giveCertificates(input, io, [certificate], EnrolmentRoot.toJSON(answer.value));
    }),
};

const activate: CommandSpec = {
  connects: 'server',
  about:
    'CAs of vendors are signed by it from now on; those below the root before hold until their end. The key of the root before is destroyed, so there is no way back.',
  flags: [
    {
      name: 'serial',
      value: 'number',
      required: true,
      help: 'of the prepared root, as the vendor knows it',
    },
  ],
  refused: VENDOR_REFUSED,
  examples: ['signet connector vendor-ca activate-root --serial 271828182845904523536'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const client = server.client(VendorAdminClient);
      const serialNumber = input.text('serial') ?? '';
      const answer = await server.call<EnrolmentRoot>('changing the root', (m, o, done) =>
        client.activateEnrolmentRoot({ serialNumber }, m, o, done),
      );
      if (!answer.ok) return answer;
      io.out(`Enrolment CAs are signed by ${safe(answer.value.serialNumber)} from now on\n`);
      return ok(undefined);
    }),
};

/** `signet connector vendor-ca root|roots|prepare-root|activate-root`. */
export const vendorRoot = { show, list, prepare, activate };
