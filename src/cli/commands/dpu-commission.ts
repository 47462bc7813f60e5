import { createHash } from 'node:crypto';
import { basename, dirname } from 'node:path';
import { toHex } from '../../base/bytes.ts';
import { fail, ok, type Result } from '../../base/result.ts';
import { readFileIfPresent } from '../../runtime/atomic-file.ts';
import { readSecret } from '../../runtime/secret.ts';
import { encodeBase64Url } from '../../spiffe/base64.ts';
import { writeFiles } from '../files.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { safe } from '../text.ts';
import { act, REASON } from './dpu-act.ts';

/** Octets of a secret that is made here. */
const SECRET_BYTES = 32;
/** The server keeps a hash: what is shorter could be found from it. */
const MIN_SECRET_LENGTH = 22;

/** `signet dpu commission`. */
export const dpuCommission: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'SERIAL',
  about:
    'Pins the device keys and the baseline by which the DPU is known from now on. One that is trusted has to attest in full afterwards. With a join secret the next attestation has to show it, once: put it into the image of this card alone.',
  flags: [
    {
      name: 'device-id',
      value: 'sha256',
      repeat: true,
      help: 'SHA-256 of the SubjectPublicKeyInfo of a device key, hex',
    },
    { name: 'from-bmc', help: 'have the server collect keys, baseline and pairing from the BMC' },
    {
      name: 'new-join-secret',
      value: 'file',
      help: 'make a one-time secret and write it there; the server is told its hash',
    },
    { name: 'join-secret', value: 'file', help: 'the same with a secret that is there already' },
    REASON,
  ],
  examples: [
    'signet dpu commission MT2333X01234 --from-bmc --reason "rack r12 accepted"',
    'signet dpu commission MT2333X01234 --device-id "$SHA256" --reason "vendor list"',
    'signet dpu commission MT2333X01234 --from-bmc --new-join-secret s.txt --reason r12',
  ],
  run: async (input, io) => {
    const deviceIds = [...input.texts('device-id')];
    const fromBmc = input.has('from-bmc');
    const secret = await joinSecret(input, io);
    if (!secret.ok) return secret;
    const joinSecretSha256 = secret.value === undefined ? '' : sha256Hex(secret.value);
    const commissioned = { deviceIds, baseline: [], fromBmc, joinSecretSha256 };
    return act(
      'commissioning the DPU',
      input,
      io,
      (client, request) => (m, o, done) =>
        client.commissionDpu({ ...request, ...commissioned }, m, o, done),
    );
  },
};

/** The secret of a file, or a new one that is in its file before anybody awaits it. */
async function joinSecret(input: Input, io: CliIo): Promise<Result<string | undefined>> {
  const [known, fresh] = [input.text('join-secret'), input.text('new-join-secret')];
  if (known !== undefined && fresh !== undefined) {
    return fail('CLI_USAGE', 'takes one of --join-secret and --new-join-secret');
  }
  if (known !== undefined) return knownSecret(known);
  return fresh === undefined ? ok(undefined) : newSecret(fresh, io);
}

async function knownSecret(path: string): Promise<Result<string>> {
  const place = { path, variable: '', setting: '--join-secret', code: 'CLI_FILE' } as const;
  const secret = await readSecret(place);
  if (!secret.ok || secret.value.length >= MIN_SECRET_LENGTH) return secret;
  return fail('CLI_USAGE', `--join-secret: has fewer than ${MIN_SECRET_LENGTH} characters`);
}

async function newSecret(path: string, io: CliIo): Promise<Result<string>> {
  const present = await readFileIfPresent(path, 1);
  if (!present.ok || present.value !== undefined) {
    return fail('CLI_FILE', `${safe(path)} is there already; --join-secret takes what is in it`);
  }
  const secret = encodeBase64Url(io.random.bytes(SECRET_BYTES));
  const file = { name: basename(path), content: `${secret}\n`, secret: true };
  const written = await writeFiles(dirname(path), [file]);
  if (!written.ok) return written;
  io.err(`Join secret written to ${safe(path)}: for the image of this card alone\n`);
  return ok(secret);
}

function sha256Hex(text: string): string {
  return toHex(createHash('sha256').update(text).digest());
}
