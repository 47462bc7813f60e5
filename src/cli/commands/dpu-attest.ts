import { fail, ok, type Result } from '../../base/result.ts';
import {
  type AttestDpusRequest,
  AttestDpusResponse,
  DpuInventoryClient,
} from '../../gen/signet/dpu/v1/dpu.ts';
import { flagError } from '../flags.ts';
import { withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { counted, safe, safeJson } from '../text.ts';

/** What a look found, in words. */
const FOUND: Readonly<Record<string, string>> = {
  same: 'is as it attested',
  rebooted: 'has started anew since it attested; its agent is asked to attest in full',
  new: 'is in order, and has not attested yet',
};

/** `signet dpu attest`. */
export const dpuAttest: CommandSpec = {
  connects: 'server',
  prints: true,
  args: '[SERIAL]',
  about:
    'Has the agent of a DPU attest again in full at once, or the agents of all DPUs that the filter leaves, spread over attestation.dpu.spread. With --now the server looks at the DPU by itself, through its BMC, and says what it found: what speaks against the card puts it into quarantine.',
  flags: [
    { name: 'now', help: 'have the server look at the DPU now, and wait for the verdict' },
    { name: 'all', help: 'DPUs of the whole inventory, where there is no SERIAL and no filter' },
    { name: 'zone', value: 'zone', choices: ['0', '1', '2'], help: 'DPUs in this zone' },
    { name: 'rack', value: 'name', help: 'DPUs in this rack' },
    { name: 'tenant', value: 'name', help: 'DPUs of this tenant' },
    { name: 'reason', value: 'text', required: true, help: 'why, for the audit' },
  ],
  examples: [
    'signet dpu attest MT2333X01234 --reason "ticket 4711"',
    'signet dpu attest MT2333X01234 --now --timeout 5m --reason "after the visit"',
    'signet dpu attest --rack r12 --reason "maintenance is over"',
  ],
  run: async (input, io) => {
    const request = requestOf(input);
    if (!request.ok) return request;
    return withServer(input, io, async (server) => {
      const client = server.client(DpuInventoryClient);
      const answer = await server.call<AttestDpusResponse>('having DPUs attest', (m, o, done) =>
        client.attestDpus(request.value, m, o, done),
      );
      return answer.ok ? print(answer.value, input, io) : answer;
    });
  },
};

function requestOf(input: Input): Result<AttestDpusRequest> {
  const [serial = '', ...rest] = input.args;
  const reason = (input.text('reason') ?? '').trim();
  if (reason === '') return flagError('reason', 'is empty');
  const [zone, rack, tenant] = [input.text('zone'), input.text('rack'), input.text('tenant')];
  const filtered = zone !== undefined || rack !== undefined || tenant !== undefined;
  const ways = [serial !== '', filtered, input.has('all')].filter(Boolean).length;
  if (ways !== 1 || rest.length > 0) {
    return fail('CLI_USAGE', 'takes one SERIAL, or --zone, --rack and --tenant, or --all');
  }
  const now = input.has('now');
  if (now && serial === '') return flagError('now', 'needs a SERIAL');
  return ok({
    serial,
    zone: zone === undefined ? undefined : Number(zone),
    rack,
    tenant,
    reason,
    now,
  });
}

function print(answer: AttestDpusResponse, input: Input, io: CliIo): Result<void> {
  const { results, dpu } = answer;
  const [first] = results;
  const json = input.text('output') === 'json';
  if (json) io.out(`${safeJson(AttestDpusResponse.toJSON(answer))}\n`);
  if (dpu === undefined || first === undefined) {
    const asked = counted(results.length, 'agent is', 'agents are');
    if (!json) io.out(`${asked} asked to attest in full\n`);
    return ok(undefined);
  }
  if (first.outcome === 'failed') {
    const why = `DPU ${safe(dpu.serial)} is ${safe(dpu.state)}: ${safe(first.message)}`;
    return fail('DPU_NOT_ATTESTED', `${why} (${safe(first.code)})`);
  }
  const found = FOUND[first.outcome] ?? safe(first.outcome);
  if (!json) io.out(`DPU ${safe(dpu.serial)} ${found}\nIt is ${safe(dpu.state)}\n`);
  return ok(undefined);
}
