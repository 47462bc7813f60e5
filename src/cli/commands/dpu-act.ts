import { fail, ok, type Result } from '../../base/result.ts';
import {
  Dpu,
  DpuInventoryClient,
  type GetDpuEvidenceResponse,
} from '../../gen/signet/dpu/v1/dpu.ts';
import { flagError, wholeSecondsFlag } from '../flags.ts';
import type { UnaryCall } from '../remote.ts';
import { withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, FlagSpec, Input } from '../spec.ts';
import { formatTable, formatTime, safe, safeJson } from '../text.ts';
import { serialArg } from './dpu-list.ts';

/** Why an operator does what they do. */
export const REASON: FlagSpec = {
  name: 'reason',
  value: 'text',
  required: true,
  help: 'why, for the audit',
};

/** `signet dpu quarantine`. */
export const dpuQuarantine: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'SERIAL',
  about:
    'Nothing more is issued to the agent of the DPU, to agents of its host and to what runs beneath them; agents drop what they hold. In force at once, also while the database does not answer. Only "signet dpu release" ends it, and then a full attestation.',
  flags: [REASON],
  examples: ['signet dpu quarantine MT2333X01234 --reason "case opened, ticket 4711"'],
  run: (input, io) =>
    act(
      'quarantining the DPU',
      input,
      io,
      (client, request) => (m, o, done) => client.quarantineDpu(request, m, o, done),
    ),
};

/** `signet dpu release`. */
export const dpuRelease: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'SERIAL',
  about:
    'Ends a quarantine: the DPU has to attest in full, and only then is anything issued on its node again. A retired one begins anew: its device keys and baseline are forgotten, and it has to be commissioned.',
  flags: [REASON],
  examples: ['signet dpu release MT2333X01234 --reason "card checked, ticket 4711"'],
  run: (input, io) =>
    act(
      'releasing the DPU',
      input,
      io,
      (client, request) => (m, o, done) => client.releaseDpu(request, m, o, done),
    ),
};

/** `signet dpu retire`. */
export const dpuRetire: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'SERIAL',
  about: 'Takes a DPU out of use; what a quarantine stops is stopped.',
  flags: [REASON],
  examples: ['signet dpu retire MT2333X01234 --reason "returned to the vendor"'],
  run: (input, io) =>
    act(
      'retiring the DPU',
      input,
      io,
      (client, request) => (m, o, done) => client.retireDpu(request, m, o, done),
    ),
};

/** `signet dpu confirm-host`. */
export const dpuConfirmHost: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'SERIAL',
  about:
    "Forgets the key that the host's agent asked with: the next one that the DPU vouches for counts, as after the host was installed anew. The DPU need not attest again. On the DPU remove voucher-keys.json from the agent's data directory first; its agent goes on without a restart.",
  flags: [{ name: 'tpm', help: 'forget its TPM as well, as after another board' }, REASON],
  examples: ['signet dpu confirm-host MT2333X01234 --reason "host installed anew, ticket 4711"'],
  run: (input, io) => {
    const tpm = input.has('tpm');
    return act(
      "forgetting the host's key",
      input,
      io,
      (client, request) => (m, o, done) => client.confirmHost({ ...request, tpm }, m, o, done),
      () => 'takes the next key of its host; it',
    );
  },
};

/** `signet dpu baseline`. */
export const dpuBaseline: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'SERIAL',
  about:
    'Opens a window in which the DPU may show other values than its baseline, which then become its baseline: for maintenance. Outside of a window they put it into quarantine.',
  flags: [
    { name: 'window', value: 'duration', help: 'how long from now, such as 2h; at most 7d' },
    { name: 'close', help: 'close the window now' },
    REASON,
  ],
  examples: [
    'signet dpu baseline MT2333X01234 --window 2h --reason "firmware 4.12"',
    'signet dpu baseline MT2333X01234 --close --reason "done"',
  ],
  run: async (input, io) => {
    const seconds = wholeSecondsFlag(input, 'window');
    if (!seconds.ok) return seconds;
    if ((seconds.value === undefined) !== input.has('close')) {
      return fail('CLI_USAGE', 'takes one of --window and --close');
    }
    const windowSeconds = seconds.value ?? 0;
    return act(
      'setting the window',
      input,
      io,
      (client, request) => (m, o, done) =>
        client.baselineDpu({ ...request, windowSeconds }, m, o, done),
      ({ baselineWindowEnds }) =>
        baselineWindowEnds === 0n
          ? 'takes no other baseline; it'
          : `takes another baseline until ${formatTime(Number(baselineWindowEnds), io.clock.nowMs())}; it`,
    );
  },
};

/** `signet dpu evidence`. */
export const dpuEvidence: CommandSpec = {
  connects: 'server',
  args: 'SERIAL',
  about: 'Prints evidence that this server keeps, as JSON: that of the last verdict unless told.',
  flags: [
    { name: 'id', value: 'name', help: 'another piece of evidence' },
    { name: 'list', help: 'list what is kept, newest first' },
  ],
  examples: [
    'signet dpu evidence MT2333X01234 > evidence.json',
    'signet dpu evidence MT2333X01234 --list',
  ],
  run: async (input, io) => {
    const serial = serialArg(input);
    if (!serial.ok) return serial;
    const request = { serial: serial.value, id: input.text('id') ?? '' };
    return withServer(input, io, async (server) => {
      const client = server.client(DpuInventoryClient);
      const answer = await server.call<GetDpuEvidenceResponse>('reading evidence', (m, o, done) =>
        client.getDpuEvidence(request, m, o, done),
      );
      if (!answer.ok) return answer;
      const { evidence, kept } = answer.value;
      if (input.has('list')) io.out(formatKept(kept, io));
      else io.out(`${safe(Buffer.from(evidence).toString('utf8').trimEnd())}\n`);
      return ok(undefined);
    });
  },
};

/** Names begin with the moment at which the evidence was kept, in Unix milliseconds. */
function formatKept(kept: readonly string[], { clock }: Pick<CliIo, 'clock'>): string {
  const rows = kept.map((name) => {
    return [name, formatTime(Math.floor(Number.parseInt(name, 10) / 1000), clock.nowMs())];
  });
  return formatTable(['EVIDENCE', 'KEPT'], rows);
}

type Call = (
  client: DpuInventoryClient,
  request: { readonly serial: string; readonly reason: string },
) => UnaryCall<Dpu>;

/**
 * Asks the server for an act on the DPU that is named, and prints how it stands then.
 * @param said What there is to say of the DPU before its state.
 */
export async function act(
  doing: string,
  input: Input,
  io: CliIo,
  call: Call,
  said: (dpu: Dpu) => string = () => '',
): Promise<Result<void>> {
  const serial = serialArg(input);
  if (!serial.ok) return serial;
  const reason = (input.text('reason') ?? '').trim();
  if (reason === '') return flagError('reason', 'is empty');
  return withServer(input, io, async (server) => {
    const client = server.client(DpuInventoryClient);
    const request = { serial: serial.value, reason };
    const dpu = await server.call<Dpu>(doing, call(client, request));
    if (!dpu.ok) return dpu;
    const { state, mustAttest } = dpu.value;
    const waits = mustAttest && state !== 'quarantined' && state !== 'retired';
    const more = waits ? ', and has to attest in full' : '';
    const json = input.text('output') === 'json';
    const told = said(dpu.value);
    const before = told === '' ? '' : `${told} `;
    io.out(
      json
        ? `${safeJson(Dpu.toJSON(dpu.value))}\n`
        : `DPU ${safe(dpu.value.serial)} ${before}is ${state}${more}\n`,
    );
    return ok(undefined);
  });
}
