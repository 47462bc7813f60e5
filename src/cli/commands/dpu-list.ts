import { fail, ok, type Result } from '../../base/result.ts';
import {
  Dpu,
  DpuInventoryClient,
  type ListDpusRequest,
  type ListDpusResponse,
} from '../../gen/signet/dpu/v1/dpu.ts';
import { DPU_STATES } from '../../rules/dpu.ts';
import { formatDpu, formatDpus } from '../dpu-view.ts';
import { type ServerConnection, withServer } from '../server-connection.ts';
import type { CommandSpec, Input } from '../spec.ts';
import { counted, safeJson } from '../text.ts';

const PAGE_SIZE = 200;

/** `signet dpu list`. */
export const dpuList: CommandSpec = {
  connects: 'server',
  prints: true,
  flags: [
    {
      name: 'state',
      value: 'state',
      choices: DPU_STATES,
      repeat: true,
      help: 'DPUs in this state',
    },
    { name: 'zone', value: 'zone', choices: ['0', '1', '2'], help: 'DPUs in this zone' },
    { name: 'rack', value: 'name', help: 'DPUs in this rack' },
    { name: 'tenant', value: 'name', help: 'DPUs of this tenant' },
  ],
  examples: ['signet dpu list', 'signet dpu list --state quarantined --rack r12 -o json'],
  run: (input, io) =>
    withServer(input, io, async (server) => {
      const dpus = await listAll(input, server);
      if (!dpus.ok) return dpus;
      if (input.text('output') === 'json') {
        io.out(`${safeJson({ dpus: dpus.value.map((dpu) => Dpu.toJSON(dpu)) })}\n`);
        return ok(undefined);
      }
      io.out(`${counted(dpus.value.length, 'DPU', 'DPUs')}\n`);
      if (dpus.value.length > 0) io.out(`\n${formatDpus(dpus.value, io)}`);
      return ok(undefined);
    }),
};

/** `signet dpu show`. */
export const dpuShow: CommandSpec = {
  connects: 'server',
  prints: true,
  args: 'SERIAL',
  flags: [],
  examples: ['signet dpu show MT2333X01234', 'signet dpu show MT2333X01234 -o json'],
  run: async (input, io) => {
    const serial = serialArg(input);
    if (!serial.ok) return serial;
    return withServer(input, io, async (server) => {
      const client = server.client(DpuInventoryClient);
      const dpu = await server.call<Dpu>('reading the DPU', (m, o, done) =>
        client.getDpu({ serial: serial.value }, m, o, done),
      );
      if (!dpu.ok) return dpu;
      const json = input.text('output') === 'json';
      io.out(json ? `${safeJson(Dpu.toJSON(dpu.value))}\n` : formatDpu(dpu.value, io));
      return ok(undefined);
    });
  },
};

/** The serial number that a command is about. */
export function serialArg(input: Input): Result<string> {
  const [serial, ...rest] = input.args;
  if (serial !== undefined && rest.length === 0) return ok(serial);
  return fail('CLI_USAGE', 'takes one SERIAL, as "signet dpu list" shows it');
}

async function listAll(input: Input, server: ServerConnection): Promise<Result<readonly Dpu[]>> {
  const client = server.client(DpuInventoryClient);
  const zone = input.text('zone');
  const filter: ListDpusRequest = {
    states: [...input.texts('state')],
    zone: zone === undefined ? undefined : Number(zone),
    rack: input.text('rack'),
    tenant: input.text('tenant'),
    pageSize: PAGE_SIZE,
    pageToken: '',
  };
  const dpus: Dpu[] = [];
  for (let pageToken = ''; ; ) {
    const page = await server.call<ListDpusResponse>('listing DPUs', (m, o, done) =>
      client.listDpus({ ...filter, pageToken }, m, o, done),
    );
    if (!page.ok) return page;
    dpus.push(...page.value.dpus);
    pageToken = page.value.nextPageToken;
    if (pageToken === '') return ok(dpus);
  }
}
