import { fail, ok, type Result } from '../../base/result.ts';
import {
  type DpuFacts,
  DpuInventoryClient,
  type ImportDpusResponse,
  ImportResult,
} from '../../gen/signet/dpu/v1/dpu.ts';
import { type BmcAnswer, problemOf } from '../bmc-round.ts';
import { type DpuRow, parseDpus } from '../dpu-data.ts';
import { askBmcs, BMC_FLAGS } from '../dpu-from-bmc.ts';
import { readData } from '../files.ts';
import { flagError } from '../flags.ts';
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
    'Takes CSV with a line of names, JSON, or DPUDevice objects of DPF as JSON or YAML; "-" is standard input. Names: serial, model, opn, psid, bmc_host, bmc_port, bmc_tls_pin, bmc_uuid, bmc_mac, host_serial, host_uuid, pf0_mac, zone, rack, tenant, agent_ids, device_ids, host_bmc_host, host_bmc_port, host_bmc_tls_pin. What a row does not state stays as it is. Nothing is written when a row is faulty. With --from-bmc this command (not the server) asks BMCs what card they sit on and pins their TLS key; those that do not answer are listed, the others are taken.',
  args: 'FILE',
  flags: [{ name: 'dry-run', help: 'show what would be done; write nothing' }, ...BMC_FLAGS],
  examples: [
    'signet dpu import dpus.csv --dry-run',
    'kubectl get dpudevices -o yaml | signet dpu import -',
    'signet dpu import --from-bmc 10.1.2.3 --bmc-user-file u --bmc-password-file p',
  ],
  run: (input, io) =>
    input.texts('from-bmc').length > 0 ? importFromBmcs(input, io) : importFile(input, io),
};

async function importFile(input: Input, io: CliIo): Promise<Result<void>> {
  const [path, ...rest] = input.args;
  if (path === undefined || rest.length > 0) return fail('CLI_USAGE', 'takes one FILE');
  const given = (flag: string): boolean =>
    input.has(flag) || input.text(flag) !== undefined || input.texts(flag).length > 0;
  const stray = BMC_FLAGS.find(({ name }) => given(name));
  if (stray !== undefined) return flagError(stray.name, 'goes with --from-bmc, not with a FILE');
  const bytes = await readData(path, io);
  if (!bytes.ok) return bytes;
  const rows = parseDpus(bytes.value);
  if (!rows.ok) return fail('CLI_DATA_INVALID', `${path}: ${rows.error.message}`);
  return withServer(input, io, async (server) => {
    const done = await importRows(rows.value, server, input);
    if (done.ok) print(done.value, input, io);
    return done.ok ? ok(undefined) : done;
  });
}

async function importFromBmcs(input: Input, io: CliIo): Promise<Result<void>> {
  if (input.args.length > 0) return fail('CLI_USAGE', 'takes a FILE or --from-bmc, not both');
  return withServer(input, io, async (server) => {
    const outcomes = await askBmcs(input, io);
    if (!outcomes.ok) return outcomes;
    const rows = outcomes.value.flatMap(({ address, answer: facts }): DpuRow[] =>
      facts.ok ? [{ place: address, facts: facts.value }] : [],
    );
    const done = rows.length === 0 ? ok([]) : await importRows(rows, server, input);
    if (!done.ok) return done;
    printBmcs(outcomes.value, done.value, input, io);
    const silent = outcomes.value.length - rows.length;
    if (silent === 0) return ok(undefined);
    return fail('CLI_PARTLY_FAILED', `${counted(silent, 'BMC was', 'BMCs were')} not taken`);
  });
}

async function importRows(
  rows: readonly DpuRow[],
  server: ServerConnection,
  input: Input,
): Promise<Result<readonly ImportResult[]>> {
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
  return input.has('dry-run') ? planned : send(rows, false, server);
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

function print(results: readonly ImportResult[], input: Input, io: CliIo): void {
  const dryRun = input.has('dry-run');
  if (input.text('output') === 'json') {
    const list = results.map((result) => ImportResult.toJSON(result));
    io.out(`${safeJson({ dryRun, ...countsOf(results), results: list })}\n`);
    return;
  }
  io.out(summaryOf(results, dryRun));
  const changed = results.filter(({ outcome }) => outcome !== 'unchanged');
  if (!dryRun || changed.length === 0) return;
  const lines = changed.map((result) => [result.serial, result.outcome, result.changed.join(', ')]);
  io.out(`\n${formatTable(['SERIAL', 'OUTCOME', 'CHANGES'], lines)}`);
}

function printBmcs(
  outcomes: readonly BmcAnswer<DpuFacts>[],
  results: readonly ImportResult[],
  input: Input,
  io: CliIo,
): void {
  const dryRun = input.has('dry-run');
  const bySerial = new Map(results.map((result) => [result.serial, result]));
  const rows = outcomes.map(({ address, tlsPin, answer: facts }) => ({
    address,
    tlsPin,
    model: facts.ok ? facts.value.model : undefined,
    result: facts.ok ? bySerial.get(facts.value.serial) : undefined,
    problem: facts.ok ? undefined : problemOf(facts.error),
  }));
  if (input.text('output') === 'json') {
    const bmcs = rows.map(({ result, ...row }) => ({
      ...row,
      result: result && ImportResult.toJSON(result),
    }));
    io.out(`${safeJson({ dryRun, ...countsOf(results), bmcs })}\n`);
    return;
  }
  io.out(summaryOf(results, dryRun));
  const lines = rows.map(({ address, model, result, problem }) => [
    address,
    result?.serial ?? '',
    model ?? '',
    problem ?? [result?.outcome, result?.changed.join(', ')].filter((text) => text).join(': '),
  ]);
  io.out(`\n${formatTable(['BMC', 'SERIAL', 'MODEL', 'OUTCOME'], lines)}`);
}

function countsOf(results: readonly ImportResult[]) {
  const count = (outcome: string): number =>
    results.filter((result) => result.outcome === outcome).length;
  return {
    created: count('created'),
    updated: count('updated'),
    unchanged: count('unchanged'),
  };
}

function summaryOf(results: readonly ImportResult[], dryRun: boolean): string {
  const { created, updated, unchanged } = countsOf(results);
  const begin = dryRun ? 'Would be: ' : '';
  return `${begin}${created} created, ${updated} updated, ${unchanged} unchanged\n`;
}
