import { fail, ok, type Result } from '../../base/result.ts';
import {
  DpuInventoryClient,
  type ImportDpusResponse,
  ImportResult,
} from '../../gen/signet/dpu/v1/dpu.ts';
import { type DpuRow, parseDpus } from '../dpu-data.ts';
import { readData } from '../files.ts';
import { type ServerConnection, withServer } from '../server-connection.ts';
import type { CliIo, CommandSpec, Input } from '../spec.ts';
import { counted, formatTable, safeJson } from '../text.ts';

/** Rows of one call. */
const BATCH = 500;

/** Most refused rows that are told. */
const MAX_TOLD = 20;

/** `signet dpu import`. */
export const dpuImport: CommandSpec = {
  connects: 'server',
  prints: true,
  about:
    'Takes CSV with a line of names, JSON, or DPUDevice objects of DPF as JSON or YAML; "-" is standard input. Names: serial, model, opn, psid, bmc_host, bmc_port, bmc_tls_pin, bmc_uuid, bmc_mac, host_serial, host_uuid, pf0_mac, zone, rack, tenant, agent_ids, device_ids. What a row does not state stays as it is. Nothing is written when a row is faulty.',
  args: 'FILE',
  flags: [{ name: 'dry-run', help: 'show what would be done; write nothing' }],
  examples: [
    'signet dpu import dpus.csv --dry-run',
    'kubectl get dpudevices -o yaml | signet dpu import -',
  ],
  run: async (input, io) => {
    const [path, ...rest] = input.args;
    if (path === undefined || rest.length > 0) return fail('CLI_USAGE', 'takes one FILE');
    const bytes = await readData(path, io);
    if (!bytes.ok) return bytes;
    const rows = parseDpus(bytes.value);
    if (!rows.ok) return fail('CLI_DATA_INVALID', `${path}: ${rows.error.message}`);
    return withServer(input, io, (server) => importRows(rows.value, server, input, io));
  },
};

async function importRows(
  rows: readonly DpuRow[],
  server: ServerConnection,
  input: Input,
  io: CliIo,
): Promise<Result<void>> {
  // All of it dry first: a faulty row in the last batch must not find the first one written.
  const planned = await send(rows, true, server);
  if (!planned.ok) return planned;
  const refused = planned.value.flatMap((result, i) =>
    result.outcome === 'refused' ? [`${rows[i]?.place}: ${result.serial}: ${result.message}`] : [],
  );
  if (refused.length > 0) {
    const more = refused.length > MAX_TOLD ? [`and ${refused.length - MAX_TOLD} more`] : [];
    const what = `${counted(refused.length, 'row is', 'rows are')} refused, nothing was written`;
    return fail('DPU_IMPORT_INVALID', [what, ...refused.slice(0, MAX_TOLD), ...more].join('\n'));
  }
  const dry = input.has('dry-run');
  const done = dry ? planned : await send(rows, false, server);
  if (!done.ok) return done;
  print(done.value, dry, input, io);
  return ok(undefined);
}

async function send(
  rows: readonly DpuRow[],
  dryRun: boolean,
  server: ServerConnection,
): Promise<Result<readonly ImportResult[]>> {
  const client = server.client(DpuInventoryClient);
  const results: ImportResult[] = [];
  for (let at = 0; at < rows.length; at += BATCH) {
    const dpus = rows.slice(at, at + BATCH).map(({ facts }) => facts);
    const answer = await server.call<ImportDpusResponse>('importing DPUs', (m, o, done) =>
      client.importDpus({ dpus, dryRun }, m, o, done),
    );
    if (!answer.ok) return answer;
    results.push(...answer.value.results);
  }
  return ok(results);
}

function print(results: readonly ImportResult[], dry: boolean, input: Input, io: CliIo): void {
  const count = (outcome: string): number =>
    results.filter((result) => result.outcome === outcome).length;
  const counts = {
    created: count('created'),
    updated: count('updated'),
    unchanged: count('unchanged'),
  };
  if (input.text('output') === 'json') {
    const list = results.map((result) => ImportResult.toJSON(result));
    io.out(`${safeJson({ dryRun: dry, ...counts, results: list })}\n`);
    return;
  }
  const { created, updated, unchanged } = counts;
  const begin = dry ? 'Would be: ' : '';
  io.out(`${begin}${created} created, ${updated} updated, ${unchanged} unchanged\n`);
  const changed = results.filter(({ outcome }) => outcome !== 'unchanged');
  if (!dry || changed.length === 0) return;
  const lines = changed.map((result) => [result.serial, result.outcome, result.changed.join(', ')]);
  io.out(`\n${formatTable(['SERIAL', 'OUTCOME', 'CHANGES'], lines)}`);
}
