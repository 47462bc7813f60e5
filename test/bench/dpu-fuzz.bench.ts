/**
 * How long the mutations of evidence take that every run of the tests makes: 100,000 bit flips and
 * truncations of genuine evidence, and those of our own evidence, chains, manifests and messages. Each
 * must be refused without a crash, which the tests say; here is their time, one file after the other.
 * Prints a table and writes `bench-dpu-fuzz.json`.
 */
import { run } from '../support/processes.ts';
import { report } from './report.ts';

const FILES = ['spdm-evidence', 'device-chain', 'manifest', 'dpu-messages'];

const rows: Record<string, Record<string, number>> = {};
for (const name of FILES) {
  const startedMs = performance.now();
  const args = ['--test', '--test-reporter=tap', `test/faults/${name}.test.ts`];
  const { stdout } = await run(process.execPath, args);
  const count = (what: string): number =>
    Number(new RegExp(`^# ${what} (\\d+)$`, 'm').exec(stdout)?.[1] ?? 0);
  rows[name] = {
    'tests passed': count('pass'),
    failed: count('fail') + count('cancelled'),
    skipped: count('skipped'),
    seconds: (performance.now() - startedMs) / 1000,
  };
}
report('dpu-fuzz', rows);
if (Object.values(rows).some(({ failed }) => failed !== 0)) process.exitCode = 1;
